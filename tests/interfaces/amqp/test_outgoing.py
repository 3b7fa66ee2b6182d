"""What leaves the club: plain facts, and nothing that tells who somebody is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, cast, get_args, get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.users import DeleteUser
from domain.aggregate import Event
from domain.facts import declared, declared_frame
from domain.payments import DetailsChanged, Payment
from domain.privacy import Privacy
from domain.reservations import Reservation, Value
from infra.ledger import feed
from interfaces.amqp.asyncapi.events import events_of_the_domain
from interfaces.amqp.outgoing import cloud_event, facts, is_bookkeeping, leaving
from tests.conftest import Rest
from tests.interfaces.rest.scenes import furnished
from tests.projections.histories import ACTIONS, History

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
FRAME = {"originator_id", "originator_version", "originator_topic", "timestamp"}
SECRET = "who-this-is"

PERSON = {
    "first_name",
    "last_name",
    "phone_number",
    "gender",
    "date_of_birth",
    "weight_kg",
    "height_sm",
}

CATALOGUED = ("description", "muscle_group", "equipment_required", "complexity_lvl")
RULES = (
    "paid_days",
    "payment_patience_hours",
    "shared_memberships",
    "timezone",
    "daily_report_at",
)
HOW = ("order_in_training", "sets", "reps", "rest_time_sec")

GOES_OUT: Mapping[str, tuple[str, ...]] = {
    "user.first-code-issued": ("expires_at",),
    "user.registered": ("role",),
    "user.role-changed": ("role",),
    "user.signed-in": ("session_id",),
    "membership.added": ("access_level", "description", "price"),
    "membership.repriced": ("price",),
    "membership.details-changed": ("access_level", "description"),
    "client.registered": ("user_id", "membership_id", "status"),
    "client.transferred": ("user_id",),
    "client.membership-changed": ("membership_id",),
    "client.admitted-provisionally": ("until",),
    "client.admitted": ("payment_id", "paid_at", "days", "until", "kept_seconds"),
    "client.admission-withdrawn": ("payment_id", "until", "kept_seconds"),
    "client.days-granted": ("days", "until", "kept_seconds"),
    "client.days-kept": ("kept_seconds",),
    "client.days-given-back": ("since", "resumed_at", "until"),
    "exercise.added": ("title", *CATALOGUED),
    "exercise.retitled": ("title",),
    "exercise.details-changed": CATALOGUED,
    "training.planned": ("client_id", "intensity", "duration_min", "date"),
    "training.details-changed": ("intensity", "duration_min", "date"),
    "training.reassigned": ("client_id",),
    "training.exercise-added": ("exercise_id", *HOW),
    "training.exercise-changed": ("exercise_id", *HOW),
    "training.exercise-removed": ("exercise_id",),
    "training-plan.drawn-up": ("user_id", "status"),
    "training-plan.handed-over": ("user_id",),
    "training-plan.training-added": ("training_id",),
    "training-plan.training-removed": ("training_id",),
    "training-plan.pinned-to-client": ("client_id",),
    "training-plan.unpinned-from-client": ("client_id",),
    "payment.requested": ("client_id", "membership_id", "occurred_at", "amount"),
    "payment.details-changed": ("client_id", "membership_id", "amount", "timestamp"),
    "payment.settled": ("occurred_at", "client_id", "collector"),
    "payment.failed": ("occurred_at",),
    "payment.cancelled": ("occurred_at",),
    "payment.expired": ("occurred_at",),
    "payment.refunded": ("occurred_at", "client_id"),
    "payment.refund-announced": ("occurred_at", "collector"),
    "payment.collected-again": ("number_of_collection", "occurred_at", "collector"),
    "payment.second-collection-returned": ("number_of_collection", "occurred_at"),
    "provider.secret-added": ("number_of_secret",),
    "rules.adopted": RULES,
    "rules.changed": RULES,
    "report.drawn-up": (
        "report_date_start",
        "report_date_end",
        "timezone",
        "starts_at",
        "ends_before",
        "daily",
    ),
    "page-link.made": ("user_id", "page", "expires_at"),
    "session.opened": ("user_id", "ends_at"),
    "session.refreshed": ("generation",),
    "session.token-reused": ("generation",),
    "session.ended": ("why",),
    "subscription.delivery-begun": ("day", "attempt", "until"),
    "subscription.delivered": ("day",),
    "subscription.delivery-failed": ("day", "state", "again_at"),
    "subscription.delivery-unknown": ("day",),
}
"""What goes out of each event, told a second time, so that no fact leaves by a slip of one word."""

STAYS: Mapping[str, set[str]] = {
    "audit-reading.made": {"asked"},
    "client.days-granted": {"reason"},
    "client.registered": PERSON,
    "payment.collected-again": {"reference"},
    "payment.refund-announced": {"reference"},
    "payment.settled": {"reference"},
    "reservation.made": {"holder"},
    "reservation.passed-on": {"holder"},
    "reservation.retaken": {"holder"},
    "session.ended": {"origin"},
    "session.opened": {"origin", "agent"},
    "session.refreshed": {"origin"},
    "session.token-reused": {"origin"},
    "subscription.delivery-failed": {"reason"},
    "subscription.delivery-unknown": {"reason"},
    "sign-in.failed": {"user_id", "why", "origin", "agent"},
    "training.exercise-added": {"extra_weight"},
    "training.planned": {"training_type", "title", "description"},
    "training-plan.drawn-up": {"title", "description"},
    "user.email-changed": {"email"},
    "user.first-code-issued": {"seal"},
    "user.password-changed": {"password_hash"},
    "user.password-rehashed": {"password_hash"},
    "user.registered": {"username", "email", "password_hash"},
    "user.renamed": {"username"},
    "user.role-changed": {"origin"},
    "user.signed-in": {"origin"},
    "user.telegram-bound": {"telegram_id", "origin"},
    "user.telegram-unbound": {"origin"},
}
"""Facts that stay in the club; nobody has thought of one that is neither here nor in GOES_OUT."""

CHANGING: Mapping[str, set[str]] = {
    "client.details-changed": PERSON,
    "exercise.details-changed": {*CATALOGUED},
    "membership.details-changed": {"description", "access_level"},
    "rules.changed": {*RULES},
    "payment.details-changed": {"client_id", "membership_id", "amount", "timestamp"},
    "training.details-changed": {
        "training_type",
        "title",
        "description",
        *GOES_OUT["training.details-changed"],
    },
    "training.exercise-changed": {*HOW, "extra_weight"},
    "training-plan.details-changed": {"title", "description"},
}
"""What may change, in events that carry only what did."""

HISTORIES = st.lists(
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 999), st.integers(0, 99)),
    max_size=60,
)


def own_fields(kind: type[Event]) -> set[str]:
    """The facts of an event, without those that every event has."""
    return {field.name for field in fields(kind)} - FRAME  # type: ignore[arg-type]


def published(event: Event, position: int = 7) -> bytes:
    return cloud_event(event, position, "http://club", "talk", "cause")


def full(kind: type[Event]) -> Event:
    """An event whose every fact that is text says who somebody is."""
    hints = get_type_hints(kind)
    known: dict[str, Any] = {
        name: SECRET if str in (hints[name], *get_args(hints[name])) else 990099
        for name in own_fields(kind)
    }
    if "changes" in known:
        known["changes"] = dict.fromkeys(CHANGING[kind.TOPIC], SECRET)
    if "originator_topic" in hints:
        known["originator_topic"] = kind.TOPIC.partition(".")[0]
    stream = f"{kind.TOPIC.partition('.')[0]}-{SECRET if is_bookkeeping(kind) else 5}"
    made: Event = cast("Any", kind)(
        originator_id=stream, originator_version=1, timestamp=AT, **known
    )
    return made


def test_somebody_has_thought_of_every_fact_of_every_event() -> None:
    kinds = {kind.TOPIC: kind for kind in events_of_the_domain()}
    assert kinds.keys() >= GOES_OUT.keys() | STAYS.keys() | CHANGING.keys()
    for topic, kind in kinds.items():
        has = own_fields(kind)
        out, stays = set(GOES_OUT.get(topic, ())), STAYS.get(topic, set())
        assert not out & stays, topic
        may_change = CHANGING.get(topic, set())
        assert ("changes" in has) == bool(may_change), topic
        assert has - {"changes"} <= out | stays, topic
        assert out <= (has - {"changes"}) | may_change, topic
        assert stays <= has, topic
        assert leaving(kind) == GOES_OUT.get(topic, ()), topic
        assert declared(kind).keys() == (has - {"changes"}) | may_change, topic


def test_what_has_a_personal_id_is_bookkeeping() -> None:
    personal = {
        kind.TOPIC
        for kind in events_of_the_domain()
        if declared_frame(kind)["originator_id"].privacy is not Privacy.PLAIN
    }
    bookkeeping = {kind.TOPIC for kind in events_of_the_domain() if is_bookkeeping(kind)}
    assert {topic.partition(".")[0] for topic in personal} == {"reservation"}
    assert personal < bookkeeping


@pytest.mark.parametrize("kind", events_of_the_domain(), ids=lambda kind: kind.TOPIC)
def test_no_fact_leaves_that_is_not_listed(kind: type[Event]) -> None:
    event = full(kind)
    found = orjson.loads(published(event))
    assert found["data"] == facts(event)
    assert tuple(found["data"]) == GOES_OUT.get(kind.TOPIC, ())
    del found["data"]
    assert SECRET not in orjson.dumps(found).decode()
    assert "990099" not in orjson.dumps(found).decode()


@given(HISTORIES)
def test_nothing_that_tells_who_somebody_is_leaves_in_any_history(
    choices: list[tuple[str, int, int]],
) -> None:
    for position, event in enumerate(History.of(choices).events, start=10**6):
        said = {**vars(event), **vars(event).get("changes", {})}
        assert vars(event).get("changes", {}).keys() <= declared(type(event)).keys(), event.TOPIC
        stay = said.keys() - FRAME - {"changes"} - set(GOES_OUT.get(event.TOPIC, ()))
        out = published(event, position)
        for name in stay:
            if isinstance(said[name], str):
                assert orjson.dumps(said[name]) not in out, (event.TOPIC, name)
        assert orjson.loads(out)["data"].keys() <= set(GOES_OUT.get(event.TOPIC, ()))


async def test_nothing_that_tells_who_somebody_is_leaves_a_club_at_work(rest: Rest) -> None:
    scene = await furnished(rest)
    await rest.do(DeleteUser(scene.user))
    rows = await rest.club.postgres.rows("SELECT count(*) FROM ledger_events")
    async with await rest.club.postgres.connect() as connection:
        recorded, _ = await feed.after(connection, 0, 1000)
    assert len(recorded) == rows[0][0]
    out = [
        cloud_event(one.event, one.position, "http://club", one.correlation_id, one.causation_id)
        for one in recorded
    ]
    everything = b"\n".join(out).decode()
    # Short digits would be found in the digits of some id.
    said = ("Ada", "Lovelace", "7946 0000", "79460000", "1990-12-10", "@example.com", "user1")
    for personal in (*said, "argon2"):
        assert personal not in everything, personal
    assert "reservation-" not in everything
    assert '"reservation.made"' in everything


def test_the_digest_of_a_name_does_not_leave() -> None:
    name = Value("username", "ada").name
    (event,) = Reservation.make(name, "user-1", AT).collect_events()
    digest = name.rpartition("-")[2]
    assert re.fullmatch("[0-9a-f]{32}", digest)
    out = orjson.loads(published(event))  # type: ignore[arg-type]
    assert "subject" not in out
    assert digest not in orjson.dumps(out).decode()


def test_of_a_change_only_what_changed_goes_out() -> None:
    payment = Payment.request(1, client_id=2, membership_id=3, occurred_at=AT, at=AT)
    payment.change_details({"membership_id": 4}, AT)
    payment.change_details({"timestamp": "2026-01-01T00:00:00.000000Z"}, AT)
    _, first, second = payment.collect_events()
    assert isinstance(first, DetailsChanged)
    assert isinstance(second, DetailsChanged)
    assert facts(first) == {"membership_id": 4}
    assert facts(second) == {"timestamp": "2026-01-01T00:00:00.000000Z"}


def test_the_sequence_sorts_as_text_as_it_does_as_a_number() -> None:
    (event,) = Payment.request(1, 2, 3, AT, AT).collect_events()
    said = [
        orjson.loads(published(event, position))["sequence"]  # type: ignore[arg-type]
        for position in (1, 9, 10, 99, 100, 2**63 - 1)
    ]
    assert said == sorted(said)
    assert {len(one) for one in said} == {20}
