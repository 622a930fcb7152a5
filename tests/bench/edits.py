#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""edits.py A B N: writes 16 bytes to A and waits until B has them, N times. Prints rows in seconds: median and worst."""
import os
import statistics
import sys
import time

a, b, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
times = []
for _ in range(n):
    text = os.urandom(8).hex()
    start = time.monotonic()
    with open(a, "w") as f:
        f.write(text)
    while True:
        try:
            with open(b) as f:
                if f.read() == text:
                    break
        except OSError:
            pass
        if time.monotonic() - start > 90:
            sys.exit("an edit did not arrive")
        time.sleep(0.001)
    times.append(time.monotonic() - start)
    time.sleep(0.3)
print(f"edit-median\t{statistics.median(times):.4f}\nedit-worst\t{max(times):.4f}")
