#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# No name and no content in what the relay keeps, in what the caches keep, or in what passes between them (recorded by a proxy).
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

python3 - "$PORT" "$W/wire" "$W/proxy.port" <<'PY' &
import socket, sys, threading
to, log, out = int(sys.argv[1]), open(sys.argv[2], "ab", 0), sys.argv[3]
lock = threading.Lock()
def pump(a, b):
    try:
        while data := a.recv(65536):
            with lock: log.write(data)
            b.sendall(data)
    except OSError: pass
    for s in (a, b):
        try: s.shutdown(socket.SHUT_RDWR)
        except OSError: pass
s = socket.create_server(("127.0.0.1", 0))
open(out, "w").write(str(s.getsockname()[1]))
while True:
    a, _ = s.accept()
    b = socket.create_connection(("127.0.0.1", to))
    for x, y in ((a, b), (b, a)): threading.Thread(target=pump, args=(x, y), daemon=True).start()
PY
proxy=$!
trap 'kill $proxy 2>/dev/null; world_end' EXIT
await 10 test -s "$W/proxy.port" || fail "no proxy"
RELAY=http://127.0.0.1:$(cat "$W/proxy.port")
relay_stop
RELAY_ARGS="--origin $RELAY"
relay_start

new_person alice
coffer alice space create SpaceNameCanary
d=$W/alice.mnt/SpaceNameCanary
mkdir -p "$d/DirNameCanary"
for i in 1 2 3; do
	yes "ContentCanary line $i of a text that compresses well" | head -c $((i * i * 40000)) > "$d/DirNameCanary/FileNameCanary$i"
done
printf 'ContentCanary small' > "$d/SmallNameCanary"
ln -s TargetCanary "$d/LinkNameCanary"
setfattr -n user.AttrNameCanary -v AttrValueCanary "$d/SmallNameCanary"
coffer alice wait --timeout 60s
new_person bob
share SpaceNameCanary alice bob
coffer bob wait --timeout 60s
cat "$W"/bob.mnt/SpaceNameCanary/DirNameCanary/* | cmp - <(cat "$d"/DirNameCanary/*) || fail "bob reads other bytes"
[ "$(getfattr --only-values -n user.AttrNameCanary "$W/bob.mnt/SpaceNameCanary/SmallNameCanary")" = AttrValueCanary ] || fail "xattr"

[ "$(stat -c %s "$W/wire")" -gt 20000 ] || fail "the proxy recorded nothing"
for word in Canary SpaceName; do
	! grep -rlaF "$word" "$W/relay" "$W/alice" "$W/bob" "$W/wire" || fail "'$word' can be read"
done
