#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ordinary programs on a mount: cp -a, tar, rsync, setfacl, du, dd, flock, git, vim, sqlite3, make with a compiler. Results are compared with a plain
# directory; git and sqlite3 also go through a kill -9.
# timeout: 240
. tests/lib/fs.sh

export HOME=$T GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_CONFIG_NOSYSTEM=1

# A tree with what copying tools must keep: links of both kinds, modes, times, odd names, holes, xattrs.
make_tree() {
	mkdir -p "$1"/{deep/er/and/deeper,empty}
	cp -r base wire fusefs "$1/deep/"
	ln "$1/deep/base/err.h" "$1/hard link"
	ln -s "deep/base/err.h" "$1/symlink"
	ln -s nowhere "$1/dangling"
	mkfifo "$1/fifo"
	printf 'x' > "$1/"$'odd \n name \xff'
	truncate -s 3M "$1/sparse"
	printf 'end' >> "$1/sparse"
	chmod 4755 "$1/deep/base/err.c"
	chmod 500 "$1/deep/er/and"
	setfattr -n user.note -v 'kept' "$1/deep/wire/cbor.h" 2> /dev/null || true
	touch -d '2001-02-03 04:05:06.789' "$1/deep/base/buf.c" "$1/empty"
	chmod u+w "$1/deep/er/and"
}

listing() {
	(cd "$1" && find . -printf '%p|%y|%m|%T@|%n|%l|' \( -type d -printf '\n' -o -printf '%s\n' \) | sort)
}

same() { # what directory
	listing "$PLAIN/tree" > "$T/want"
	listing "$2" > "$T/have"
	cmp -s "$T/want" "$T/have" || { diff "$T/want" "$T/have" | head >&2; fail "$1: another listing"; }
	diff -r --no-dereference -x fifo "$PLAIN/tree" "$2" || fail "$1: other content"
}

test_copies() {
	cp -a "$PLAIN/tree" cp
	same "cp -a" "$MNT/cp"
	tar -C "$PLAIN" --xattrs -cf "$T/tree.tar" tree
	tar --xattrs -xpf "$T/tree.tar"
	same tar "$MNT/tree"
	tar --xattrs -cf "$T/again.tar" tree
	mkdir "$T/out"
	tar --xattrs -C "$T/out" -xpf "$T/again.tar"
	same "tar, out again" "$T/out/tree"
	cp -a cp cp2
	same "cp -a inside" "$MNT/cp2"
	! getfattr --only-values -n user.note cp/deep/wire/cbor.h > "$T/note" || [ "$(cat "$T/note")" = kept ] || fail xattr
	rsync -aHX --modify-window=-1 "$PLAIN/tree/" rs/
	same "rsync -aHX" "$MNT/rs"
	rsync -aHX --modify-window=-1 --delete cp2/ rs/
	[ -z "$(rsync -aHXni --modify-window=-1 --delete --checksum "$PLAIN/tree/" rs/)" ] || fail "rsync sees differences"
	rm -rf cp2 tree
	[ ! -e cp2 ] && [ ! -e tree ] || fail "rm -rf"
}

# Lists go through setfacl, cp -a, tar --acls and rsync -A, and end with setfacl -b.
test_acls() {
	mkdir lists
	echo x > lists/file
	mkdir lists/dir
	setfacl -m u:4711:rw,g:99:r lists/file
	setfacl -d -m u:4711:rwx lists/dir
	echo x > lists/dir/inherits
	mkdir lists/dir/inherits-too
	(cd lists && getfacl -Rn .) > "$T/lists"
	grep -q '^user:4711:rw-' "$T/lists" && [ "$(grep -c '^default:user:4711' "$T/lists")" = 2 ] || fail "setfacl: $(cat "$T/lists")"
	cp -a lists lists-cp
	mkdir lists-tar
	tar -C lists --acls -cf - . | tar -C lists-tar --acls -xpf -
	rsync -aAX --modify-window=-1 lists/ lists-rs/
	for copy in lists-cp lists-tar lists-rs; do
		(cd $copy && getfacl -Rn .) | cmp - "$T/lists" || fail "$copy: other lists"
	done
	[ -z "$(rsync -aAXni --modify-window=-1 lists/ lists-rs/)" ] || fail "rsync -A sees differences"
	[[ $(ls -l lists/file) == -rw-rw-r--+* ]] || fail "ls -l: $(ls -l lists/file)"
	chmod 640 lists/file
	getfacl -cn lists/file | grep -q '^mask::r--' || fail "chmod left the mask"
	setfacl -b lists/file
	[[ $(ls -l lists/file) == "-rw-r-----"\ * ]] || fail "setfacl -b: $(ls -l lists/file)"
	rm -r lists-tar lists-rs
}

test_holes() {
	truncate -s 20M holes
	dd if=/dev/urandom of=holes bs=64k seek=100 count=2 conv=notrunc status=none
	[ "$(du -k holes | cut -f1)" = 128 ] || fail "du: $(du -k holes)"
	cp --sparse=auto holes holes-cp
	tar -Scf holes.tar holes
	[ "$(stat -c %s holes.tar)" -lt 400000 ] || fail "tar -S: $(stat -c %s holes.tar)"
	mkdir out
	tar -C out -xSf holes.tar
	rsync -S holes out/rs
	cp --reflink=auto --sparse=never holes out/full
	for copy in holes-cp out/holes out/rs out/full; do
		cmp holes $copy || fail "$copy"
	done
	[ "$(du -k holes-cp | cut -f1)" = 128 ] && [ "$(du -k out/holes | cut -f1)" = 128 ] || fail "copies without holes"
	[ "$(du -k out/full | cut -f1)" = 20480 ] || fail "du of a full copy: $(du -k out/full)"
	fallocate -d out/full
	[ "$(du -k out/full | cut -f1)" -lt 300 ] || fail "fallocate -d"
	cmp holes out/full || fail "fallocate -d changed content"
}

test_direct() {
	head -c 3M /dev/urandom > "$T/random"
	dd if="$T/random" of=direct bs=1M oflag=direct conv=fsync status=none
	dd if=direct of="$T/back" bs=64k iflag=direct status=none
	cmp "$T/random" "$T/back" || fail "dd with O_DIRECT"
}

# Many processes take turns at a counter, by flock(1).
test_flock() {
	local workers=() w
	echo 0 > counter
	for w in 1 2 3 4; do
		(for i in $(seq 25); do
			flock counter.lock bash -c 'n=$(cat counter); echo $((n + 1)) > counter'
		done) &
		workers+=($!)
	done
	for w in "${workers[@]}"; do
		wait "$w" || fail "flock"
	done
	[ "$(cat counter)" = 100 ] || fail "flock let two in: $(cat counter)"
	flock holds.lock sleep 60 &
	w=$!
	for _ in $(seq 500); do
		flock -n holds.lock true || break
		read -rt 0.02 <> <(:) || :
	done
	! flock -n holds.lock true || fail "flock -n got a lock that is held"
	kill $w $(pgrep -P $w) 2> /dev/null
	wait $w 2> /dev/null || :
	flock -w 20 holds.lock true || fail "the lock outlived its process"
}

test_git() {
	git init -q repo
	cd repo
	mkdir deep
	cp -r ../cp/deep/{base,wire,fusefs} deep/
	git add -A
	git commit -qm one
	for i in 1 2 3 4 5; do
		echo "change $i" >> deep/base/err.c
		git commit -qam "change $i"
	done
	git checkout -qb branch HEAD~3
	echo other > deep/wire/other
	git add -A
	git commit -qm other
	git checkout -q master 2> /dev/null || git checkout -q main
	git merge -q -m merged branch
	git gc -q --prune=now
	git fsck --full --strict 2>&1 | { ! grep -v '^notice'; } || fail "git fsck"
	[ -z "$(git status --porcelain)" ] || fail "git status"
	git clone -q . ../clone
	diff -r -x .git . ../clone || fail "git clone"
	cd ..
}

test_vim() {
	printf 'one\ntwo\n' > text
	ino=$(stat -c %i text)
	vim -u NONE -es -c '%s/two/three/' -c 'set backup backupskip=' -c 'wq' text || fail "vim"
	[ "$(cat text)" = $'one\nthree' ] || fail "vim wrote something else"
	vim -u NONE -es -c 'set backupcopy=no writebackup backupskip=' -c '%s/one/four/' -c 'wq' text
	[ "$(cat text)" = $'four\nthree' ] && [ "$(stat -c %i text)" != "$ino" ] || fail "vim with rename"
}

test_sqlite() {
	for mode in wal delete truncate persist; do
		sqlite3 "$mode.db" > "$T/sqlite.out" <<- EOF
			PRAGMA journal_mode=$mode;
			PRAGMA synchronous=NORMAL;
			CREATE TABLE t(i INTEGER PRIMARY KEY, v BLOB);
			WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n WHERE x < 3000)
				INSERT INTO t SELECT x, randomblob(x % 700) FROM n;
			UPDATE t SET v = randomblob(300) WHERE i % 7 = 0;
			DELETE FROM t WHERE i % 5 = 0;
		EOF
		# Two writers at once.
		writers=()
		for w in 1 2; do
			for i in 1 2 3 4 5; do
				echo ".timeout 10000"
				echo "INSERT INTO t(v) VALUES('$w $i');"
			done | sqlite3 "$mode.db" &
			writers+=($!)
		done
		wait "${writers[0]}" && wait "${writers[1]}" || fail "sqlite writers"
		[ "$(sqlite3 "$mode.db" 'PRAGMA integrity_check')" = ok ] || fail "sqlite $mode: integrity"
		[ "$(sqlite3 "$mode.db" 'SELECT count(*) FROM t')" = 2410 ] || fail "sqlite $mode: rows"
	done
}

test_make() {
	mkdir build
	cp "$SRC"/base/*.[ch] build/
	cat > build/Makefile <<- 'EOF'
		.RECIPEPREFIX = >
		OBJS = buf.o err.o id.o env.o log.o
		libbase.a: $(OBJS)
		> $(AR) rcs $@ $(OBJS)
		%.o: %.c
		> $(CC) -std=gnu11 -O0 -D_GNU_SOURCE -I. -c -o $@ $<
	EOF
	mkdir build/base
	cp build/*.h build/base/
	make -s -C build -j2 2> "$T/make.err" || { cat "$T/make.err" >&2; fail "make"; }
	make -s -C build -q || fail "make would build again"
	printf '#include <stdio.h>\nint main(void) { puts("runs"); return 0; }\n' > hello.c
	cc -o hello hello.c
	[ "$(./hello)" = runs ] || fail "a program run from the mount"
}

SRC=$PWD
make_tree "$PLAIN/tree"
fs_start
cd "$MNT"
for t in copies acls holes direct flock git vim sqlite make; do
	start=$(date +%s%N)
	test_$t
	cd "$MNT"
	echo "$t: $((($(date +%s%N) - start) / 1000000)) ms"
done
listing "$MNT" > "$T/before"
cd "$SRC"
fs_stop
fs_start
listing "$MNT" > "$T/after"
cmp "$T/before" "$T/after" || fail "another tree after a restart"
git -C "$MNT/repo" fsck --full 2>&1 | { ! grep -v '^notice'; } || fail "git fsck after a restart"
(cd "$MNT/lists-cp" && getfacl -Rn .) | cmp - "$T/lists" || fail "other lists after a restart"

# kill -9 while git commits: what it had is whole, and the repository goes on.
(cd "$MNT/repo" && for i in $(seq 1000); do echo "$i" > changing && git add changing && git commit -qm "$i" || break; done) > /dev/null 2>&1 &
committer=$!
commits() {
	git -C "$MNT/repo" rev-list --count HEAD 2> /dev/null || echo 0
}
before=$(commits)
for _ in $(seq 1000); do
	[ "$(commits)" -lt $((before + 5)) ] || break
	read -rt 0.02 <> <(:) || :
done
had=$(commits)
[ "$had" -ge $((before + 5)) ] || fail "git does not commit"
fs_kill
wait $committer || :
fs_start
rm -f "$MNT/repo/.git/index.lock" "$MNT/repo/.git/HEAD.lock" "$MNT"/repo/.git/refs/heads/*.lock
[ "$(commits)" -ge "$had" ] || fail "a commit that was seen is gone: $had, $(commits)"
git -C "$MNT/repo" fsck --full 2>&1 | { ! grep -v '^notice\|^dangling\|^unreachable'; } || fail "git fsck after a kill"
git -C "$MNT/repo" reset -q --hard
echo after > "$MNT/repo/changing"
git -C "$MNT/repo" commit -qam "after the kill"

# kill -9 while sqlite3 commits, in each of its ways: what it said is done is there, and the database is whole.
for mode in wal delete; do
	db=$MNT/killed-$mode.db
	sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t(i INTEGER PRIMARY KEY, v BLOB);" > /dev/null
	: > "$T/committed" # before the writer's shell gets to it
	for i in $(seq 100000); do
		echo "INSERT INTO t VALUES($i, randomblob(3000)); SELECT $i;"
	done | sqlite3 "$db" > "$T/committed" 2> /dev/null &
	writer=$!
	for _ in $(seq 1500); do
		[ "$(wc -l < "$T/committed")" -lt 50 ] || break
		read -rt 0.02 <> <(:) || :
	done
	[ "$(wc -l < "$T/committed")" -ge 50 ] || fail "sqlite3 does not commit"
	kill -STOP $writer # it would go on where the mount was
	fs_kill
	kill -KILL $writer
	wait $writer 2> /dev/null || :
	fs_start
	[ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ] || fail "sqlite $mode: integrity after a kill"
	[ "$(sqlite3 "$db" 'SELECT count(*) FROM t')" -ge "$(wc -l < "$T/committed")" ] || fail "sqlite $mode: a commit is gone"
done
fs_stop
