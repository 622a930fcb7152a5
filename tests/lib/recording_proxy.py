# SPDX-License-Identifier: Apache-2.0
"""recording_proxy.py TO_PORT LOG PORT_FILE: a TCP proxy on a free port of the loopback that writes all bytes of both directions to LOG."""
import os, socket, sys, threading

to, log, out = int(sys.argv[1]), open(sys.argv[2], "ab", 0), sys.argv[3]
lock = threading.Lock()


def pump(a, b):
    try:
        while data := a.recv(65536):
            with lock:
                log.write(data)
            b.sendall(data)
    except OSError:
        pass
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


listener = socket.create_server(("127.0.0.1", 0))
with open(out + ".new", "w") as f:
    f.write(str(listener.getsockname()[1]))
os.rename(out + ".new", out)
while True:
    a, _ = listener.accept()
    b = socket.create_connection(("127.0.0.1", to))
    for x, y in ((a, b), (b, a)):
        threading.Thread(target=pump, args=(x, y), daemon=True).start()
