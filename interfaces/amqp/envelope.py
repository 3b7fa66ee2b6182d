"""What a message carries beside its body: the headers that we add, and copies to send on."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage
from pamqp import decode, encode
from pamqp.commands import Basic
from pamqp.header import ContentHeader

LARGEST_HEADERS = 60_000
"""Bytes; RabbitMQ takes twice that, and ours have to fit beside them."""

DEEPEST_HEADER = 20
"""Tables within tables; deeper ones can be read and not written, as the client recurses."""

ATTEMPT = "club-attempt"
REASON = "club-reason"
DETAIL = "club-detail"
ORIGIN = "club-queue"
PARKED_AT = "club-parked-at"
PARKED_ID = "club-parked-id"
REPLAYED = "club-replayed"

DELIVERIES = "x-delivery-count"
"""How often RabbitMQ gave a message to somebody who gave it back."""

NOT_COPIED = frozenset({"CC", "BCC", DELIVERIES})
"""By the first two RabbitMQ sends a message to other queues, too: a copy would go there again."""


def attempts(message: AbstractIncomingMessage) -> int:
    """How often it was tried before; whoever sent it may have said anything."""
    return _count(message, ATTEMPT)


def deliveries(message: AbstractIncomingMessage) -> int:
    """How often it was given back."""
    return _count(message, DELIVERIES)


def _count(message: AbstractIncomingMessage, header: str) -> int:
    count = message.headers.get(header, 0)
    return min(count, 1_000_000) if isinstance(count, int) and count > 0 else 0


def copy_of(message: AbstractIncomingMessage, headers: Mapping[str, Any]) -> Message:
    """The message as it is, but for its headers."""
    return Message(
        message.body,
        headers=dict(headers),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=DeliveryMode.PERSISTENT,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )


def carried_on(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that can be sent on: RabbitMQ hangs up on a sender of longer ones."""
    sizes: dict[str, int] = {}
    for name, value in headers.items():
        if name in NOT_COPIED:
            continue
        # The client reads forms that it cannot write.
        with suppress(TypeError, ValueError, OverflowError, struct.error):
            sizes[name] = len(encode.field_table({name: value}))
    carried: dict[str, Any] = {}
    room = LARGEST_HEADERS
    for name in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[name]
        if room >= 0:
            carried[name] = headers[name]
    return carried


def bear_the_unreadable() -> None:
    """Let a message come without the headers that cannot be read, and whatever its routing key.

    Left to itself the client drops its connection at such a message, which is then delivered
    again, and again.
    """
    if ContentHeader.unmarshal is not _read_header:
        ContentHeader.unmarshal = _read_header  # type: ignore[method-assign, assignment]
        decode.METHODS["shortstr"] = _read_short


def _read_header(header: ContentHeader, data: bytes) -> None:
    try:
        _READ_HEADER(header, data)
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error):
        header.properties = Basic.Properties()
    headers = header.properties.headers or {}
    for name in [name for name, value in headers.items() if _is_deeper(value, DEEPEST_HEADER)]:
        del headers[name]


def _is_deeper(value: object, levels: int) -> bool:
    inner: Collection[object] = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    return bool(inner) and (levels == 0 or any(_is_deeper(one, levels - 1) for one in inner))


_READ_HEADER = ContentHeader.unmarshal


def _read_short(data: bytes) -> tuple[int, str]:
    """A short text, without what is no text in it; so what is read can be written again."""
    try:
        return decode.short_str(data)
    except UnicodeDecodeError:
        end = data[0] + 1
        return end, data[1:end].decode(errors="ignore")
