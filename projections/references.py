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
    """Those who refer to one of these numbers, as columns `number` and `id`."""
    topics: tuple[str, ...]
    """The events that add another one."""
    field: str
    """The fact of such an event that says to which number."""
    ends: str | None = None
    """The fact that says when it is over by itself; `sql` then asks for a moment, too."""


def seen(reference: Reference) -> str:
    """SQL for all who refer to some numbers, at the position of the read tables.

    And for what the tables do not show yet: the position of the ledger, and the events up to it
    that may have added others, as parallel arrays of aggregates and facts.
    """
    return f"""
    WITH shown AS (SELECT ({POSITION}) AS position), since AS (
        SELECT originator_id, state FROM ledger_events, shown
        WHERE notification_id > shown.position AND topic = ANY(%s)
    ), referring AS (
        {reference.sql}
    )
    SELECT ARRAY(SELECT number FROM referring ORDER BY number, id),
           ARRAY(SELECT id FROM referring ORDER BY number, id),
           (SELECT coalesce(max(notification_id), 0) FROM ledger_events),
           ARRAY(SELECT originator_id FROM since ORDER BY 1),
           ARRAY(SELECT state FROM since ORDER BY originator_id)
    """


HOLDING = (clients.Registered.TOPIC, clients.MembershipChanged.TOPIC)
"""The events that give a membership a holder."""

# The memberships with several holders in the documented tables, the position of the ledger, and
# the facts of the events up to it that gave one a holder since.
SHARED_MEMBERSHIPS = f"""
SELECT ARRAY(SELECT membership_id FROM clients GROUP BY membership_id HAVING count(*) > 1),
       (SELECT coalesce(max(notification_id), 0) FROM ledger_events),
       ARRAY(SELECT state FROM ledger_events
             WHERE notification_id > ({POSITION}) AND topic = ANY(%s))
"""

REFERENCES: Mapping[str, Reference] = {
    "clients on membership": Reference(
        "SELECT membership_id AS number, id FROM clients WHERE membership_id = ANY(%s)",
        HOLDING,
        "membership_id",
    ),
    "sessions of user": Reference(
        "SELECT user_id AS number, id FROM sessions "
        "WHERE user_id = ANY(%s) AND ended_at IS NULL AND ends_at > %s",
        (sessions.Opened.TOPIC,),
        "user_id",
        ends="ends_at",
    ),
    "trainings of client": Reference(
        "SELECT client_id AS number, id FROM trainings WHERE client_id = ANY(%s)",
        (trainings.Planned.TOPIC, trainings.Reassigned.TOPIC),
        "client_id",
    ),
    "trainings with exercise": Reference(
        "SELECT exercise_id AS number, training_id AS id FROM trainings_exercises "
        "WHERE exercise_id = ANY(%s)",
        (trainings.ExerciseAdded.TOPIC,),
        "exercise_id",
    ),
    "plans with training": Reference(
        "SELECT training_id AS number, training_plan_id AS id FROM training_plan_trainings "
        "WHERE training_id = ANY(%s)",
        (training_plans.TrainingAdded.TOPIC,),
        "training_id",
    ),
    "plans of client": Reference(
        "SELECT client_id AS number, training_plan_id AS id FROM clients_training_plan "
        "WHERE client_id = ANY(%s)",
        (training_plans.PinnedToClient.TOPIC,),
        "client_id",
    ),
}
