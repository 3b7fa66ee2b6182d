"""A chain of clubs with what has happened in each, as workers would have taken it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import psycopg

from domain.aggregate import Event
from domain.values import Role
from infra.chain.reading import Chain
from infra.chain.store import open_chain
from projections.catalogue import FIGURES
from projections.engine.chained import in_chain, of_chain
from projections.engine.folding import fold_batch
from projections.engine.writing import load_of_club, write
from tests.projections.histories import as_recorded

Headers = dict[str, str]

_JOIN = """
INSERT INTO chain_clubs (name, ledger, url, secret, seen_at, head, published)
VALUES (%s, %s, 'postgresql://club:secret@north.example/club', 'secret', now(), %s, %s)
RETURNING number
"""
_ADVANCE = """
INSERT INTO chain_positions (group_name, generation, club, position, recorded_at, advanced_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (group_name, generation, club) DO UPDATE SET position = excluded.position,
    recorded_at = excluded.recorded_at
"""


async def make_chain(url: str, *, computing: bool = True) -> None:
    """The tables of a chain, in an empty database; without those of figures unless `computing`."""
    async with open_chain(url, (FIGURES,) if computing else (), building=True):
        pass


async def join(url: str, name: str, events: Sequence[Event] = ()) -> int:
    """A club more, whose ledger has these events; none is taken in yet. Its number."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        ledger = str(UUID(int=abs(hash(name))))
        head = len(events)
        found = await connection.execute(_JOIN, [name, ledger, head, head])
        row = await found.fetchone()
        assert row is not None
        return int(row[0])


async def take_in(url: str, club: int, events: Sequence[Event], head: int = 0) -> None:
    """The events of a club after `head` into the tables of figures, and its position with them."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        schema = f"{FIGURES.name}_{FIGURES.generation}"
        await connection.execute(f"SET LOCAL search_path = {schema}, public".encode())
        recorded = as_recorded(events, head)
        known = await load_of_club(FIGURES, recorded, connection, club)
        steps = fold_batch(FIGURES, recorded, known)
        await write(of_chain(FIGURES), [in_chain(step, club) for step in steps], connection)
        at = events[-1].timestamp if events else None
        position = [FIGURES.name, FIGURES.generation, club, head + len(events), at, at]
        await connection.execute(_ADVANCE, position)


async def say(url: str, sql: str, *params: Any) -> None:
    """Have something hold in the chain's database."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.encode(), params or None)


@dataclass
class Reading:
    """The REST API of a chain, called in this process."""

    chain: Chain
    http: httpx.AsyncClient
    _names: count[int] = field(default_factory=lambda: count(1))

    async def person(self, role: Role = Role.ANALYST) -> tuple[int, Headers]:
        """Somebody new who reads the chain, and the header of their token."""
        reader = await self.chain.people.add(f"reader {next(self._names)}", role)
        return reader.number, self.token(reader.number)

    def token(self, number: int) -> Headers:
        """The header of somebody who reads the chain."""
        return {"Authorization": f"Bearer {self.chain.tokens.access_token(number, None, 600)}"}
