"""How a chain is doing: its workers, how far each of its clubs is, and what is kept out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from infra import parts as known
from infra.chain.standing import WORST_LAST, standing
from infra.chain.store import ChainStore
from infra.health import named
from infra.parts import STREAM, Part, Parts

_KEPT_OUT = """
SELECT json_build_object('reason', k.reason, 'club', c.name, 'times', k.times,
    'partition', k.partition, 'offset', k."offset", 'last_at', to_char(
        k.last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
FROM chain_kept_out AS k LEFT JOIN chain_clubs AS c USING (ledger) ORDER BY k.last_at DESC LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class ChainState:
    """How a chain is doing."""

    workers: Sequence[Part]
    clubs: Sequence[Mapping[str, Any]]
    """Each club, once for each group; see `standing`."""
    kept_out: Sequence[Mapping[str, Any]]
    """What was not taken from the topic, once for each reason."""

    @property
    def status(self) -> str:
        """`running`, or what is worst."""
        workers = {worker.status for worker in self.workers}
        if "running" not in workers:
            return "unavailable"
        if workers != {"running"}:
            return "degraded"
        return max((club["state"] for club in self.clubs), key=WORST_LAST.index, default="running")


async def look(store: ChainStore) -> ChainState:
    """Ask the chain's Postgres, which knows of the ledgers what its workers saw."""
    every = " UNION ALL ".join(standing(group.group) for group in store.groups)
    clubs = f"SELECT coalesce(json_agg(c ORDER BY name, group_name), '[]') FROM ({every}) AS c"  # noqa: S608 - made of constants
    kept_out = f"SELECT coalesce(json_agg(k.*), '[]') FROM ({_KEPT_OUT}) AS k (what)"  # noqa: S608 - the same
    sql = f"SELECT json_build_array(({known.LOOK}), ({clubs}), ({kept_out}))::text"
    async with await store.connect(autocommit=True) as connection:
        row = await (await connection.execute(sql.encode())).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    parts, found, kept = orjson.loads(row[0])
    workers = named(Parts(store.postgres).all(parts), STREAM)
    return ChainState(workers, found, [one["what"] for one in kept])
