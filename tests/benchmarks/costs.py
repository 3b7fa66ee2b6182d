"""What work costs in CPU time, our process and Postgres apart, and what of it is for each record.

What Postgres does in the background (its log, its checkpoints, vacuum) counts as Postgres.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

import psutil
import psycopg


class Spent(NamedTuple):
    """Microseconds of CPU time."""

    ours: float
    postgres: float

    @property
    def both(self) -> float:
        """Wherever it was spent."""
        return self.ours + self.postgres

    def but(self, other: Spent) -> Spent:
        """What it is without the other."""
        return Spent(self.ours - other.ours, self.postgres - other.postgres)

    def beside(self, other: Spent) -> Spent:
        """What both are together."""
        return Spent(self.ours + other.ours, self.postgres + other.postgres)

    def times(self, many: float) -> Spent:
        """What so many are."""
        return Spent(self.ours * many, self.postgres * many)


class Meter:
    """Reads what one process, and the Postgres at a URL, have spent since they began."""

    def __init__(self, url: str, pid: int | None = None) -> None:
        """The process is this one, where none is given."""
        with psycopg.connect(url) as connection:
            backend = psutil.Process(connection.info.backend_pid)
            postmaster = backend.parent()
        assert postmaster is not None
        self._postmaster = postmaster
        self._process = psutil.Process(os.getpid() if pid is None else pid)

    def read(self) -> Spent:
        """How much it is by now."""
        ours = self._process.cpu_times()
        ended = self._postmaster.cpu_times()
        postgres = ended.user + ended.system + ended.children_user + ended.children_system
        for child in self._postmaster.children():
            with suppress(psutil.NoSuchProcess):  # it has ended since
                running = child.cpu_times()
                postgres += running.user + running.system
        return Spent((ours.user + ours.system) * 1e6, postgres * 1e6)

    def since(self, before: Spent) -> Spent:
        """What was spent since it was read."""
        return self.read().but(before)


class Cost(NamedTuple):
    """cost = a × records + b × events, in microseconds of CPU time."""

    record: Spent
    event: Spent

    @classmethod
    def of(cls, few: Measured, full: Measured) -> Cost:
        """Of the same step with records of few events, and with full ones."""
        pair = zip(few.for_record, full.for_record, strict=True)
        event = Spent(*((b - a) / (full.size - few.size) for a, b in pair))
        return cls(few.for_record.but(event.times(few.size)), event)

    def of_load(self, records: float, events: float) -> Spent:
        """What so many records with so many events cost."""
        return self.record.times(records).beside(self.event.times(events))

    def beside(self, other: Cost) -> Cost:
        """One step, and the other one after it."""
        return Cost(self.record.beside(other.record), self.event.beside(other.event))


class Measured(NamedTuple):
    """What so many records with so many events did cost."""

    records: float
    events: float
    spent: Spent
    bytes: float = 0.0
    """For each event, on the disk or on the wire."""

    @property
    def size(self) -> float:
        """Events in a record."""
        return self.events / self.records

    @property
    def for_record(self) -> Spent:
        """What one record costs, with all that is in it."""
        return self.spent.times(1 / self.records)

    @property
    def for_event(self) -> Spent:
        """What one event costs, with its part of the record."""
        return self.spent.times(1 / self.events)
