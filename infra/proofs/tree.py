"""The tree in the database: leaves as events are stored, and the tiles above them.

An event goes into the tree as Postgres' binary COPY writes its row: every column with its length,
null told from empty, numbers and moments as they are stored, text in UTF-8; the same whatever a
server or a session is set to. The state is in it by its SHA-256, so that an event can be proved
to somebody who must not see the state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import psycopg

from application.slices import Slices
from infra.faults import Fault
from infra.ledger.schema import number_in
from infra.proofs.check import ENCODING, HASH_SIZE
from infra.proofs.merkle import (
    TILE_SIZE,
    WIDTH,
    Node,
    Nodes,
    Range,
    complete,
    ends,
    grow,
    in_tile,
    root_of,
    tile_of,
)

Connection = psycopg.AsyncConnection[Any]

FIRST, LAST = -(2**63), 2**63 - 1
"""The positions that a row can have, also those that no event of ours has."""

_LEAVES = """
COPY (SELECT notification_id, originator_id, originator_version, topic, sha256(state),
             recorded_at, actor, command, command_id, correlation_id, causation_id
      FROM ledger_events WHERE notification_id BETWEEN %s AND %s
      ORDER BY notification_id LIMIT %s)
TO STDOUT (FORMAT binary)
"""
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = len(_SIGNATURE) + 8
_POSITION = slice(2 + 4, 2 + 4 + 8)
"""Where in a row the position is, after the number of columns and its own length."""

_BEFORE = b"\x00" + ENCODING
"""What comes before a row when it is hashed: it is a leaf, in this encoding."""

_SIZE = f"""
SELECT number::numeric * {WIDTH} + length(hashes) / {HASH_SIZE}
FROM ledger_tree WHERE level = 0 ORDER BY number DESC LIMIT 1
"""  # noqa: S608 - made of constants
_TILES = """
SELECT level, number, hashes FROM ledger_tree
WHERE (level, number) IN (SELECT * FROM unnest(%s::smallint[], %s::bigint[]))
"""
_GROW = """
INSERT INTO ledger_tree (level, number, hashes)
SELECT * FROM unnest(%b::smallint[], %b::bigint[], %b::bytea[])
ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
"""


class TreeTorn(Fault):
    """A part of the tree over the events is missing: `club audit verify` says more."""


class Leaf(NamedTuple):
    """An event, as it is in the tree."""

    position: int
    hash: bytes
    row: bytes
    """What was hashed, without what comes before it."""


async def leaves(
    connection: Connection, start: int = FIRST, limit: int | None = None, *, end: int = LAST
) -> AsyncIterator[Leaf]:
    """The events from a position on, in order."""
    slices = Slices()
    async with connection.cursor().copy(_LEAVES, [start, end, limit]) as copy:
        async for data in copy:
            row = bytes(data)
            if row.startswith(_SIGNATURE):
                row = row[_HEADER:]
            if len(row) > _POSITION.stop:  # the last one says only that it is the last
                position = int.from_bytes(row[_POSITION], signed=True)
                yield Leaf(position, hash_of_row(row), row)
                await slices.between()


def hash_of_row(row: bytes) -> bytes:
    """The leaf that a row is."""
    return sha256(_BEFORE + row).digest()


def at_position(row: bytes, position: int) -> bytes:
    """The row as it would be at another position."""
    return row[: _POSITION.start] + position.to_bytes(8, signed=True) + row[_POSITION.stop :]


async def size_of(connection: Connection) -> int:
    """How many events are in the tree."""
    return await number_in(connection, _SIZE)


async def leaf_at(connection: Connection, position: int) -> bytes:
    """The leaf that an event was when it went into the tree; raises TreeTorn."""
    leaf = Range(position - 1, position)
    return root_of(leaf, await nodes(connection, [leaf]))


async def extend(connection: Connection, size: int, hashes: Sequence[bytes]) -> None:
    """Put leaves behind those that are there; raises TreeTorn."""
    tiles = await _tiles(connection, ends(size))
    try:
        begun = {level: tiles[level, number] for level, number in ends(size)}
    except KeyError as torn:
        raise TreeTorn from torn
    grown = [list(column) for column in zip(*grow(size, hashes, begun), strict=True)]
    if grown:
        await connection.execute(_GROW, grown)


async def nodes(connection: Connection, ranges: Iterable[Range]) -> Nodes:
    """The hashes that these ranges are made of, read in one statement; raises TreeTorn."""
    needed = {tile_of(node) for leaves in ranges for node in complete(leaves)}
    tiles = await _tiles(connection, needed)

    def hash_of(node: Node) -> bytes:
        try:
            return in_tile(node, tiles[tile_of(node)])
        except KeyError as torn:
            raise TreeTorn from torn

    return hash_of


async def hashes(connection: Connection, leaves: Range) -> bytes:
    """The leaves in a row, from the first of a tile on; zeros where a tile is missing."""
    numbers = range(leaves.start // WIDTH, (leaves.end - 1) // WIDTH + 1)
    tiles = await _tiles(connection, [(0, number) for number in numbers])
    return b"".join(tiles.get((0, number), b"").ljust(TILE_SIZE, b"\0") for number in numbers)[
        : (leaves.end - leaves.start) * HASH_SIZE
    ]


async def root_at(connection: Connection, size: int) -> bytes:
    """The root over the first events; raises TreeTorn."""
    whole = Range(0, size)
    return root_of(whole, await nodes(connection, [whole]))


async def _tiles(
    connection: Connection, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    asked = list(places)
    if not asked:
        return {}
    cursor = await connection.execute(
        _TILES, [[level for level, _ in asked], [number for _, number in asked]], binary=True
    )
    return {(level, number): bytes(hashes) for level, number, hashes in await cursor.fetchall()}
