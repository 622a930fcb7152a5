#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# What one device changes shows on the other although its kernel has cached all of it: in an open descriptor, in a mapped page, in a name that was not
# there, in listings, modes, xattrs, access lists and holes.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

new_person alice
coffer alice space create Work
mine=$W/alice.mnt/Work
printf 'before, and some more of it' > "$mine/open"
head -c 300000 /dev/zero | tr '\0' a > "$mine/mapped"
echo x > "$mine/goes"
echo x > "$mine/attrs"
setfattr -n user.note -v before "$mine/attrs"
coffer alice wait --timeout 60s
new_device desktop alice
coffer desktop wait --timeout 60s
theirs=$W/desktop.mnt/Work
await 20 test -s "$theirs/mapped" || fail "no start"

cat > "$W/watch.py" << 'EOF2'
import ctypes, mmap, os, sys, time

os.chdir(sys.argv[1])
libc = ctypes.CDLL(None)


def acl():
    return b"system.posix_acl_access" in [os.fsencode(n) for n in os.listxattr("attrs")] and \
        len(os.getxattr("attrs", "system.posix_acl_access")) > 28


fd = os.open("open", os.O_RDONLY)
big = os.open("mapped", os.O_RDONLY)
page = mmap.mmap(big, 300000, prot=mmap.PROT_READ)
# Everything is looked at, so that the kernel has it.
assert os.pread(fd, 100, 0) == b"before, and some more of it" and page[200000:200005] == b"aaaaa"
assert os.getxattr("attrs", "user.note") == b"before" and not acl()
for name in "comes", "copied":
    assert not os.path.exists(name)
assert sorted(os.listdir(".")) == ["attrs", "goes", "mapped", "open"]
assert os.stat("goes").st_size == 2 and os.stat("attrs").st_mode & 0o777 == 0o644
print("ready", flush=True)

changes = {
    "content of an open file": lambda: os.pread(fd, 100, 0) == b"after",
    "size of an open file": lambda: os.fstat(fd).st_size == 5,
    "a mapped page": lambda: page[200000:200005] == b"AFTER" and page[199999:200000] == b"a",
    "the mapped file read": lambda: os.pread(big, 5, 200000) == b"AFTER",
    "a name that was not there": lambda: os.path.exists("comes"),
    "a name that went": lambda: not os.path.exists("goes"),
    "the listing": lambda: sorted(os.listdir(".")) == ["attrs", "comes", "mapped", "open", "sparse"],
    "the mode": lambda: os.stat("attrs").st_mode & 0o777 == 0o670,
    "an xattr": lambda: os.getxattr("attrs", "user.note") == b"after",
    "an access list": acl,
    "holes": lambda: os.stat("sparse").st_size == 8 << 20 and os.stat("sparse").st_blocks == 128,
}
until = time.monotonic() + 40
while changes and time.monotonic() < until:
    for name, holds in list(changes.items()):
        try:
            if holds():
                del changes[name]
        except OSError:
            pass
    time.sleep(0.02)
print("does not show: " + ", ".join(changes) if changes else "all", flush=True)
EOF2
mkfifo "$W/told"
python3 "$W/watch.py" "$theirs" > "$W/told" &
WORLD_PIDS="$WORLD_PIDS $!"
exec 8< "$W/told"
read -rt 30 line <&8 && [ "$line" = ready ] || fail "the watcher did not get ready"

printf after > "$mine/open"
printf AFTER | dd of="$mine/mapped" bs=1 seek=200000 conv=notrunc status=none
echo y > "$mine/comes"
rm "$mine/goes"
setfacl -m u:4711:rwx "$mine/attrs"
chmod 670 "$mine/attrs"
setfattr -n user.note -v after "$mine/attrs"
truncate -s 8M "$mine/sparse"
dd if=/dev/urandom of="$mine/sparse" bs=64k count=1 seek=40 conv=notrunc status=none
coffer alice wait --timeout 60s
read -rt 60 line <&8 || fail "the watcher said nothing"
[ "$line" = all ] || fail "$line"
coffer desktop wait --timeout 60s
cmp "$mine/sparse" "$theirs/sparse" || fail "holes came with other content"
[ "$(cd "$mine" && getfacl -n attrs)" = "$(cd "$theirs" && getfacl -n attrs)" ] || fail "other lists"
