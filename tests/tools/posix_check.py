#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what POSIX and Linux promise of a directory's file system, one function per promise.

    posix_check.py DIR [NAME ...]

Prints one line per failed check, then "N checks, M failed"; ends with 1 if any failed. Run as root it also checks what needs other users.
"""
import ctypes, errno, fcntl, mmap, os, stat, struct, sys, time, traceback

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, NOREPLACE, EXCHANGE = -100, 1, 2
KEEP, PUNCH, ZERO = 1, 2, 16


def renameat2(a, b, flags):
    if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def linkat(a, b):
    """Links what the symbolic link a leads to; os.link does not follow it."""
    if libc.linkat(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), 0x400) < 0:
        raise OSError(ctypes.get_errno(), "linkat")


def fallocate(fd, mode, off, length):
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if libc.fallocate(fd, mode, off, length) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def put(path, data=b"", mode=0o644):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    os.write(fd, data)
    os.close(fd)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def fails(code, f, *args, **kw):
    try:
        f(*args, **kw)
    except OSError as e:
        assert e.errno == code, f"{errno.errorcode[e.errno]}, not {errno.errorcode[code]}"
        return
    raise AssertionError(f"no error, but {errno.errorcode[code]} was due")


def equal(a, b):
    assert a == b, f"{a!r}, not {b!r}"


def as_user(uid, f):
    """Runs f as another user in a child; its exception is this one's."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            f()
            os._exit(0)
        except BaseException:
            os.write(w, traceback.format_exc()[-900:].encode())
            os._exit(1)
    os.close(w)
    text = os.read(r, 1000).decode()
    os.close(r)
    assert os.waitpid(pid, 0)[1] == 0, text


class Times:
    """Asserts which of a path's times move."""

    def __init__(self, path, moves, stays=""):
        self.path, self.moves, self.stays = path, moves, stays

    def read(self):
        s = os.lstat(self.path)
        return {"m": s.st_mtime_ns, "c": s.st_ctime_ns}

    def __enter__(self):
        self.before = self.read()
        time.sleep(0.003)

    def __exit__(self, kind, value, tb):
        if kind:
            return
        after = self.read()
        for t in self.moves:
            assert after[t] > self.before[t], f"{t}time of {self.path} did not move"
        for t in self.stays:
            assert after[t] == self.before[t], f"{t}time of {self.path} moved"


def check_create_and_modes():
    old = os.umask(0o027)
    put("f", b"abc", 0o666)
    os.mkdir("d", 0o777)
    os.umask(old)
    s = os.stat("f")
    equal(stat.S_IMODE(s.st_mode), 0o640)
    equal((s.st_uid, s.st_nlink, s.st_size), (os.geteuid(), 1, 3))
    equal(stat.S_IMODE(os.stat("d").st_mode), 0o750)
    equal(os.stat("d").st_nlink, 2)
    fails(errno.EEXIST, os.open, "f", os.O_CREAT | os.O_EXCL)
    fails(errno.EEXIST, os.mkdir, "d")
    fails(errno.EISDIR, os.open, "d", os.O_WRONLY)
    fails(errno.ENOTDIR, os.open, "f/x", os.O_RDONLY)
    fails(errno.ENOENT, os.open, "none", os.O_RDONLY)
    os.chmod("f", 0o4711)
    equal(stat.S_IMODE(os.stat("f").st_mode), 0o4711)


def check_names():
    long = "ä" * 127 + "x"
    put(long, b"1")
    assert long in os.listdir(".")
    fails(errno.ENAMETOOLONG, put, "n" * 256)
    fails(errno.ENAMETOOLONG, os.stat, "n" * 256)
    fails(errno.ENAMETOOLONG, os.rename, long, "n" * 256)
    for name in (b"\xff\xfe", b"new\nline", b" ", b"...", b"a\\b", b"*"):
        put(name, name)
        equal(get(name), name)
        assert name in os.listdir(b".")


def check_directories():
    names = {f"file-{i}" for i in range(3000)}
    os.mkdir("d")
    for n in names:
        put("d/" + n)
    equal(set(os.listdir("d")), names)
    fails(errno.ENOTEMPTY, os.rmdir, "d")
    seen = []
    with os.scandir("d") as it:  # removing while reading must not skip what stays
        for e in it:
            seen.append(e.name)
            os.unlink("d/" + e.name)
    equal(len(seen), len(set(seen)))
    for n in os.listdir("d"):
        os.unlink("d/" + n)
    os.rmdir("d")
    fails(errno.ENOENT, os.stat, "d")
    os.makedirs("a/b/c")
    equal(os.stat("a").st_nlink, 3)
    os.rmdir("a/b/c")
    equal(os.stat("a/b").st_nlink, 2)
    put("f")
    fails(errno.ENOTDIR, os.rmdir, "f")
    fails(errno.EISDIR, os.unlink, "a")
    equal(os.stat("a/b/..").st_ino, os.stat("a").st_ino)


def check_times():
    os.mkdir("d")
    with Times("d", "mc"):
        put("d/f", b"x")
    with Times("d/f", "mc"), Times("d", "", "mc"):
        fd = os.open("d/f", os.O_WRONLY)
        os.write(fd, b"y")
        os.close(fd)
    with Times("d/f", "", "mc"):
        fd = os.open("d/f", os.O_WRONLY)
        os.write(fd, b"")
        os.close(fd)
    with Times("d/f", "mc"):
        os.truncate("d/f", 10)
    with Times("d/f", "mc"):
        os.close(os.open("d/f", os.O_WRONLY | os.O_TRUNC))
    with Times("d/f", "c", "m"):
        os.chmod("d/f", 0o600)
    with Times("d/f", "c", "m"):
        os.chown("d/f", os.geteuid(), os.getegid())
    with Times("d/f", "c", "m"), Times("d", "mc"):
        os.link("d/f", "d/g")
    with Times("d/f", "c", "m"), Times("d", "mc"):
        os.unlink("d/g")
    with Times("d", "mc"):
        os.rename("d/f", "d/h")
    with Times("d", "mc"):
        os.mkdir("d/s")
    with Times("d", "mc"):
        os.rmdir("d/s")
    with Times("d", "mc"):
        os.symlink("x", "d/l")
    with Times("d/h", "c", "m"):
        os.setxattr("d/h", "user.a", b"1")
    with Times("d/h", "c", "m"):
        os.removexattr("d/h", "user.a")
    ns = 1234567890123456789
    os.utime("d/h", ns=(ns - 7, ns))
    equal((os.stat("d/h").st_atime_ns, os.stat("d/h").st_mtime_ns), (ns - 7, ns))
    os.utime("d/l", ns=(-5, -7), follow_symlinks=False)
    equal(os.lstat("d/l").st_mtime_ns, -7)
    with Times("d/h", "mc"):
        os.utime("d/h")


def check_unlinked_but_open():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"hello")
    os.unlink("f")
    fails(errno.ENOENT, os.stat, "f")
    equal(os.fstat(fd).st_nlink, 0)
    os.pwrite(fd, b"J", 0)
    equal(os.pread(fd, 9, 0), b"Jello")
    os.ftruncate(fd, 100000)
    os.fchmod(fd, 0o600)
    os.fsync(fd)
    equal(os.fstat(fd).st_size, 100000)
    put("f", b"other")
    equal(os.pread(fd, 5, 0), b"Jello")
    os.close(fd)
    equal(get("f"), b"other")


def check_rename():
    put("a", b"a")
    put("b", b"b")
    old = os.open("b", os.O_RDONLY)
    os.rename("a", "b")
    equal(get("b"), b"a")
    equal(os.read(old, 9), b"b")
    equal(os.fstat(old).st_nlink, 0)
    os.close(old)
    fails(errno.ENOENT, os.stat, "a")
    os.link("b", "c")
    os.rename("b", "c")  # both are one file: nothing happens
    equal((os.path.exists("b"), os.stat("c").st_nlink), (True, 2))
    os.makedirs("d/e")
    os.mkdir("x")
    fails(errno.EINVAL, os.rename, "d", "d/e/f")
    fails(errno.ENOTEMPTY, os.rename, "x", "d")
    fails(errno.EISDIR, os.rename, "b", "d")
    fails(errno.ENOTDIR, os.rename, "d", "b")
    os.rename("d/e", "x")
    equal(os.stat("d").st_nlink, 2)
    os.rename("x", "d/y")
    equal(os.stat("d").st_nlink, 3)
    os.rename("d/y", "y")
    equal((os.stat("d").st_nlink, os.stat("y/..").st_ino), (2, os.stat(".").st_ino))
    fails(errno.ENOENT, os.rename, "none", "z")


def check_rename_flags():
    put("a", b"a")
    put("b", b"b")
    os.mkdir("d")
    put("d/in")
    fails(errno.EEXIST, renameat2, "a", "b", NOREPLACE)
    renameat2("a", "n", NOREPLACE)
    renameat2("n", "a", NOREPLACE)
    renameat2("a", "b", EXCHANGE)
    equal((get("a"), get("b")), (b"b", b"a"))
    renameat2("a", "d", EXCHANGE)
    equal((get("d"), os.listdir("a")), (b"b", ["in"]))
    fails(errno.ENOENT, renameat2, "a", "none", EXCHANGE)
    fails(errno.EINVAL, renameat2, "a", "b", EXCHANGE | NOREPLACE)
    os.mkdir("p")
    os.mkdir("q")
    os.mkdir("p/dir")
    put("q/file")
    renameat2("p/dir", "q/file", EXCHANGE)
    equal((os.stat("p").st_nlink, os.stat("q").st_nlink), (2, 3))
    fails(errno.EINVAL, renameat2, "q", "q/file", EXCHANGE)


def check_links():
    put("a", b"x")
    os.link("a", "b")
    equal((os.stat("a").st_ino, os.stat("a").st_nlink), (os.stat("b").st_ino, 2))
    with open("b", "ab") as f:
        f.write(b"y")
    equal(get("a"), b"xy")
    os.unlink("a")
    equal(os.stat("b").st_nlink, 1)
    os.mkdir("d")
    fails(errno.EPERM, os.link, "d", "e")
    fails(errno.EEXIST, os.link, "b", "d")
    os.symlink("b", "s")
    os.link("s", "s2", follow_symlinks=False)
    equal((os.readlink("s2"), os.lstat("s").st_nlink), ("b", 2))
    os.symlink("t" * 4095, "long")
    equal(len(os.readlink("long")), 4095)
    equal(os.lstat("long").st_size, 4095)


def check_link_limit():
    put("a")
    for i in range(999):
        os.link("a", f"l{i}")
    fails(errno.EMLINK, os.link, "a", "more")
    equal(os.stat("a").st_nlink, 1000)


def check_special_files():
    os.mkfifo("p", 0o600)
    assert stat.S_ISFIFO(os.stat("p").st_mode)
    pid = os.fork()
    if pid == 0:
        with open("p", "wb") as f:
            f.write(b"through")
        os._exit(0)
    equal(get("p"), b"through")
    os.waitpid(pid, 0)
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind("sock")
    s.listen()
    c = socket.socket(socket.AF_UNIX)
    c.connect("sock")
    assert stat.S_ISSOCK(os.stat("sock").st_mode)
    if os.geteuid() == 0:
        os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        equal(os.stat("null").st_rdev, os.makedev(1, 3))


def check_append():
    """Lines of several processes in one file stay whole."""
    n, lines = 4, 200
    put("log")
    pids = []
    for p in range(n):
        pid = os.fork()
        if pid == 0:
            fd = os.open("log", os.O_WRONLY | os.O_APPEND)
            for i in range(lines):
                os.write(fd, b"%d %d %s\n" % (p, i, b"x" * (i % 50)))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        equal(os.waitpid(pid, 0)[1], 0)
    seen = sorted(get("log").splitlines())
    equal(seen, sorted(b"%d %d %s" % (p, i, b"x" * (i % 50)) for p in range(n) for i in range(lines)))


def check_truncating():
    put("f", b"x" * 10000)
    os.truncate("f", 5000)
    os.truncate("f", 9000)
    equal(get("f"), b"x" * 5000 + bytes(4000))
    os.close(os.open("f", os.O_RDONLY | os.O_TRUNC))
    equal(os.stat("f").st_size, 0)
    put("f", b"123456")
    put("f", b"")  # : > f
    equal(get("f"), b"")
    fd = os.open("f", os.O_RDWR)
    os.pwrite(fd, b"end", 70000)
    equal(os.pread(fd, 70003, 0), bytes(70000) + b"end")
    os.close(fd)


def check_large():
    fd = os.open("big", os.O_CREAT | os.O_RDWR)
    for at in (0, (1 << 32) - 2, (1 << 32) + 5, 1 << 40):
        os.pwrite(fd, b"here", at)
    for at in (0, (1 << 32) - 2, (1 << 32) + 5, 1 << 40):
        equal(os.pread(fd, 4, at), b"here")
    equal(os.fstat(fd).st_size, (1 << 40) + 4)
    equal(os.pread(fd, 4, 1 << 33), bytes(4))
    os.ftruncate(fd, (1 << 32) + 6)
    equal(os.pread(fd, 9, (1 << 32) + 4), b"\0h")
    os.close(fd)


def check_holes():
    fd = os.open("s", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"x" * 8192, 1 << 20)
    os.ftruncate(fd, 4 << 20)
    data = os.lseek(fd, 0, os.SEEK_DATA)
    assert 0 < data <= 1 << 20, data
    hole = os.lseek(fd, 1 << 20, os.SEEK_HOLE)
    assert (1 << 20) + 8192 <= hole < 4 << 20, hole
    fails(errno.ENXIO, os.lseek, fd, 2 << 20, os.SEEK_DATA)
    fails(errno.ENXIO, os.lseek, fd, 4 << 20, os.SEEK_HOLE)
    equal(os.lseek(fd, 3 << 20, os.SEEK_HOLE), 3 << 20)
    os.close(fd)


def check_fallocate():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"x" * 20000)
    fallocate(fd, PUNCH | KEEP, 4096, 4096)
    equal(os.pread(fd, 20000, 0), b"x" * 4096 + bytes(4096) + b"x" * (20000 - 8192))
    fallocate(fd, ZERO, 19000, 3000)
    equal(os.pread(fd, 9999, 18999), b"x" + bytes(3000))
    fallocate(fd, KEEP, 22000, 50000)
    equal(os.fstat(fd).st_size, 22000)
    os.posix_fallocate(fd, 0, 60000)
    equal(os.fstat(fd).st_size, 60000)
    fails(errno.EINVAL, fallocate, fd, 0, 0, 0)
    os.close(fd)


def check_copy_range():
    src, dst = (os.open(n, os.O_CREAT | os.O_RDWR) for n in "sd")
    os.write(src, os.urandom(300000))
    os.write(dst, b"z" * 50000)
    n = os.copy_file_range(src, dst, 200000, 1000, 40000)
    assert n > 0
    equal(os.pread(dst, n, 40000), os.pread(src, n, 1000))
    equal(os.pread(dst, 40000, 0), b"z" * 40000)
    os.pwrite(src, b"changed", 1000)  # what was copied is no alias
    assert os.pread(dst, 7, 40000) != b"changed"
    equal(os.copy_file_range(src, dst, 10, 300000, 0), 0)
    os.close(src)
    os.close(dst)


def check_mmap():
    fd = os.open("m", os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 100000)
    m = mmap.mmap(fd, 100000)
    m[50000:50005] = b"hello"
    m.flush()
    equal(os.pread(fd, 5, 50000), b"hello")
    os.pwrite(fd, b"J", 50000)
    equal(m[50000:50005], b"Jello")
    p = mmap.mmap(fd, 100000, mmap.MAP_PRIVATE)
    p[0:3] = b"own"
    equal(os.pread(fd, 3, 0), bytes(3))
    m[99999:100000] = b"!"
    m.close()
    os.close(fd)
    equal(get("m")[99999:], b"!")


def check_direct_io():
    fd = os.open("d", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    buf = mmap.mmap(-1, 2 << 20)
    buf[:] = os.urandom(2 << 20)
    equal(os.pwrite(fd, buf, 0), 2 << 20)
    back = mmap.mmap(-1, 2 << 20)
    equal(os.preadv(fd, [back], 0), 2 << 20)
    equal(buf[:], back[:])
    os.close(fd)
    equal(get("d"), buf[:])


def check_tmpfile():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"unnamed")
    equal((os.fstat(fd).st_nlink, os.listdir(".")), (0, []))
    linkat(f"/proc/self/fd/{fd}", "named")
    os.close(fd)
    equal((get("named"), os.stat("named").st_nlink), (b"unnamed", 1))


def check_xattrs():
    put("f")
    fails(errno.ENODATA, os.getxattr, "f", "user.none")
    os.setxattr("f", "user.a", b"1")
    os.setxattr("f", "user.empty", b"")
    os.setxattr("f", "user.big", b"B" * 30000)
    equal((os.getxattr("f", "user.a"), os.getxattr("f", "user.empty")), (b"1", b""))
    equal(os.getxattr("f", "user.big"), b"B" * 30000)
    fails(errno.EEXIST, os.setxattr, "f", "user.a", b"2", os.XATTR_CREATE)
    fails(errno.ENODATA, os.setxattr, "f", "user.b", b"2", os.XATTR_REPLACE)
    os.setxattr("f", "user.a", b"22", os.XATTR_REPLACE)
    own = {n for n in os.listxattr("f") if not n.startswith(("user.coffer.", "security."))}
    equal(own, {"user.a", "user.empty", "user.big"})
    os.removexattr("f", "user.empty")
    fails(errno.ENODATA, os.removexattr, "f", "user.empty")
    fails(errno.ENOSPC, os.setxattr, "f", "user.more", b"M" * 60000)
    os.link("f", "g")
    equal(os.getxattr("g", "user.a"), b"22")
    os.mkdir("d")
    os.setxattr("d", "user.dir", b"yes")
    equal(os.getxattr("d", "user.dir"), b"yes")
    if os.geteuid() == 0:
        os.symlink("f", "s")
        os.setxattr("s", "trusted.t", b"1", follow_symlinks=False)
        equal(os.getxattr("s", "trusted.t", follow_symlinks=False), b"1")


def check_locks():
    a, b = (os.open("l", os.O_CREAT | os.O_RDWR) for _ in range(2))
    fcntl.flock(a, fcntl.LOCK_EX)
    fails(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(a, fcntl.LOCK_UN)
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    ofd_setlk = 37
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 10, 10, 0)
    fcntl.fcntl(a, ofd_setlk, lock)
    fails(errno.EAGAIN, fcntl.fcntl, b, ofd_setlk, lock)
    os.close(a)
    os.close(b)


def check_statfs():
    s = os.statvfs(".")
    assert s.f_bsize > 0 and s.f_blocks > 0 and 0 < s.f_bfree <= s.f_blocks
    equal(s.f_namemax, 255)


def check_inode_numbers():
    put("a")
    ino = os.stat("a").st_ino
    os.rename("a", "b")
    equal(os.stat("b").st_ino, ino)
    equal({e.name: e.inode() for e in os.scandir(".")}, {"b": ino})
    os.unlink("b")
    put("a")
    assert os.stat("a").st_ino != ino


def check_setgid_directory():
    if os.geteuid() != 0:
        return
    os.mkdir("d")
    os.chown("d", 0, 4711)
    os.chmod("d", 0o2775)
    put("d/f")
    os.mkdir("d/s")
    equal((os.stat("d/f").st_gid, os.stat("d/s").st_gid), (4711, 4711))
    equal(stat.S_IMODE(os.stat("d/s").st_mode) & 0o2000, 0o2000)
    equal(stat.S_IMODE(os.stat("d/f").st_mode) & 0o2000, 0)


def check_removed_directories():
    """What is open, or where somebody stands, is there until they leave."""
    for remove in lambda: os.rmdir("d"), lambda: os.rename("e", "d"):
        os.mkdir("d")
        os.mkdir("e")
        fd = os.open("d", os.O_RDONLY)
        remove()
        equal((os.fstat(fd).st_nlink, stat.S_ISDIR(os.fstat(fd).st_mode)), (0, True))
        os.fchmod(fd, 0o700)
        equal(stat.S_IMODE(os.fstat(fd).st_mode), 0o700)
        equal(os.listdir(fd), [])
        fails(errno.ENOENT, os.open, "x", os.O_CREAT, dir_fd=fd)
        os.close(fd)
        os.rmdir("d" if os.path.exists("d") else "e")
    os.mkdir("d")
    here = os.getcwd()
    os.chdir("d")
    os.rmdir("../d")
    equal(os.stat(".").st_nlink, 0)
    fails(errno.ENOENT, os.mkdir, "x")
    os.chdir(here)
    os.mkfifo("p")
    fd = os.open("p", os.O_RDWR)
    os.unlink("p")
    equal(os.fstat(fd).st_nlink, 0)
    os.close(fd)


def check_handles():
    """A file handle leads to its node wherever that moves, also when the kernel has forgotten it, and nowhere when it is gone."""
    if os.geteuid() != 0:
        return

    def handle_of(path):
        buf, mount_id = ctypes.create_string_buffer(8 + 128), ctypes.c_int()
        struct.pack_into("=I", buf, 0, 128)
        if libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), buf, ctypes.byref(mount_id), 0) < 0:
            raise OSError(ctypes.get_errno(), "name_to_handle_at")
        return buf

    def open_handle(handle):
        fd = libc.open_by_handle_at(root, handle, os.O_RDONLY)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "open_by_handle_at")
        return fd

    root = os.open(".", os.O_RDONLY)
    os.makedirs("a/b/c")
    put("a/b/f", b"text")
    handles = [handle_of(p) for p in ("a/b/f", "a/b/c", ".")]
    os.rename("a/b", "z")
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")
    for handle, path in zip(handles, ("z/f", "z/c", ".")):
        fd = open_handle(handle)
        equal(os.fstat(fd).st_ino, os.stat(path).st_ino)
        if os.path.isdir(path):
            equal(os.readlink(f"/proc/self/fd/{fd}"), os.path.abspath(path))
        os.close(fd)
    os.unlink("z/f")
    os.rmdir("z/c")
    for handle in handles[:2]:
        fails(errno.ESTALE, open_handle, handle)
    os.close(root)


def check_privileges_go():
    """What another user writes to loses setuid, setgid (if the group may execute) and capabilities."""
    if os.geteuid() != 0:
        return

    def prepared():
        put("f", b"x" * 10)
        os.chmod("f", 0o6777)
        equal(os.stat("f").st_mode & 0o7777, 0o6777)

    def bits():
        return os.stat("f").st_mode & 0o6000

    os.chmod(".", 0o777)
    prepared()
    as_user(4711, lambda: os.close(os.open("f", os.O_WRONLY)))
    equal(bits(), 0o6000)
    fd = os.open("f", os.O_WRONLY)
    os.write(fd, b"root may")
    os.close(fd)
    equal(bits(), 0o6000)

    def write():
        fd = os.open("f", os.O_WRONLY)
        os.write(fd, b"y")
        os.close(fd)

    def write_direct():
        fd = os.open("f", os.O_WRONLY | os.O_DIRECT)
        os.write(fd, mmap.mmap(-1, 4096))
        os.close(fd)

    def allocate(mode):
        fd = os.open("f", os.O_WRONLY)
        fallocate(fd, mode, 0, 100)
        os.close(fd)

    def copy():
        fd = os.open("f", os.O_RDWR)
        os.copy_file_range(fd, fd, 5, 0, 5)
        os.close(fd)

    for change in write, write_direct, lambda: allocate(KEEP), lambda: allocate(KEEP | PUNCH), copy:
        prepared()
        change()
        equal(bits(), 0o6000)
        as_user(4711, change)
        equal(bits(), 0)
        os.chmod("f", 0o2666)
        as_user(4711, change)
        equal(bits(), 0)
    prepared()
    as_user(4711, lambda: os.truncate("f", 3))
    equal(bits(), 0)
    prepared()
    as_user(4711, lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)))
    equal(bits(), 0)
    prepared()
    os.chown("f", 4711, 4711)
    equal(bits(), 0)
    capability = struct.pack("<IIIII", 0x02000001, 1, 0, 0, 0)
    os.setxattr("f", "security.capability", capability)
    equal(os.getxattr("f", "security.capability"), capability)
    as_user(4711, write)
    fails(errno.ENODATA, os.getxattr, "f", "security.capability")


def check_permissions():
    if os.geteuid() != 0:
        return
    os.mkdir("d")
    os.chmod("d", 0o1777)
    os.chmod(".", 0o755)
    put("d/rootfile", b"", 0o600)

    def other():
        fails(errno.EACCES, os.open, "d/rootfile", os.O_RDONLY)
        fails(errno.EPERM, os.unlink, "d/rootfile")
        fails(errno.EPERM, os.chmod, "d/rootfile", 0o777)
        fails(errno.EACCES, os.mkdir, "e")
        put("d/mine")
        equal(os.stat("d/mine").st_uid, 4711)
        fails(errno.EPERM, os.chown, "d/mine", 0, -1)
        os.unlink("d/mine")

    as_user(4711, other)


def main():
    top, names = sys.argv[1], sys.argv[2:]
    checks = {n[6:]: f for n, f in globals().items() if n.startswith("check_") and (not names or n[6:] in names)}
    failed = 0
    for name, f in checks.items():
        os.chdir(top)
        os.mkdir(name)
        os.chdir(name)
        try:
            f()
        except Exception as e:
            failed += 1
            at = [t for t in traceback.extract_tb(e.__traceback__) if t.name.startswith("check_")]
            print(f"{name}: line {at[-1].lineno if at else 0}: {e.__class__.__name__}: {e}")
    print(f"{len(checks)} checks, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
