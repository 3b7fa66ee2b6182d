"""Many small clubs and a few large ones, through a broker and a real worker, beside the model.

The model says what records and events cost from each step by itself (`scale`); here all steps run
at once in a `club stream`, with hundreds of identities in its tables. What is in the topic is there
before the worker begins, so it is never short of work; one record of each club in turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain as joined
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import psycopg
import uvloop

from infra.chain.records import Record
from projections.catalogue import FIGURES
from tests.benchmarks.chains import broker, come_to, made, worker
from tests.benchmarks.costs import Cost, Measured, Meter, Spent
from tests.benchmarks.figures import number, table
from tests.benchmarks.postgres import analyze, checkpoint
from tests.benchmarks.steps import packed_by, sent_one_by_one

SMALL, QUICK_SMALL = 500, 100
"""Small clubs."""
RECORDS, QUICK_RECORDS = 20, 8
"""Of each small club."""
FEW = 5
LARGE, FULL = 5, 200
"""Large clubs, which have as many events as all small ones together."""

IDLE = 3.0
"""Seconds in which a worker with nothing to do is watched."""

_JOIN = """
INSERT INTO chain_clubs (name, ledger, url, secret, looked_at)
SELECT ledger, ledger, '', 'secret', clock_timestamp() + interval '1 day'
FROM unnest(%s::text[]) AS ledger
"""


class Crowd(NamedTuple):
    """Clubs that are alike."""

    name: str
    clubs: int
    records: int
    """Of each club."""
    size: int
    """Events in a record."""

    def of(self, rows: Sequence[bytes]) -> list[list[Record]]:
        """The records of each club: they all have the beginning of one history."""
        history = rows[: self.records * self.size]
        identities = [f"{self.name}-{n}" for n in range(self.clubs)]
        return [packed_by(self.size, identity, b"secret", history) for identity in identities]


class Ran(NamedTuple):
    """What a crowd cost, and how long it took."""

    crowd: str
    clubs: int
    load: Measured
    seconds: float
    idle: Spent
    """For a second in which there is nothing to do."""

    @property
    def work(self) -> Measured:
        """The cost without what a worker costs anyway."""
        return self.load._replace(spent=self.load.spent.but(self.idle.times(self.seconds)))


def simulated(url: str, home: Path, steps: Cost, rows: Sequence[bytes], quick: bool) -> str:
    """What each crowd cost, beside what the steps by themselves say."""
    clubs, records = (QUICK_SMALL, QUICK_RECORDS) if quick else (SMALL, RECORDS)
    each = clubs * records * FEW // LARGE // FULL
    small, large = Crowd("small", clubs, records, FEW), Crowd("large", LARGE, each, FULL)
    ran = [_run(url, home, some, rows) for some in ([small], [large], [small, large])]
    fitted = Cost.of(ran[0].work, ran[1].work)
    return f"{_crowds_table(ran, steps, fitted)}\n\n{_costs_line(steps, fitted)}"


def _run(url: str, home: Path, crowds: Sequence[Crowd], rows: Sequence[bytes]) -> Ran:
    name = " and ".join(crowd.name for crowd in crowds)
    clubs = [records for crowd in crowds for records in crowd.of(rows)]
    store = made(url, f"scale_crowd_{name.replace(' ', '_')}", [])
    with psycopg.connect(store) as connection:
        connection.execute(_JOIN.encode(), [[records[0].ledger for records in clubs]])
    analyze(store)
    with broker(home) as settings:
        one = settings.model_copy(update={"kafka_partitions": 1})
        uvloop.run(sent_one_by_one(_in_turn(clubs), one))
        checkpoint(url)
        with worker(home, one, store, FIGURES.name) as pid:
            first = come_to(store, 1, pid)
            meter, begun = Meter(store, pid), time.monotonic()
            before = meter.read()
            events = sum(records[-1].last for records in clubs)
            come_to(store, events, pid, every=0.1)
            spent, seconds = meter.since(before), time.monotonic() - begun
            idle = _idle(meter)
    share = (events - first) / events
    load = Measured(share * sum(map(len, clubs)), events - first, spent)
    return Ran(name, len(clubs), load, seconds, idle)


def _in_turn(clubs: Sequence[Sequence[Record]]) -> list[Record]:
    return [record for record in joined.from_iterable(zip_longest(*clubs)) if record is not None]


def _idle(meter: Meter) -> Spent:
    before = meter.read()
    time.sleep(IDLE)  # nothing is waited for: it is what is measured
    return meter.since(before).times(1 / IDLE)


def _crowds_table(ran: Sequence[Ran], steps: Cost, fitted: Cost) -> str:
    heads = ["clubs", "number", "records", "events", "events/s"]
    heads += ["ms by the steps", "ms measured", "off by", "ms by the first two", "off by"]
    return table(heads, [_crowd_row(one, steps, fitted) for one in ran], left={0})


def _crowd_row(one: Ran, steps: Cost, fitted: Cost) -> list[str]:
    records, events, *_ = one.load
    measured = one.work.spent.both
    said = [cost.of_load(records, events).both for cost in (steps, fitted)]
    row = [one.crowd, *map(number, (one.clubs, records, events, events / one.seconds))]
    row += [number(said[0] / 1000), number(measured / 1000), f"{said[0] / measured - 1:+.0%}"]
    return [*row, number(said[1] / 1000), f"{said[1] / measured - 1:+.0%}"]


def _costs_line(steps: Cost, fitted: Cost) -> str:
    heads = ["us of CPU", "a record, ours", "Postgres", "an event, ours", "Postgres"]
    rows = [
        [name, *map(number, (*cost.record, *cost.event))]
        for name, cost in (("by the steps", steps), ("by the first two crowds", fitted))
    ]
    return table(heads, rows, left={0})
