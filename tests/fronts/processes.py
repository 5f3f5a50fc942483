"""Processes with a bounded life, ports, and waiting for a state."""

import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path


class Failure(Exception):
    """What a cell found wrong."""


def until(what, look, seen=lambda: None, seconds=30):
    """Waits until `look` returns something true, and returns it; else fails with what is `seen` instead."""
    end = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s in vain for {what}: {seen()}")
        time.sleep(0.01)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A program in a process group of its own; its output goes to a file. With `terminal`, it has one."""

    def __init__(self, words, log, variables, folder, terminal=False):
        self.log = Path(log)
        words = [str(word) for word in words]
        if terminal:
            self.process = in_terminal(words, self.log, env=variables, cwd=folder)
            return
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                words, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        return self.log.read_text(errors="replace")

    def runs(self):
        return self.process.poll() is None

    def wait(self, seconds):
        """Its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.process.args[0]} did not end within {seconds} s") from None

    def signal(self, number):
        if self.runs():
            self.process.send_signal(number)

    def stop(self):
        """Kills it and what it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


# What a terminal is asked: where the cursor is, and what it can do.
TERMINAL = ((b"\x1b[6n", b"\x1b[1;1R"), (b"\x1b[c", b"\x1b[?62c"), (b"\x1b[?u", b"\x1b[?0u"))


def in_terminal(words, log, **options):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 150, 0, 0))
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **options)
    os.close(slave)
    threading.Thread(target=be_terminal, args=(master, log), daemon=True).start()
    return process


def be_terminal(master, log):
    """Keeps what the program prints, and answers what it asks."""
    with log.open("ab", buffering=0) as output:
        while True:
            try:
                printed = os.read(master, 65536)
            except OSError:  # the program has ended
                os.close(master)
                return
            output.write(printed)
            for question, answer in TERMINAL:
                if question in printed:
                    os.write(master, answer)


def left_behind():
    """Ends what has outlived its program, and names it. The harness has a process namespace of its own, so
    every process in it but this one was started by the harness."""
    names = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words != [b""]:
                names.append(b" ".join(words[:3]).decode(errors="replace"))
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return names


def collect_orphans():
    """The harness is the first process of its namespace, so orphans are its children."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass
