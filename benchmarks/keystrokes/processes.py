"""Servers as process trees: started on given cores, frozen while another is measured, counted from /proc.

All engines of one model are up at once and all but one are stopped by SIGSTOP, so that rounds can be
interleaved without paying for every start-up again. Linux only.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

START_POLL_S = 0.3
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server did not start or went away; the message holds the end of its log."""


class Server:
    """One engine's processes."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        port: int,
        cores: Sequence[int],
        log: Path,
        nice: int = 0,
    ) -> None:
        pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
        niced = ["nice", "-n", str(nice)] if nice else []
        self.port, self._log = port, log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*pinned, *niced, *command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_up(self, path: str, timeout_s: float) -> None:
        """Poll `path` until it answers 200.

        Raises:
            ServerError: the process ended, or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"ended with status {self._process.returncode}: {self.tail()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(START_POLL_S)
        raise ServerError(f"not up after {timeout_s:.0f} s: {self.tail()}")

    def tail(self) -> str:
        """The last line of the log that names an error, else its last line."""
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["no output"]
        named = [line for line in lines if "Error" in line or "error" in line]
        return (named or lines)[-1].strip()[:300]

    def pause(self) -> None:
        """Freeze every process."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def cpu_s(self) -> float:
        """User and system time of all processes of the tree that live."""
        return sum(cpu_of(pid) for pid in self.pids())

    def peak_rss_bytes(self) -> int:
        """Sum over the tree of each process's peak; pages that two share count twice."""
        return sum(peak_rss_of(pid) for pid in self.pids())

    def pids(self) -> list[int]:
        """The process and all its descendants."""
        return descendants(self._process.pid)

    def stop(self) -> None:
        """End the tree: SIGTERM to all of it, then SIGKILL to what is left after five seconds."""
        pids = self.pids()
        self._signal(signal.SIGTERM)
        self.resume()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(map(is_alive, pids)):
            self._process.poll()
            time.sleep(0.1)
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def free_port() -> int:
    """A port that nobody listens on now: an old server must not answer for a new one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_alive(pid: int) -> bool:
    """Does it run (a zombie does not)?"""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def descendants(root: int) -> list[int]:
    """`root` and everything below it."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children[pid]
    return found


def cpu_of(pid: int) -> float:
    """Seconds that a process has computed, user and system; its waited-for children included."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / TICKS_PER_S if fields else 0.0


def peak_rss_of(pid: int) -> int:
    """VmHWM."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name: state, parent, ...; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
