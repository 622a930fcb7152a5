#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# What piled up in one folder off line is more than one entry of the journal holds: it is sent all the same.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

new_person alice
coffer alice space create Work
mkdir "$W/alice.mnt/Work/dir"
coffer alice wait --timeout 60s
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work/dir" || fail "no start"

relay_stop KILL
python3 - "$W/alice.mnt/Work/dir" <<'EOF'
import os, sys
for i in range(360): # 20 MiB of attributes that do not compress
	path = os.path.join(sys.argv[1], f"f{i}")
	open(path, "w").close()
	os.setxattr(path, "user.a", os.urandom(56 << 10))
EOF
relay_start
coffer alice wait --timeout 120s
coffer desktop wait --timeout 120s
python3 - "$W/alice.mnt/Work/dir" "$W/desktop.mnt/Work/dir" <<'EOF' || fail "the two devices differ"
import os, sys
a, b = ({f: os.getxattr(os.path.join(d, f), "user.a") for f in os.listdir(d)} for d in sys.argv[1:])
sys.exit(a != b or len(a) != 360)
EOF
