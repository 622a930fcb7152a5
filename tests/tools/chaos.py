#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""chaos.py SEED COUNT DIR: random file-system calls in DIR, from a small set of names so that two of them at once collide.

Prints one line for each file that it wrote and did not itself rename, overwrite or remove since: TOKEN. Whoever else removed or
overwrote such a file is asked the same; what nobody destroyed must be somewhere.
"""
import os
import random
import sys

seed, count, root = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
r = random.Random(seed)
names = ["a", "b.txt", "c", "d", "e.tar.gz"]
mine = {}  # path -> token
destroyed = set()


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


def forget(path):
    """The tokens in path and below are no longer ours to vouch for: noted as destroyed."""
    for p in [p for p in mine if p == path or p.startswith(path + "/")]:
        destroyed.add(mine.pop(p))
    try:
        if os.path.isfile(path) and not os.path.islink(path):
            destroyed.update(open(path, errors="replace").read().split())
    except OSError:
        pass


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
        # What is overwritten is read through the same descriptor just before, since somebody else's may have come in a moment ago.
        fd = os.open(p, os.O_RDWR | os.O_CREAT, 0o644)
        destroyed.update(os.read(fd, 2000000).decode(errors="replace").split())
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)
        os.close(fd)
        mine[p] = token
    elif what == "append":
        with open(p, "a") as f:
            f.write(f"t{seed}.{i}\n")
    elif what == "mkdir":
        os.mkdir(p)
    elif what == "rename":
        forget(q)
        forget(p)
        os.rename(p, q)
    elif what == "unlink":
        forget(p)
        os.unlink(p)
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
        with open(p + "~", "w") as f:
            f.write(token + "\n")
        forget(p)
        forget(p + "~")
        os.rename(p + "~", p)
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
