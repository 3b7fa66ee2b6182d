"""What an event costs from a club's ledger into the tables of a chain, and what follows from it.

Every step is measured with full records, as they are where much is to be done at once, and with
records of few events, as a club makes them at a quiet hour; so what is for each record and what is
for each event are told apart. `crowds` holds this against a real worker with many clubs, and
docs/scale.md says what follows (`model`). The broker is the one of the tests, in memory; its own
work is not in the figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import psycopg
import uvloop

from infra.chain.records import Record
from infra.chain.store import InChain
from projections.catalogue import DOCUMENTED, FIGURES
from projections.engine.model import Group
from tests.benchmarks import crowds, steps
from tests.benchmarks.chain import records_of
from tests.benchmarks.chains import ASK_NOBODY, made
from tests.benchmarks.costs import Cost, Measured
from tests.benchmarks.figures import number, table
from tests.benchmarks.postgres import analyze, create_database
from tests.benchmarks.seeding import fill

EVENTS, QUICK_EVENTS = 80_000, 10_000
TURNS, QUICK_TURNS = 2_000, 200
"""Records of few events, of each step."""
WORKER = ("fetch", "unpack", f"fold, {FIGURES.name}", f"write, {FIGURES.name}")
"""What a worker does that fills the tables for reports alone."""
EXERCISES = 4
"""Of which little is made: with more, small clubs would have little else."""
LOOKS = 3
CLUBS = (1_000, 100_000)

_LEDGER_SIZE = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relkind = 'r' AND relname ^@ 'ledger'
"""
_GROUP_SIZE = """
SELECT sum(pg_total_relation_size(oid)), sum(reltuples) FROM pg_class
WHERE relkind = 'r' AND relnamespace = %s::regnamespace
"""
_MANY_CLUBS = """
INSERT INTO chain_clubs (name, ledger, url, secret)
SELECT 'club-' || n, 'ledger-' || n, '', 'secret' FROM generate_series(1, %s) AS n
"""


class Step(NamedTuple):
    """What is done, with records of few events, and with full ones."""

    name: str
    few: Measured
    full: Measured

    @property
    def cost(self) -> Cost:
        """Told apart, for each record and each event."""
        return Cost.of(self.few, self.full)


class Kept(NamedTuple):
    """What an event leaves where it comes by."""

    where: str
    rows: float
    bytes: float


def measure(url: str, home: Path, quick: bool) -> Iterator[str]:
    """The costs of all steps, what is kept, what looks cost, and a worker with many clubs."""
    events, turns = (QUICK_EVENTS, QUICK_TURNS) if quick else (EVENTS, TURNS)
    ledger = create_database(url, "scale")
    total = asyncio.run(fill(ledger, events, years=1, exercises=EXERCISES))
    full = asyncio.run(records_of(ledger))
    few = steps.repacked(ledger, full, turns)
    found = [
        Step("append", steps.appending(url, 1, turns), steps.appending(url, steps.AT_ONCE, events)),
        Step("publish", steps.publishing_few(url, home, turns), steps.publishing_all(ledger, home)),
        Step("fetch", steps.fetching(home, few), steps.fetching(home, full)),
        Step("unpack", steps.unpacking(ledger, few), steps.unpacking(ledger, full)),
    ]
    kept = [
        Kept("a club's ledger", 1, _one(ledger, _LEDGER_SIZE)[0] / total),
        Kept(f"Kafka, in records of {steps.FEW}", 1, steps.bytes_of(few)),
        Kept("Kafka, in full records", 1, steps.bytes_of(full)),
    ]
    for group in (FIGURES, DOCUMENTED):
        taken, left = _taking(url, ledger, group, (few, full))
        found += taken
        kept.append(left)
    yield _costs_table(found)
    yield _kept_table(kept)
    yield _looks_table(url, home, ledger, few[0])
    worker = reduce(Cost.beside, (one.cost for one in found if one.name in WORKER))
    yield crowds.simulated(url, home, worker, steps.rows_of(full), quick)


def _taking(
    url: str, ledger: str, group: Group, records: Sequence[Sequence[Record]]
) -> tuple[list[Step], Kept]:
    """Folding, and all else that is done with what was unpacked; and the rows that are left."""
    folds, writes = [], []
    for some in records:
        chain = made(url, f"scale_{group.name}_{len(some)}", [ledger])
        fold = steps.folding(url, ledger, group, some)
        take = steps.taking(url, chain, group, some)
        rest = take.spent.but(fold.spent).but(steps.unpacking(ledger, some).spent)
        folds.append(fold)
        writes.append(take._replace(spent=rest))
    analyze(chain)
    size, rows = _one(chain, _GROUP_SIZE, InChain.of(group).schema)
    events = records[-1][-1].last
    left = Kept(f"the chain, {group.name}", rows / events, size / events)
    return [Step(f"fold, {group.name}", *folds), Step(f"write, {group.name}", *writes)], left


def _costs_table(found: Sequence[Step]) -> str:
    heads = ["us of CPU an event", "few: ours", "Postgres", "full: ours", "Postgres"]
    heads += ["a record: ours", "Postgres"]
    rows = [
        [one.name, *map(number, (*one.few.for_event, *one.full.for_event, *_record(one)))]
        for one in found
    ]
    return table(heads, rows, left={0})


def _record(step: Step) -> Sequence[float | None]:
    """What is for each record; to append knows none."""
    return (None, None) if step.few.size == step.full.size else step.cost.record


def _kept_table(kept: Sequence[Kept]) -> str:
    rows = [[one.where, number(one.rows), number(one.bytes)] for one in kept]
    return table(["what an event leaves", "rows", "bytes"], rows, left={0})


def _looks_table(url: str, home: Path, ledger: str, record: Record) -> str:
    looks = {
        "a ledger is asked how far it is": uvloop.run(steps.asking(ledger)),
        "a publisher looks whether Kafka has it": steps.witnessing(home, record),
    }
    for many in CLUBS:
        chain = made(url, f"scale_clubs_{many}", [])
        with psycopg.connect(chain) as connection:
            connection.execute(_MANY_CLUBS.encode(), [many])
            connection.execute(ASK_NOBODY.encode())
        analyze(chain)
        name = f"a worker looks around, every second, {many:,} clubs"
        looks[name] = uvloop.run(steps.looking_around(chain, LOOKS))
    rows = [[name, *map(number, spent)] for name, spent in looks.items()]
    return table(["us of CPU", "ours", "Postgres"], rows, left={0})


def _one(url: str, statement: str, *given: object) -> tuple[float, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode(), given).fetchone()
    assert row is not None
    return tuple(map(float, row))
