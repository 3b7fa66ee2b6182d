"""Processes that go on although whoever started them was killed: noted in a file, and ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

LAST_WORDS = 20.0
"""Seconds that a process has to end in order."""

SAME = 2.0
"""Seconds by which a process may seem to have started at another time: clocks are set right."""


def note(file: Path, pid: int) -> None:
    """Write down a process that was just started, with a session of its own."""
    with suppress(psutil.NoSuchProcess):
        file.write_text(f"{pid} {psutil.Process(pid).create_time()}\n")


def end_what_was_left(file: Path) -> bool:
    """End the process that is noted here, with all of its session; whether there was one."""
    process = _noted(file)
    if process is None:
        return False
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        if not _ends_within(LAST_WORDS, process):
            os.killpg(process.pid, signal.SIGKILL)
            _ends_within(LAST_WORDS, process)
    return True


def has_ended(process: psutil.Process) -> bool:
    """Whether it has; whoever should take note of that may never do so."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _noted(file: Path) -> psutil.Process | None:
    """The process of this file, if it is still there, and no other that got its number."""
    try:
        pid, started = file.read_text().split()
        process = psutil.Process(int(pid))
        known = abs(process.create_time() - float(started)) < SAME
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return process if known and not has_ended(process) else None


def _ends_within(seconds: float, process: psutil.Process) -> bool:
    deadline = time.monotonic() + seconds
    while not (ended := has_ended(process)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return ended
