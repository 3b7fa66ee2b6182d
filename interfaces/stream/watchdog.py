"""Ends this process where nothing else does: whoever runs it starts it again."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import NoReturn

SILENCE = 45.0
"""Seconds for which the event loop may be silent."""

_EVERY = 0.5


class Watchdog:
    """A thread of its own, which no event loop can hold up."""

    def __init__(self, silence: float = SILENCE) -> None:
        self._silence = silence
        self._why = ""
        self._status = 1
        self._ends_at = 0.0
        self._ending = False
        self.beat()

    def start(self) -> None:
        """Watch, as long as the process lives."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """The event loop is there."""
        if not self._ending:
            self._why = f"The worker has done nothing for {self._silence:.0f} seconds: it is ended."
            self._ends_at = time.monotonic() + self._silence

    def end_within(self, seconds: float, status: int) -> None:
        """What is still to be closed has so long; then the process ends, with this status."""
        self._ending = True
        self._why, self._status = "", status
        self._ends_at = time.monotonic() + seconds

    def end(self, status: int) -> NoReturn:
        """End the process now, with whatever threads it has."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def _watch(self) -> None:
        while time.monotonic() < self._ends_at:
            time.sleep(_EVERY)
        if self._why:
            print(self._why, file=sys.stderr)
        self.end(self._status)
