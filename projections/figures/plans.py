"""How training plans are drawn up, followed and completed."""

from __future__ import annotations

from collections.abc import Iterator

from domain.aggregate import time_text
from domain.recorded import Recorded
from domain.training_plans import (
    STATUS_AFTER,
    Deleted,
    DrawnUp,
    PinnedToClient,
    StatusEvent,
    TrainingPlan,
    UnpinnedFromClient,
)
from projections.engine.model import Fold, ReadModel, Stepped
from projections.engine.table import Add, Key, Operations, Row, Table
from projections.figures.bins import counted
from projections.figures.questions import PERIOD, WITHIN, Cut, Question, until, until_start, within

NEW = "NEW"
GONE = "GONE"

PLANS = Table(
    "figures_of_plans",
    key=("training_plan_id",),
    columns="training_plan_id integer NOT NULL, status text NOT NULL",
)
MOVES = Table(
    "figures_plan_moves",
    key=("width", "at", "before", "after"),
    columns="""
        width text NOT NULL, at timestamptz NOT NULL, before text NOT NULL, after text NOT NULL,
        plans integer NOT NULL DEFAULT 0
    """,
)
"""How many plans came from one status to another."""

PINS = Table(
    "figures_plan_pins",
    key=("width", "at"),
    columns="""
        width text NOT NULL, at timestamptz NOT NULL,
        pinned integer NOT NULL DEFAULT 0, unpinned integer NOT NULL DEFAULT 0
    """,
)
"""How many clients began to follow a plan, and how many ceased to."""

TABLES = (PLANS, MOVES, PINS)


def which(recorded: Recorded) -> Key | None:
    """The plan that has come further."""
    event = recorded.event
    return (event.number,) if isinstance(event, DrawnUp | StatusEvent | Deleted) else None


def step(row: Row | None, recorded: Recorded) -> Stepped:
    """How far the plan is after the event."""
    now = _after(row, recorded)
    return Stepped(now, [*_moved(row, now, recorded)])


def _after(row: Row | None, recorded: Recorded) -> Row | None:
    event = recorded.event
    match event:
        case DrawnUp():
            return {"training_plan_id": event.number, "status": event.status}
        case StatusEvent() if row is not None:
            return {**row, "status": STATUS_AFTER[type(event)].value}
        case _:
            return None


def _moved(row: Row | None, now: Row | None, recorded: Recorded) -> Iterator[Add]:
    before = NEW if row is None else row["status"]
    after = GONE if now is None else now["status"]
    if before != after:
        moment = time_text(recorded.event.timestamp)
        yield from counted(MOVES, moment, (before, after), {"plans": 1})


def follow(recorded: Recorded) -> Operations:
    """Who follows a plan, or ceases to."""
    moment = time_text(recorded.event.timestamp)
    match recorded.event:
        case PinnedToClient():
            yield from counted(PINS, moment, (), {"pinned": 1})
        case UnpinnedFromClient():
            yield from counted(PINS, moment, (), {"unpinned": 1})
        case _:
            return


MODEL = ReadModel("plans", (TrainingPlan.TOPIC,), TABLES, follow, folds=(Fold(PLANS, which, step),))


# --- questions ---------------------------------------------------------------------------------


def moves(cut: Cut) -> Question:
    """How many plans came from one status to another, in each period."""
    sql = f"""
    SELECT {PERIOD}, before, after, sum(plans) AS plans FROM {MOVES.name}
    WHERE {WITHIN} GROUP BY 1, 2, 3
    """
    return Question(("period", "before", "after", "plans"), sql, within(cut))


def standing(cut: Cut) -> Question:
    """How many plans were in each status when the periods begin."""
    sql = f"""
    SELECT status, sum(moved.plans) AS plans FROM {until(MOVES)}
    CROSS JOIN LATERAL (VALUES (after, plans), (before, -plans)) AS moved (status, plans)
    GROUP BY status
    """
    return Question(("status", "plans"), sql, until_start(cut))


def pins(cut: Cut) -> Question:
    """How many clients began to follow a plan in each period, and how many ceased to."""
    sql = f"""
    SELECT {PERIOD}, sum(pinned) AS pinned, sum(unpinned) AS unpinned FROM {PINS.name}
    WHERE {WITHIN} GROUP BY 1
    """
    return Question(("period", "pinned", "unpinned"), sql, within(cut))


def following(cut: Cut) -> Question:
    """How many clients followed a plan when the periods begin, each as often as they do."""
    sql = f"SELECT coalesce(sum(pinned - unpinned), 0) AS clients FROM {until(PINS)}"
    return Question(("clients",), sql, until_start(cut))
