"""What docs/scale.md shows is what was measured, and what the model computes from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.costs import Cost, Measured, Spent
from tests.benchmarks.model import COSTS, FULL, Cpu, events_a_day, need, page, rates
from tests.benchmarks.scale import WORKER
from tests.benchmarks.servers import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text()


def cells(name: str) -> list[float]:
    """The numbers of a row of the page's tables, by its first cell."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    return [float(cell.replace(",", "")) for cell in row.split("|")[2:-1] if cell.strip(" -")]


def test_the_page_shows_what_the_model_computes() -> None:
    assert rates() in PAGE
    assert page() in PAGE


def test_the_model_computes_with_the_costs_on_the_page() -> None:
    steps = [cells(name) for name in WORKER]
    record = Cpu(*(sum(step[at] for step in steps) for at in (4, 5)))
    event = Cpu(*(sum(step[at] for step in steps) - record[at - 2] / FULL for at in (2, 3)))

    assert COSTS.taken_record == pytest.approx(record, rel=0.01)
    assert COSTS.taken_event == pytest.approx(event, rel=0.01)
    assert COSTS.asked == tuple(cells("a ledger is asked how far it is"))
    around = cells("a worker looks around, every second, 100,000 clubs")
    assert COSTS.around == pytest.approx([cost / 100_000 for cost in around], rel=0.05)


def test_the_model_computes_with_what_an_event_leaves_on_the_page() -> None:
    few, full = cells("Kafka, in records of 4")[1], cells("Kafka, in full records")[1]
    record = (few - full) / (1 / 4 - 1 / FULL)

    assert COSTS.record_bytes == pytest.approx(record, rel=0.01)
    assert COSTS.event_bytes == pytest.approx(full - record / FULL, rel=0.01)
    assert [1.0, COSTS.ledger_bytes] == cells("a club's ledger")
    assert [COSTS.figures_rows, COSTS.figures_bytes] == cells("the chain, figures")
    assert [COSTS.documented_rows, COSTS.documented_bytes] == cells("the chain, documented")


def test_costs_are_told_apart_for_records_and_events() -> None:
    true = Cost(Spent(1000, 500), Spent(20, 10))
    few = Measured(50, 200, true.of_load(50, 200))
    full = Measured(3, 600, true.of_load(3, 600))

    found = Cost.of(few, full)
    assert found.record == pytest.approx(true.record)
    assert found.event == pytest.approx(true.event)


def test_a_hundred_times_the_clubs_are_a_hundred_times_the_work() -> None:
    few, many = need(1_000, COSTS), need(100_000, COSTS)

    assert few.events == pytest.approx(1_000 * events_a_day() / 86_400)
    assert many.work == pytest.approx(few.work.times(100))
    assert (few.shards, many.shards) == (1, 100)


def test_dearer_records_need_more_workers_and_dearer_looks_leave_them_less() -> None:
    at_hand = need(1_000, COSTS)
    records = need(1_000, replace(COSTS, taken_record=COSTS.taken_record.times(20)))
    looks = need(1_000, replace(COSTS, around=COSTS.around.times(100)))

    assert records.workers > at_hand.workers
    assert looks.workers > at_hand.workers
    assert looks.rebuilt > at_hand.rebuilt * at_hand.workers / looks.workers
