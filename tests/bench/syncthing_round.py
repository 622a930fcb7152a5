#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""syncthing_round.py ROWS TREE.tar DIR FILE: what one round of sync.sh measures, by two instances of Syncthing on loopback: no discovery,
no relays, one shared folder, its file watcher at the shortest delay that it takes (1 s). Rows as there."""
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROWS, TREE, DIR, FILE = sys.argv[1].split(), *sys.argv[2:5]
HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Instance:
    def __init__(self, name):
        self.home, self.folder = f"{DIR}/{name}.home", f"{DIR}/{name}"
        self.gui, self.listen = free_port(), free_port()
        os.makedirs(self.folder)
        subprocess.run(["syncthing", "generate", "--home", self.home, "--no-default-folder"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(f"{self.home}/config.xml") as f:
            text = f.read()
        self.id = re.search(r'<device id="([A-Z0-9-]{63})"', text).group(1)
        self.key = re.search(r"<apikey>(.*?)</apikey>", text).group(1)
        text = re.sub(r"(<gui [^>]*>\s*<address>)[^<]*", rf"\g<1>127.0.0.1:{self.gui}", text)
        text = re.sub(r"(<listenAddress>)[^<]*", rf"\g<1>tcp://127.0.0.1:{self.listen}", text)
        for option in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "crashReportingEnabled"):
            text = re.sub(rf"(<{option}>)[^<]*", r"\g<1>false", text)
        text = re.sub(r"(<urAccepted>)[^<]*", r"\g<1>-1", text)
        with open(f"{self.home}/config.xml", "w") as f:
            f.write(text)
        self.process = subprocess.Popen(["syncthing", "serve", "--home", self.home, "--no-browser", "--no-upgrade"],
                                        stdout=open(f"{self.home}/log", "w"), stderr=subprocess.STDOUT)

    def api(self, path, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.gui}/rest/{path}", headers={"X-API-Key": self.key},
                                         data=None if data is None else json.dumps(data).encode())
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def up(self):
        try:
            return self.api("system/ping")
        except (urllib.error.URLError, ConnectionError):
            return None


def await_(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("syncthing: gave up waiting")
        time.sleep(0.01)


def row(name, start, now=time.monotonic):
    print(f"syncthing\t{name}\t{now() - start:.3f}", flush=True)


def cpu_of(instances):
    """Seconds that they and their children have taken: serve starts a second process of itself."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        if int(pid) in instances or int(fields[1]) in instances:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def files_below(top):
    return sum(sum(not f.startswith(".syncthing.") for f in files)
               for d, _, files in os.walk(top) if "/.st" not in d)


def measure(a, b):
    if "edit" in ROWS:
        out = subprocess.run([f"{HERE}/edits.py", f"{a.folder}/edited", f"{b.folder}/edited", "5"], check=True,
                             capture_output=True, text=True)
        print("".join(f"syncthing\t{line}\n" for line in out.stdout.splitlines()), end="", flush=True)
    def cpu():
        return cpu_of((a.process.pid, b.process.pid))

    if "tree" in ROWS:
        start, before = time.monotonic(), cpu()
        subprocess.run(["tar", "-C", a.folder, "-xf", TREE], check=True)
        row("untar", start)
        n = files_below(a.folder)
        await_(lambda: files_below(b.folder) >= n)
        row("tree-arrived", start)
        await_(lambda: subprocess.run(["diff", "-rq", "-x", ".st*", a.folder, b.folder], capture_output=True).returncode == 0)
        row("tree-compared", start)
        row("tree-cpu", before, cpu)
    if "file" in ROWS:
        start, before = time.monotonic(), cpu()
        subprocess.run(["cp", FILE, f"{a.folder}/big"], check=True)
        row("file-copied", start)
        size = os.path.getsize(FILE)
        await_(lambda: os.path.exists(f"{b.folder}/big") and os.path.getsize(f"{b.folder}/big") == size)
        row("file-arrived", start)
        subprocess.run(["cmp", FILE, f"{b.folder}/big"], check=True)
        row("file-compared", start)
        row("file-cpu", before, cpu)


both = [Instance("a"), Instance("b")]
try:
    for one, other in (both, both[::-1]):
        await_(one.up)
        one.api("config/devices", {"deviceID": other.id, "name": "other", "addresses": [f"tcp://127.0.0.1:{other.listen}"]})
        one.api("config/folders", {"id": "t", "path": one.folder, "fsWatcherEnabled": True, "fsWatcherDelayS": 1,
                                   "devices": [{"deviceID": i.id} for i in both]})
    for one, other in (both, both[::-1]):
        await_(lambda: one.api("system/connections")["connections"].get(other.id, {}).get("connected"))
    time.sleep(3)  # the first scans
    measure(*both)
finally:
    for i in both:
        i.process.terminate()
    for i in both:
        i.process.wait()
