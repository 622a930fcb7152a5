#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operations on a tree that end at any moment, and what must be there afterwards.

    crash_writer.py run DIR LOG SEED      works until it fails; LOG says how many operations were acknowledged
    crash_writer.py check DIR LOG SEED    compares DIR with what those operations make

The operations follow from SEED. Each one that returned must be there, in full; the one after it may be there, in part or not at all.
"""
import os, random, sys

FILES, SIZE = 60, 300000


class Tree:
    """The operations, on a real directory or (dir None) on the model alone."""

    def __init__(self, seed, top):
        self.rng, self.top = random.Random(seed), top
        self.files, self.dirs = {}, [""]  # path: bytearray
        self.count = 0

    def path(self, name):
        return os.path.join(self.top, name)

    def new_name(self):
        self.count += 1
        return os.path.join(self.rng.choice(self.dirs), f"n{self.count}")

    def data(self):
        n = self.rng.choice([0, 1, 100, 4096, 5000, 70000, 200000])
        return self.rng.randbytes(n) if n < 5000 else self.rng.randbytes(1000) * (n // 1000)

    def step(self):
        """Returns (paths touched, whether it is one request, how to do it) and applies it to the model."""
        kinds = ["create"] * 4
        if self.files:
            kinds += ["write"] * 6 + ["append"] * 3 + ["rename"] * 2 + ["unlink"] * (1 + 3 * (len(self.files) > FILES)) + ["truncate", "copy"]
        if len(self.dirs) < 8:
            kinds.append("mkdir")
        return getattr(self, self.rng.choice(kinds))()

    def create(self):
        name, data = self.new_name(), self.data()
        self.files[name] = bytearray(data)

        def do():
            fd = os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(fd, data)
            os.close(fd)
        return [name], False, do

    def pick(self):
        return self.rng.choice(sorted(self.files))

    def patch(self, name, off, data):
        f = self.files[name]
        if data and off > len(f):
            f.extend(bytes(off - len(f)))
        f[off:off + len(data)] = data

        def do():
            fd = os.open(self.path(name), os.O_WRONLY)
            os.pwrite(fd, data, off)
            os.close(fd)
        return [name], False, do

    def write(self):
        return self.patch(self.pick(), self.rng.randrange(SIZE), self.data())

    def append(self):
        name = self.pick()
        return self.patch(name, len(self.files[name]), self.data())

    def copy(self):
        name, data = self.new_name(), None
        source = self.pick()
        data = bytes(self.files[source])
        self.files[name] = bytearray(data)

        def do():
            a, b = os.open(self.path(source), os.O_RDONLY), os.open(self.path(name), os.O_CREAT | os.O_WRONLY)
            left = len(data)
            while left and (n := os.copy_file_range(a, b, left)):
                left -= n
            os.close(a)
            os.close(b)
        return [name], False, do

    def truncate(self):
        name, size = self.pick(), self.rng.randrange(SIZE)
        f = self.files[name]
        del f[size:]
        f.extend(bytes(size - len(f)))
        return [name], True, lambda: os.truncate(self.path(name), size)

    def rename(self):
        name = self.pick()
        to = self.pick() if self.rng.random() < 0.5 else self.new_name()
        if to != name:
            self.files[to] = self.files.pop(name)
        return [name, to], True, lambda: os.rename(self.path(name), self.path(to))

    def unlink(self):
        name = self.pick()
        del self.files[name]
        return [name], True, lambda: os.unlink(self.path(name))

    def mkdir(self):
        name = self.new_name()
        self.dirs.append(name)
        return [name], True, lambda: os.mkdir(self.path(name))


def run(top, log, seed):
    tree = Tree(seed, top)
    with open(log, "ab", buffering=0) as out:
        while True:
            tree.step()[2]()
            out.write(b".")


def read_tree(top):
    files, dirs = {}, [""]
    for root, d, f in os.walk(top):
        rel = os.path.relpath(root, top)
        rel = "" if rel == "." else rel
        dirs += [os.path.join(rel, n) for n in d]
        for n in f:
            with open(os.path.join(root, n), "rb") as h:
                files[os.path.join(rel, n)] = h.read()
    return files, dirs


def check(top, log, seed):
    acknowledged = os.path.getsize(log)
    tree = Tree(seed, top)
    for _ in range(acknowledged):
        tree.step()
    before, before_dirs = {k: bytes(v) for k, v in tree.files.items()}, list(tree.dirs)
    touched, whole, _ = tree.step()
    after = {k: bytes(v) for k, v in tree.files.items()}
    files, dirs = read_tree(top)
    bad = []
    for name in sorted(set(before) | set(files)):
        if name in touched:
            continue
        if name not in files:
            bad.append(f"{name} is missing")
        elif name not in before:
            bad.append(f"{name} should not be there")
        elif files[name] != before[name]:
            at = next((i for i, (a, b) in enumerate(zip(files[name], before[name])) if a != b), -1)
            bad.append(f"{name} differs at {at}, {len(files[name])} bytes instead of {len(before[name])}")
    if set(before_dirs) - set(dirs):
        bad.append(f"directories missing: {set(before_dirs) - set(dirs)}")
    state = [{n: s[n] for n in touched if n in s} for s in (files, before, after)]
    if whole and state[0] not in state[1:] and touched[0] not in dirs:
        bad.append(f"{touched} is neither as before nor as after")
    print(f"{acknowledged} operations, {len(before)} files: {'; '.join(bad) or 'all there'}")
    return 1 if bad else 0


if __name__ == "__main__":
    what, top, log, seed = sys.argv[1:5]
    sys.exit((run if what == "run" else check)(top, log, int(seed)) or 0)
