"""Commands in: every one of `application.catalogue`, under its name there.

The `type` of a message names the command, its `subject` the numbers that REST has in the path
(`42`, or `3/5`), its data is REST's own body. Who asks is proved by an access token in the header
`authorization`. What became of it goes to `reply_to`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import orjson
import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage
from pydantic import Field, ValidationError

from application.access import ANYBODY, Caller, Origin, reaches_all
from application.askable import Answer, AskableCommand
from application.bus import Bus, Outcome, StillInFlight
from application.catalogue import COMMANDS
from application.command import Command, Context
from application.fields import LARGEST_ID
from application.ports.ledger import LedgerUnavailable, Overloaded, ReceiptKey, UnreadableHistory
from application.ports.queries import Queries
from application.ports.signing_in import Callers, InvalidToken, NoToken, StoreUnavailable
from domain.refusals import Busy, Refusal
from interfaces import problems
from interfaces.amqp.cloudevents import CloudEvent, Unusable, read, said
from interfaces.amqp.envelope import REPLAYED
from interfaces.amqp.intake import LARGEST_BODY, LONGEST_DETAIL, Later, Unavailable
from interfaces.amqp.replies import NobodyWaits, Replies, ReplyRefused

JSON = "application/json"

logger = structlog.get_logger("amqp")

STATUS: Mapping[Answer, int] = {Answer.CREATED: 201, Answer.CHANGED: 200, Answer.DELETED: 204}
"""The status of each reply, which is the one that REST answers."""

MOST_ERRORS = 50
"""Fields of which a reply says what is wrong with them."""


class Service(Protocol):
    """What commands need of the running club."""

    @property
    def bus(self) -> Bus: ...
    @property
    def callers(self) -> Callers: ...
    @property
    def reads(self) -> Queries: ...


class CommandMessage(CloudEvent):
    """A command."""

    expectedversion: int | None = Field(
        default=None, description="only at this version; what If-Match is to REST"
    )


class CommandsIn:
    """Has commands done, and replies."""

    def __init__(self, service: Service, replies: Replies) -> None:
        self._service = service
        self._replies = replies

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """One message; a no is a reply, or parks the message where nobody wants a reply."""
        instance = "/"
        try:
            asked = read(CommandMessage, message.body)
            instance = f"/{asked.type}/{asked.subject or ''}"
            entry = _entry(asked)
            outcome = await self._do(entry, asked, message)
            body = await self._body(entry, outcome)
        except (LedgerUnavailable, Overloaded, StoreUnavailable) as away:
            raise Unavailable.of(away) from away
        except (Busy, StillInFlight, UnreadableHistory) as taken:
            raise Later(type(taken).__name__) from taken
        except Unusable as unusable:
            detail, errors = unusable.detail[:LONGEST_DETAIL], _errors(unusable)
            no = problems.document(422, unusable.reason, detail, instance, errors)
            await self._is_told(message, no)
            raise
        except InvalidToken as refused:
            await self._refuse(
                message,
                problems.document(401, "invalid-token", type(refused).__doc__ or "", instance),
            )
        except Refusal as refusal:
            await self._refuse(message, problems.of_refusal(refusal, instance))
        else:
            await self._answer(message, body, STATUS[entry.answer], outcome)

    async def _do(
        self, entry: AskableCommand, asked: CommandMessage, message: AbstractIncomingMessage
    ) -> Outcome:
        caller = await self._caller(message, entry)
        return await self._service.bus.execute(
            _command(entry, asked), _context(asked, caller, message)
        )

    async def _caller(self, message: AbstractIncomingMessage, entry: AskableCommand) -> Caller:
        given = message.headers.get("authorization")
        if given is None and entry.permission is None:
            return ANYBODY
        scheme, _, token = str(given).partition(" ")
        if given is None or scheme.lower() != "bearer":
            raise NoToken
        caller = await self._service.callers.of(token.strip())
        if entry.permission is not None:
            reaches_all(caller, entry.permission)
        return caller

    async def _body(self, entry: AskableCommand, outcome: Outcome) -> bytes:
        if entry.view is not None and outcome.body is not None:
            row = await self._service.reads.one(entry.view, outcome.body["id"])
            if row is not None:
                return row.body
        return b"" if outcome.shown is None else orjson.dumps(outcome.shown)

    async def _answer(
        self, message: AbstractIncomingMessage, body: bytes, status: int, outcome: Outcome
    ) -> None:
        headers: dict[str, Any] = {"status": status}
        if outcome.version is not None:
            headers["etag"] = f'"{outcome.version}"'
        if len(body) > LARGEST_BODY:
            body = orjson.dumps({"id": (outcome.body or {}).get("id")})
        try:
            await self._reply(message, body, JSON, headers)
        except NobodyWaits:
            logger.info("amqp.nobody-waits", reply_to=message.reply_to)
        except ReplyRefused as refused:
            said = f"It is done, but RabbitMQ did not take the reply: {refused}"
            raise Unusable("reply-refused", said) from refused

    async def _refuse(self, message: AbstractIncomingMessage, no: dict[str, Any]) -> None:
        if not await self._is_told(message, no):
            raise Unusable(no["type"].rpartition("/")[2], no["detail"])

    async def _is_told(self, message: AbstractIncomingMessage, no: dict[str, Any]) -> bool:
        """Whether somebody waited for it, and was told why not."""
        try:
            await self._reply(
                message, orjson.dumps(no), problems.MEDIA_TYPE, {"status": no["status"]}
            )
        except (NobodyWaits, ReplyRefused) as untold:
            logger.info("amqp.untold", reply_to=message.reply_to, reason=str(untold))
            return False
        return bool(message.reply_to)

    async def _reply(
        self, message: AbstractIncomingMessage, body: bytes, kind: str, headers: dict[str, Any]
    ) -> None:
        """Reply, where a reply is wanted."""
        if not message.reply_to:
            return
        reply = Message(
            body,
            headers=headers,
            content_type=kind,
            correlation_id=message.correlation_id or message.message_id,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        await self._replies.send(reply, message.reply_to)


def _entry(asked: CommandMessage) -> AskableCommand:
    entry = COMMANDS.get(asked.type)
    if entry is None:
        raise Unusable("unknown-type", f"There is no command {asked.type!r}.")
    return entry


ABOUT = ("is about no number", "is about one number: `4`", "is about two numbers: `3/5`")
"""What a command is about, by how many numbers say it."""


def _command(entry: AskableCommand, asked: CommandMessage) -> Command:
    numbers = [int(part) for part in re.findall(r"[0-9]{1,10}", asked.subject or "")]
    written = "/".join(str(number) for number in numbers)
    if len(numbers) != entry.numbers or written != (asked.subject or "").strip("/"):
        raise Unusable("invalid-message", f"subject: {asked.type} {ABOUT[entry.numbers]}")
    if not all(1 <= number <= LARGEST_ID for number in numbers):
        raise Unusable("invalid-message", f"subject: a number is from 1 to {LARGEST_ID}")
    if entry.body is None:
        if asked.data is not None:
            raise Unusable("invalid-message", f"data: {asked.type} has none")
        return entry.made(numbers)
    try:
        given = {} if asked.data is None and not entry.needs_body else asked.data
        return entry.made(numbers, entry.body.model_validate(given))
    except ValidationError as wrong:
        raise Unusable("invalid-message", said(wrong)) from wrong


def _errors(unusable: Unusable) -> list[dict[str, str]] | None:
    """What is wrong with the data, field by field, as REST says it of the same body."""
    wrong = unusable.__cause__
    if not isinstance(wrong, ValidationError) or wrong.title == CommandMessage.__name__:
        return None
    found = wrong.errors(include_input=False, include_url=False)[:MOST_ERRORS]
    return [
        {"detail": problems.said_of(e), "pointer": problems.pointer(e["loc"])[:LONGEST_DETAIL]}
        for e in found
    ]


def _context(asked: CommandMessage, caller: Caller, message: AbstractIncomingMessage) -> Context:
    version = asked.expectedversion
    return Context(
        caller,
        correlation_id=asked.correlationid or f"{asked.source} {asked.id}"[:255],
        versions=None if version is None else frozenset({version}),
        key=ReceiptKey(f"rest:{caller.actor}", f"{asked.source} {asked.id}"),
        origin=Origin("amqp"),
        # A refusal that nobody is told is parked, and no answer yet.
        keep_refusals=bool(message.reply_to),
        replayed=REPLAYED in message.headers,
    )
