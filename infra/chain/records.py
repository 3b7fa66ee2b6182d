"""What is in the topic: some events of one ledger, as they are stored, packed into a record.

The body is the rows as Postgres itself sends them in binary (`record_send`): every column of every
event, to the byte. The headers say whose events these are and where in the ledger
they belong, and what comes before them; so a hole, a repeat and a ledger that went another way are
seen. A keyed digest over all of it tells what the ledger's own publisher wrote from what anybody
else put into the topic: its secret is in the ledger, where the chain has read it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import Struct, error
from typing import Self

from infra.ledger.feed import Row

TOPIC = "club.ledger"
FORMAT = b"1"
"""The version of this form; a record of another one is kept out."""

MOST_EVENTS = 200
"""Events in a record, at most."""

MOST_BYTES = 512 * 1024
"""Bytes of a record, about: one event more goes into the next, but each record has one."""

LONGEST = 8 * 1024 * 1024
"""Bytes of a record that is read at all."""

AROUND_A_STATE = 350
"""Bytes of an event beside its state, about."""

COLUMNS = (
    "notification_id, originator_id, originator_version, topic, state, "
    "recorded_at, actor, command, command_id, correlation_id, causation_id"
)
"""The columns of an event, in the order in which they are sent, and `feed.read` takes them."""

EVENTS = f"""
SELECT record_send(event) FROM (
    SELECT {COLUMNS} FROM (
        SELECT {COLUMNS}, sum(octet_length(state) + {AROUND_A_STATE}) OVER (
            ORDER BY notification_id ROWS UNBOUNDED PRECEDING) AS bytes
        FROM ledger_events WHERE notification_id >= %(first)s AND notification_id <= %(last)s
    ) AS counted
    WHERE bytes <= %(most)s OR notification_id <= %(first)s + 1
    ORDER BY notification_id
) AS event
"""  # noqa: S608 - made of constants
"""SQL for the rows of a ledger from a position to another one, each as it is sent.

Of so many bytes, about; but of the first two, the rows are there in any case.
"""

NOTHING = b""
"""What comes before the first event of a ledger."""

Stored = tuple[bytes, Row]
"""An event as it was sent, and its columns."""

_WIDTH = COLUMNS.count(",") + 1
_EIGHT = 8
"""Bytes of each number in a row."""
_begin = Struct(">i4xiq4xi").unpack_from
"""How a row begins: how many columns, the length of the first and the number in it, a length.

Each column has its type before its length, which it has not to be asked for.
"""
_number_and_length = Struct(">4xiq4xi").unpack_from
_length = Struct(">4xi").unpack_from
_POSITION = slice(4 + 8, 4 + 8 + 8)
"""Where in a row its position is: after the number of columns, its own type and its length."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From which Postgres counts, in microseconds."""


class KeptOut(Exception):
    """A record that does not belong in the topic, and why."""


def position_of(row: bytes) -> int:
    """Where an event is in its ledger, of its row as it was sent."""
    return int.from_bytes(row[_POSITION], "big", signed=True)


def digest(row: bytes) -> bytes:
    """What tells an event from every other one that might be at its place."""
    return sha256(row).digest()


@dataclass(frozen=True, slots=True)
class Record:
    """Some events of a ledger, in order, without a hole between them."""

    ledger: str
    """The identity of the ledger: `ledger_identity.id`."""
    prev: int
    """The position after which they come; 0 is the beginning."""
    before: bytes
    """The digest of the event at that position; NOTHING at the beginning."""
    first: int
    last: int
    body: bytes
    mac: bytes

    @classmethod
    def pack(
        cls, ledger: str, secret: bytes, prev: int, before: bytes, rows: Sequence[bytes]
    ) -> Self:
        """The record of these rows, each as it was sent; at least one."""
        first, last = position_of(rows[0]), position_of(rows[-1])
        body = b"".join(rows)
        mac = _mac(secret, ledger, prev, before, first, last, body)
        return cls(ledger, prev, before, first, last, body, mac)

    @property
    def key(self) -> bytes:
        """What decides about the partition: one ledger is in one, in order."""
        return self.ledger.encode()

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The headers, as Kafka takes them."""
        return [
            ("format", FORMAT),
            ("ledger", self.ledger.encode()),
            ("prev", str(self.prev).encode()),
            ("before", self.before.hex().encode()),
            ("first", str(self.first).encode()),
            ("last", str(self.last).encode()),
            ("mac", self.mac.hex().encode()),
        ]

    @classmethod
    def of(
        cls, key: bytes | None, headers: Iterable[tuple[str, bytes | None]], body: bytes | None
    ) -> Self:
        """The record in a message; raises KeptOut. It may still be somebody else's: see `rows`."""
        if body is None or len(body) > LONGEST:
            raise KeptOut("it has no body" if body is None else "it is too long")
        told = dict(headers)
        if told.get("format") != FORMAT:
            raise KeptOut("it is not of this form")
        said = {name: value for name, value in told.items() if value is not None}
        try:
            record = cls(
                ledger=said["ledger"].decode(),
                prev=_number(said, "prev"),
                before=bytes.fromhex(said["before"].decode()),
                first=_number(said, "first"),
                last=_number(said, "last"),
                body=body,
                mac=bytes.fromhex(said["mac"].decode()),
            )
        except (KeyError, ValueError) as wrong:
            raise KeptOut("its headers cannot be read") from wrong
        if key != record.key:
            raise KeptOut("its key is not that of its ledger")
        return record

    def verify(self, secret: bytes) -> None:
        """See to it that the ledger's own publisher made it; raises KeptOut."""
        due = _mac(secret, self.ledger, self.prev, self.before, self.first, self.last, self.body)
        if not hmac.compare_digest(due, self.mac):
            raise KeptOut("its publisher does not know the secret of its ledger")

    def rows(self) -> list[bytes]:
        """The rows, each as it was sent; raises KeptOut where the headers say something else."""
        return [raw for raw, _ in self.stored()]

    def stored(self) -> list[Stored]:
        """The same, each with its columns, as `feed.read` takes them."""
        found = stored(self.body)
        positions = [row[0] for _, row in found]
        if positions != list(range(self.prev + 1, self.last + 1)) or positions[:1] != [self.first]:
            raise KeptOut("its headers and its events do not say the same")
        return found


def stored(body: bytes) -> list[Stored]:  # noqa: PLR0915 - there are millions: one pass, no calls
    """Each row of a body, with its columns; raises KeptOut where these are no such rows."""
    found: list[Stored] = []
    at, end = 0, len(body)
    try:
        while at < end:
            begin = at
            width, w0, position, w1 = _begin(body, at)
            stream = body[(at := at + 28) : (at := at + w1)]
            w2, version, w3 = _number_and_length(body, at)
            topic = body[(at := at + 24) : (at := at + w3)]
            (w4,) = _length(body, at)
            state = body[(at := at + 8) : (at := at + w4)]
            w5, moment, w6 = _number_and_length(body, at)
            actor = body[(at := at + 24) : (at := at + w6)]
            (w7,) = _length(body, at)
            command = body[(at := at + 8) : (at := at + w7)]
            (w8,) = _length(body, at)
            command_id = body[(at := at + 8) : (at := at + w8)]
            (w9,) = _length(body, at)
            correlation_id = body[(at := at + 8) : (at := at + w9)]
            (w10,) = _length(body, at)
            causation_id = body[(at := at + 8) : (at := at + w10)]
            if width != _WIDTH or not w0 == w2 == w5 == _EIGHT:
                raise KeptOut("its events have other columns")
            if at > end or (w1 | w3 | w4 | w6 | w7 | w8 | w9 | w10) < 0:
                raise KeptOut("it ends in the midst of an event")
            row = (
                position,
                stream.decode(),
                version,
                topic.decode(),
                state,
                _EPOCH + timedelta(0, 0, moment),
                actor.decode(),
                command.decode(),
                command_id.decode(),
                correlation_id.decode(),
                causation_id.decode(),
            )
            found.append((body[begin:at], row))
    except (error, UnicodeDecodeError, OverflowError) as wrong:
        raise KeptOut("it ends in the midst of an event") from wrong
    return found


def _number(said: Mapping[str, bytes], name: str) -> int:
    text = said[name].decode()
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):  # noqa: PLR2004 - 63 bits
        raise ValueError(name)
    return int(text)


def _mac(
    secret: bytes, ledger: str, prev: int, before: bytes, first: int, last: int, body: bytes
) -> bytes:
    said = f"{FORMAT.decode()} {ledger} {prev} {before.hex()} {first} {last}\n"
    return hmac.digest(secret, said.encode() + body, "sha256")
