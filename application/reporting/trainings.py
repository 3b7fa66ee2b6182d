"""The report on trainings: how many of what kind, on which weekdays, and what is done in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from application.figures import Chart, Column, Draw, Section, Span, Unit, Value
from application.reporting.clients import Clients, clients_of
from application.reporting.shaping import FIRST, LAST, Counts, Rows, hours, named, ratio
from domain.values import Intensity, TrainingType

ASKS = ("trainings", "exercises", "muscle-groups", "client-moves", "client-standing")

NONE = "NONE"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Trainings(NamedTuple):
    """The trainings of one period."""

    trainings: int
    hours: Decimal | None
    per_active_client: Decimal | None
    """For each who is ACTIVE at its end."""


def sections(span: Span, found: Sequence[Rows]) -> Iterator[Section]:
    """What the report shows of the answers to ASKS."""
    planned, exercises, muscles, moves, standing = found
    clients, _ = clients_of(len(span.periods), moves, standing)
    periods = trainings_of(clients, planned)
    rows: list[tuple[Value, ...]] = [
        (*named(period), *trainings)
        for period, trainings in zip(span.periods, periods, strict=True)
    ]
    yield Section(
        "periods",
        "Trainings",
        (
            FIRST,
            LAST,
            Column("trainings", "Trainings", Unit.COUNT),
            Column("hours", "Hours", Unit.HOURS),
            Column("per_active_client", "For each active client", Unit.RATIO),
        ),
        rows,
        Chart(Draw.BARS, "first", ("trainings",)),
    )
    days = [str(number) for number in range(1, 8)]
    yield _by("weekday", "Trainings by weekday", "Weekday", planned, days)
    types = [*(value.value for value in TrainingType), NONE]
    yield _by("training_type", "Trainings by type", "Type", planned, types)
    intensities = [*(value.value for value in Intensity), NONE]
    yield _by("intensity", "Trainings by intensity", "Intensity", planned, intensities)
    yield Section(
        "exercises",
        "Most used exercises",
        (
            Column("title", "Exercise", Unit.TEXT),
            Column("muscle_group", "Muscle group", Unit.NAME),
            Column("trainings", "Trainings", Unit.COUNT),
        ),
        [(title, group, int(number)) for title, group, number in exercises],
        Chart(Draw.BARS, "title", ("trainings",)),
    )
    yield Section(
        "muscle_groups",
        "What is trained",
        (
            Column("muscle_group", "Muscle group", Unit.NAME),
            Column("exercises", "Exercises in trainings", Unit.COUNT),
        ),
        [(group, int(number)) for group, number in muscles],
        Chart(Draw.BARS, "muscle_group", ("exercises",)),
    )


def trainings_of(clients: Sequence[Clients], planned: Rows) -> Sequence[Trainings]:
    """The trainings of each period, beside its clients."""
    counts = Counts(len(clients))
    for period, _, _, _, trainings, minutes in planned:
        counts.add(period, "trainings", int(trainings))
        counts.add(period, "minutes", int(minutes))
    return [
        Trainings(
            counts.count(period, "trainings"),
            hours(counts.count(period, "minutes") * 60, 1),
            ratio(counts.count(period, "trainings"), of_period.active),
        )
        for period, of_period in enumerate(clients)
    ]


_COLUMN = {"weekday": 1, "training_type": 2, "intensity": 3}


def _by(name: str, title: str, heading: str, planned: Rows, values: Sequence[str]) -> Section:
    counts = Counts(1)
    for row in planned:
        counts.add(0, str(row[_COLUMN[name]]), int(row[4]))
    shown = WEEKDAYS if name == "weekday" else values
    return Section(
        f"by_{name}",
        title,
        (
            Column(name, heading, Unit.TEXT if name == "weekday" else Unit.NAME),
            Column("trainings", "Trainings", Unit.COUNT),
        ),
        [(word, counts.count(0, value)) for word, value in zip(shown, values, strict=True)],
        Chart(Draw.BARS, name, ("trainings",)),
    )
