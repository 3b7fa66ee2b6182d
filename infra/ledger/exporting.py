"""The ledger as a file: an event a line, and a signed manifest in the last one.

The file is the same to the byte each time. Each line has the leaf that the event is in the tree, so
that a line which was changed is named; the manifest has what all of them are together.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from typing import Any, BinaryIO

import psycopg

from application.slices import Slices
from infra.faults import Fault
from infra.ledger.schema import HEAD, SEQUENCES, number_in
from infra.proofs import heads
from infra.proofs.check import encode, leaf_hash
from infra.proofs.heads import Head
from infra.proofs.merkle import Frontier
from infra.proofs.proving import NotAsSealed, shown
from infra.secrets.sealing_key import SealingKey

FORMAT = "club-export-1"
BATCH = 2000

Connection = psycopg.AsyncConnection[Any]
Line = dict[str, Any]

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_AS_SLOWLY_AS_IT_IS_READ = "SET LOCAL idle_in_transaction_session_timeout = 0"
_AFTER = """
SELECT notification_id, originator_id, originator_version, topic, state, recorded_at,
       actor, command, command_id, correlation_id, causation_id
FROM ledger_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s
"""
_NUMBERS = """
SELECT name, coalesce(pg_sequence_last_value(name::regclass), 0)
FROM unnest(%s::text[]) AS names (name)
"""
# Events that are imported went out once; heads do not come along, and new ones are to go out.
_PUBLISHED = "SELECT name, position FROM relay_positions WHERE name <> %s ORDER BY name"


class NotInOrder(Fault):
    """The ledger cannot be exported: there is no event at position {position}.

    `club audit verify` says what is missing.
    """


def line_of(row: tuple[Any, ...]) -> Line:
    """What the file says of an event."""
    event = shown(row)
    event["leaf"] = leaf_hash(encode(event)).hex()
    del event["state_sha256"]  # it follows from the state
    return event


def as_bytes(line: Mapping[str, Any]) -> bytes:
    """A line of the file, in the one way in which it is written."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def manifest_text(manifest: Mapping[str, Any]) -> bytes:
    """What is signed of a manifest: all of it but the signature, as a line."""
    return as_bytes({name: each for name, each in manifest.items() if name != "signature"})


async def export(
    connection: Connection,
    key: SealingKey,
    file: BinaryIO,
    progress: Callable[[int], object] = lambda _: None,
    beside: Head | None = None,
) -> int:
    """Write the ledger as of one moment; how many events it has.

    Raises NotAsSealed where that is not the ledger that was sealed, as the last head says in the
    database, and the one beside the key: what is exported is signed.
    """
    await connection.execute(_SNAPSHOT)
    await connection.execute(_AS_SLOWLY_AS_IT_IS_READ)
    known = [head for head in (await heads.last(connection), beside) if head]
    head = await number_in(connection, HEAD)
    if any(sealed.size > head for sealed in known):
        raise NotAsSealed
    frontier, digest, slices = Frontier(), sha256(), Slices()
    async for rows in _batches(connection):
        for row in rows:
            if row[0] != frontier.size + 1:
                raise NotInOrder(position=frontier.size + 1)
            line = line_of(row)
            text = as_bytes(line)
            file.write(text)
            digest.update(text)
            frontier.add(bytes.fromhex(line["leaf"]))
            for sealed in known:
                if frontier.size == sealed.size and frontier.root() != sealed.root:
                    raise NotAsSealed
            await slices.between()
        progress(len(rows))
    manifest = {
        "format": FORMAT,
        "count": frontier.size,
        "first": min(1, frontier.size),
        "last": frontier.size,
        "root": frontier.root().hex(),
        "sha256": digest.hexdigest(),
        "numbers": await _pairs(connection, _NUMBERS, [sorted(SEQUENCES.values())]),
        "published": await _pairs(connection, _PUBLISHED, [heads.OUT]),
        "key": key.name,
    }
    signature = base64.b64encode(key.sign(manifest_text(manifest))).decode()
    file.write(as_bytes({**manifest, "signature": signature}))
    await connection.rollback()
    return frontier.size


def compressed(file: BinaryIO, opened: ExitStack) -> BinaryIO:
    """The file, compressed: the same to the byte, whenever it is written."""
    made = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
    return opened.enter_context(made)  # type: ignore[return-value]


async def _batches(connection: Connection) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
    position = -(2**63)
    while True:
        cursor = await connection.execute(_AFTER, [position, BATCH], binary=True)
        rows = await cursor.fetchall()
        if not rows:
            return
        yield rows
        position = rows[-1][0]


async def _pairs(connection: Connection, sql: str, params: Sequence[Any] = ()) -> dict[str, int]:
    cursor = await connection.execute(sql.encode(), params or None)
    return {name: int(number) for name, number in await cursor.fetchall()}
