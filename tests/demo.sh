#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A tour on this machine alone: a relay, two devices of Alice, and Bob; a real source tree, an edit, an invite. Cleans up after itself.
# TREE=dir uses that tree instead of Debian's linux-source-6.1.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/world.sh
[ -c /dev/fuse ] || { echo "demo: this machine has no /dev/fuse; load the fuse module" >&2; exit 77; }

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
now() { date +%s%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s", (b - a) / 1e9 }'; }

get_tree() {
	if [ -n "${TREE:-}" ]; then
		ln -s "$(realpath "$TREE")" "$W/tree"
		return
	fi
	say "A real source tree: parts of Debian's linux-source-6.1"
	(
		mkdir "$W/fetch" && cd "$W/fetch"
		apt-get download linux-source-6.1 > /dev/null 2>&1 || { apt-get update -qq; apt-get download linux-source-6.1 > /dev/null; }
		dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
			tar -xJ -C "$W/fetch" linux-source-6.1/{drivers/net,fs,kernel,net,Documentation/filesystems}
		mv linux-source-6.1 "$W/tree" && rm -f ./*.deb
	)
	rmdir "$W/fetch"
}

world_start "${DEMO_DIR:-$(mktemp -d)}"
get_tree
files=$(find -L "$W/tree" -type f | wc -l)
echo "$files files, $(du -shL --apparent-size "$W/tree" | cut -f1)"

say "Alice's laptop: a profile, a mount, a space"
new_person alice
coffer alice space create Source

say "Alice's desktop, paired by code"
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Source" || fail "the space did not arrive at the desktop"

say "Bob, invited by code"
new_person bob
share Source alice bob
ls "$W/bob.mnt"

say "Copy $files files into Alice's folder"
t=$(now)
cp -a "$W/tree/." "$W/alice.mnt/Source/"
echo "copied in $(since "$t")"
coffer alice status
coffer alice wait --timeout 240s
echo "all at the relay after $(since "$t")"
coffer desktop wait --timeout 240s
coffer bob wait --timeout 240s
echo "all at the desktop and at Bob's after $(since "$t")"

say "Compare"
diff -r "$W/tree/" "$W/desktop.mnt/Source" && echo "the desktop has the same tree"
diff -r "$W/tree/" "$W/bob.mnt/Source" && echo "Bob has the same tree"

say "An edit on the desktop shows on the laptop"
t=$(now)
echo "edited on the desktop" > "$W/desktop.mnt/Source/NOTE"
await 10 grep -q desktop "$W/alice.mnt/Source/NOTE" || fail "the edit did not arrive"
echo "$(cat "$W/alice.mnt/Source/NOTE") - there after $(since "$t")"
echo "and Bob writes too" >> "$W/bob.mnt/Source/NOTE"
await 10 grep -q Bob "$W/alice.mnt/Source/NOTE" || fail "Bob's edit did not arrive"

say "Status"
coffer alice status
coffer alice members Source

say "What the relay's disk shows of it"
du -sh "$W/relay" | cut -f1
name=$(cd "$W/tree/" && find . -type f -name '*.c' -printf '%f\n' -quit)
for word in "$name" "Source" "edited on the desktop" "laptop"; do
	n=$( (grep -rlaF -- "$word" "$W/relay" || :) | wc -l)
	printf '  files that contain "%s": %s\n' "$word" "$n"
	[ "$n" = 0 ] || fail "the relay knows"
done

say "Unmount, waiting until everything is safe"
for who in alice desktop bob; do
	coffer $who umount "$W/$who.mnt"
	coffer $who stop
done
echo "done"
