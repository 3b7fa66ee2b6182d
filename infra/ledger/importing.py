"""A club from an export: all of it in one transaction, or nothing.

Each line is read as strictly as it was written. What is wrong with the file is said with the line
that it is in, and then nothing of it is in the database.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import psycopg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from application.slices import Slices
from infra.faults import Fault
from infra.ledger import numbers
from infra.ledger.exporting import FORMAT, Line, as_bytes, manifest_text
from infra.ledger.schema import HEAD, LOCK, SEQUENCES, advance_ledger, has_ledger, number_in
from infra.proofs.check import COLUMNS, Refused, encode, leaf_hash, moment_of
from infra.proofs.merkle import Frontier

LONGEST_LINE = 1 << 28
"""Bytes that a line may have."""

TOLD_TOGETHER = 1000
"""Events between two calls of `progress`."""

Connection = psycopg.AsyncConnection[Any]
Keys = Mapping[str, Ed25519PublicKey]
"""Public keys that are believed, by their names."""

_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_AS_LONG_AS_IT_TAKES = "SET LOCAL statement_timeout = 0"
_COPY = """
COPY ledger_events (notification_id, originator_id, originator_version, topic, state, recorded_at,
                    actor, command, command_id, correlation_id, causation_id)
FROM STDIN (FORMAT binary)
"""
_TYPES = (
    *("int8", "text", "int8", "text", "bytea", "timestamptz"),
    *("text", "text", "text", "text", "text"),
)
_NUMBER = "SELECT setval(%s::regclass, %s)"
_PUBLISHED = "INSERT INTO relay_positions VALUES (%s, %s)"
_TAKEN = """
SELECT name FROM unnest(%s::text[]) AS names (name) WHERE to_regclass(quote_ident(name)) IS NOT NULL
"""
_EMPTY = ("relay_positions", "ledger_receipts", "ledger_seals", "ledger_tree", "read_groups")
"""The tables beside the events which are empty in a database that an import was killed in."""
_HAS_ROWS = "SELECT EXISTS (SELECT FROM {})"


class NotEmpty(Fault):
    """There is a club in this database already: an import makes one in an empty database."""


class NotFinished(Fault):
    """A club was imported into this database, and its tables are not made yet.

    `club run` makes them; nothing needs to be imported again.
    """


class NamesTaken(Fault):
    """An import makes a club in an empty database, and in this one there is something already.

    It bears names of the club's: {names}.
    """


class Unacceptable(Fault):
    """Line {line} of the export: {what}. Nothing was imported."""


class UnknownKey(Fault):
    """Whether the export is as it was written cannot be said: its key {name} is not known here.

    --key names the public key of the club that it is from (`club audit key`).
    """


async def make_room(connection: Connection, tables: Sequence[str] = ()) -> None:
    """Make the ledger's tables in an empty database; the connection is in autocommit.

    One that an import was killed in is empty, too. `tables` are the names of the read tables.
    Raises NotEmpty, NotFinished or NamesTaken, before anything is made.
    """
    taken = await _taken(connection, tables)
    if not await has_ledger(connection):
        taken += await _taken(connection, [*_EMPTY, *SEQUENCES.values()])
    elif await number_in(connection, HEAD):
        raise NotEmpty if taken else NotFinished
    else:
        for name in await _taken(connection, _EMPTY):
            cursor = await connection.execute(_HAS_ROWS.format(name).encode())
            taken += [name] if await cursor.fetchone() == (True,) else []
    if taken:
        raise NamesTaken(names=", ".join(taken))
    await advance_ledger(connection)


async def _taken(connection: Connection, names: Sequence[str]) -> list[str]:
    """Those of the names that something in the database bears."""
    cursor = await connection.execute(_TAKEN, [list(names)])
    return [name for (name,) in await cursor.fetchall()]


async def import_from(
    connection: Connection,
    path: Path,
    keys: Keys,
    progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Take in the whole file, and commit; how many events there were.

    Raises Unacceptable, UnknownKey or NotEmpty: then nothing was taken.
    """
    await connection.execute(_LOCK, [LOCK])
    await connection.execute(_AS_LONG_AS_IT_TAKES)
    if await number_in(connection, HEAD):
        raise NotEmpty
    with _opened(path) as file:
        reading = Reading(file, keys)
        slices = Slices()
        with reading.told_by_the_database():
            async with connection.cursor().copy(_COPY) as copy:
                copy.set_types(_TYPES)
                for row in reading.rows():
                    await copy.write_row(row)
                    if reading.count % TOLD_TOGETHER == 0:
                        progress(TOLD_TOGETHER)
                    await slices.between()
    for name, number in reading.manifest["numbers"].items():
        if number:
            await connection.execute(_NUMBER, [name, number])
    for name, position in reading.manifest["published"].items():
        await connection.execute(_PUBLISHED, [name, position])
    await connection.commit()
    await connection.set_autocommit(True)
    await numbers.put_right(connection)
    return reading.count


class Reading:
    """An export, line by line."""

    def __init__(self, file: BinaryIO, keys: Keys) -> None:
        self._file = file
        self._keys = keys
        self._line = 0
        self._digest = sha256()
        self._frontier = Frontier()
        self.manifest: Line = {}

    @property
    def count(self) -> int:
        """How many events were read."""
        return self._frontier.size

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The events, as they are stored; ends when the manifest stands for all of them."""
        while True:
            text = self._next()
            line = self._read(text)
            if line.get("format") == FORMAT:
                break
            yield self._row(line, text)
        self._check(line)
        self.manifest = line
        if self._bytes(self._file.read, 1):
            self._line += 1
            self._refuse("there is something after the manifest")

    @contextmanager
    def told_by_the_database(self) -> Iterator[None]:
        """What the database does not take is no event of ours."""
        try:
            yield
        except (psycopg.IntegrityError, psycopg.DataError) as wrong:
            what = wrong.diag.message_primary or str(wrong).partition("\n")[0]
            raise Unacceptable(
                line=self._line, what=f"the ledger does not take it: {what}"
            ) from wrong

    def _next(self) -> bytes:
        self._line += 1
        text = self._bytes(self._file.readline, LONGEST_LINE)
        if not text:
            self._refuse("the export ends before its manifest: it is a part of one")
        if not text.endswith(b"\n"):
            self._refuse("the line is not complete: it is a part of an export")
        return text

    def _bytes(self, read: Callable[[int], bytes], most: int) -> bytes:
        """What comes next; the trailer of a compressed file is looked at with its last byte."""
        try:
            return read(most)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self._refuse("the compressed file is broken here, or a part of one")

    def _read(self, text: bytes) -> Line:
        try:
            line = json.loads(text)
            again = as_bytes(line) if isinstance(line, dict) else b""
        except (ValueError, RecursionError):
            self._refuse("it is not JSON")
        if again != text:
            self._refuse("it is not written as the club writes it")
        return cast("Line", line)

    def _row(self, line: Line, text: bytes) -> tuple[Any, ...]:
        expected = self.count + 1
        if line.get("position") != expected:
            self._refuse(f"position {expected} is expected, and this is {line.get('position')!r}")
        try:
            state = _state_of(line)
            leaf = leaf_hash(encode({**line, "state_sha256": sha256(state).hexdigest()}))
        except (Refused, AttributeError, KeyError, TypeError, ValueError):
            self._refuse("it is not an event")
        if [*line] != _MEMBERS or leaf.hex() != line["leaf"] or None in line.values():
            self._refuse("the event was changed")
        self._digest.update(text)
        self._frontier.add(leaf)
        row = {**line, "state": state, "recorded_at": moment_of(line["recorded_at"])}
        return tuple(row[name] for name in _STORED)

    def _check(self, manifest: Line) -> None:
        """The manifest is signed, and that of these events."""
        key = self._keys.get(str(manifest.get("key")))
        if key is None:
            raise UnknownKey(name=manifest.get("key"))
        try:
            signature = base64.b64decode(manifest["signature"], validate=True)
            key.verify(signature, manifest_text(manifest))
        except (KeyError, TypeError, ValueError, InvalidSignature):
            self._refuse("the manifest was changed: its signature does not fit")
        is_theirs = {
            "count": self.count,
            "root": self._frontier.root().hex(),
            "sha256": self._digest.hexdigest(),
        }
        if any(manifest.get(name) != value for name, value in is_theirs.items()):
            self._refuse("the manifest is that of another export")
        if not manifest["numbers"].keys() <= set(SEQUENCES.values()):
            self._refuse("the manifest is that of a newer release")

    def _refuse(self, what: str) -> NoReturn:
        raise Unacceptable(line=self._line, what=what)


_STORED = ["state" if name == "state_sha256" else name for name in COLUMNS]
_MEMBERS = [*(name for name in COLUMNS if name != "state_sha256"), "state", "leaf"]


def _state_of(line: Line) -> bytes:
    state = line["state"]
    if isinstance(state, dict):
        return base64.b64decode(state["base64"], validate=True)
    return cast("str", state).encode()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, decompressed where it is compressed."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        yield cast("BinaryIO", gzip.GzipFile(fileobj=file)) if is_compressed else file
