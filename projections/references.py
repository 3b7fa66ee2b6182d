"""Who refers to what, for decisions that depend on everybody who does.

Each reference says how to find them in the read tables, and which events would add another one:
the ledger refuses a decision when such an event came after what the tables showed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from domain import clients, sessions, training_plans, trainings
from projections.engine.schema import POSITION


class Reference(NamedTuple):
    """A way to refer to a number."""

    sql: str
    """The numbers of those who refer to `%(number)s`, as a column `id`."""
    topics: tuple[str, ...]
    field: str


def seen(reference: Reference) -> str:
    """SQL for the position of the read tables and all who refer to the number at it.

    And for what the tables do not show yet: the position of the ledger, and the events up to it
    that may have added others, as parallel arrays of aggregates and facts.
    """
    return f"""
    WITH shown AS (SELECT ({POSITION}) AS position), since AS (
        SELECT originator_id, state FROM ledger_events, shown
        WHERE notification_id > shown.position AND topic = ANY(%s)
    )
    SELECT ARRAY(SELECT id FROM ({reference.sql}) AS referring ORDER BY id),
           (SELECT coalesce(max(notification_id), 0) FROM ledger_events),
           ARRAY(SELECT originator_id FROM since ORDER BY 1),
           ARRAY(SELECT state FROM since ORDER BY originator_id)
    """


HOLDING = (clients.Registered.TOPIC, clients.MembershipChanged.TOPIC)
"""The events that give a membership a holder."""

# The position of the documented tables, and the memberships with several holders at it.
SHARED_MEMBERSHIPS = f"""
SELECT ({POSITION}), ARRAY(
    SELECT membership_id FROM clients GROUP BY membership_id HAVING count(*) > 1 ORDER BY 1)
"""

REFERENCES: Mapping[str, Reference] = {
    "clients on membership": Reference(
        "SELECT id FROM clients WHERE membership_id = %s",
        HOLDING,
        "membership_id",
    ),
    "sessions of user": Reference(
        "SELECT id FROM sessions WHERE user_id = %s AND ended_at IS NULL",
        (sessions.Opened.TOPIC,),
        "user_id",
    ),
    "trainings of client": Reference(
        "SELECT id FROM trainings WHERE client_id = %s",
        (trainings.Planned.TOPIC, trainings.Reassigned.TOPIC),
        "client_id",
    ),
    "trainings with exercise": Reference(
        "SELECT training_id AS id FROM trainings_exercises WHERE exercise_id = %s",
        (trainings.ExerciseAdded.TOPIC,),
        "exercise_id",
    ),
    "plans with training": Reference(
        "SELECT training_plan_id AS id FROM training_plan_trainings WHERE training_id = %s",
        (training_plans.TrainingAdded.TOPIC,),
        "training_id",
    ),
    "plans of client": Reference(
        "SELECT training_plan_id AS id FROM clients_training_plan WHERE client_id = %s",
        (training_plans.PinnedToClient.TOPIC,),
        "client_id",
    ),
}
