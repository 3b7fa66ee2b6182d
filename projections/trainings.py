"""The tables of trainings and of the exercises in them."""

from __future__ import annotations

from domain.recorded import Recorded
from domain.trainings import (
    Deleted,
    DetailsChanged,
    ExerciseAdded,
    ExerciseChanged,
    ExerciseRemoved,
    Planned,
    Reassigned,
)
from projections.engine.lists import AT_LEAST, AT_MOST, CONTAINS, SAME_TEXT, Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Remove, Table, deferred

TRAININGS = Table(
    "trainings",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('trainings_id_seq'),
        client_id integer NOT NULL,
        training_type training_type,
        title varchar(200) NOT NULL,
        intensity intensity,
        duration_min integer DEFAULT 45,
        date date DEFAULT NULL,
        description text DEFAULT NULL
    """,
    constraints=(deferred("FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE"),),
    indexes=("(client_id, id)",),
)

TRAININGS_EXERCISES = Table(
    "trainings_exercises",
    key=("training_id", "exercise_id"),
    columns="""
        training_id integer NOT NULL,
        exercise_id integer NOT NULL,
        order_in_training integer NOT NULL,
        sets integer DEFAULT 3,
        reps integer DEFAULT 10,
        rest_time_sec integer DEFAULT 60,
        extra_weight numeric(5, 2) DEFAULT NULL
    """,
    constraints=(
        deferred("FOREIGN KEY (training_id) REFERENCES trainings (id) ON DELETE CASCADE"),
        deferred("FOREIGN KEY (exercise_id) REFERENCES exercises (id) ON DELETE CASCADE"),
    ),
    indexes=("(exercise_id)",),
)
TABLES = (TRAININGS, TRAININGS_EXERCISES)


def project(recorded: Recorded) -> Operations:
    """What an event of a training means for the tables."""
    event = recorded.event
    key = (event.number,)
    match event:
        case Planned():
            row = {
                "id": event.number,
                "client_id": event.client_id,
                "training_type": event.training_type,
                "title": event.title,
                "intensity": event.intensity,
                "duration_min": event.duration_min,
                "date": event.date,
                "description": event.description,
            }
            yield Put(TRAININGS, row)
        case DetailsChanged(changes=changes):
            yield Patch(TRAININGS, key, changes)
        case Reassigned(client_id=client_id):
            yield Patch(TRAININGS, key, {"client_id": client_id})
        case ExerciseAdded():
            row = {
                "training_id": event.number,
                "exercise_id": event.exercise_id,
                "order_in_training": event.order_in_training,
                "sets": event.sets,
                "reps": event.reps,
                "rest_time_sec": event.rest_time_sec,
                "extra_weight": event.extra_weight,
            }
            yield Put(TRAININGS_EXERCISES, row)
        case ExerciseChanged(exercise_id=exercise_id, changes=changes):
            yield Patch(TRAININGS_EXERCISES, (event.number, exercise_id), changes)
        case ExerciseRemoved(exercise_id=exercise_id):
            yield Remove(TRAININGS_EXERCISES, (event.number, exercise_id))
        case Deleted():
            yield Remove(TRAININGS, key)
        case _:
            return


MODEL = ReadModel("trainings", ("training",), TABLES, project)


_TRAINING = """
    t.id, t.client_id, t.training_type, t.title, t.intensity, t.duration_min, t.date, t.description
"""
_WITH_CLIENT = "trainings AS t JOIN clients AS c ON c.id = t.client_id"

LISTING = Listing(
    kind="training",
    table=_WITH_CLIENT,
    answer=_TRAINING,
    owner="c.user_id",
    columns={
        "id": "t.id",
        "client_id": "t.client_id",
        "training_type": "t.training_type",
        "title": "t.title",
        "title_contains": "t.title",
        "intensity": "t.intensity",
        "duration_min": "t.duration_min",
        "date": "t.date",
        "from_date": "t.date",
        "to_date": "t.date",
    },
    comparisons={
        "title": SAME_TEXT,
        "title_contains": CONTAINS,
        "from_date": AT_LEAST,
        "to_date": AT_MOST,
    },
)

WITH_EXERCISE_IDS = Listing(
    kind="training",
    table=_WITH_CLIENT,
    answer=f"""{_TRAINING}, ARRAY(
        SELECT te.exercise_id FROM trainings_exercises AS te WHERE te.training_id = t.id
        ORDER BY te.order_in_training, te.exercise_id) AS exercise_ids""",
    owner="c.user_id",
    columns={"id": "t.id"},
)

EXERCISES_LISTING = Listing(
    kind="training",
    table=f"trainings_exercises AS te JOIN ({_WITH_CLIENT}) ON t.id = te.training_id",
    answer="""
        te.training_id, te.exercise_id, te.order_in_training, te.sets, te.reps, te.rest_time_sec,
        te.extra_weight::text AS extra_weight
    """,
    owner="c.user_id",
    key=("te.training_id", "te.exercise_id"),
    columns={
        "training_id": "te.training_id",
        "exercise_id": "te.exercise_id",
        "order_in_training": "te.order_in_training",
        "sets": "te.sets",
        "reps": "te.reps",
    },
)

EXERCISES_IN_FULL = Listing(
    kind="training",
    table=f"{EXERCISES_LISTING.table} JOIN exercises AS e ON e.id = te.exercise_id",
    answer=f"""{EXERCISES_LISTING.answer},
        e.title, e.description, e.muscle_group, e.equipment_required, e.complexity_lvl
    """,
    owner=EXERCISES_LISTING.owner,
    key=EXERCISES_LISTING.key,
    columns={**EXERCISES_LISTING.columns, "muscle_group": "e.muscle_group"},
)

# The trainings that hold an exercise, at most two: those of one user, or everybody's (NULL).
HOLDING_EXERCISE = """
SELECT te.training_id FROM trainings_exercises AS te
JOIN trainings AS t ON t.id = te.training_id JOIN clients AS c ON c.id = t.client_id
WHERE te.exercise_id = %s AND c.user_id = coalesce(%s::integer, c.user_id) LIMIT 2
"""
