#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""acked_copy.py SOURCE TARGET ACKS: copies files that ACKS does not list yet, and lists each there once close() returned 0.

Ends with 0 when all are copied, with 3 when the target stops answering (its file system was killed)."""
import os, sys

source, target, acks = sys.argv[1:4]
done = set(open(acks).read().split("\n")) if os.path.exists(acks) else set()
log = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
try:
    for folder, dirs, files in os.walk(source):
        dirs.sort()
        rel = os.path.relpath(folder, source)
        os.makedirs(os.path.join(target, rel), exist_ok=True)
        for name in sorted(files):
            path = os.path.normpath(os.path.join(rel, name))
            if path in done or os.path.islink(os.path.join(folder, name)):
                continue
            data = open(os.path.join(folder, name), "rb").read()
            fd = os.open(os.path.join(target, path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view):]
            os.close(fd)
            os.write(log, (path + "\n").encode())
except OSError as e:
    print("stopped:", e, file=sys.stderr)
    sys.exit(3)
