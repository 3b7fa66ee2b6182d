"""Any legal history: what it comes to in memory, in the ledger and in the read tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.repository import replay
from domain.admissions import Admission, admitted_until
from domain.aggregate import Aggregate, Event, Facts, text_time, time_text
from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.money import Source
from domain.payments import Payment
from domain.refusals import Refusal
from domain.reports import Report
from domain.reservations import Reservation, UsernameTaken
from domain.sessions import Ending, Session
from domain.sign_ins import Failure, SignIn
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User
from domain.values import (
    AccessLevel,
    ClientStatus,
    Complexity,
    Gender,
    Intensity,
    MuscleGroup,
    PaymentStatus,
    PlanStatus,
    Role,
    TrainingType,
)
from infra.ledger.mapper import to_event, to_stored
from projections.engine.table import Gather, Patch, Put, Remove
from tests.application.fakes import operations_of
from tests.domain.scenario import START
from tests.projections.histories import as_recorded

Move = tuple[str, dict[str, Any]]
Rows = defaultdict[str, dict[tuple[Any, ...], dict[str, Any]]]


# --- what may be asked -------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
few = st.integers(1, 3)
ids = few | st.just(2**31 - 1)
accounts = few | st.just(2**52 - 1)
moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is beside them
days_of_birth = st.dates().map(lambda day: day.isoformat())
decimals = st.decimals(0, 999, places=2).map(str)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def one_of(enum: Iterable[str]) -> st.SearchStrategy[str]:
    return st.sampled_from([str(value) for value in enum])


MEMBERSHIP = {
    "access_level": maybe(one_of(AccessLevel)),
    "description": maybe(words),
    "price": decimals,
}
PERSON = {
    "first_name": words,
    "last_name": words,
    "phone_number": words,
    "gender": maybe(one_of(Gender)),
    "date_of_birth": days_of_birth,
    "weight_kg": maybe(decimals),
    "height_sm": maybe(decimals),
}
CLIENT = {
    "user_id": ids,
    "membership_id": ids,
    **PERSON,
    "date_of_birth": st.just("1990-12-10"),
    "status": one_of(ClientStatus),
}
EXERCISE = {
    "title": words,
    "description": maybe(words),
    "muscle_group": maybe(one_of(MuscleGroup)),
    "equipment_required": st.booleans(),
    "complexity_lvl": one_of(Complexity),
}
TRAINING = {
    "client_id": ids,
    "training_type": maybe(one_of(TrainingType)),
    "title": words,
    "intensity": maybe(one_of(Intensity)),
    "duration_min": st.integers(1, 1440),
    "date": maybe(days_of_birth),
    "description": maybe(words),
}
DOING = {
    "order_in_training": few,
    "sets": few,
    "reps": few,
    "rest_time_sec": few,
    "extra_weight": maybe(decimals),
}
PLAN = {
    "user_id": ids,
    "title": words,
    "description": maybe(words),
    "status": one_of(PlanStatus),
}

PAYING = {"client_id": ids, "membership_id": ids, "amount": maybe(decimals)}

Columns = Mapping[str, st.SearchStrategy[Any]]


def all_of(columns: Columns) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict(columns))


def some_of(columns: Columns) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict(columns))


def move(method: str, **facts: st.SearchStrategy[Any]) -> st.SearchStrategy[Move]:
    return st.tuples(st.just(method), st.fixed_dictionaries(facts))


@dataclass(frozen=True)
class Kind:
    """How a history of an aggregate begins, and how it may go on."""

    begin: st.SearchStrategy[Aggregate]
    moves: st.SearchStrategy[Move] | None = None
    table: str = ""
    """Where its row is."""
    links: Callable[[Any], Mapping[str, Sequence[dict[str, Any]]]] = lambda _: {}
    """The rows of other tables that show it."""
    beside: tuple[str, ...] = ()
    """What is shown of it in other tables alone."""


def began(begin: Callable[..., Aggregate], facts: Columns) -> st.SearchStrategy[Aggregate]:
    return all_of(facts).map(lambda drawn: begin(1, drawn, START))


KINDS: dict[str, Kind] = {
    "user": Kind(
        st.builds(
            User.register,
            st.just(1),
            username=words,
            email=words,
            password_hash=words,
            role=st.sampled_from(Role),
            at=st.just(START),
        ),
        st.one_of(
            move("rename", username=words),
            move("change_email", email=words),
            move("change_password", password_hash=words),
            move("rehash_password", password_hash=words),
            move("change_role", role=st.sampled_from(Role), origin=words),
            move("sign_in", session_id=ids, telegram_id=maybe(accounts), origin=words),
            move("unbind_telegram", origin=words),
            move("delete"),
        ),
        table="users",
    ),
    "session": Kind(
        st.builds(
            Session.open,
            st.just(1),
            user_id=ids,
            ends_at=moments,
            origin=words,
            agent=words,
            at=st.just(START),
        ),
        st.one_of(
            move("refresh", generation=few, origin=words),
            move("end", why=st.sampled_from(Ending), origin=words),
        ),
    ),
    "sign-in": Kind(
        st.builds(
            SignIn.fail,
            st.just(1),
            user_id=maybe(ids),
            why=st.sampled_from(Failure),
            origin=words,
            agent=words,
            at=st.just(START),
        ),
    ),
    "membership": Kind(
        began(Membership.add, MEMBERSHIP),
        st.one_of(move("change", facts=some_of(MEMBERSHIP)), move("delete")),
        table="memberships",
    ),
    "client": Kind(
        st.builds(
            partial(Client.register, 1, at=START),
            all_of(CLIENT),
            patience=maybe(st.just(timedelta(hours=24))),
        ),
        st.one_of(
            move("change_details", facts=some_of(PERSON)),
            move("transfer", user_id=ids),
            move("change_membership", membership_id=ids),
            move("change_status", status=st.sampled_from(ClientStatus)),
            move(
                "admit",
                bought=st.builds(Admission, few, moments.map(time_text), st.integers(1, 365)),
                welcome=st.booleans(),
            ),
            move("grant", days=st.integers(1, 366), reason=words, welcome=st.booleans()),
            move("withdraw_admission", payment_id=few),
            move("lapse"),
            move("delete"),
        ),
        table="clients",
        links=lambda client: {
            "client_admissions": [
                {
                    "client_id": 1,
                    "until": client.until,
                    "kept_seconds": client.kept_seconds,
                    "provisional": client.provisional is not None,
                }
            ]
            if client.until or client.kept_seconds is not None
            else []
        },
    ),
    "exercise": Kind(
        began(Exercise.add, EXERCISE),
        st.one_of(move("change", facts=some_of(EXERCISE)), move("delete")),
        table="exercises",
    ),
    "training": Kind(
        began(Training.plan, TRAINING),
        st.one_of(
            move("change", facts=some_of(TRAINING)),
            move("add_exercise", exercise_id=few, facts=all_of(DOING)),
            move("change_exercise", exercise_id=few, facts=some_of(DOING)),
            move("remove_exercise", exercise_id=few),
            move("delete"),
        ),
        table="trainings",
        links=lambda training: {
            "trainings_exercises": [training.exercise_row(n) for n in training.exercises]
        },
    ),
    "training plan": Kind(
        began(TrainingPlan.draw_up, PLAN),
        st.one_of(
            move("change", facts=some_of(PLAN)),
            move("add_training", training_id=few),
            move("remove_training", training_id=few),
            move("pin_to", client_id=few),
            move("unpin_from", client_id=few),
            move("delete"),
        ),
        table="training_plans",
        links=lambda plan: {
            "training_plan_trainings": [
                {"training_id": n, "training_plan_id": 1} for n in plan.training_ids
            ],
            "clients_training_plan": [
                {"client_id": n, "training_plan_id": 1, "pinned_at": at}
                for n, at in plan.pinned.items()
            ],
        },
    ),
    "payment": Kind(
        st.builds(
            partial(Payment.request, 1, occurred_at=START, at=START),
            ids,
            ids,
            amount=maybe(decimals),
        ),
        st.one_of(
            move("change_details", facts=some_of(PAYING)),
            move("step", status=st.sampled_from(PaymentStatus), occurred_at=moments),
            move(
                "report",
                status=st.sampled_from(PaymentStatus),
                occurred_at=moments,
                source=st.builds(Source, st.sampled_from(["a", "b"]), maybe(st.sampled_from("xy"))),
            ),
            move("expire", patience=st.just(timedelta(hours=24))),
            move("delete"),
        ),
        table="payments",
        links=lambda payment: {
            "payment_accounts": [
                {
                    "payment_id": 1,
                    "amount": payment.facts["amount"],
                    "refund_announced_at": payment.refund_announced,
                }
            ]
        },
        beside=("amount", "refund_announced_at"),
    ),
    "report": Kind(
        st.builds(
            Report.draw_up,
            st.just(1),
            st.just("2026-01-01"),
            st.sampled_from(["2026-01-01", "2026-12-31"]),
            st.sampled_from(["UTC", "Europe/Berlin"]),
            st.just(START),
        ),
    ),
    "reservation": Kind(
        st.builds(Reservation.make, st.just("username-abc"), words, st.just(START)),
        st.one_of(
            move("take", holder=words, taken=st.just(UsernameTaken)),
            move("release", holder=words),
        ),
    ),
}
histories = st.data()
in_its_own_time = settings(deadline=None)
"""These check what is right, not how fast; a busy machine is no failure."""

every_kind = pytest.mark.parametrize("name", KINDS)
every_shown_kind = pytest.mark.parametrize("name", [n for n, kind in KINDS.items() if kind.table])


# --- living a history --------------------------------------------------------------------------


def lived(kind: Kind, data: st.DataObject) -> tuple[Aggregate, list[Event]]:
    """The aggregate after some history, and its events; every step is taken on a working copy.

    What is deleted takes no more steps: nobody can ask it to (`Work.find`).
    """
    aggregate = data.draw(kind.begin)
    events: list[Any] = list(aggregate.collect_events())
    at = START
    moves = st.lists(kind.moves, max_size=12) if kind.moves is not None else st.just([])
    for method, facts in data.draw(moves):
        if aggregate.deleted and not isinstance(aggregate, User):
            break
        at += timedelta(hours=data.draw(st.integers(0, 800)))
        aggregate, happened = stepped(aggregate, method, facts, at)
        events += happened
    return aggregate, events


def stepped(
    aggregate: Aggregate, method: str, facts: dict[str, Any], at: datetime
) -> tuple[Aggregate, list[Any]]:
    """A copy of the aggregate one step further; the original is as it was, and so are refusers."""
    before = deepcopy(vars(aggregate))
    twin = aggregate.twin()
    try:
        getattr(twin, method)(**facts, at=at)
    except Refusal:
        assert not twin.pending_events, "who refuses does nothing"
        assert twin == aggregate
    assert vars(aggregate) == before, "working on a copy changed the original"
    return twin, list(twin.collect_events())


@every_kind
@in_its_own_time
@given(data=histories)
def test_any_history_reloads_from_the_ledger_as_it_was_lived(
    name: str, data: st.DataObject
) -> None:
    aggregate, events = lived(KINDS[name], data)
    stored = [to_stored(event) for event in events]
    reloaded = replay(
        to_event(str(s.originator_id), s.originator_version, s.topic, s.state) for s in stored
    )
    assert reloaded == aggregate
    assert vars(reloaded) == vars(aggregate)
    assert [s.originator_version for s in stored] == list(range(1, len(events) + 1))


@every_shown_kind
@in_its_own_time
@given(data=histories)
def test_every_event_shows_in_the_read_tables_as_it_changed_the_aggregate(
    name: str, data: st.DataObject
) -> None:
    kind = KINDS[name]
    _, events = lived(kind, data)
    rows: Rows = defaultdict(dict)
    aggregate: Aggregate | None = None
    for event in events:
        aggregate = event.mutate(aggregate)
        assert isinstance(aggregate, Aggregate)
        write(event, rows)
        assert_shown(aggregate, kind, rows)


def write(event: Event, rows: Rows) -> None:
    """Do to the rows what the projectors say; what they refer to must be there."""
    for operation in operations_of(as_recorded([event])[0]):
        match operation:
            case Put(table, row):
                key = tuple(row[column] for column in table.key)
                assert key not in rows[table.name]
                rows[table.name][key] = dict(row)
            case Patch(table, key, changes):
                rows[table.name][key].update(changes)
            case Remove(table, key):
                rows[table.name].pop(key, None)
            case Gather():
                raise AssertionError("only reports are computed")


OUTLIVING = {"aggregate_versions", "client_grants"}
"""What is kept of those who are gone: which version they were at, and accounts."""


def assert_shown(aggregate: Aggregate, kind: Kind, rows: Rows) -> None:
    row = rows[kind.table].get((1,))
    version = rows["aggregate_versions"][(aggregate.id,)]["version"]
    assert version == aggregate.version
    if aggregate.deleted and not isinstance(aggregate, User):
        assert row is None
        assert not any(rows[table] for table in rows.keys() - OUTLIVING)
        return
    assert row is not None
    shown = {name: fact for name, fact in aggregate.row().items() if name not in kind.beside}
    if isinstance(aggregate, User):
        shown["password_hash"] = aggregate.password_hash
    assert {column: row.get(column) for column in shown} == shown
    assert set(row) <= set(shown)
    for table, linked in kind.links(aggregate).items():
        assert sorted(rows[table].values(), key=str) == sorted(map(dict, linked), key=str)


# --- the time that payments buy ----------------------------------------------------------------

payments = st.lists(
    st.builds(Admission, st.integers(1, 99), moments.map(time_text), st.integers(1, 90)),
    unique_by=lambda admission: admission.payment_id,
    max_size=6,
)


@in_its_own_time
@given(payments, st.randoms(use_true_random=False))
def test_the_order_in_which_payments_become_known_does_not_matter(
    made: list[Admission], random: Any
) -> None:
    known = random.sample(made, k=len(made))
    assert admitted_until(known) == admitted_until(made)


@in_its_own_time
@given(payments, moments, st.integers(1, 90))
def test_the_last_payment_adds_its_days_to_the_end_or_to_the_moment_it_was_made(
    made: list[Admission], paid: datetime, days: int
) -> None:
    last = max([paid, *(text_time(a.paid_at) for a in made)])
    before = admitted_until(made)
    start = last if before is None else max(last, text_time(before))
    more = Admission(100, time_text(last), days)
    assert admitted_until([*made, more]) == time_text(start + timedelta(days=days))


@in_its_own_time
@given(payments, st.data())
def test_a_client_is_let_in_as_if_refunded_payments_had_never_been_made(
    made: list[Admission], data: st.DataObject
) -> None:
    refunded = {a.payment_id or 0 for a in made if data.draw(st.booleans())}
    client = Client.register(1, PERSON_WITHOUT_TIME, START)
    for a in made:
        client.admit(a, START)
        if data.draw(st.booleans()) and a.payment_id in refunded:
            client.withdraw_admission(a.payment_id or 0, START)
    for payment_id in refunded:
        client.withdraw_admission(payment_id, START)
    assert client.until == admitted_until(a for a in made if a.payment_id not in refunded)


@in_its_own_time
@given(payments, moments, st.integers(1, 90))
def test_no_payment_shortens_the_time(made: list[Admission], paid: datetime, days: int) -> None:
    until = admitted_until([*made, Admission(100, time_text(paid), days)])
    assert until is not None
    assert until >= time_text(paid + timedelta(days=days))
    assert until >= (admitted_until(made) or "")


PERSON_WITHOUT_TIME: Facts = {
    "user_id": 7,
    "membership_id": 3,
    "first_name": "Ada",
    "last_name": "Lovelace",
    "phone_number": "1",
    "gender": None,
    "date_of_birth": "1990-12-10",
    "weight_kg": None,
    "height_sm": None,
    "status": "ACTIVE",
}
