#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ordinary programs on a mount: cp -a, tar, rsync, git, vim, sqlite3, make with a compiler. Results are compared with a plain directory.
# timeout: 60
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
	if command -v rsync > /dev/null; then
		rsync -aHX --modify-window=-1 "$PLAIN/tree/" rs/
		same "rsync -aHX" "$MNT/rs"
		rsync -aHX --modify-window=-1 --delete cp2/ rs/
		[ -z "$(rsync -aHXni --modify-window=-1 --delete --checksum "$PLAIN/tree/" rs/)" ] || fail "rsync sees differences"
	fi
	rm -rf cp2 tree
	[ ! -e cp2 ] && [ ! -e tree ] || fail "rm -rf"
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
	command -v vim > /dev/null || return 0
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
for t in copies git vim sqlite make; do
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
fs_stop
