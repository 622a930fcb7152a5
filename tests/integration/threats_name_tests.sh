#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every test that docs/THREATS.md names exists.
set -eu
python3 - <<'PY'
import glob, os, re, sys

text = open("docs/THREATS.md").read()
bad, seen = [], 0
for quoted in re.findall(r"`([^`]*)`", text):
    quoted = " ".join(quoted.split())
    m = re.fullmatch(r"(test_\w+)(?:: (.*))?", quoted)
    if m:
        path = f"tests/unit/{m[1]}.c"
        source = open(path).read() if os.path.exists(path) else ""
        for case in (m[2] or "main").split(", "):
            seen += 1
            if not re.search(rf"\b{case}\b", source):
                bad.append(f"{m[1]}: {case}")
    elif re.fullmatch(r"\w+\.sh", quoted):
        seen += 1
        if not glob.glob(f"tests/*/{quoted}"):
            bad.append(quoted)
    elif re.fullmatch(r"fuzz_\w+(, fuzz_\w+)*", quoted):
        for name in quoted.split(", "):
            seen += 1
            if not os.path.exists(f"tests/fuzz/{name}.c"):
                bad.append(name)
print(f"{seen} tests named")
if bad or seen < 40:
    sys.exit("not there: " + ", ".join(bad))
PY
