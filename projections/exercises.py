"""The table of exercises."""

from __future__ import annotations

from domain.exercises import Added, Deleted, DetailsChanged, Retitled
from domain.recorded import Recorded
from projections.engine.lists import CONTAINS, SAME_TEXT, Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Remove, Table, deferred

EXERCISES = Table(
    "exercises",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('exercises_id_seq'),
        title varchar(50) NOT NULL,
        description text DEFAULT NULL,
        muscle_group muscle_group DEFAULT NULL,
        equipment_required boolean DEFAULT FALSE,
        complexity_lvl complexity_lvl DEFAULT 'BEGINNER'
    """,
    constraints=(deferred("UNIQUE (title)"),),
)
TABLES = (EXERCISES,)


def project(recorded: Recorded) -> Operations:
    """What an event of an exercise means for the table."""
    event = recorded.event
    key = (event.number,)
    match event:
        case Added():
            row = {
                "id": event.number,
                "title": event.title,
                "description": event.description,
                "muscle_group": event.muscle_group,
                "equipment_required": event.equipment_required,
                "complexity_lvl": event.complexity_lvl,
            }
            yield Put(EXERCISES, row)
        case Retitled(title=title):
            yield Patch(EXERCISES, key, {"title": title})
        case DetailsChanged(changes=changes):
            yield Patch(EXERCISES, key, changes)
        case Deleted():
            yield Remove(EXERCISES, key)
        case _:
            return


MODEL = ReadModel("exercises", ("exercise",), TABLES, project)


LISTING = Listing(
    kind="exercise",
    table="exercises AS e",
    answer="e.id, e.title, e.description, e.muscle_group, e.equipment_required, e.complexity_lvl",
    columns={
        "id": "e.id",
        "title": "e.title",
        "title_contains": "e.title",
        "muscle_group": "e.muscle_group",
        "equipment_required": "e.equipment_required",
        "complexity_lvl": "e.complexity_lvl",
    },
    comparisons={"title": SAME_TEXT, "title_contains": CONTAINS},
)
