#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real S3 endpoint for tests: OpenStack Swift with its s3api, from Debian's packages, on loopback, in one process.

    tests/tools/swift.py DIR [PORT]

Keeps its data in DIR and serves until it is ended. Once it answers, it prints one line: "http://127.0.0.1:PORT". The access key is
test:tester, the secret testing, the region us-east-1, and there is a bucket named coffer. Swift checks signatures and hashes of
bodies, which mock servers do not.

The packages are fetched with apt (11 MB), unpacked into build/swift and not installed; a second run finds them there. Ends with 69
and says why if they cannot be had.
"""
import fcntl, glob, os, shutil, subprocess, sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(TOP, "build", "swift")
ROOT = CACHE + "/root"
ETC = CACHE + "/etc"
WANTED = ["swift-proxy", "swift-account", "swift-container", "swift-object"]
PROXY = """
[DEFAULT]
swift_dir = {dir}
log_level = ERROR
[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:slo]
use = egg:swift#slo
minimum_segment_size = 1
""" + "".join("[filter:%s]\nuse = egg:swift#%s\n" % (f, f) for f in
              ("catch_errors", "listing_formats", "bulk", "dlo", "versioned_writes", "copy"))


def give_up(why):
    print("swift.py: no S3 endpoint to test with: %s. apt must be able to fetch the Debian packages %s and what they need"
          % (why, " ".join(WANTED)), file=sys.stderr)
    sys.exit(69)


def run(*command, cwd=None):
    p = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return p.returncode, p.stdout, p.stderr.strip().splitlines()[-1:] or [""]


def fetch():
    debs = CACHE + "/debs"
    os.makedirs(debs, exist_ok=True)
    for last in (False, True):
        code, out, err = run("apt-get", "install", "--no-install-recommends", "-s", *WANTED)
        names = [line.split()[1] for line in out.splitlines() if line.startswith("Inst ")]
        if code == 0 and names:
            code, out, err = run("apt-get", "download", *names, cwd=debs)
        if code == 0:
            break
        if last:
            give_up(err[0])
        run(*([] if os.getuid() == 0 else ["sudo"]), "apt-get", "update", "-qq")  # old lists name packages that are gone
    shutil.rmtree(ROOT, ignore_errors=True)
    for deb in glob.glob(debs + "/*.deb"):
        code, out, err = run("dpkg", "-x", deb, ROOT)
        if code != 0:
            give_up("%s: %s" % (deb, err[0]))
    os.makedirs(ETC, exist_ok=True)
    with open(ETC + "/swift.conf", "w") as f:
        f.write("[swift-hash]\nswift_hash_path_suffix = t\nswift_hash_path_prefix = t\n"
                "[storage-policy:0]\nname = default\ndefault = yes\n")
    for path in glob.glob(ROOT + "/usr/lib/python3/dist-packages/swift/**/*.py", recursive=True):
        text = open(path).read()
        if "/etc/swift" in text:  # where Swift looks for swift.conf, without a way to tell it otherwise
            open(path, "w").write(text.replace("/etc/swift", ETC))
    shutil.rmtree(debs)
    open(CACHE + "/ready", "w").close()


def prepare():
    os.makedirs(CACHE, exist_ok=True)
    with open(CACHE + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(CACHE + "/ready"):
            fetch()


def write_ring(builder_class, where, name, port):
    builder = builder_class(1, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "d1",
                     "replication_ip": "127.0.0.1", "replication_port": port, "meta": ""})
    builder.rebalance()
    builder.get_ring().save("%s/%s.ring.gz" % (where, name))


def serve(where, port):
    sys.path.insert(0, ROOT + "/usr/lib/python3/dist-packages")
    sys.dont_write_bytecode = True
    import eventlet
    from swift.common import utils
    eventlet.hubs.use_hub(utils.get_hub())
    eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True)
    from eventlet import wsgi
    from swift.account.server import AccountController
    from swift.common.ring import RingBuilder
    from swift.common.wsgi import SwiftHttpProtocol, loadapp
    from swift.container.server import ContainerController
    from swift.obj.server import ObjectController

    os.makedirs(where + "/node/d1", exist_ok=True)
    conf = {"devices": where + "/node", "mount_check": "false", "swift_dir": where, "log_level": "ERROR", "disable_fallocate": "true"}
    sockets = {n: eventlet.listen(("127.0.0.1", 0)) for n in ("account", "container", "object")}
    for name, s in sockets.items():
        write_ring(RingBuilder, where, name, s.getsockname()[1])
    apps = {"account": AccountController(conf), "container": ContainerController(conf), "object": ObjectController(conf)}
    with open(where + "/proxy.conf", "w") as f:
        f.write(PROXY.format(dir=where))
    front = eventlet.listen(("127.0.0.1", port), reuse_port=False)
    proxy = loadapp(where + "/proxy.conf", global_conf={"log_level": "ERROR"})
    quiet = open(os.devnull, "w")
    for name, s in sockets.items():
        eventlet.spawn(wsgi.server, s, apps[name], quiet, log_output=False, protocol=SwiftHttpProtocol)
    server = eventlet.spawn(wsgi.server, front, proxy, quiet, log_output=False, protocol=SwiftHttpProtocol)
    make_bucket(where)
    print("http://127.0.0.1:%d" % front.getsockname()[1], flush=True)
    server.wait()


def make_bucket(where):
    """Without the front's authorisation: a bucket is a container of the account."""
    from swift.common.swob import Request
    from swift.common.wsgi import loadapp
    with open(where + "/inside.conf", "w") as f:
        f.write(PROXY.format(dir=where).replace("cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes ", ""))
    answer = Request.blank("/v1/AUTH_test/coffer", environ={"REQUEST_METHOD": "PUT"}).get_response(loadapp(where + "/inside.conf"))
    if answer.status_int // 100 != 2:
        raise SystemExit("swift.py: no bucket: %s" % answer.status)


if len(sys.argv) not in (2, 3):
    raise SystemExit(__doc__)
prepare()
libraries = ROOT + "/usr/lib/x86_64-linux-gnu"
if os.environ.get("LD_LIBRARY_PATH") != libraries:
    os.environ["LD_LIBRARY_PATH"] = libraries  # liberasurecode
    python = "/usr/bin/python3"  # the one that the packages are for
    os.execv(python, [python] + sys.argv)
os.makedirs(sys.argv[1], exist_ok=True)
serve(os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
