"""Which trainings there are on which days, and which exercises are in them.

A training's date is a day as it is written, of no time zone; one without a date is in no figure.

Once its day is over, a training took place: that it, its client or an exercise is deleted later,
or an exercise taken out of it, takes nothing away from what was counted. Whether it is over goes by
the day of UTC on which that happened, as figures know no zone: near midnight a club elsewhere may
take something away hours longer, or hours less. What is put right is put right at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from domain import exercises
from domain.aggregate import time_text
from domain.exercises import Exercise
from domain.recorded import Recorded
from domain.trainings import (
    Deleted,
    DetailsChanged,
    ExerciseAdded,
    ExerciseRemoved,
    Planned,
    Training,
)
from projections.engine.model import Fold, ReadModel, Stepped
from projections.engine.table import Add, Key, Operations, Patch, Put, Row, Table
from projections.figures.questions import DAY_PERIOD, WITHIN_DAYS, Cut, Question, within_days

NONE = "NONE"
"""Of trainings without a type or an intensity, and exercises without a muscle group."""

TRAININGS = Table(
    "figures_of_trainings",
    key=("training_id",),
    columns="""
        training_id integer NOT NULL,
        training_type text NOT NULL,
        intensity text NOT NULL,
        minutes integer NOT NULL,
        day date,
        exercise_ids integer[] NOT NULL
    """,
)
DAYS = Table(
    "figures_training_days",
    key=("day", "training_type", "intensity"),
    columns="""
        day date NOT NULL, training_type text NOT NULL, intensity text NOT NULL,
        trainings integer NOT NULL DEFAULT 0, minutes bigint NOT NULL DEFAULT 0
    """,
)
USES = Table(
    "figures_exercise_days",
    key=("day", "exercise_id"),
    columns="""
        day date NOT NULL, exercise_id integer NOT NULL, trainings integer NOT NULL DEFAULT 0
    """,
)
"""In how many trainings of a day an exercise is."""

EXERCISES = Table(
    "figures_exercises",
    key=("exercise_id",),
    columns="exercise_id integer NOT NULL, title text NOT NULL, muscle_group text NOT NULL",
)
"""What each exercise is called, also one that was deleted."""

TABLES = (TRAININGS, DAYS, USES, EXERCISES)

_REMOVALS = (ExerciseRemoved, Deleted)
_COUNTS = (Planned, DetailsChanged, ExerciseAdded, *_REMOVALS)


def which(recorded: Recorded) -> Key | None:
    """The training to which something happened that counts."""
    event = recorded.event
    return (event.number,) if isinstance(event, _COUNTS) else None


def step(row: Row | None, recorded: Recorded) -> Stepped:
    """What the training is after the event, and what that adds to."""
    if row is not None and _took_place(row, recorded) and isinstance(recorded.event, _REMOVALS):
        return Stepped(None if isinstance(recorded.event, Deleted) else row)
    now = _after(row, recorded)
    return Stepped(now, [*_counted(row, now), *_used(row, now)])


def _took_place(row: Row, recorded: Recorded) -> bool:
    """Whether the event comes after the day of the training."""
    day = row["day"]
    return day is not None and day < time_text(recorded.event.timestamp)[:10]


def _after(row: Row | None, recorded: Recorded) -> Row | None:
    event = recorded.event
    match event:
        case Planned():
            return {
                "training_id": event.number,
                "training_type": event.training_type or NONE,
                "intensity": event.intensity or NONE,
                "minutes": event.duration_min,
                "day": event.date,
                "exercise_ids": [],
            }
        case DetailsChanged(changes=changes) if row is not None:
            return {
                **row,
                "training_type": changes.get("training_type", row["training_type"]) or NONE,
                "intensity": changes.get("intensity", row["intensity"]) or NONE,
                "minutes": changes.get("duration_min", row["minutes"]),
                "day": changes.get("date", row["day"]),
            }
        # It may still be there: it was taken out when the day was over.
        case ExerciseAdded(exercise_id=number) if row and number not in row["exercise_ids"]:
            return {**row, "exercise_ids": [*row["exercise_ids"], number]}
        case ExerciseRemoved(exercise_id=number) if row is not None:
            left = [one for one in row["exercise_ids"] if one != number]
            return {**row, "exercise_ids": left}
        case Deleted():
            return None
        case _:
            return row


def _counted(row: Row | None, now: Row | None) -> Iterator[Add]:
    before, after = _place(row), _place(now)
    if before == after:
        return
    for place, sign in ((before, -1), (after, 1)):
        if place is not None:
            key, minutes = place
            yield Add(DAYS, key, {"trainings": sign, "minutes": sign * minutes})


def _place(row: Row | None) -> tuple[Key, int] | None:
    if row is None or row["day"] is None:
        return None
    return (row["day"], row["training_type"], row["intensity"]), row["minutes"]


def _used(row: Row | None, now: Row | None) -> Iterator[Add]:
    uses = _uses(now)
    uses.subtract(_uses(row))
    for key, times in uses.items():
        if times:
            yield Add(USES, key, {"trainings": times})


def _uses(row: Row | None) -> Counter[Key]:
    if row is None or row["day"] is None:
        return Counter()
    return Counter((row["day"], number) for number in row["exercise_ids"])


def name(recorded: Recorded) -> Operations:
    """What an exercise is called after an event."""
    event = recorded.event
    match event:
        case exercises.Added():
            group = event.muscle_group or NONE
            row = {"exercise_id": event.number, "title": event.title, "muscle_group": group}
            yield Put(EXERCISES, row)
        case exercises.Retitled():
            yield Patch(EXERCISES, (event.number,), {"title": event.title})
        case exercises.DetailsChanged(changes=changes) if "muscle_group" in changes:
            group = changes["muscle_group"] or NONE
            yield Patch(EXERCISES, (event.number,), {"muscle_group": group})
        case _:
            return


MODEL = ReadModel(
    "trainings",
    (Training.TOPIC, Exercise.TOPIC),
    TABLES,
    name,
    folds=(Fold(TRAININGS, which, step),),
)


# --- questions ---------------------------------------------------------------------------------

MOST_USED = 20
"""How many exercises are named."""


def planned(cut: Cut) -> Question:
    """The trainings of each period, by weekday (Monday is 1), type and intensity."""
    sql = f"""
    SELECT {DAY_PERIOD}, extract(isodow FROM day)::integer AS weekday, training_type, intensity,
        sum(trainings)::bigint AS trainings, sum(minutes)::bigint AS minutes
    FROM {DAYS.name} WHERE {WITHIN_DAYS} GROUP BY 1, 2, 3, 4 HAVING sum(trainings) <> 0
    """
    columns = ("period", "weekday", "training_type", "intensity", "trainings", "minutes")
    return Question(columns, sql, within_days(cut))


def used(cut: Cut) -> Question:
    """The exercises that are in most trainings of all periods together.

    Of as many, those come first that do by their names, which a chain of clubs knows them by.
    """
    sql = f"""
    SELECT title, muscle_group, trainings FROM (
        SELECT exercise_id, sum(trainings)::bigint AS trainings FROM {USES.name}
        WHERE {WITHIN_DAYS} GROUP BY 1 HAVING sum(trainings) > 0
    ) AS used JOIN {EXERCISES.name} USING (exercise_id)
    ORDER BY trainings DESC, title, muscle_group, exercise_id LIMIT {MOST_USED}
    """
    return Question(("title", "muscle_group", "trainings"), sql, within_days(cut)[1:])


def muscles(cut: Cut) -> Question:
    """How often each muscle group is trained in all periods together."""
    sql = f"""
    SELECT muscle_group, sum(times)::bigint AS exercises FROM (
        SELECT exercise_id, sum(trainings) AS times FROM {USES.name}
        WHERE {WITHIN_DAYS} GROUP BY 1
    ) AS used JOIN {EXERCISES.name} USING (exercise_id)
    GROUP BY 1 HAVING sum(times) > 0 ORDER BY 2 DESC, 1
    """
    return Question(("muscle_group", "exercises"), sql, within_days(cut)[1:])
