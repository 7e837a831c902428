# SPDX-License-Identifier: Apache-2.0
"""What python programs do: each function is one, and returns what it found."""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import fcntl
import hashlib
import http.server
import mmap
import multiprocessing
import multiprocessing.shared_memory
import os
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zoneinfo

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "packages"))


def numpy_():
    import numpy
    matrix = numpy.arange(250000, dtype=float).reshape(500, 500) / 1e5 + numpy.eye(500)
    error = abs(matrix @ numpy.linalg.inv(matrix) - numpy.eye(500)).max()
    mapped = numpy.memmap("/tmp/mapped", dtype="int32", mode="w+", shape=(1000,))
    mapped[:] = numpy.arange(1000)
    mapped.flush()
    read = numpy.fromfile("/tmp/mapped", dtype="int32")
    wave = numpy.fft.ifft(numpy.fft.fft(numpy.ones(1024))).real
    return [bool(error < 1e-6), int(read.sum()), float(wave.sum())]


def pillow():
    import io
    from PIL import Image, ImageFilter
    image = Image.new("RGB", (640, 480), (200, 100, 50)).filter(ImageFilter.GaussianBlur(2))
    sizes = []
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        out = io.BytesIO()
        image.save(out, kind)
        sizes.append(Image.open(io.BytesIO(out.getvalue())).resize((64, 48)).size)
    return sizes


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 1000000)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(hashlib.sha256(body).hexdigest().encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def requests_():
    import requests
    with serving() as url, requests.Session() as session:
        got = session.get(url, timeout=10)
        posted = session.post(url, data=b"y" * 100000, timeout=10)
        files = session.post(url, files={"f": ("name", b"z" * 1000)}, timeout=10)
    same = posted.text == hashlib.sha256(b"y" * 100000).hexdigest()
    return [got.status_code, len(got.content), posted.status_code, same, files.status_code]


def sqlite():
    with sqlite3.connect("/tmp/base.db") as base:
        mode = base.execute("pragma journal_mode = wal").fetchone()[0]
        base.execute("create table t (a integer primary key, b text)")
        base.executemany("insert into t (b) values (?)", [(str(n),) for n in range(2000)])
    other = sqlite3.connect("/tmp/base.db")
    count = other.execute("select count(*) from t").fetchone()[0]
    other.execute("vacuum")
    other.close()
    base.close()
    return [mode, count]


def subprocess_():
    echoed = subprocess.run(["cat"], input=b"hello", capture_output=True, check=True).stdout
    piped = subprocess.check_output("seq 100 | sort -r | head -1; exit 0", shell=True)
    spawned = subprocess.Popen(["sleep", "60"], start_new_session=True)
    spawned.terminate()
    pid = os.posix_spawn("/bin/true", ["true"], os.environ)
    forked = os.fork()
    if forked == 0:
        os._exit(7)
    try:
        subprocess.run(["sleep", "60"], timeout=0.2, check=False)
        late = False
    except subprocess.TimeoutExpired:
        late = True
    return [echoed.decode(), piped.decode(), spawned.wait(), os.waitpid(pid, 0)[1],
            os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), late]


def threads():
    found, lock = [], threading.Lock()

    def work(number):
        for _ in range(100):
            with lock:
                found.append(number)
    started = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        squares = sum(pool.map(lambda n: n * n, range(100)))
    return [len(found), squares]


def square(number):
    return number * number


def processes():
    with multiprocessing.Pool(3) as pool:
        pooled = sum(pool.map(square, range(50)))
    with concurrent.futures.ProcessPoolExecutor(
            2, mp_context=multiprocessing.get_context("spawn")) as pool:
        spawned = sum(pool.map(square, range(10)))
    shared = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
    shared.buf[:5] = b"hello"
    again = multiprocessing.shared_memory.SharedMemory(shared.name)
    text = bytes(again.buf[:5]).decode()
    again.close()
    shared.close()
    shared.unlink()
    return [pooled, spawned, text]


async def talk():
    async def serve(reader, writer):
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"hello")
    echoed = await reader.read()
    writer.close()
    server.close()
    child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    out, _ = await child.communicate(b"child")
    threaded = await asyncio.to_thread(lambda: "thread")
    looked_up = await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    caught = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, caught.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(caught.wait(), 10)
    return [echoed.decode(), out.decode(), threaded, bool(looked_up), child.returncode]


def asyncio_():
    return asyncio.run(talk())


def copying():
    """By copy_file_range and sendfile where they are, or without."""
    data = os.urandom(300000)
    with tempfile.NamedTemporaryFile(dir="/tmp") as source:
        source.write(data)
        source.flush()
        os.fsync(source.fileno())
        shutil.copy2(source.name, "/tmp/copy")
        shutil.copyfile(__file__, "/tmp/source")
        left, right = socket.socketpair()
        got = []
        reader = threading.Thread(target=lambda: got.extend(iter(lambda: right.recv(65536), b"")))
        reader.start()
        with left, open("/tmp/copy", "rb") as file:
            sent = left.sendfile(file)
        reader.join()
    right.close()
    copied = subprocess.run(["cp", "-a", "/tmp/copy", "/tmp/copy2"], check=False).returncode
    with open("/tmp/copy2", "rb") as file:
        return [sent, b"".join(got) == data, copied, file.read() == data]


def system():
    """The rest of what the library offers and programs use."""
    os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0))
    os.setpriority(os.PRIO_PROCESS, os.getpid(), 5)
    with open("/tmp/locked", "wb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096) as mapped:
            mapped[:2] = b"ok"
            mapped.flush()
    with select.epoll() as poll:
        reader, writer = os.pipe()
        poll.register(reader, select.EPOLLIN)
        os.write(writer, b"x")
        ready = len(poll.poll(10))
    ticks = []
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    until = time.monotonic() + 10
    while not ticks and time.monotonic() < until:
        time.sleep(0.01)
    ciphers = len(ssl.create_default_context().get_ciphers())
    zone = zoneinfo.ZoneInfo("UTC").key
    kept = ctypes.CDLL(None).getpid() == os.getpid()
    return [ready, len(ticks), ciphers > 5, zone, kept, len(os.urandom(32))]


PROGRAMS = {"numpy": numpy_, "pillow": pillow, "requests": requests_, "sqlite3": sqlite,
            "subprocess": subprocess_, "threads": threads, "processes": processes,
            "asyncio": asyncio_, "copying": copying, "system": system}


def handle(event, context):
    try:
        return {"result": PROGRAMS[event]()}
    except BaseException:  # pylint: disable=broad-except
        return {"failed": traceback.format_exc()}
