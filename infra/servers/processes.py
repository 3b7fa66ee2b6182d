"""Ending other processes: with all that they started, and what somebody who was killed left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import psutil

LAST_WORDS = 20.0
"""Seconds that a process has to end in order."""

GiveUp = Callable[[], None]
"""Called again and again during a wait; raises where there is no point in waiting any more."""


def never() -> None:
    """Wait on."""


def has_ended(process: psutil.Process) -> bool:
    """Whether it has; whoever should take note of that may never do so."""
    try:
        # Another one may have its number by now.
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end_groups(
    groups: Collection[int], how: int = signal.SIGTERM, patience: float = LAST_WORDS
) -> None:
    """End every process of these groups, together; those that do not listen, for good."""
    _end(lambda: [p for p in psutil.process_iter() if _group(p) in groups], how, patience, never)


def end_holders(file: Path, give_up: GiveUp = never) -> list[str]:
    """End every other process that has this file open, together; returns their names."""
    name = str(file.resolve())
    return _end(lambda: _holders(name), signal.SIGTERM, LAST_WORDS, give_up)


def _end(
    find: Callable[[], list[psutil.Process]], how: int, patience: float, give_up: GiveUp
) -> list[str]:
    names: dict[psutil.Process, str] = {}
    for number in (how, signal.SIGKILL):
        found = [process for process in find() if not has_ended(process)]
        for process in found:
            with suppress(psutil.NoSuchProcess):
                names[process] = process.name()
                process.send_signal(number)
        deadline = time.monotonic() + patience
        while not all(map(has_ended, found)) and time.monotonic() < deadline:
            give_up()
            time.sleep(0.02)
    return list(names.values())


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def _holders(name: str) -> list[psutil.Process]:
    found = psutil.process_iter(["open_files"])  # None for what is not ours to look at
    return [
        process
        for process in found
        if process.pid != os.getpid()
        and any(file.path == name for file in process.info["open_files"] or ())
    ]
