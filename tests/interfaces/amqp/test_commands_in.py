"""Commands over RabbitMQ: what REST can command, asked for by message and answered by message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, get_args, get_type_hints

import aio_pika
import orjson
import pytest
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from fastapi.routing import APIRoute

from application.bus import Outcome
from application.catalogue import COMMANDS
from application.clients import ClientBody, RegisterClient
from application.command import Command, Context
from application.sessions import EndSession
from domain.values import Role
from infra.bootstrap import Club
from infra.settings import Settings
from interfaces.amqp import commands
from interfaces.amqp.commands import MOST_ERRORS, STATUS, CommandsIn
from interfaces.amqp.intake import LONGEST_DETAIL, MOST_DELIVERIES, Intake
from interfaces.amqp.main import run_consumers
from interfaces.amqp.outlet import Outlet
from interfaces.amqp.parking import Which, open_parking
from interfaces.amqp.replies import Replies, ReplyRefused
from interfaces.amqp.topology import COMMANDS_QUEUE, PARKING_QUEUE, PAYMENTS_QUEUE, declare
from interfaces.rest.main import GROUPS
from tests.conftest import Rest
from tests.interfaces.rest.scenes import (
    Headers,
    client_body,
    furnished,
    new_membership,
    new_session,
    new_walk_in,
    walk_in_body,
)

PATIENCE = 20.0
TWINS = {"replace-training-exercise", "change-training-exercise", "remove-training-exercise"}
"""REST's ways to name an exercise without its training; a message always names both."""


@dataclass
class Reply:
    """What came back."""

    status: int
    body: Any
    kind: str | None
    correlation_id: str | None
    etag: str | None


@dataclass
class Desk:
    """Whoever sends commands, and waits for replies; its replies come to a queue of its own."""

    channel: AbstractChannel
    reply_to: str
    replies: asyncio.Queue[AbstractIncomingMessage]
    parked: asyncio.Queue[AbstractIncomingMessage]
    _numbers: Any = field(default_factory=lambda: count(1))

    async def send(
        self,
        kind: str,
        data: Any = None,
        headers: Headers | None = None,
        *,
        body: bytes | None = None,
        reply_to: str | None = "",
        **attributes: Any,
    ) -> str:
        """Send a command; returns the correlation id by which its reply is known."""
        number = next(self._numbers)
        event = {"specversion": "1.0", "id": f"m-{number}", "source": "/tests", "type": kind}
        event |= attributes if data is None else attributes | {"data": data}
        message = Message(
            orjson.dumps(event) if body is None else body,
            # REST's own header, under the name it has among the headers of a message.
            headers={name.lower(): value for name, value in (headers or {}).items()},
            correlation_id=f"asked-{number}",
            reply_to=self.reply_to if reply_to == "" else reply_to,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        await self.channel.default_exchange.publish(message, COMMANDS_QUEUE)
        return f"asked-{number}"

    async def reply(self) -> Reply:
        message = await asyncio.wait_for(self.replies.get(), PATIENCE)
        etag = message.headers.get("etag")
        status = message.headers["status"]
        assert isinstance(status, int)
        return Reply(
            status,
            orjson.loads(message.body) if message.body else None,
            message.content_type,
            message.correlation_id,
            None if etag is None else str(etag),
        )

    async def ask(self, kind: str, data: Any = None, headers: Any = None, **more: Any) -> Reply:
        correlation_id = await self.send(kind, data, headers, **more)
        reply = await self.reply()
        assert reply.correlation_id == correlation_id
        return reply

    async def parked_as(self) -> str:
        message = await asyncio.wait_for(self.parked.get(), PATIENCE)
        return str(message.headers["club-reason"])


@pytest.fixture
def settings(settings: Settings, amqp_url: str) -> Settings:
    """Settings of a club with a RabbitMQ."""
    return settings.model_copy(update={"amqp_url": amqp_url})


@pytest.fixture
async def consumers(club: Club, channel: AbstractChannel) -> AsyncIterator[None]:
    """The club takes commands."""
    await declare(channel)
    closing = asyncio.Event()
    running = asyncio.create_task(run_consumers(club, closing))
    yield
    closing.set()
    await asyncio.wait_for(running, PATIENCE)


@pytest.fixture
async def quiet_desk(channel: AbstractChannel) -> Desk:
    """A desk at a club that does not take anything yet."""
    await declare(channel)
    replies: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    parked: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    own = await channel.declare_queue(exclusive=True)
    await own.consume(replies.put, no_ack=True)
    await (await channel.get_queue(PARKING_QUEUE)).consume(parked.put, no_ack=True)
    return Desk(channel, own.name, replies, parked)


@pytest.fixture
async def desk(quiet_desk: Desk, consumers: None) -> Desk:
    """A desk at a club that takes commands."""
    return quiet_desk


def exercise(title: str = "Squat") -> dict[str, Any]:
    return {"title": title, "muscle_group": "LEGS"}


async def head(rest: Rest) -> int:
    """How many events there are."""
    return await rest.club.ledger.head()


# --- what may be commanded ------------------------------------------------------------------------


def written_in(route: APIRoute) -> Any:
    """The body of a route, without what it may only repeat of a GET."""
    body: Any = get_type_hints(route.endpoint).get("body")
    body = next(iter(get_args(body)), body)  # that may also be left out
    return body.__base__ if route.methods == {"PUT"} else body


def test_whatever_rest_changes_can_be_commanded_with_the_same_body_and_status() -> None:
    by_rest = {
        route.name.replace("_", "-"): (
            written_in(route),
            route.status_code or 200,
        )
        for group in GROUPS
        for route in group.routes.routes
        if route.methods - {"GET"} and not route.path.startswith("/jwt-auth/")
    }
    by_message = {kind: (entry.body, STATUS[entry.answer]) for kind, entry in COMMANDS.items()}
    assert by_message == {k: v for k, v in by_rest.items() if k not in TWINS}
    assert by_rest.keys() >= TWINS


async def test_every_command_without_a_body_or_with_one_is_done_as_rest_does_it(
    rest: Rest, desk: Desk
) -> None:
    scene = await furnished(rest)
    other = (await rest.user())[0]
    taken_in, _ = await new_walk_in(rest, scene.membership, email="grace@example.com")
    membership = await new_membership(rest)
    doing = {"order_in_training": 2}
    client = client_body(scene.user, scene.membership)
    plan = {"user_id": scene.user, "title": "Autumn"}
    training = {"client_id": scene.client, "title": "Arms"}
    payment = {"client_id": scene.client, "membership_id": scene.membership}
    user = {"username": "ada2", "email": "ada2@example.com"}
    asked: Sequence[tuple[str, str | None, Any]] = (
        ("register-user", None, {**user, "password": "long enough"}),
        ("replace-user", f"{other}", {"username": "bob", "email": "bob@example.com"}),
        ("change-user", f"{other}", {"username": "bobby"}),
        ("add-membership", None, {"price": "9.90"}),
        ("replace-membership", f"{membership}", {"price": "8.90"}),
        ("change-membership", f"{membership}", {"price": "7.90"}),
        ("register-walk-in", None, walk_in_body(membership)),
        ("issue-first-code", f"{taken_in}", {}),
        ("delete-membership", f"{membership}", None),
        ("replace-client", f"{scene.client}", {**client, "weight_kg": "61.5"}),
        ("change-client", f"{scene.client}", {"first_name": "Augusta"}),
        ("unpin-plan", f"{scene.client}/{scene.plan}", None),
        ("pin-plan", f"{scene.client}", {"training_plan_id": scene.plan}),
        ("add-exercise", None, exercise("Lunge")),
        ("replace-exercise", f"{scene.exercise}", exercise("Deep squat")),
        ("change-exercise", f"{scene.exercise}", {"equipment_required": True}),
        ("plan-training", None, training),
        ("plan-training-with-exercises", None, {**training, "exercise_ids": [scene.exercise]}),
        ("copy-training", f"{scene.training}", {"date": "2026-04-01"}),
        (
            "schedule-plan",
            f"{scene.plan}",
            {
                "client_id": scene.client,
                "trainings": [{"training_id": scene.training, "date": "2026-04-01"}],
            },
        ),
        ("replace-training", f"{scene.training}", training),
        ("change-training", f"{scene.training}", {"title": "Back"}),
        ("replace-exercise-of-training", f"{scene.training}/{scene.exercise}", doing),
        ("change-exercise-of-training", f"{scene.training}/{scene.exercise}", {"sets": 5}),
        ("remove-exercise-of-training", f"{scene.training}/{scene.exercise}", None),
        (
            "add-training-exercise",
            None,
            {"training_id": scene.training, "exercise_id": scene.exercise, **doing},
        ),
        ("draw-up-training-plan", None, plan),
        ("replace-training-plan", f"{scene.plan}", plan),
        ("change-training-plan", f"{scene.plan}", {"title": "Winter"}),
        ("remove-training-from-plan", f"{scene.plan}/{scene.training}", None),
        ("add-training-to-plan", f"{scene.plan}", {"training_id": scene.training}),
        ("grant-days", f"{scene.client}", {"days": 10, "reason": "The pool was closed."}),
        ("request-payment", None, payment),
        ("change-payment", f"{scene.payment}", {**payment, "payment_status": "CANCELLED"}),
        ("delete-payment", f"{scene.payment}", None),
        ("delete-training", f"{scene.training}", None),
        ("delete-exercise", f"{scene.exercise}", None),
        ("delete-training-plan", f"{scene.plan}", None),
        ("delete-client", f"{scene.client}", None),
        ("register-client", None, client),
        ("draw-up-report", None, {}),
        ("subscribe", None, {"daily": True}),
        ("make-page-link", None, {}),
        ("revoke-page-link", "1", None),
        ("change-rules", None, {"paid_days": 31}),
        ("delete-user", f"{other}", None),
    )
    for kind, subject, data in asked:
        attributes = {} if subject is None else {"subject": subject}
        before = await head(rest)
        reply = await desk.ask(kind, data, scene.admin, **attributes)
        assert (kind, reply.status) == (kind, STATUS[COMMANDS[kind].answer]), reply.body
        assert await head(rest) > before, kind
        assert (reply.body is None) == (reply.status == 204), kind
    assert {kind for kind, _, _ in asked} == COMMANDS.keys() - {"unbind-telegram"}


async def test_a_telegram_account_is_unbound_over_rabbitmq(rest: Rest, desk: Desk) -> None:
    user, signed_in = await rest.user()
    await new_session(rest, user, telegram_id=4711)
    reply = await desk.ask("unbind-telegram", headers=signed_in, subject=f"{user}")
    assert (reply.status, reply.body) == (204, None)
    again = await desk.ask("unbind-telegram", headers=signed_in, subject=f"{user}")
    assert (again.status, again.body["type"]) == (409, "/problems/no-telegram")


# --- replies --------------------------------------------------------------------------------------


async def test_a_reply_has_the_body_and_the_version_that_rest_answers(
    rest: Rest, desk: Desk
) -> None:
    user, signed_in = await rest.user(Role.STAFFER)
    body = client_body(user, await new_membership(rest), weight_kg=72.5)
    reply = await desk.ask("register-client", body, signed_in)
    shown = await rest.http.get(f"/clients/{reply.body['id']}/", headers=signed_in)
    assert (reply.status, reply.kind) == (201, "application/json")
    assert (reply.body, reply.etag) == (shown.json(), shown.headers["etag"])

    _, other = await rest.user(Role.STAFFER)
    twin = client_body((await rest.user())[0], await new_membership(rest), weight_kg=72.5)
    over_rest = await rest.http.post("/clients/", json=twin, headers=other)
    assert over_rest.json().keys() == reply.body.keys()
    assert over_rest.headers["etag"] == reply.etag


async def test_the_reply_to_a_report_has_whom_it_shows(rest: Rest, desk: Desk) -> None:
    user, signed_in = await rest.user(Role.ANALYST)
    reply = await desk.ask("draw-up-report", {}, signed_in)
    shown = await rest.http.get(f"/reports/{reply.body['id']}/", headers=signed_in)
    assert reply.body == shown.json()
    assert [one["id"] for one in reply.body["new_users"]["data"]] == [user]


async def test_a_code_is_replied_once_however_often_its_message_comes(
    rest: Rest, desk: Desk
) -> None:
    _, signed_in = await rest.user(Role.STAFFER)
    body = walk_in_body(await new_membership(rest))
    first = await desk.ask("register-walk-in", body, signed_in, id="walk-in-1")
    recorded = await head(rest)
    again = await desk.ask("register-walk-in", body, signed_in, id="walk-in-1")
    assert (first.status, again.status, await head(rest)) == (201, 201, recorded)
    code = first.body["first_sign_in"].pop("code")
    assert again.body["first_sign_in"].pop("code") is None
    assert again.body == first.body
    chosen = {"username": "ada.lovelace", "code": code, "password": "correct horse"}
    answer = await rest.http.post("/jwt-auth/first-password/", json=chosen)
    assert answer.status_code == 200


async def test_direct_reply_to_of_rabbitmq_works_too(rest: Rest, desk: Desk) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    direct = await desk.channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await direct.consume(desk.replies.put, no_ack=True)
    reply = await desk.ask("add-exercise", exercise(), signed_in, reply_to="amq.rabbitmq.reply-to")
    assert (reply.status, reply.body["title"]) == (201, "Squat")


async def test_a_message_without_a_correlation_id_is_answered_under_its_own_id(
    rest: Rest, desk: Desk
) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/tests", "type": "delete-client"}
    message = Message(orjson.dumps(event), message_id="known-as", reply_to=desk.reply_to)
    await desk.channel.default_exchange.publish(message, COMMANDS_QUEUE)
    assert (await desk.reply()).correlation_id == "known-as"


async def test_a_reply_queue_that_is_gone_does_no_harm(rest: Rest, desk: Desk) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    await desk.send("add-exercise", exercise("Squat"), signed_in, reply_to="gone")
    await desk.send("delete-client", headers=signed_in, subject="1", reply_to="gone")
    await desk.send("add-exercise", body=b"{", reply_to="gone")
    assert (await desk.ask("add-exercise", exercise("Lunge"), signed_in)).status == 201
    titles = [
        row["title"] for row in (await rest.http.get("/exercises/", headers=signed_in)).json()
    ]
    assert sorted(titles) == ["Lunge", "Squat"]
    # Of what nobody could be told a person is.
    assert {await desk.parked_as(), await desk.parked_as()} == {"not-found", "broken-json"}


async def test_what_is_wrong_with_very_many_fields_is_said_of_some(desk: Desk) -> None:
    reply = await desk.ask("register-user", {f"field-{n}": 1 for n in range(20_000)})
    assert (reply.status, len(reply.body["errors"])) == (422, MOST_ERRORS)
    assert len(reply.body["detail"]) <= LONGEST_DETAIL
    assert await desk.parked_as() == "invalid-message"


async def test_of_what_is_too_long_for_a_reply_the_number_is_replied(
    rest: Rest, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LARGEST_BODY", 50)
    _, signed_in = await rest.user(Role.TRAINER)
    reply = await desk.ask("add-exercise", exercise("Squat"), signed_in)
    assert (reply.status, reply.body) == (201, {"id": 1})


NOBODYS = "amq.rabbitmq.reply-to.g2dkABBy.x=="
"""RabbitMQ ends the connection of whoever replies to this."""


async def test_replies_that_rabbitmq_refuses_stop_nobody(rest: Rest, desk: Desk) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    answered: set[str] = set()
    for number in range(3):
        await desk.send("no-such-command", reply_to=NOBODYS)
        await desk.send("add-exercise", exercise(f"Squat {number}"), signed_in, reply_to=NOBODYS)
        asked = await desk.send("add-exercise", exercise(f"Lunge {number}"), signed_in)
        # Replies come at least once: those before may have gone out on the connection that ended.
        while (reply := await desk.reply()).correlation_id in answered:
            pass
        assert (reply.correlation_id, reply.status) == (asked, 201)
        answered.add(asked)
    parked = [await desk.parked_as() for _ in range(6)]
    assert sorted(parked) == ["reply-refused"] * 3 + ["unknown-type"] * 3
    rows = (await rest.http.get("/exercises/", headers=signed_in)).json()
    assert len(rows) == 6


async def test_a_copy_goes_only_where_we_send_it(desk: Desk) -> None:
    everywhere: Any = [COMMANDS_QUEUE, PAYMENTS_QUEUE, PARKING_QUEUE]
    message = Message(b"{", headers={"CC": [COMMANDS_QUEUE], "BCC": everywhere})
    await desk.channel.default_exchange.publish(message, PAYMENTS_QUEUE)
    # Once for each queue that its sender named, of which one is the parking queue itself.
    reasons = [await asyncio.wait_for(desk.parked.get(), PATIENCE) for _ in range(3)]
    assert (await desk.ask("no-such-command")).status == 422
    assert await desk.parked_as() == "unknown-type"
    assert desk.parked.empty()
    assert sum("club-reason" in message.headers for message in reasons) == 2


async def test_a_message_that_was_given_back_without_end_is_parked(desk: Desk) -> None:
    message = Message(b"{}", headers={"x-delivery-count": MOST_DELIVERIES + 1})
    await desk.channel.default_exchange.publish(message, COMMANDS_QUEUE)
    parked = await asyncio.wait_for(desk.parked.get(), PATIENCE)
    assert parked.headers["club-reason"] == "given-back"
    assert "x-delivery-count" not in parked.headers


class Cut:
    """A bus whose answer does not get away: once it has recorded, the connection is cut."""

    def __init__(self, club: Club, connection: AbstractConnection) -> None:
        self._bus = club.bus
        self._connection = connection

    async def execute(self, command: Command, context: Context) -> Outcome:
        outcome = await self._bus.execute(command, context)
        await self._connection.close(ConnectionError("cut"))
        return outcome


class Mute(Replies):
    """Gets no reply away."""

    def __init__(self) -> None:
        super().__init__("amqp://nowhere", AsyncExitStack())

    async def send(self, reply: Message, queue: str) -> None:
        raise ReplyRefused


async def test_a_consumer_that_dies_before_it_replies_replies_after_it_is_back(
    rest: Rest, quiet_desk: Desk, amqp_url: str
) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        dying = replace(rest.club, bus=Cut(rest.club, connection))  # type: ignore[arg-type]
        intake = Intake(COMMANDS_QUEUE, CommandsIn(dying, Mute()).handle)
        correlation_id = await quiet_desk.send("add-exercise", exercise(), signed_in)
        publish = Outlet(connection, channel, channel).publish
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(intake.run(channel, publish, asyncio.Event()), PATIENCE)
    recorded = await head(rest)
    assert quiet_desk.replies.empty()

    closing = asyncio.Event()
    running = asyncio.create_task(run_consumers(rest.club, closing))
    reply = await quiet_desk.reply()
    closing.set()
    await running
    assert (reply.status, reply.correlation_id) == (201, correlation_id)
    assert reply.body["title"] == "Squat"
    assert await head(rest) == recorded


# --- refusals -------------------------------------------------------------------------------------


async def test_without_a_good_token_the_reply_is_the_401_of_rest(rest: Rest, desk: Desk) -> None:
    user, _ = await rest.user()
    session = await new_session(rest, user)
    tokens = rest.club.tokens
    expired = tokens.access_token(user, None, -600)
    revoked = tokens.access_token(user, session, 600)
    await rest.do(EndSession(session))
    headers: Sequence[dict[str, str]] = (
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Basic {tokens.access_token(user, None, 600)}"},
        {"Authorization": f"Bearer {expired}"},
        {"Authorization": f"Bearer {revoked}"},
        rest.token(user + 1000),
    )
    for given in headers:
        reply = await desk.ask("delete-user", headers=given, subject=f"{user}")
        over_rest = await rest.http.delete(f"/users/{user}/", headers=given)
        assert (reply.status, reply.kind) == (401, "application/problem+json"), given
        assert _without_instance(reply.body) == _without_instance(over_rest.json()), given
    assert desk.parked.empty()


async def test_a_bad_token_is_not_forgiven_where_none_is_needed(rest: Rest, desk: Desk) -> None:
    body = {"username": "ada", "email": "ada@example.com", "password": "long enough"}
    bad = await desk.ask("register-user", body, {"Authorization": "Bearer nonsense"})
    assert bad.status == 401
    good = await desk.ask("register-user", body)
    assert (good.status, good.body["role"]) == (201, "USER")


async def test_a_no_of_the_club_is_the_problem_document_of_rest(rest: Rest, desk: Desk) -> None:
    scene = await furnished(rest)
    squat = exercise("Squat")
    payment = {"client_id": scene.client, "membership_id": 999}
    cases: Sequence[tuple[int, str, Any, Headers, dict[str, Any], str, str]] = (
        (403, "add-membership", {"price": "1.00"}, scene.owner, {}, "POST", "/memberships/"),
        (
            403,
            "change-user",
            {"role": "ADMIN"},
            scene.owner,
            {"subject": f"{scene.user}"},
            "PATCH",
            f"/users/{scene.user}/",
        ),
        (
            404,
            "delete-client",
            None,
            scene.admin,
            {"subject": "999"},
            "DELETE",
            "/clients/999/",
        ),
        (409, "add-exercise", squat, scene.admin, {}, "POST", "/exercises/"),
        (422, "request-payment", payment, scene.admin, {}, "POST", "/payments/"),
    )
    for status, kind, data, headers, attributes, method, path in cases:
        reply = await desk.ask(kind, data, headers, **attributes)
        over_rest = await rest.http.request(method, path, json=data, headers=headers)
        assert reply.status == status
        assert reply.kind == "application/problem+json"
        assert _without_instance(reply.body) == _without_instance(over_rest.json())
    assert desk.parked.empty()


async def test_another_ones_things_are_not_found(rest: Rest, desk: Desk) -> None:
    scene = await furnished(rest)
    _, stranger = await rest.user()
    reply = await desk.ask("delete-client", headers=stranger, subject=f"{scene.client}")
    assert (reply.status, reply.body["type"]) == (404, "/problems/not-found")


async def test_a_version_that_is_past_is_refused(rest: Rest, desk: Desk) -> None:
    scene = await furnished(rest)
    about = {"subject": f"{scene.exercise}"}
    change = {"title": "Deep squat"}
    ok = await desk.ask("change-exercise", change, scene.admin, **about, expectedversion=1)
    assert (ok.status, ok.etag) == (200, '"2"')
    no = await desk.ask("change-exercise", {"title": "x"}, scene.admin, **about, expectedversion=1)
    assert (no.status, no.body["type"]) == (412, "/problems/precondition-failed")
    zero = await desk.ask("delete-exercise", headers=scene.admin, **about, expectedversion=0)
    assert zero.status == 412


async def test_data_of_the_wrong_form_is_refused_field_by_field_and_parked(
    rest: Rest, desk: Desk
) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    wrong = {"title": 7, "muscle_group": "LEGS", "sets": 3}
    reply = await desk.ask("add-exercise", wrong, signed_in)
    over_rest = (await rest.http.post("/exercises/", json=wrong, headers=signed_in)).json()
    assert (reply.status, reply.body["type"]) == (422, "/problems/invalid-message")
    assert reply.body["errors"] == over_rest["errors"]
    assert await desk.parked_as() == "invalid-message"


# --- messages that say nothing sensible -----------------------------------------------------------

ENVELOPE = {"specversion": "1.0", "id": "1", "source": "/tests", "type": "delete-client"}
SENSELESS: Sequence[tuple[str, bytes]] = (
    ("broken-json", b""),
    ("broken-json", b"\xff\xfe"),
    ("broken-json", b'{"specversion": "1.0"'),
    ("invalid-message", b"[]"),
    ("invalid-message", b'"delete-client"'),
    ("invalid-message", orjson.dumps({**ENVELOPE, "specversion": "0.3"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "id": ""})),
    ("invalid-message", orjson.dumps({k: v for k, v in ENVELOPE.items() if k != "source"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "datacontenttype": "text/plain"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "1", "expectedversion": "one"})),
    ("unknown-type", orjson.dumps({**ENVELOPE, "type": "close-the-club"})),
    ("unknown-type", orjson.dumps({**ENVELOPE, "type": "log-in", "subject": "1"})),
    ("invalid-message", orjson.dumps(ENVELOPE)),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "1/2"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "client-1"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "01"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "0"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "-1"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "2147483648"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "99999999999999999999"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "١"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "subject": "1", "data": {}})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "type": "add-exercise"})),
    ("invalid-message", orjson.dumps({**ENVELOPE, "type": "add-exercise", "subject": "1"})),
)


async def test_what_makes_no_sense_is_parked_and_answered_where_an_answer_is_wanted(
    rest: Rest, desk: Desk
) -> None:
    _, signed_in = await rest.user(Role.ADMIN)
    before = await head(rest)
    for reason, body in SENSELESS:
        reply = await desk.ask("", headers=signed_in, body=body)
        assert (reply.status, reply.body["type"]) == (422, f"/problems/{reason}"), body
        assert await desk.parked_as() == reason, body
        await desk.send("", headers=signed_in, body=body, reply_to=None)
        assert await desk.parked_as() == reason, body
    assert desk.replies.empty()
    assert await head(rest) == before


async def test_a_command_that_is_refused_and_wants_no_reply_is_parked(
    rest: Rest, desk: Desk
) -> None:
    _, signed_in = await rest.user()
    await desk.send("delete-client", headers=signed_in, subject="9", reply_to=None)
    assert await desk.parked_as() == "not-found"
    await desk.send("add-exercise", exercise(), signed_in, reply_to=None)
    assert await desk.parked_as() == "forbidden"
    await desk.send("delete-client", subject="9", reply_to=None)
    assert await desk.parked_as() == "invalid-token"


async def test_a_refused_command_that_is_replayed_is_decided_anew(
    rest: Rest, quiet_desk: Desk, consumers: None
) -> None:
    user, signed_in = await rest.user(Role.STAFFER)
    membership = await new_membership(rest)
    body = ClientBody.model_validate(client_body(user, membership))
    first = await rest.do(RegisterClient(body))
    assert first.body is not None
    await quiet_desk.send(
        "register-client", client_body(user, await new_membership(rest)), signed_in, reply_to=None
    )
    refused = await asyncio.wait_for(quiet_desk.parked.get(), PATIENCE)
    assert refused.headers["club-reason"] == "user-has-client"

    await rest.http.delete(f"/clients/{first.body['id']}/", headers=signed_in)
    assert await replayed(rest, quiet_desk, refused) == 201


async def test_a_command_whose_refusal_reached_nobody_is_decided_anew_when_it_is_replayed(
    rest: Rest, quiet_desk: Desk, consumers: None
) -> None:
    user, signed_in = await rest.user(Role.STAFFER)
    body = ClientBody.model_validate(client_body(user, await new_membership(rest)))
    first = await rest.do(RegisterClient(body))
    assert first.body is not None
    another = client_body(user, await new_membership(rest))
    await quiet_desk.send("register-client", another, signed_in, reply_to="gone")
    refused = await asyncio.wait_for(quiet_desk.parked.get(), PATIENCE)
    assert refused.headers["club-reason"] == "user-has-client"
    assert await replayed(rest, quiet_desk, refused) == 409, "it still is as it was"

    await rest.http.delete(f"/clients/{first.body['id']}/", headers=signed_in)
    assert await replayed(rest, quiet_desk, refused) == 201
    before = await head(rest)
    assert await replayed(rest, quiet_desk, refused) == 201, "and once more it is the same"
    assert await head(rest) == before


async def replayed(rest: Rest, desk: Desk, parked: AbstractIncomingMessage) -> object:
    """The status of the reply, after a person has sent it again.

    A desk takes what is parked to look at it, so it puts it back for the person at the machine.
    """
    url = str(rest.club.settings.amqp_url)
    renewed = partial(rest.club.tokens.renewed, seconds=60)
    async with await aio_pika.connect(url) as connection:
        await desk.channel.close()
        own = await connection.channel()
        replies = await own.declare_queue(exclusive=True)
        headers = {**parked.headers, "club-parked-id": "again"}
        back = Message(parked.body, headers=headers, reply_to=replies.name)
        await own.default_exchange.publish(back, PARKING_QUEUE)
        async with open_parking(url) as parking:
            which = Which(frozenset({"again"}))
            assert [1 async for _ in parking.replay(which, lambda *_: "pass", renewed)] == [1]
        async with replies.iterator(timeout=PATIENCE) as found:
            return (await anext(aiter(found))).headers["status"]


@pytest.mark.parametrize(("ours", "status"), [(True, 201), (False, 401)], ids=["ours", "forged"])
async def test_a_command_whose_token_has_ended_is_decided_when_a_person_sends_it_again(
    rest: Rest, quiet_desk: Desk, consumers: None, ours: bool, status: int
) -> None:
    user_id, _ = await rest.user(Role.TRAINER)
    token = rest.club.tokens.access_token(user_id, None, -60)
    signed_in = {"Authorization": f"Bearer {token if ours else token[:-4] + 'AAAA'}"}
    await quiet_desk.send("add-exercise", exercise(), signed_in, reply_to=None)
    parked = await asyncio.wait_for(quiet_desk.parked.get(), PATIENCE)
    assert parked.headers["club-reason"] == "invalid-token"
    assert await replayed(rest, quiet_desk, parked) == status


# --- once, whatever the channel -------------------------------------------------------------------


async def test_the_same_message_twice_happens_once_and_is_answered_the_same(
    rest: Rest, desk: Desk
) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    for _ in range(3):
        await desk.send("add-exercise", exercise(), signed_in, id="once")
    first, *others = [await desk.reply() for _ in range(3)]
    assert first.status == 201
    for other in others:
        assert (other.status, other.body, other.etag) == (201, first.body, first.etag)
    assert len((await rest.http.get("/exercises/", headers=signed_in)).json()) == 1


async def test_a_refusal_is_answered_the_same_as_well(rest: Rest, desk: Desk) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    change = {"title": "Lunge"}
    about = {"subject": "1", "id": "once"}
    first = await desk.ask("change-exercise", change, signed_in, **about)
    await desk.ask("add-exercise", exercise(), signed_in)
    second = await desk.ask("change-exercise", change, signed_in, **about)
    assert (first.status, second.status) == (404, 404)
    assert first.body == second.body


async def test_another_message_under_the_same_id_is_refused(rest: Rest, desk: Desk) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    await desk.ask("add-exercise", exercise("Squat"), signed_in, id="once")
    other = await desk.ask("add-exercise", exercise("Lunge"), signed_in, id="once")
    assert (other.status, other.body["type"]) == (422, "/problems/key-reused")


async def test_the_same_id_of_another_source_or_caller_is_another_message(
    rest: Rest, desk: Desk
) -> None:
    _, one = await rest.user(Role.TRAINER)
    _, two = await rest.user(Role.TRAINER)
    for title, headers, source in (("a", one, "/x"), ("b", one, "/y"), ("c", two, "/x")):
        reply = await desk.ask("add-exercise", exercise(title), headers, id="1", source=source)
        assert reply.status == 201


async def test_what_was_done_over_rest_is_not_done_again_over_rabbitmq(
    rest: Rest, desk: Desk
) -> None:
    _, signed_in = await rest.user(Role.TRAINER)
    key = {"Idempotency-Key": "/tests first"}
    first = await rest.http.post("/exercises/", json=exercise(), headers={**signed_in, **key})
    recorded = await head(rest)
    second = await desk.ask("add-exercise", exercise(), signed_in, id="first")
    assert (second.status, second.body) == (201, first.json())
    assert second.etag == first.headers["etag"]
    assert await head(rest) == recorded


async def test_what_was_done_over_rabbitmq_is_not_done_again_over_rest(
    rest: Rest, desk: Desk
) -> None:
    user, signed_in = await rest.user(Role.STAFFER)
    body = client_body(user, await new_membership(rest))
    first = await desk.ask("register-client", body, signed_in, id="first")
    recorded = await head(rest)
    key = {"Idempotency-Key": "/tests first"}
    second = await rest.http.post("/clients/", json=body, headers={**signed_in, **key})
    assert (second.status_code, second.json()) == (201, first.body)
    assert await head(rest) == recorded


async def test_strangers_who_chose_one_id_are_two_users_and_each_is_known_again(
    desk: Desk,
) -> None:
    bodies = [
        {"username": name, "email": f"{name}@example.com", "password": "long enough"}
        for name in ("ada", "bob")
    ]
    ada, bob, again = [
        await desk.ask("register-user", body, id="1") for body in (*bodies, bodies[0])
    ]
    assert (ada.status, bob.status) == (201, 201)
    assert ada.body["id"] != bob.body["id"]
    assert again.body == ada.body
    mallory = await desk.ask("register-user", {**bodies[0], "password": "another one"}, id="1")
    assert mallory.status == 409


async def test_a_report_that_was_drawn_up_over_rest_is_shown_in_full_over_rabbitmq(
    rest: Rest, desk: Desk
) -> None:
    _, signed_in = await rest.user(Role.ANALYST)
    key = {"Idempotency-Key": "/tests first"}
    first = await rest.http.post("/reports/", json={}, headers={**signed_in, **key})
    second = await desk.ask("draw-up-report", {}, signed_in, id="first")
    assert second.body == first.json()
    assert second.body["new_users"]["data"]


async def test_events_know_the_conversation_and_who_asked(rest: Rest, desk: Desk) -> None:
    user, signed_in = await rest.user(Role.TRAINER)
    await desk.ask("add-exercise", exercise("Squat"), signed_in, correlationid="spring-clean")
    await desk.ask("add-exercise", exercise("Lunge"), signed_in, id="7")
    rows = await rest.club.postgres.rows(
        "SELECT actor, correlation_id FROM ledger_events "
        "WHERE topic = 'exercise.added' ORDER BY notification_id"
    )
    assert rows == [(f"user-{user}", "spring-clean"), (f"user-{user}", "/tests 7")]


def _without_instance(document: dict[str, Any]) -> dict[str, Any]:
    return {name: said for name, said in document.items() if name != "instance"}
