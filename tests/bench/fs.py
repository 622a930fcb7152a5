#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""File workloads on several mounted directories in turn, and a table of medians.

usage: fs.py [-n ROUNDS] [-s MIB] [-f FILES] [-g GROUP,..] [--tree TREE.tar] [--json FILE] LABEL=DIR[:PID] ...

Groups: big, small, tree. Within a round each group runs on one directory after the other, so that what the machine does
besides falls on all of them. Each DIR is emptied. "cold": the kernel's caches were dropped before, which needs root.
With PID, the CPU seconds that the process serves a row with are measured too (key "LABEL cpu" of --json): they hold
also on a busy machine. Without --tree, a tree of the same shape as a kernel's source is made up. Figures of one run
compare with each other, not with those of another machine.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

SMALL_DIRS = 20
RANDOM_OPS = 4000
BLOCK = 4096
MIB = 1 << 20

# name, unit, whether more is better
ROWS = {
    "seq_write": ("MiB/s", True),
    "seq_read_cold": ("MiB/s", True),
    "seq_read_warm": ("MiB/s", True),
    "rand_read_4k_cold": ("op/s", True),
    "rand_write_4k": ("op/s", True),
    "create_4k": ("op/s", True),
    "ls_lR_cold": ("s", False),
    "ls_lR_warm": ("s", False),
    "read_small_cold": ("op/s", True),
    "untar": ("s", False),
    "md5_tree_cold": ("s", False),
    "find_stat_cold": ("s", False),
    "git": ("s", False),
    "rm_rf": ("s", False),
}


def drop_caches():
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
    except OSError:
        pass


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Target:
    def __init__(self, text):
        self.label, place = text.split("=", 1)
        self.dir, _, pid = place.partition(":")
        self.pid = int(pid) if pid else None
        self.rows = {}
        self.cpu = {}

    def measure(self, row, amount, work, *args):
        """amount: of units of work for a rate; None: the row is the time."""
        cpu = cpu_seconds(self.pid) if self.pid else 0
        start = time.monotonic()
        work(*args)
        took = time.monotonic() - start
        if self.pid:
            self.cpu.setdefault(row, []).append(cpu_seconds(self.pid) - cpu)
        self.rows.setdefault(row, []).append(amount / took if amount else took)


# ---- one large file ----


def seq_write(path, mib):
    data = os.urandom(MIB)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    for _ in range(mib):
        os.write(fd, data)
    os.fsync(fd)
    os.close(fd)


def seq_read(path):
    fd = os.open(path, os.O_RDONLY)
    while os.read(fd, MIB):
        pass
    os.close(fd)


def random_blocks(seed, mib):
    r = random.Random(seed)
    return [r.randrange(mib * (MIB // BLOCK)) * BLOCK for _ in range(RANDOM_OPS)]


def random_read(path, offsets):
    fd = os.open(path, os.O_RDONLY)
    for off in offsets:
        os.pread(fd, BLOCK, off)
    os.close(fd)


def random_write(path, offsets):
    data = os.urandom(BLOCK)
    fd = os.open(path, os.O_WRONLY)
    for off in offsets:
        os.pwrite(fd, data, off)
    os.fsync(fd)
    os.close(fd)


def group_big(t, o):
    path = t.dir + "/big"
    drop_caches()
    t.measure("seq_write", o.mib, seq_write, path, o.mib)
    drop_caches()
    t.measure("seq_read_cold", o.mib, seq_read, path)
    t.measure("seq_read_warm", o.mib, seq_read, path)
    drop_caches()
    t.measure("rand_read_4k_cold", RANDOM_OPS, random_read, path, random_blocks(1, o.mib))
    drop_caches()
    t.measure("rand_write_4k", RANDOM_OPS, random_write, path, random_blocks(2, o.mib))
    os.unlink(path)


# ---- many small files ----


def small_paths(t, o):
    return [f"{t.dir}/s{d}/f{i}" for d in range(SMALL_DIRS) for i in range(o.files // SMALL_DIRS)]


def create_small(t, paths):
    data = os.urandom(BLOCK)
    for d in range(SMALL_DIRS):
        os.mkdir(f"{t.dir}/s{d}")
    for path in paths:
        fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(fd, data)
        os.close(fd)


def read_small(paths):
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 65536)
        os.close(fd)


def group_small(t, o):
    paths = small_paths(t, o)
    drop_caches()
    t.measure("create_4k", len(paths), create_small, t, paths)
    drop_caches()
    t.measure("ls_lR_cold", None, run, "ls", "-lR", t.dir)
    t.measure("ls_lR_warm", None, run, "ls", "-lR", t.dir)
    drop_caches()
    t.measure("read_small_cold", len(paths), read_small, paths)
    for d in range(SMALL_DIRS):
        shutil.rmtree(f"{t.dir}/s{d}")


# ---- a source tree ----

GIT = "git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm x && git status"
GIT_DIR = "kernel"  # below the tree


def group_tree(t, o):
    tree = t.dir + "/tree"
    drop_caches()
    t.measure("untar", None, run, "tar", "-C", t.dir, "-xf", o.tree)
    drop_caches()
    t.measure("md5_tree_cold", None, run, "sh", "-c", f"find '{tree}' -type f -print0 | xargs -0 md5sum")
    drop_caches()
    t.measure("find_stat_cold", None, run, "find", t.dir, "-type", "f", "-size", "+1k", "-printf", "")
    t.measure("git", None, run, "sh", "-c", f"cd '{tree}/{GIT_DIR}' && {GIT}")
    t.measure("rm_rf", None, run, "rm", "-rf", tree)


def make_tree(path):
    """A source tree as they are: 10,000 files of text, most small, in 600 directories."""
    r = random.Random(4)
    words = [bytes(r.choices(b"abcdefghijklmnopqrstuvwxyz_", k=r.randrange(2, 12))) for _ in range(5000)]
    text = b" ".join(r.choices(words, k=400000))
    with tempfile.TemporaryDirectory() as d:
        for i in range(10000):
            top = GIT_DIR if i < 500 else f"part{i % 12}"
            folder = f"{d}/tree/{top}/d{r.randrange(50)}"
            os.makedirs(folder, exist_ok=True)
            size = min(int(r.lognormvariate(9, 1.4)), 1500000)
            start = r.randrange(len(text) - 1)
            with open(f"{folder}/file_{i}.c", "wb") as f:
                f.write((text[start:] + text)[:size])
        with tarfile.open(path, "w") as tar:
            tar.add(d + "/tree", "tree")


# ---- the table ----

GROUPS = {"big": group_big, "small": group_small, "tree": group_tree}
FLOORS = ("null", "passthrough_hp")


def better(row, values):
    return max(values) if ROWS[row][1] else min(values)


def factor(row, own, other):
    return own / other if ROWS[row][1] else other / own


def counts(row, label):
    """rclone keeps what is written as plaintext: only its reads compare."""
    return label not in FLOORS and not (label == "rclone" and row in ("seq_write", "rand_write_4k", "create_4k",
                                                                     "untar", "git", "rm_rf"))


def print_table(targets):
    print("%-26s" % "row" + "".join("%16s" % t.label for t in targets) + "%9s%9s" % ("x peer", "x floor"))
    for row, (unit, _) in ROWS.items():
        medians = {t.label: statistics.median(t.rows[row]) for t in targets if t.rows.get(row)}
        if not medians:
            continue
        own = medians.get(targets[0].label)
        peers = [v for l, v in medians.items() if l != targets[0].label and counts(row, l)]
        floors = [v for l, v in medians.items() if l in FLOORS]
        ratios = ["%9.2f" % factor(row, own, better(row, some)) if own and some else "%9s" % "-"
                  for some in (peers, floors)]
        cells = ["%16s" % ("%.4g" % medians[t.label] if t.label in medians else "-") for t in targets]
        print("%-26s" % f"{row} {unit}" + "".join(cells) + "".join(ratios))


def main():
    p = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1][7:])
    p.add_argument("-n", type=int, default=3, dest="rounds")
    p.add_argument("-s", type=int, default=512, dest="mib")
    p.add_argument("-f", type=int, default=4000, dest="files")
    p.add_argument("-g", default="big,small,tree", dest="groups")
    p.add_argument("--tree")
    p.add_argument("--json")
    p.add_argument("targets", nargs="+", type=Target)
    o = p.parse_args()
    made = None
    if "tree" in o.groups and not o.tree:
        made = tempfile.NamedTemporaryFile(suffix=".tar")
        make_tree(made.name)
        o.tree = made.name
    for n in range(o.rounds):
        for group in o.groups.split(","):
            for t in o.targets:
                try:
                    GROUPS[group](t, o)
                except (OSError, subprocess.CalledProcessError) as e:
                    print(f"{t.label}: {group}: {e}", file=sys.stderr)
        print(f"round {n + 1} of {o.rounds}", file=sys.stderr)
    print_table(o.targets)
    if o.json:
        with open(o.json, "w") as f:
            json.dump({t.label: t.rows for t in o.targets} | {f"{t.label} cpu": t.cpu for t in o.targets if t.cpu}, f)


main()
