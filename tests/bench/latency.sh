#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# How long an edit of a small file takes until it is readable at the other device, over loopback: median and worst of 20.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start "${DIR:-}"
new_person alice
coffer alice space create Work
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not arrive"
echo start > "$W/alice.mnt/Work/file"
await 10 grep -q start "$W/desktop.mnt/Work/file" || fail "no start"
python3 - "$W/alice.mnt/Work/file" "$W/desktop.mnt/Work/file" <<'PY'
import os, statistics, sys, time
a, b = sys.argv[1:3]
times = []
for i in range(20):
    text = os.urandom(8).hex()
    t = time.monotonic()
    with open(a, "w") as f: f.write(text)
    while True:
        try:
            if open(b).read() == text: break
        except OSError: pass
        if time.monotonic() - t > 20: sys.exit("the edit did not arrive")
        time.sleep(0.001)
    times.append((time.monotonic() - t) * 1000)
    time.sleep(0.3)
print(f"edit-latency-ms median {statistics.median(times):.1f} worst {max(times):.1f} of {len(times)}")
PY
