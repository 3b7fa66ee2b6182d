"""Filling a ledger quickly: real aggregates and their events, appended many to a transaction."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice

from application.clients import client_of, holder_of
from application.ports.ledger import Recording, Submission
from domain.admissions import Admission
from domain.aggregate import Aggregate, Facts, time_text
from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.payments import Payment
from domain.reports import Report
from domain.reservations import Reservation
from domain.trainings import Training
from domain.users import User
from domain.values import ClientStatus, PaymentStatus, Role
from infra.ledger.ledger import PostgresLedger
from infra.ledger.postgres import Postgres
from infra.ledger.schema import advance_ledger

TOGETHER = 500
"""Aggregates in one transaction."""

DOING: Facts = {
    "order_in_training": 1,
    "sets": 3,
    "reps": 10,
    "rest_time_sec": 60,
    "extra_weight": "12.50",
}
CLIENT: dict[str, str | int | bool | None] = {
    "first_name": "Maria",
    "last_name": "Fernández",
    "phone_number": "+34 600 000000",
    "gender": "FEMALE",
    "date_of_birth": "1990-04-17",
    "weight_kg": "61.50",
    "height_sm": "170.25",
    "status": "ACTIVE",
}


@asynccontextmanager
async def open_ledger(url: str) -> AsyncIterator[PostgresLedger]:
    """The ledger in the database at `url`, made if it is not there."""
    postgres = Postgres(url)
    async with await postgres.connect(autocommit=True) as connection:
        await advance_ledger(connection)
    async with postgres.open(), asyncio.TaskGroup() as tasks:
        ledger = PostgresLedger(postgres, lambda _head, _commands: None)
        tasks.create_task(ledger.run())
        yield ledger
        ledger.close()


async def append(ledger: PostgresLedger, aggregates: Iterator[Aggregate]) -> int:
    """Append the pending events of all these; returns how many there were."""
    events = 0
    while together := list(islice(aggregates, TOGETHER)):
        recordings = [
            Recording(event, "seed", "seed")  # type: ignore[arg-type]
            for aggregate in together
            for event in aggregate.collect_events()
        ]
        await ledger.append(Submission(uuid.uuid4().hex, "club", "seed", recordings, expected={}))
        events += len(recordings)
    return events


async def numbers(ledger: PostgresLedger, kind: type[Aggregate], many: int) -> Sequence[int]:
    """So many new numbers of a kind, from its sequence."""
    return [await ledger.next_id(kind.TOPIC) for _ in range(many)]


def user(number: int, at: datetime) -> User:
    """A user who cannot sign in."""
    return User.register(
        number,
        username=f"member{number}",
        email=f"member{number}@example.com",
        password_hash="unusable",
        role=Role.USER,
        at=at,
    )


def membership(number: int, at: datetime) -> Membership:
    """A membership that nobody holds yet."""
    facts = {"access_level": "STANDARD", "description": f"membership {number}", "price": "49.90"}
    return Membership.add(number, facts, at)


async def seed(url: str, users: int, memberships: int) -> tuple[range, range]:
    """Append so many users and memberships; returns their numbers, which are consecutive."""
    at = datetime.now(UTC)
    async with open_ledger(url) as ledger:
        user_ids = await numbers(ledger, User, users)
        membership_ids = await numbers(ledger, Membership, memberships)
        await append(ledger, (user(number, at) for number in user_ids))
        await append(ledger, (membership(number, at) for number in membership_ids))
    return range(user_ids[0], user_ids[-1] + 1), range(membership_ids[0], membership_ids[-1] + 1)


EVENTS_A_MEMBER = 18
"""What `member` below makes."""


async def fill(url: str, events: int, years: int = 0, first: int = 1, exercises: int = 50) -> int:
    """Append about so many events of a club's life of so many years; returns how many there are.

    The members are numbered from `first` on.
    """
    at = datetime.now(UTC) - timedelta(days=365 * years)
    async with open_ledger(url) as ledger:
        added = [
            Exercise.add(await ledger.next_id("exercise"), _exercise(n), at)
            for n in range(exercises)
        ]
        done = await append(ledger, iter(added))
        members = range(first, first + (events - done) // EVENTS_A_MEMBER)
        known = [exercise.number for exercise in added]
        step = timedelta(days=365 * years) / max(1, len(members))
        return done + await append(
            ledger,
            (
                part
                for number in members
                for part in member(number, known, at + (number - first) * step)
            ),
        )


async def report_on(url: str, reports: int) -> int:
    """Draw up so many reports of different days, each of which shows every user there is."""
    now = datetime.now(UTC)
    days = [(now - timedelta(days=day)).date().isoformat() for day in range(1, reports + 1)]
    until = (now + timedelta(days=1)).date().isoformat()
    async with open_ledger(url) as ledger:
        drawn = [
            Report.draw_up(await ledger.next_id("report"), day, until, "UTC", now) for day in days
        ]
        return await append(ledger, iter(drawn))


def _exercise(number: int) -> dict[str, str | bool | None]:
    return {
        "title": f"Exercise {number}",
        "description": "Up, and down again.",
        "muscle_group": "CORE",
        "equipment_required": False,
        "complexity_lvl": "BEGINNER",
    }


def training_of(client_id: int, number: int, at: datetime) -> Training:
    """A training of the client, without exercises yet."""
    facts: Facts = {
        "client_id": client_id,
        "training_type": "STRENGTH",
        "title": f"Strength, part {number}",
        "intensity": "MEDIUM",
        "duration_min": 45,
        "date": at.date().isoformat(),
        "description": None,
    }
    return Training.plan(number, facts, at)


def member(number: int, exercises: Sequence[int], at: datetime) -> Iterator[Aggregate]:
    """Somebody who joins, pays, trains, pauses and comes back; all under the same number."""
    yield user(number, at)
    yield membership(number, at)
    client = Client.register(number, CLIENT | {"user_id": number, "membership_id": number}, at)
    yield Reservation.make(client_of(number), client.id, at)
    yield Reservation.make(holder_of(number), client.id, at)
    payment = Payment.request(number, number, number, at, at, amount="49.90")
    payment.step(PaymentStatus.PAID, at, at)
    yield payment
    client.admit(Admission(number, time_text(at), 30), at)
    client.change_details({"weight_kg": "60.00", "phone_number": "+34 600 111111"}, at)
    client.change_status(ClientStatus.ON_HOLD, at)
    client.change_status(ClientStatus.ACTIVE, at)
    yield client
    training = training_of(number, number, at)
    for exercise in (number, number + 7):
        training.add_exercise(exercises[exercise % len(exercises)], DOING, at)
    training.change({"intensity": "HIGH"}, at)
    training.change_exercise(training.exercise_ids[0], {"reps": 12}, at)
    training.remove_exercise(training.exercise_ids[1], at)
    yield training
