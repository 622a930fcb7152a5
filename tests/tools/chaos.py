#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""chaos.py SEED COUNT DIR: random file-system calls in DIR, from a small set of names so that two of them at once collide.

Each file that it writes begins with a token of its own. Prints `kept TOKEN` for what it wrote and did not itself rename, overwrite or
remove since, `gone TOKEN` for what it destroyed, and `unsure` for each call that may have destroyed what came in from elsewhere between
looking and acting. What somebody kept and nobody destroyed must be somewhere, unless somebody was unsure.
"""
import mmap
import os
import random
import sys

seed, count, root = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
r = random.Random(seed)
names = ["a", "b.txt", "c", "d", "e.tar.gz"]
mine = {}  # path -> token
destroyed = set()
unsure = 0


def some_dir():
    path = root
    for _ in range(r.randrange(4)):
        try:
            subs = [e.path for e in os.scandir(path) if e.is_dir(follow_symlinks=False)]
        except OSError:
            return path
        if not subs:
            break
        path = r.choice(subs)
    return path


def some_path():
    where = some_dir()
    try:
        have = os.listdir(where)
    except OSError:
        have = []
    if have and r.random() < 0.5:
        return os.path.join(where, r.choice(have))
    return os.path.join(where, r.choice(names))


def tokens(fd):
    """What the agent has of an open file, past the kernel's cache."""
    direct = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 8192) as page:
            n = os.preadv(direct, [page], 0)
            return page[:n].decode(errors="replace").split()
    finally:
        os.close(direct)


def version(fd):
    os.close(os.dup(fd))  # what was written is carried out
    return os.getxattr(fd, "user.coffer.version")


def forget(path):
    """The tokens in path and below are no longer ours to vouch for."""
    for p in [p for p in mine if p == path or p.startswith(path + "/")]:
        destroyed.add(mine.pop(p))


def destroying(path, call):
    """A call that takes the name of a file away: what it held then is noted."""
    global unsure
    forget(path)
    if not os.path.isfile(path) or os.path.islink(path):
        return call()
    fd = os.open(path, os.O_RDONLY)
    try:
        had = os.fstat(fd).st_nlink
        destroyed.update(tokens(fd))
        call()
        destroyed.update(tokens(fd))
        unsure += os.fstat(fd).st_nlink != had - 1
    finally:
        os.close(fd)


def changing(fd, call):
    """A call that writes into an open file."""
    global unsure
    was = version(fd)
    call()
    unsure += version(fd) != was


def step(i):
    p, q = some_path(), some_path()
    what = r.choice(["write", "write", "write", "append", "mkdir", "mkdir", "rename", "rename", "unlink", "rmdir", "link", "symlink",
                     "chmod", "safesave", "big"])
    if os.environ.get("CHAOS_LOG"):
        print(i, what, p[len(root):], q[len(root):], file=sys.stderr)
    if what in ("write", "big"):
        token = f"t{seed}.{i}"
        text = token + "\n" + (" " * r.choice([2000, 70000, 1500000]) if what == "big" else "")
        for old in [o for o in mine if o == p]:
            destroyed.add(mine.pop(old))
        fd = os.open(p, os.O_RDWR | os.O_CREAT, 0o644)

        def overwrite():
            destroyed.update(tokens(fd))
            os.ftruncate(fd, 0)
            os.pwrite(fd, text.encode(), 0)

        try:
            changing(fd, overwrite)
        finally:
            os.close(fd)
        mine[p] = token
    elif what == "append":
        fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            changing(fd, lambda: os.write(fd, f"t{seed}.{i}\n".encode()))
        finally:
            os.close(fd)
    elif what == "mkdir":
        os.mkdir(p)
    elif what == "rename":
        forget(p)
        destroying(q, lambda: os.rename(p, q))
    elif what == "unlink":
        destroying(p, lambda: os.unlink(p))
    elif what == "rmdir":
        os.rmdir(p)
    elif what == "link":
        os.link(p, q, follow_symlinks=False)
    elif what == "symlink":
        os.symlink("target", p)
    elif what == "chmod":
        os.chmod(p, r.choice([0o600, 0o644, 0o755]), follow_symlinks=True)
    elif what == "safesave":
        token = f"t{seed}.{i}"
        forget(p + "~")
        fd = os.open(p + "~", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.write(fd, token.encode() + b"\n")
        finally:
            os.close(fd)
        destroying(p, lambda: os.rename(p + "~", p))
        mine[p] = token


for i in range(count):
    try:
        step(i)
    except OSError as e:
        if os.environ.get("CHAOS_LOG"):
            print(i, "failed", e, file=sys.stderr)
for token in mine.values():
    print("kept", token)
for token in destroyed:
    print("gone", token)
for _ in range(unsure):
    print("unsure")
