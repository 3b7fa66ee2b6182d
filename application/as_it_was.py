"""How single things were at a position of the ledger, in the form in which they are shown today."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

import orjson

from application.absent import missing
from application.catalogue import ROWS
from application.clients import client_of
from application.history import Past
from application.ports.queries import Queries, View
from domain.aggregate import Aggregate
from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.payments import Payment
from domain.reports import Report
from domain.reservations import Reservation
from domain.rules import ClubRules
from domain.subscriptions import Subscription
from domain.training_plans import TrainingPlan
from domain.trainings import ExerciseNotInTraining, Training
from domain.users import User

A = TypeVar("A", bound=Aggregate)


class Was(NamedTuple):
    """A thing as it was: its version then, and what was shown of it."""

    version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Then:
    """The club at a position."""

    past: Past
    reads: Queries
    position: int

    async def row(self, name: str, *key: int) -> Was:
        """What an entry of the catalogue was answered with then; raises NotFound."""
        aggregate, row = await ROWS_THEN[name](self, *key)
        body = row if isinstance(row, bytes) else orjson.dumps(row)
        return Was(aggregate.version, body)

    async def get(self, kind: type[A], number: int) -> A:
        """What a thing was then; raises NotFound."""
        aggregate = await self.past.was(kind.stream(number), self.position)
        if aggregate is None:
            raise missing(kind, number)
        return cast("A", aggregate)


Row = dict[str, Any] | bytes
Found = tuple[Aggregate, Row]


def _of(kind: type[A], shown: Callable[[A], Row]) -> Callable[..., Awaitable[Found]]:
    """What is shown of one thing, and of nothing beside it."""

    async def row(then: Then, number: int) -> Found:
        aggregate = await then.get(kind, number)
        return aggregate, shown(aggregate)

    return row


async def _me(then: Then, number: int) -> Found:
    """The user, with the client that they were: who holds the reservation of it."""
    user = await then.get(User, number)
    held = await then.past.was(Reservation.stream(client_of(number)), then.position)
    holder = None if held is None else cast("Reservation", held).holder
    client_id = None if holder is None else int(holder.rpartition("-")[2])
    return user, {**user.row(), "client_id": client_id}


async def _user_of_client(then: Then, number: int) -> Found:
    """The user that the client was then, also one who had been deleted."""
    client = await then.get(Client, number)
    user = await then.past.ever(User.stream(client.user_id), then.position)
    if user is None:
        raise missing(User, client.user_id)
    return user, user.row()


async def _membership_of_client(then: Then, number: int) -> Found:
    """The membership that the client held then, at the price that it had."""
    client = await then.get(Client, number)
    membership = await then.get(Membership, client.membership_id)
    return membership, membership.row()


async def _exercise_of_training(then: Then, training_id: int, exercise_id: int) -> Found:
    training = await then.get(Training, training_id)
    try:
        return training, training.exercise_row(exercise_id)
    except ExerciseNotInTraining:
        raise missing(Training, exercise_id) from None


async def _report(then: Then, number: int) -> Found:
    """What is in a report is what was when it was drawn up: once there, it is what it is today."""
    report = await then.get(Report, number)
    row = await then.reads.one(View.REPORTS, number)
    if row is None:
        raise missing(Report, number)
    return report, row.body


async def _subscription(then: Then, number: int) -> Found:
    """What the user wanted sent then, and what had become of it by then."""
    user = await then.get(User, number)
    known = await then.past.was(Subscription.stream(number), then.position)
    if known is None:
        return user, {"daily": False, "deliveries": []}
    subscription = cast("Subscription", known)
    deliveries = [step.row() for step in subscription.steps]
    return user, {"daily": subscription.daily, "deliveries": deliveries}


ROWS_THEN: Mapping[str, Callable[..., Awaitable[Found]]] = {
    "read-user": _of(User, User.row),
    "read-me": _me,
    "read-membership": _of(Membership, Membership.row),
    "read-client": _of(Client, Client.row),
    "read-admission": _of(Client, Client.admission),
    "read-user-of-client": _user_of_client,
    "read-membership-of-client": _membership_of_client,
    "read-exercise": _of(Exercise, Exercise.row),
    "read-training": _of(Training, Training.row),
    "read-training-with-exercises": _of(
        Training, lambda training: {**training.row(), "exercise_ids": training.exercise_ids}
    ),
    "read-training-exercise": _exercise_of_training,
    "read-training-plan": _of(TrainingPlan, TrainingPlan.row),
    "read-payment": _of(Payment, Payment.row),
    "read-report": _report,
    "read-subscriptions": _subscription,
    "read-rules": _of(ClubRules, ClubRules.row),
}
"""How each row of the catalogue is found as it was."""


async def row_then(
    past: Past, reads: Queries, as_of: int | datetime, name: str, *key: int, since: int = 0
) -> Was:
    """What an entry of the catalogue was answered with at a position, or a moment.

    Before `since` it was somebody else's, and is not found.
    """
    then = Then(past, reads, await past.position(as_of))
    if then.position < since:
        raise missing(ROWS[name].kind, key[-1])
    return await then.row(name, *key)


class Belonging(NamedTuple):
    """The user to whom a thing belongs, or did when it went, and since which position it does."""

    owner: int
    since: int


HELD_BY: Mapping[type[Aggregate], tuple[str, type[Aggregate]]] = {
    Client: ("user_id", User),
    TrainingPlan: ("user_id", User),
    Training: ("client_id", Client),
    Payment: ("client_id", Client),
}
"""The fact of a thing that says whose it is, and what that is the number of."""


NUMBERED_BY_USER = (User, Subscription)
"""What has the number of the user to whom it belongs."""


async def belonging(past: Past, kind: type[Aggregate], number: int) -> Belonging | None:
    """Whose a thing is, and since when; None for what is nobody's.

    What somebody got from another is theirs from then on: what was before is not theirs to know.
    """
    since = 0
    while kind in HELD_BY:
        fact, holder = HELD_BY[kind]
        held = await past.holds_since(kind.stream(number), fact)
        if held is None:
            return None
        kind, number, since = holder, held.fact, max(since, held.position)
    return Belonging(number, since) if kind in NUMBERED_BY_USER else None
