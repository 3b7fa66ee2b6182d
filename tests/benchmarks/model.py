"""What a chain of so many clubs needs, computed from what an event and a record cost.

`COSTS` is what `make bench ARGS="--quick --only scale"` printed; all else is assumed, and named.
`python -m tests.benchmarks.model` prints the table of docs/scale.md, and a test holds the page to
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

DAY, YEAR = 86_400, 365 * 86_400
GB = 1e9

# --- what is assumed of clubs ------------------------------------------------------------------

CLUBS = (10, 1_000, 100_000)
MEMBERS = 2_000
TRAININGS_A_WEEK, EVENTS_A_TRAINING = 2, 8
PAYMENTS_A_MONTH, EVENTS_A_PAYMENT = 1, 3
OTHER_A_DAY = 0.2
PEAK = 5
"""The busiest hour, in the mean of all hours."""
EVENTS_A_RECORD = 2
"""What one command, and the policies with it, make: a club publishes that at once."""

# --- what is assumed of machines ---------------------------------------------------------------

BUSY = 0.5
"""Of a core at the peak; above that, what comes waits for too long."""
POSTGRES_CORES = 4
COPIES, RETENTION_DAYS = 3, 7
LEAST_PARTITIONS = 32
CLUBS_A_SHARD = 1_000
"""What one chain carries as it is: above that, whoever asks the ledgers is late."""
ASKED_EVERY = 10
"""Seconds, of whoever serves the chain."""
WITNESS_EVERY = 15
"""Seconds between looks of a publisher."""
FULL = 200
"""Events in a record, or in a transaction, where much is to be done at once; at least."""


class Cpu(NamedTuple):
    """Microseconds of CPU time, of our process and of Postgres."""

    ours: float
    postgres: float

    def times(self, many: float) -> Cpu:
        """What so many are."""
        return Cpu(self.ours * many, self.postgres * many)

    def beside(self, other: Cpu) -> Cpu:
        """What both are together."""
        return Cpu(self.ours + other.ours, self.postgres + other.postgres)


@dataclass(frozen=True)
class Costs:
    """What was measured."""

    taken_record: Cpu
    """Fetched, unpacked, folded and written into the tables for reports."""
    taken_event: Cpu
    asked: Cpu
    """To ask a ledger how far it is."""
    around: Cpu
    """A worker's look, every second, at each club of its chain."""
    record_bytes: float
    event_bytes: float
    ledger_bytes: float
    """An event in its club's Postgres."""
    figures_rows: float
    figures_bytes: float
    documented_rows: float
    documented_bytes: float


class Need(NamedTuple):
    """What a chain needs."""

    clubs: int
    events: float
    """A second, in the mean."""
    records: float
    """A second, at the peak."""
    work: Cpu
    """Cores at the peak, to take all of it in."""
    shards: int
    """Chains, each with a Postgres of its own."""
    workers: int
    """Of all shards."""
    postgres: float
    """Cores of all shards at the peak, with the looks of the workers."""
    partitions: int
    """Of each shard."""
    asked: float
    """Ledgers that should be asked in a second, by whoever serves the chain."""
    rebuilt: float
    """Seconds until a year's events of all clubs are in new tables."""


def events_a_day() -> float:
    """Of one club."""
    trainings = TRAININGS_A_WEEK * EVENTS_A_TRAINING / 7
    payments = PAYMENTS_A_MONTH * EVENTS_A_PAYMENT / 30
    return MEMBERS * (trainings + payments + OTHER_A_DAY)


def need(clubs: int, costs: Costs) -> Need:
    """What so many clubs need."""
    events = clubs * events_a_day() / DAY
    peak = events * PEAK
    records = peak / EVENTS_A_RECORD
    work = costs.taken_record.times(records).beside(costs.taken_event.times(peak)).times(1e-6)
    shards = ceil(clubs / CLUBS_A_SHARD)
    looking = costs.around.times(clubs / shards * 1e-6)
    workers = shards * max(2, ceil(work.ours / shards / (BUSY - looking.ours)))
    postgres = work.postgres + workers * looking.postgres
    whole = costs.taken_record.times(1 / FULL).beside(costs.taken_event).times(events * YEAR * 1e-6)
    return Need(
        clubs=clubs,
        events=events,
        records=records,
        work=work,
        shards=shards,
        workers=workers,
        postgres=postgres,
        partitions=max(LEAST_PARTITIONS, 4 * workers // shards),
        asked=clubs / ASKED_EVERY,
        rebuilt=max(
            whole.ours / workers / (1 - looking.ours),
            whole.postgres / shards / POSTGRES_CORES,
        ),
    )


COSTS = Costs(
    taken_record=Cpu(1_704, 555),
    taken_event=Cpu(44.2, 13.97),
    asked=Cpu(6_000, 7_100),
    around=Cpu(4.43, 1.87),
    record_bytes=237,
    event_bytes=319.8,
    ledger_bytes=497,
    figures_rows=0.90,
    figures_bytes=186,
    documented_rows=0.84,
    documented_bytes=227,
)


def page(costs: Costs = COSTS) -> str:
    """The table, as docs/scale.md has it."""
    needs = [need(clubs, costs) for clubs in CLUBS]
    rows = [("clubs", [f"{one.clubs:,}" for one in needs]), ("---", ["---:"] * len(needs))]
    for name, values in _lines(needs, costs).items():
        rows.append((name, [_said(value) for value in values]))
    return "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)


def _lines(needs: list[Need], costs: Costs) -> dict[str, list[float]]:
    event = costs.record_bytes / EVENTS_A_RECORD + costs.event_bytes
    year = [one.events * YEAR for one in needs]
    return {
        "events a second, mean": [one.events for one in needs],
        "events a second, peak": [one.events * PEAK for one in needs],
        "records a second, peak": [one.records for one in needs],
        "kB a second into Kafka, peak, one copy": [
            one.events * PEAK * event / 1e3 for one in needs
        ],
        "GB in Kafka, all copies": [
            one.events * DAY * RETENTION_DAYS * event * COPIES / GB for one in needs
        ],
        "cores of workers, peak": [one.work.ours for one in needs],
        "shards: chains with a Postgres each": [one.shards for one in needs],
        "workers, of all shards": [one.workers for one in needs],
        "brokers of each shard": [COPIES] * len(needs),
        "partitions of each shard": [one.partitions for one in needs],
        "cores of Postgres, peak, all shards": [one.postgres for one in needs],
        "looks of publishers a second": [one.clubs / WITNESS_EVERY for one in needs],
        "ledgers to ask a second": [one.asked for one in needs],
        "cores of whoever asks": [one.asked * costs.asked.ours / 1e6 for one in needs],
        "million events a year": [events / 1e6 for events in year],
        "GB a year, all clubs' ledgers": [events * costs.ledger_bytes / GB for events in year],
        "million rows a year, figures": [events * costs.figures_rows / 1e6 for events in year],
        "GB a year, figures": [events * costs.figures_bytes / GB for events in year],
        "million rows a year, documented": [
            events * costs.documented_rows / 1e6 for events in year
        ],
        "GB a year, documented": [events * costs.documented_bytes / GB for events in year],
        "hours for a new generation, a year's events": [one.rebuilt / 3600 for one in needs],
    }


def rates(costs: Costs = COSTS) -> str:
    """What one of each takes, as docs/scale.md has it."""
    sizes = (EVENTS_A_RECORD, FULL)
    each = [costs.taken_record.times(1 / size).beside(costs.taken_event) for size in sizes]
    rows = {
        f"one worker, {BUSY:.0%} busy": [BUSY * 1e6 / cost.ours for cost in each],
        f"one Postgres of {POSTGRES_CORES} cores, {BUSY:.0%} busy": [
            BUSY * POSTGRES_CORES * 1e6 / cost.postgres for cost in each
        ],
    }
    heads = " | ".join(f"records of {size}" for size in sizes)
    lines = [f"| events a second | {heads} |", "| --- | ---: | ---: |"]
    for name, values in rows.items():
        lines.append(f"| {name} | {' | '.join(map(_said, values))} |")
    return "\n".join(lines)


def _said(value: float) -> str:
    """Two digits that count, or all where they are whole."""
    if value >= 100:
        return f"{float(f'{value:.2g}'):,.0f}"
    return f"{value:.2g}"


if __name__ == "__main__":
    print(rates(), page(), sep="\n\n")
