"""Histories of a club, as its commands would write them, and what its tables then show.

Every action is played on real aggregates and obeys the club's rules; one that makes no sense at
its moment does nothing. So a list of actions, however it was drawn, is a legal history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any, TypeVar, cast

import psycopg

from application.ports.queries import PageRequest
from domain.admissions import Admission
from domain.aggregate import Aggregate, Event, Facts, text_time, time_text
from domain.clients import Client, TimeIsOver
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.money import AT_THE_CLUB, Source
from domain.page_links import PageLink
from domain.payments import ACCOUNTED, STEPS, Payment, PaymentSettled, RefundKnown
from domain.recorded import Recorded
from domain.reports import DrawnUp, Report
from domain.rules import ClubRules
from domain.sessions import Ended, Ending, Session
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User
from domain.values import ClientStatus, PaymentStatus, PlanStatus, Role
from infra.ledger.mapper import to_stored
from infra.ledger.schema import SEQUENCES
from projections import (
    clients,
    exercises,
    memberships,
    payments,
    rules,
    sessions,
    training_plans,
    trainings,
    users,
)
from projections.catalogue import DOCUMENTED
from projections.engine.lists import Listing, page

A = TypeVar("A", bound=Aggregate)
Choice = tuple[str, int, int]
"""An action, and two numbers that say to what it is done."""

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
START_TEXT = time_text(START)
LONG = timedelta(days=36_500)
"""How long sessions last here: their list shows those that go on now."""
DOING: Facts = {
    "order_in_training": 1,
    "sets": 3,
    "reps": 10,
    "rest_time_sec": 60,
    "extra_weight": None,
}


class History:
    """What happened in a club."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reported: dict[int, list[dict[str, Any]]] = {}
        """Whom each report has to show: the users as they were at its event."""
        self.signed_in: dict[int, dict[str, Any]] = {}
        """What the list of sessions has to show: those that go on."""
        self._all: dict[type[Aggregate], dict[int, Aggregate]] = {}
        self._at = START

    @classmethod
    def of(cls, choices: Iterable[Choice], step: timedelta = timedelta(minutes=1)) -> History:
        """A club that starts with a little of everything, and what was done to it, step by step."""
        history = cls()
        for action, number in OPENING:
            ACTIONS[action](history, number, number)
        for action, one, other in choices:
            history._at += step
            ACTIONS[action](history, one, other)
        return history

    # --- who is there ----------------------------------------------------------------------

    def everything(self) -> list[Aggregate]:
        return [aggregate for kind in self._all.values() for aggregate in kind.values()]

    def living(self, kind: type[A]) -> list[A]:
        found = self._all.get(kind, {}).values()
        return [cast("A", aggregate) for aggregate in found if not aggregate.deleted]

    def one(self, kind: type[A], number: int) -> A | None:
        found = self.living(kind)
        return found[number % len(found)] if found else None

    def _next(self, kind: type[Aggregate]) -> int:
        return len(self._all.setdefault(kind, {})) + 1

    def _new(self, aggregate: Aggregate) -> None:
        self._all.setdefault(type(aggregate), {})[aggregate.number] = aggregate
        self._record(aggregate)

    def _record(self, *aggregates: Aggregate) -> None:
        for aggregate in aggregates:
            self.events += cast("Sequence[Event]", aggregate.collect_events())

    # --- users -----------------------------------------------------------------------------

    def register_user(self, one: int, other: int) -> None:
        number = self._next(User)
        self._new(
            User.register(
                number,
                username=f"user{number}",
                email=f"user{number}@example.com",
                password_hash=f"hash {one}",
                role=[*Role][other % len(Role)],
                at=self._at,
            )
        )

    def take_in_user(self, one: int, other: int) -> None:
        """At the front desk: without a password, but now and then with one chosen at once."""
        number, seal = self._next(User), f"seal {one}"
        user = User.register(
            number,
            username=f"walker{number}",
            email=f"walker{number}@example.com",
            password_hash="",
            role=Role.USER,
            at=self._at,
        )
        user.issue_first_code(seal, self._at + LONG, self._at)
        if other % 2:
            user.choose_first_password(seal, f"hash {other}", self._at)
        self._new(user)

    def change_user(self, one: int, other: int) -> None:
        user = self.one(User, one)
        if user is None:
            return
        name = f"user{user.number}-{len(self.events)}"
        user.rename(name, self._at)
        user.change_email(f"{name}@example.com", self._at)
        user.change_password(f"hash {other}", self._at)
        user.rehash_password(f"another hash {other}", self._at)
        user.change_role([*Role][other % len(Role)], _address(one), self._at)
        self._record(user)
        self._end_sessions_of(user, Ending.PASSWORD_CHANGED)

    def swap_usernames(self, one: int, other: int) -> None:
        first, second = self.one(User, one), self.one(User, other)
        if first is None or second is None or first is second:
            return
        name, its = first.username, second.username
        for user, username in ((first, "in between"), (second, name), (first, its)):
            user.rename(username, self._at)
            self._record(user)

    def delete_user(self, one: int, _: int) -> None:
        user = self.one(User, one)
        if user is None:
            return
        user.delete(self._at)
        self._record(user)
        for client in self.living(Client):
            if client.user_id == user.number:
                client.change_status(ClientStatus.INACTIVE, self._at)
                self._record(client)
        self._end_sessions_of(user, Ending.USER_DELETED)

    # --- links -----------------------------------------------------------------------------

    def make_page_link(self, one: int, _: int) -> None:
        user = self.one(User, one)
        if user is None:
            return
        number, until = self._next(PageLink), self._at + LONG
        self._new(
            PageLink.make(number, user_id=user.number, page="overview", until=until, at=self._at)
        )

    def end_page_link(self, one: int, _: int) -> None:
        link = self.one(PageLink, one)
        if link is not None:
            link.revoke(self._at)
            self._record(link)

    # --- sessions --------------------------------------------------------------------------

    def sign_in(self, one: int, other: int) -> None:
        user = self.one(User, one)
        if user is None:
            return
        number, origin = self._next(Session), _address(other)
        user.sign_in(number, user.telegram_id or (other or None), origin, self._at)
        self._record(user)
        agent, ends_at = f"Program/{other} (Ünï)", self._at + LONG
        self._new(
            Session.open(
                number,
                user_id=user.number,
                ends_at=ends_at,
                origin=origin,
                agent=agent,
                at=self._at,
            )
        )
        self.signed_in[number] = {
            "id": number,
            "opened_at": time_text(self._at),
            "last_used_at": time_text(self._at),
            "ends_at": time_text(ends_at),
            "origin": origin,
            "agent": agent,
        }

    def _live(self, number: int) -> Session | None:
        live = [session for session in self.living(Session) if session.live(self._at)]
        return live[number % len(live)] if live else None

    def refresh_session(self, one: int, other: int) -> None:
        """With the newest token; now and then with an older one."""
        session = self._live(one)
        if session is None:
            return
        origin = _address(other)
        if session.refresh(session.generation - (other % 8 == 7), origin, self._at):
            used = {"last_used_at": time_text(self._at), "origin": origin}
            self.signed_in[session.number] |= used
        else:
            del self.signed_in[session.number]
        self._record(session)

    def end_session(self, one: int, other: int) -> None:
        session = self._live(one)
        if session is not None:
            session.end(Ending.LOGGED_OUT, _address(other), self._at)
            self._record(session)
            del self.signed_in[session.number]

    def unbind_telegram(self, one: int, other: int) -> None:
        user = self.one(User, one)
        if user is not None and user.telegram_id is not None:
            user.unbind_telegram(_address(other), self._at)
            self._record(user)
            self._end_sessions_of(user, Ending.TELEGRAM_UNBOUND)

    def _end_sessions_of(self, user: User, why: Ending) -> None:
        for session in self.living(Session):
            if session.user_id == user.number and session.live(self._at):
                session.end(why, "192.0.2.7", self._at)
                self._record(session)
                del self.signed_in[session.number]

    # --- memberships and clients -----------------------------------------------------------

    def add_membership(self, one: int, other: int) -> None:
        level = "VIP" if other % 2 else None
        facts = {"access_level": level, "description": None, "price": f"{one}.90"}
        self._new(Membership.add(self._next(Membership), facts, self._at))

    def change_membership(self, one: int, other: int) -> None:
        membership = self.one(Membership, one)
        if membership is not None:
            membership.change({"price": f"{other}.50", "description": f"{other}"}, self._at)
            self._record(membership)

    def delete_membership(self, one: int, _: int) -> None:
        held = {client.membership_id for client in self.living(Client)}
        free = [m for m in self.living(Membership) if m.number not in held]
        if free:
            membership = free[one % len(free)]
            membership.delete(self._at)
            self._record(membership)

    def _free_user(self, number: int) -> int | None:
        taken = {client.user_id for client in self.living(Client)}
        free = [user.number for user in self.living(User) if user.number not in taken]
        return free[number % len(free)] if free else None

    def _free_membership(self, number: int) -> int | None:
        held = {client.membership_id for client in self.living(Client)}
        free = [m.number for m in self.living(Membership) if m.number not in held]
        return free[number % len(free)] if free else None

    def register_client(self, one: int, other: int) -> None:
        user_id, membership_id = self._free_user(one), self._free_membership(other)
        if user_id is None or membership_id is None:
            return
        facts: Facts = {
            "user_id": user_id,
            "membership_id": membership_id,
            "first_name": f"Name {one}",
            "last_name": 'O\'Brien "Bob" \\ Ünïcode',
            "phone_number": "+34 600 000000",
            "gender": None if one % 2 else "OTHER",
            "date_of_birth": "1990-04-17",
            "weight_kg": f"{60 + other}.50",
            "height_sm": None,
            "status": "ACTIVE",
        }
        patience = timedelta(hours=24) if other % 3 == 0 else None
        self._new(Client.register(self._next(Client), facts, self._at, patience=patience))

    def change_client(self, one: int, other: int) -> None:
        client = self.one(Client, one)
        if client is not None:
            client.change_details({"first_name": f"Name {other}", "weight_kg": None}, self._at)
            with suppress(TimeIsOver):
                client.change_status([*ClientStatus][other % len(ClientStatus)], self._at)
            self._record(client)

    def grant_days(self, one: int, other: int) -> None:
        client = self.one(Client, one)
        if client is not None:
            client.grant(other % 366 + 1, f"Reason {other}", self._at)
            self._record(client)

    def transfer_client(self, one: int, other: int) -> None:
        client, user_id = self.one(Client, one), self._free_user(other)
        if client is not None and user_id is not None:
            client.transfer(user_id, self._at)
            self._record(client)

    def move_client(self, one: int, other: int) -> None:
        client, membership_id = self.one(Client, one), self._free_membership(other)
        if client is not None and membership_id is not None:
            client.change_membership(membership_id, self._at)
            self._record(client)

    def swap_memberships(self, one: int, other: int) -> None:
        first, second = self.one(Client, one), self.one(Client, other)
        between = self._free_membership(one)
        if first is None or second is None or first is second or between is None:
            return
        held, its = first.membership_id, second.membership_id
        for client, membership_id in ((first, between), (second, held), (first, its)):
            client.change_membership(membership_id, self._at)
            self._record(client)

    def delete_client(self, one: int, _: int) -> None:
        client = self.one(Client, one)
        if client is None:
            return
        client.delete(self._at)
        self._record(client)
        for training in self.living(Training):
            if training.client_id == client.number:
                self._delete(training)
        for plan in self.living(TrainingPlan):
            if client.number in plan.pinned:
                plan.unpin_from(client.number, self._at)
                self._record(plan)

    # --- exercises and trainings -----------------------------------------------------------

    def add_exercise(self, one: int, other: int) -> None:
        number = self._next(Exercise)
        facts: Facts = {
            "title": f"Exercise {number}",
            "description": None,
            "muscle_group": "CORE" if one % 2 else None,
            "equipment_required": bool(other % 2),
            "complexity_lvl": "MASTER",
        }
        self._new(Exercise.add(number, facts, self._at))

    def change_exercise(self, one: int, other: int) -> None:
        exercise = self.one(Exercise, one)
        if exercise is not None:
            exercise.change(
                {"title": f"Exercise {exercise.number}-{other}", "muscle_group": "HIPS"}, self._at
            )
            self._record(exercise)

    def delete_exercise(self, one: int, _: int) -> None:
        exercise = self.one(Exercise, one)
        if exercise is None:
            return
        exercise.delete(self._at)
        self._record(exercise)
        for training in self.living(Training):
            if exercise.number in training.exercises:
                training.remove_exercise(exercise.number, self._at)
                self._record(training)

    def plan_training(self, one: int, other: int) -> None:
        client = self.one(Client, one)
        if client is None:
            return
        facts: Facts = {
            "client_id": client.number,
            "training_type": "YOGA",
            "title": f"Training {other}",
            "intensity": None,
            "duration_min": other,
            "date": "2026-02-28",
            "description": None,
        }
        training = Training.plan(self._next(Training), facts, self._at)
        for exercise in self.living(Exercise)[: other % 3]:
            training.add_exercise(exercise.number, DOING, self._at)
        self._new(training)

    def change_training(self, one: int, other: int) -> None:
        training = self.one(Training, one)
        if training is not None:
            training.change({"title": f"Training {other}", "date": None}, self._at)
            self._record(training)

    def reassign_training(self, one: int, other: int) -> None:
        training, client = self.one(Training, one), self.one(Client, other)
        if training is not None and client is not None:
            training.change({"client_id": client.number}, self._at)
            self._record(training)

    def add_exercise_to_training(self, one: int, other: int) -> None:
        training, exercise = self.one(Training, one), self.one(Exercise, other)
        if training is None or exercise is None or exercise.number in training.exercises:
            return
        training.add_exercise(exercise.number, {**DOING, "order_in_training": one}, self._at)
        self._record(training)

    def change_exercise_in_training(self, one: int, other: int) -> None:
        training = self.one(Training, one)
        if training is not None and training.exercises:
            exercise_id = training.exercise_ids[other % len(training.exercises)]
            changes: Facts = {"sets": other, "extra_weight": f"{other}.25"}
            training.change_exercise(exercise_id, changes, self._at)
            self._record(training)

    def remove_exercise_from_training(self, one: int, other: int) -> None:
        training = self.one(Training, one)
        if training is not None and training.exercises:
            exercise_id = training.exercise_ids[other % len(training.exercises)]
            training.remove_exercise(exercise_id, self._at)
            self._record(training)

    def delete_training(self, one: int, _: int) -> None:
        training = self.one(Training, one)
        if training is not None:
            self._delete(training)

    def _delete(self, training: Training) -> None:
        training.delete(self._at)
        self._record(training)
        for plan in self.living(TrainingPlan):
            if training.number in plan.training_ids:
                plan.remove_training(training.number, self._at)
                self._record(plan)

    # --- plans -----------------------------------------------------------------------------

    def draw_up_plan(self, one: int, other: int) -> None:
        user = self.one(User, one)
        if user is not None:
            facts: Facts = {
                "user_id": user.number,
                "title": f"Plan {other}",
                "description": None,
                "status": "PREPARED",
            }
            self._new(TrainingPlan.draw_up(self._next(TrainingPlan), facts, self._at))

    def change_plan(self, one: int, other: int) -> None:
        plan, user = self.one(TrainingPlan, one), self.one(User, other)
        if plan is not None and user is not None:
            status = [*PlanStatus][other % len(PlanStatus)]
            facts = {"title": f"Plan {other}", "user_id": user.number, "status": status.value}
            plan.change(facts, self._at)
            self._record(plan)

    def add_or_remove_training(self, one: int, other: int) -> None:
        plan, training = self.one(TrainingPlan, one), self.one(Training, other)
        if plan is None or training is None:
            return
        if training.number in plan.training_ids:
            plan.remove_training(training.number, self._at)
        else:
            plan.add_training(training.number, self._at)
        self._record(plan)

    def pin_or_unpin(self, one: int, other: int) -> None:
        plan, client = self.one(TrainingPlan, one), self.one(Client, other)
        if plan is None or client is None:
            return
        if client.number in plan.pinned:
            plan.unpin_from(client.number, self._at)
        else:
            plan.pin_to(client.number, self._at)
        self._record(plan)

    def delete_plan(self, one: int, _: int) -> None:
        plan = self.one(TrainingPlan, one)
        if plan is not None:
            plan.delete(self._at)
            self._record(plan)

    # --- payments and reports --------------------------------------------------------------

    def request_payment(self, one: int, _: int) -> None:
        client = self.one(Client, one)
        if client is not None:
            number, at = self._next(Payment), self._at
            whose = (client.number, client.membership_id)
            self._new(Payment.request(number, *whose, at, at, amount=f"{one}.90"))

    def change_payment(self, one: int, other: int) -> None:
        payment = self.one(Payment, one)
        if payment is not None and not payment.announced and payment.status not in ACCOUNTED:
            other_membership: Facts = {"membership_id": other, "amount": f"{other}.50"}
            when: Facts = {"timestamp": START_TEXT}
            payment.change_details(other_membership if other % 3 else when, self._at)
            self._record(payment)

    def step_payment(self, one: int, other: int) -> None:
        payment = self.one(Payment, one)
        if payment is None or not STEPS[payment.status]:
            return
        steps = sorted(STEPS[payment.status])
        with suppress(RefundKnown):
            payment.step(steps[other % len(steps)], self._at, self._at, AT_THE_CLUB)
        self._record(payment)
        client = next((c for c in self.living(Client) if c.number == payment.client_id), None)
        if client is None:
            return
        if payment.status is PaymentStatus.PAID:
            client.admit(Admission(payment.number, time_text(self._at), 30), self._at)
        if payment.status is PaymentStatus.REFUNDED:
            client.withdraw_admission(payment.number, self._at)
        self._record(client)

    def collect_again(self, one: int, other: int) -> None:
        """News of another provider; now and then that the money went back."""
        payment = self.one(Payment, one)
        if payment is None or payment.status not in ACCOUNTED:
            return
        source = Source(f"provider-{other % 3}", None if other % 2 else f"r{one}")
        news = PaymentStatus.REFUNDED if other % 5 == 0 else PaymentStatus.PAID
        payment.report(news, payment.since, self._at, source)
        self._record(payment)

    def announce_refund(self, one: int, other: int) -> None:
        payment = self.one(Payment, one)
        if payment is not None and PaymentStatus.PAID in STEPS[payment.status]:
            source = Source(f"provider-{other % 3}", None)
            payment.report(PaymentStatus.REFUNDED, self._at, self._at, source)
            self._record(payment)

    def delete_payment(self, one: int, _: int) -> None:
        payment = self.one(Payment, one)
        if payment is not None:
            with suppress(PaymentSettled, RefundKnown):
                payment.delete(self._at)
            self._record(payment)

    def adopt_rules(self, _: int, __: int) -> None:
        if not self.living(ClubRules):
            rules: Facts = {
                "paid_days": 30,
                "payment_patience_hours": 24,
                "shared_memberships": False,
                "timezone": "UTC",
                "daily_report_at": "08:00",
            }
            self._new(ClubRules.adopt(rules, self._at))

    def change_rules(self, one: int, other: int) -> None:
        rules = self.one(ClubRules, 0)
        if rules is not None:
            changes: Facts = {
                "paid_days": 30 + one,
                "shared_memberships": bool(other % 2),
                "daily_report_at": f"{one % 24:02d}:{other % 60:02d}",
            }
            rules.change(changes, (), self._at)
            self._record(rules)

    def draw_up_report(self, _: int, __: int) -> None:
        number = self._next(Report)
        self.reported[number] = [u.row() for u in self._all[User].values() if isinstance(u, User)]
        days = ("2026-01-01", "2027-01-01")
        self._new(Report.draw_up(number, *days, "UTC", self._at, daily=bool(number % 2)))


ACTIONS: Mapping[str, Callable[[History, int, int], None]] = {
    name: action
    for name, action in vars(History).items()
    if callable(action) and not name.startswith("_") and name not in {"everything", "living", "one"}
}
"""Everything that can be done, by name."""


def _address(number: int) -> str:
    return f"192.0.2.{number % 100}" if number % 3 else f"2001:db8::{number % 100}"


OPENING = [
    (action, number)
    for action in (
        "adopt_rules",
        "register_user",
        "add_membership",
        "register_client",
        "add_exercise",
        "plan_training",
        "draw_up_plan",
        "add_or_remove_training",
        "pin_or_unpin",
        "request_payment",
        "sign_in",
    )
    for number in range(4 if action in {"register_user", "add_membership"} else 2)
]


def rich(actions: int, seed: int = 7, step: timedelta = timedelta(minutes=1)) -> History:
    """A long history, the same one for the same seed."""
    random = Random(seed)
    names = sorted(ACTIONS)
    # Things come more often than they go, so that there is something to see at the end.
    weights = [1 if name.startswith(("delete", "end", "unbind")) else 4 for name in names]
    drawn = random.choices(names, weights, k=actions)
    choices = ((name, random.randrange(1000), random.randrange(100)) for name in drawn)
    return History.of(choices, step)


def batches(events: Sequence[Event], sizes: Iterable[int]) -> Iterable[list[Event]]:
    """The events in batches of these sizes, the rest in a last one."""
    left = iter(events)
    for size in sizes:
        yield list(islice(left, size))
    yield list(left)


async def record(database: str, events: Sequence[Event], *, head: int = 0) -> None:
    """Put the events in the ledger after `head`, all in one transaction, and tell nobody."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await insert(connection, events, head=head)


async def insert(
    connection: psycopg.AsyncConnection[Any], events: Sequence[Event], *, head: int = 0
) -> None:
    """Insert the events after `head`; the connection's transaction stays open."""
    rows = [
        (e.originator_id, e.originator_version, e.topic, e.state, position)
        for position, e in enumerate(map(to_stored, events), start=head + 1)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    await connection.execute(_RECORD, columns)
    for kind, sequence in SEQUENCES.items():
        numbers = [e.number for e in events if e.originator_id == f"{kind}-{_digits(e)}"]
        if numbers:
            # A ledger of an earlier release has no sequence for what there is only since.
            await connection.execute(_COUNT, [max(numbers), sequence])


def _digits(event: Event) -> str:
    return event.originator_id.rpartition("-")[2]


_COUNT = "SELECT setval(found, %s) FROM to_regclass(%s) AS found WHERE found IS NOT NULL"

_RECORD = """
INSERT INTO ledger_events (
    originator_id, originator_version, topic, state, notification_id,
    actor, command, command_id, correlation_id, causation_id)
SELECT *, 'club', 'test', 'test', 'test', 'test'
FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[])
"""


def as_recorded(events: Sequence[Event], head: int = 0) -> list[Recorded]:
    """The events as the ledger would have them after this position."""
    return [
        Recorded(position, event, event.timestamp, "club", *["test"] * 4)
        for position, event in enumerate(events, head + 1)
    ]


# --- what the tables show ----------------------------------------------------------------------

_ROWS = " UNION ALL ".join(
    f"SELECT '{table.name}', t::text FROM {table.name} AS t" for table in DOCUMENTED.tables
)


async def every_row(connection: psycopg.AsyncConnection[Any]) -> list[tuple[str, str]]:
    """All rows of all read tables, as text, in one order."""
    cursor = await connection.execute(f"{_ROWS} ORDER BY 1, 2".encode())
    return await cursor.fetchall()


async def _shown(
    connection: psycopg.AsyncConnection[Any], listing: Listing
) -> list[dict[str, Any]]:
    statement = page(listing, PageRequest(limit=100_000))
    cursor = await connection.execute(statement.sql.encode(), statement.params)
    return [row[2] for row in await cursor.fetchall()]


async def shown_by_tables(connection: psycopg.AsyncConnection[Any]) -> dict[str, Any]:
    """What the listings of all read models answer."""
    found: dict[str, Any] = {
        "users": await _shown(connection, users.FOR_REPORT),
        "memberships": await _shown(connection, memberships.LISTING),
        "clients": await _shown(connection, clients.LISTING),
        "exercises": await _shown(connection, exercises.LISTING),
        "trainings": await _shown(connection, trainings.WITH_EXERCISE_IDS),
        "exercises of trainings": await _shown(connection, trainings.EXERCISES_LISTING),
        "plans": await _shown(connection, training_plans.LISTING),
        "trainings of plans": await _shown(connection, training_plans.TRAININGS_LISTING),
        "pinned": await _shown(connection, training_plans.PINNED_LISTING),
        "payments": await _shown(connection, payments.LISTING),
        "let in": await _shown(connection, clients.ADMISSION),
        "second collections": await _shown(connection, payments.SECOND_COLLECTIONS_LISTING),
        "sessions": await _shown(connection, sessions.LISTING),
        "rules": await _shown(connection, rules.LISTING),
    }
    for name, sql in {
        "versions": "SELECT aggregate_id, version FROM aggregate_versions",
        "admissions": "SELECT client_id, row_to_json(a) FROM client_admissions AS a",
        "passwords": "SELECT id, password_hash FROM users",
        "sessions that ended": "SELECT id, ended_because FROM sessions WHERE ended_at IS NOT NULL",
        "links": "SELECT id, user_id FROM page_links",
        "reports": "SELECT id, new_users -> 'data' FROM simple_report",
        "drawn up at": "SELECT report_id, position FROM reports_drawn_up",
        "made daily": "SELECT report_id, daily FROM reports_drawn_up",
    }.items():
        found[name] = dict(await (await connection.execute(sql)).fetchall())
    return found


def admission_row(client: Client) -> dict[str, Any]:
    """Until when the client is let in, as Postgres writes it in JSON."""
    until = client.until and text_time(client.until).isoformat()
    if until is not None and "." in until:
        seconds, _, fraction = until.removesuffix("+00:00").partition(".")
        until = f"{seconds}.{fraction.rstrip('0')}+00:00"
    return {
        "client_id": client.number,
        "until": until,
        "kept_seconds": client.kept_seconds,
        "provisional": client.provisional is not None,
    }


def second_collection_rows(payment: Payment) -> list[dict[str, Any]]:
    """The money that came a second time, as it is listed."""
    return [
        {
            "payment_id": payment.number,
            "number": again.number,
            "client_id": payment.client_id,
            "amount": payment.facts["amount"],
            "collector": again.source.collector,
            "reference": again.source.reference,
            "collected_at": again.collected_at,
            "returned_at": again.returned_at,
        }
        for again in payment.second_collections
    ]


def shown_by_aggregates(history: History) -> dict[str, Any]:
    """What the tables have to show: the aggregates as they are."""
    everybody = [user for user in history.everything() if isinstance(user, User)]
    return {
        "users": [user.row() for user in everybody],
        "memberships": [m.row() for m in history.living(Membership)],
        "clients": [client.row() for client in history.living(Client)],
        "exercises": [exercise.row() for exercise in history.living(Exercise)],
        "trainings": [t.row() | {"exercise_ids": t.exercise_ids} for t in history.living(Training)],
        "exercises of trainings": [
            training.exercise_row(number)
            for training in history.living(Training)
            for number in sorted(training.exercises)
        ],
        "plans": [plan.row() for plan in history.living(TrainingPlan)],
        "trainings of plans": [
            {"training_id": number, "training_plan_id": plan.number}
            for plan in history.living(TrainingPlan)
            for number in sorted(plan.training_ids)
        ],
        "pinned": sorted(
            (
                {"client_id": number, "training_plan_id": plan.number, "pinned_at": at}
                | {name: fact for name, fact in plan.row().items() if name != "id"}
                for plan in history.living(TrainingPlan)
                for number, at in plan.pinned.items()
            ),
            key=lambda row: (row["client_id"], row["training_plan_id"]),
        ),
        "payments": [payment.row() for payment in history.living(Payment)],
        "let in": [client.admission() for client in history.living(Client)],
        "second collections": [
            row for p in history.living(Payment) for row in second_collection_rows(p)
        ],
        "sessions": list(history.signed_in.values()),
        "rules": [rules.row() for rules in history.living(ClubRules)],
        "versions": {a.id: a.version for a in history.everything()},
        "admissions": {
            c.number: admission_row(c)
            for c in history.living(Client)
            if c.until or c.kept_seconds is not None
        },
        "passwords": {user.number: user.password_hash for user in everybody},
        "sessions that ended": {
            event.number: event.why for event in history.events if isinstance(event, Ended)
        },
        "links": {
            link.number: link.user_id for link in history.living(PageLink) if not link.revoked
        },
        "reports": history.reported,
        "made daily": {number: bool(number % 2) for number in history.reported},
        "drawn up at": {
            event.number: position
            for position, event in enumerate(history.events, 1)
            if isinstance(event, DrawnUp)
        },
    }
