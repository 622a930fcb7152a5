#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# Appending to a file that grew or shrank on another device since it was opened, by a program that never looks: nothing is overwritten, no
# hole is left, and both devices read the same.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
new_person alice
coffer alice space create Work
mine=$W/alice.mnt/Work
for f in grows shrinks direct mapped; do
	printf 'first\nsecond\n' > "$mine/$f"
done
coffer alice wait --timeout 60s
new_device desktop alice
coffer desktop wait --timeout 60s
theirs=$W/desktop.mnt/Work
await 20 test -s "$theirs/mapped" || fail "no start"

cat > "$W/appender.py" << 'EOF'
import mmap, os, sys

os.chdir(sys.argv[1])
fds = {f: os.open(f, os.O_RDWR | os.O_APPEND | (os.O_DIRECT if f == "direct" else 0)) for f in ("grows", "shrinks", "direct", "mapped")}
for f, fd in fds.items():
    os.write(fd, b"opened\n")  # the kernel knows the end from now on
print("ready", flush=True)
assert sys.stdin.readline() == "go\n"
page = mmap.mmap(fds["mapped"], 5)
page[:5] = b"FIRST"  # has its place, whatever the descriptor says
page.flush()
for f, fd in fds.items():
    os.write(fd, b"late\n")
    os.write(fd, b"later\n")
print("done", flush=True)
EOF
mkfifo "$W/told" "$W/say"
python3 "$W/appender.py" "$theirs" < "$W/say" > "$W/told" &
WORLD_PIDS="$WORLD_PIDS $!"
exec 7> "$W/say" 8< "$W/told"
read -rt 30 line <&8 && [ "$line" = ready ] || fail "the program does not start"
coffer desktop wait --timeout 60s
await 20 grep -q opened "$mine/mapped" || fail "what was appended does not arrive"
coffer alice wait --timeout 60s

echo "from alice" >> "$mine/grows"
echo "from alice" >> "$mine/direct"
printf 'one\n' > "$mine/shrinks"
coffer alice wait --timeout 60s
coffer desktop wait --timeout 60s # nothing looks at the files there
echo go >&7
read -rt 30 line <&8 && [ "$line" = done ] || fail "the program does not end"

want() { printf '%b' "$2" | cmp -s - "$1"; }
for side in "$theirs" "$mine"; do
	coffer desktop wait --timeout 60s
	coffer alice wait --timeout 60s
	for f in grows direct; do
		await 20 want "$side/$f" 'first\nsecond\nopened\nfrom alice\nlate\nlater\n' || fail "$side/$f: $(cat "$side/$f")"
	done
	await 20 want "$side/shrinks" 'one\nlate\nlater\n' || fail "$side/shrinks: $(od -c "$side/shrinks" | head)"
	await 20 want "$side/mapped" 'FIRST\nsecond\nopened\nlate\nlater\n' || fail "$side/mapped: $(cat "$side/mapped")"
done
