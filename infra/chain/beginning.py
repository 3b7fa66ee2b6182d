"""Where a worker of the chain begins to read, and with whom it shares the partitions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from infra.chain.store import ChainStore
from infra.settings import Settings
from projections.catalogue import GROUPS
from projections.engine.model import Group

# When each club's events were last taken in, of the group in which that is longest ago.
_TAKEN = """
SELECT c.ledger, min(p.advanced_at)
FROM chain_clubs AS c JOIN chain_positions AS p ON p.club = c.number
WHERE EXISTS (
    SELECT FROM unnest(%s::text[], %s::integer[]) AS mine (name, generation)
    WHERE (mine.name, mine.generation) = (p.group_name, p.generation))
GROUP BY c.ledger HAVING bool_and(p.advanced_at IS NOT NULL)
"""
# What tells this chain from another one that uses the same Kafka.
_CHAIN = """
SELECT current_database() || '-' || extract(epoch FROM min(made_at))::bigint FROM chain_groups
"""


def groups_of(settings: Settings) -> list[Group]:
    """What the chain computes, as it is set."""
    wanted = settings.chain_groups.split(",")
    return [group for group in GROUPS if group.name in wanted]


async def last_taken(store: ChainStore) -> Mapping[str, datetime]:
    """When each ledger's events were last taken in; without those of which none ever was."""
    names = [group.name for group in store.groups]
    generations = [group.generation for group in store.groups]
    async with await store.connect(autocommit=True) as connection:
        cursor = await connection.execute(_TAKEN, [names, generations])
        return dict(await cursor.fetchall())


async def sharing(store: ChainStore) -> str:
    """The name of all workers that do the same for the same chain.

    Those of another release may have tables of another generation, and need all events, too; and
    where it calls other tables the same, what comes to one of them has come to none of the others.
    """
    async with await store.connect(autocommit=True) as connection:
        cursor = await connection.execute(_CHAIN)
        row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - a SELECT of an aggregate gives one row
    mine = (f"{group.schema}-{group.tables.definition[:12]}" for group in store.groups)
    return "-".join(["club", row[0], *mine])
