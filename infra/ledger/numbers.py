"""Numbers of the aggregates, and sequences that are behind what the ledger holds.

After a restore, or a `setval` by hand, a sequence may hand out numbers that are taken. It is put
right from the ledger, which knows every number that ever was; rows may be gone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg
import structlog

from infra.ledger.schema import SEQUENCES

Connection = psycopg.AsyncConnection[Any]
logger = structlog.get_logger(__name__)

# The kinds whose sequence is behind, and the highest number of each. Of ids of one length the last
# in order is the highest number: one look into the index of step 4 for each number of digits.
_BEHIND = """
SELECT kind, number FROM unnest(%s::text[], %s::text[]) AS asked (kind, sequence), LATERAL (
    SELECT substr(found.id, length(kind) + 2)::bigint AS number
    FROM generate_series(10, 1, -1) AS digits, LATERAL (
        SELECT originator_id AS id FROM ledger_events
        WHERE originator_version = 1 AND length(originator_id) = length(kind) + 1 + digits
          AND originator_id >= kind || '-0' AND originator_id < kind || '-:'
        ORDER BY originator_id DESC LIMIT 1
    ) AS found
    ORDER BY digits DESC LIMIT 1
) AS highest
WHERE number > coalesce(pg_sequence_last_value(sequence::regclass), 0)
"""
# Nobody gets a number of the sequence until this is committed.
_HOLD = "ALTER SEQUENCE {sequence} INCREMENT BY 1"
_MOVE = "SELECT setval(%s::regclass, greatest(%s, pg_sequence_last_value(%s::regclass)))"


async def put_right(connection: Connection, kinds: Collection[str] = tuple(SEQUENCES)) -> None:
    """Move sequences that are behind the ledger ahead of it, and never one back.

    The connection is in autocommit.
    """
    sequences = [SEQUENCES[kind] for kind in kinds]
    cursor = await connection.execute(_BEHIND, [list(kinds), sequences])
    for kind, highest in await cursor.fetchall():
        sequence = SEQUENCES[kind]
        async with connection.transaction():
            await connection.execute(_HOLD.format(sequence=sequence).encode())
            await connection.execute(_MOVE, [sequence, highest, sequence])
        logger.warning("ledger.sequence-was-behind", sequence=sequence, moved_to=highest)
