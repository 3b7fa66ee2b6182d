"""The tables of figures of all clubs of a chain, as the questions to those of one club find them.

Each question is asked as it is: the tables that it names are those of a chain, without the club in
front of each row. What it sums up is then the sum of the clubs.
"""

from __future__ import annotations

from projections.engine.model import Group
from projections.figures.trainings import EXERCISES, USES

CLUBS = "ARRAY(SELECT number FROM told)"
"""The numbers of the clubs that are asked about; `told` is for whoever asks to say."""


def shadows(group: Group) -> str:
    """The tables of a group, each as an entry of a WITH that names what there is of these clubs.

    Each club numbers its own exercises: here it is their title and muscle group that tell them
    apart, so that what several clubs do under one name is one.
    """
    schema = f"{group.name}_{group.generation}"
    plain = [
        f"{table.name} AS NOT MATERIALIZED ("
        f"SELECT * FROM {schema}.{table.name} WHERE club = ANY({CLUBS}))"
        for table in group.tables
        if table not in {EXERCISES, USES}
    ]
    exercises = f"""
    named AS MATERIALIZED (
        SELECT club, exercise_id, title, muscle_group,
            dense_rank() OVER (ORDER BY title, muscle_group) AS number
        FROM {schema}.{EXERCISES.name} WHERE club = ANY({CLUBS})),
    {EXERCISES.name} AS NOT MATERIALIZED (
        SELECT DISTINCT number AS exercise_id, title, muscle_group FROM named),
    {USES.name} AS NOT MATERIALIZED (
        SELECT used.day, named.number AS exercise_id, used.trainings
        FROM {schema}.{USES.name} AS used JOIN named USING (club, exercise_id)
        WHERE club = ANY({CLUBS}))
    """
    return ", ".join([*plain, exercises])
