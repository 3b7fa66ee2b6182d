"""What a stack looks after: each is started again where it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol

from infra.faults import Fault

AGAIN = 1.0
"""Seconds until what ended by itself is started again."""


class Minded(Protocol):
    """Something that has to run as long as the stack does."""

    def look(self) -> None:
        """Start it again where it has ended."""
        ...


class PrivateServer:
    """One of the servers, as it is started again: in its place, with its data."""

    def __init__(self, name: str, runs: Callable[[], bool], start: Callable[[], None]) -> None:
        self._name = name
        self._runs = runs
        self._start = start
        self._again_at = 0.0

    def look(self) -> None:
        """Start it again where it has ended."""
        if self._runs() or time.monotonic() < self._again_at:
            return
        print(f"  {self._name} ended; it is started again", file=sys.stderr)
        try:
            self._start()
        except Fault as why:
            print(f"  {why}", file=sys.stderr)
            self._again_at = time.monotonic() + AGAIN
