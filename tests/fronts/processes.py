"""Processes with a bounded life, ports, and waiting for a state."""

import os
import signal
import socket
import subprocess
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
    """A program in a process group of its own; its output goes to a file."""

    def __init__(self, words, log, variables, folder, stdin=subprocess.DEVNULL):
        self.log = Path(log)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in words], env=variables, cwd=folder, stdin=stdin,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

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
