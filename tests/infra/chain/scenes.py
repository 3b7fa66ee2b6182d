"""A chain of clubs, each with a ledger of its own, and what the topic would bring of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.chain.intake import Arrived, Intake
from infra.chain.ledgers import reading
from infra.chain.records import NOTHING, Record
from infra.chain.store import InChain, open_chain
from infra.following.projecting import Projector
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, number_in
from projections.catalogue import GROUPS
from projections.engine.model import Group
from tests.projections.histories import record, rich

LONG = 400
"""Actions of a club's history."""

BEGUN = 420
"""Events of it that are in its ledger, at first."""

_offsets = count()


async def ask(url: str, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, options="-c timezone=UTC"
    ) as connection:
        cursor = await connection.execute(sql.encode(), params or None)
        return await cursor.fetchall() if cursor.description else []


@dataclass
class Member:
    """A club of the chain."""

    name: str
    url: str
    ledger: str = ""
    secret: bytes = b""
    number: int = 0
    seed: int = 7

    async def records(self, *, size: int = 50, after: int = 0) -> list[Record]:
        """What its publisher would send, from a position on."""
        ((head,),) = await ask(self.url, HEAD)
        made: list[Record] = []
        async with reading(self.url) as ledger:
            async for stretch in ledger.after(0, NOTHING, head):
                for begin in range(0, len(stretch.events), size):
                    rows = [raw for raw, _ in stretch.events[begin : begin + size]]
                    prev = stretch.prev + begin
                    made.append(
                        Record.pack(self.ledger, self.secret, prev, stretch.digest_at(prev), rows)
                    )
        return [record for record in made if record.last > after]

    async def more(self, events: int, begin: int | None = None) -> None:
        """Something happens in the club: so many events more, of its history from there on."""
        head = await self.head()
        first = head if begin is None else begin
        await record(self.url, rich(LONG, self.seed).events[first : first + events], head=head)

    async def head(self) -> int:
        ((head,),) = await ask(self.url, HEAD)
        return int(head)


@dataclass
class Chain:
    """The chain's store, and its clubs."""

    url: str
    clubs: list[Member] = field(default_factory=list)
    groups: tuple[Group, ...] = GROUPS

    @asynccontextmanager
    async def intake(self, groups: Sequence[Group] | None = None) -> AsyncIterator[Intake]:
        """A worker that takes what it is given, and does not look at ledgers by itself."""
        async with open_chain(self.url, groups or self.groups, building=True) as store:
            intake = Intake(store)
            try:
                yield intake
            finally:
                await intake.close()

    @asynccontextmanager
    async def worker(self, groups: Sequence[Group] | None = None) -> AsyncIterator[Intake]:
        """A worker as it runs: it keeps up with the ledgers, too."""
        async with (
            open_chain(self.url, groups or self.groups, building=True) as store,
            Intake(store).open() as intake,
        ):
            yield intake

    async def join(self, member: Member) -> None:
        ((ledger, secret),) = await ask(
            member.url, "SELECT id::text, secret FROM ledger_identity, ledger_publishing"
        )
        ((number,),) = await ask(
            self.url,
            "INSERT INTO chain_clubs (name, ledger, url, secret) VALUES (%s, %s, %s, %s)"
            " RETURNING number",
            *(member.name, ledger, member.url, secret),
        )
        member.ledger, member.secret, member.number = ledger, secret, number
        self.clubs.append(member)

    async def positions(self, club: Member) -> dict[str, int]:
        found = await ask(
            self.url,
            "SELECT group_name, position FROM chain_positions WHERE club = %s ORDER BY 1",
            club.number,
        )
        return dict(found)

    async def standing(self, club: Member) -> dict[str, tuple[str, int | None, str | None]]:
        found = await ask(
            self.url,
            "SELECT group_name, reason, stands_at, topic FROM chain_positions"
            " WHERE club = %s AND reason IS NOT NULL",
            club.number,
        )
        return {name: (reason, at, topic) for name, reason, at, topic in found}

    async def kept_out(self) -> dict[str, int]:
        found = await ask(self.url, "SELECT reason, sum(times)::int FROM chain_kept_out GROUP BY 1")
        return dict(found)

    async def reaches(self, club: Member, position: int) -> None:
        """Wait until all groups are there, of whatever generation."""
        behind = "SELECT 1 FROM chain_positions WHERE club = %s AND position <> %s"
        async with asyncio.timeout(30):
            while await ask(self.url, behind, club.number, position):  # noqa: ASYNC110 - no word
                await asyncio.sleep(0.05)

    async def is_as_its_club(
        self, club: Member, groups: Sequence[Group] | None = None, *, projected: bool = False
    ) -> None:
        """See to it that the rows are those of the club's own tables at the same position."""
        if not projected:
            await project(club.url, groups or self.groups)
        for group in map(InChain.of, groups or self.groups):
            for table in group.group.tables:
                due = await ask(
                    club.url, f"SELECT to_jsonb(t)::text FROM {table.name} AS t ORDER BY 1"
                )
                found = await ask(
                    self.url,
                    f"SELECT (to_jsonb(t) - 'club')::text FROM {group.schema}.{table.name} AS t"
                    " WHERE club = %s ORDER BY 1",
                    club.number,
                )
                assert found == due, (group.name, table.name)


async def project(url: str, groups: Sequence[Group] = GROUPS) -> None:
    """Bring the club's own tables to where its ledger is."""
    postgres = Postgres(url)
    async with await postgres.connect() as connection:
        head = await number_in(connection, HEAD)
        for group in groups:
            await Projector(postgres, group, Watch()).catch_up(connection, head, lambda _: None)


def arrived(*records: Record, partition: int = 0) -> list[Arrived]:
    """As Kafka brings them."""
    return [
        Arrived.of(one.key, one.headers, one.body, partition, next(_offsets)) for one in records
    ]


def made(server: str, template: str, name: str, *, seed: int = 7) -> str:
    """A club's database, with a ledger of its own identity and a history."""
    url = make_conninfo(server, dbname=name)
    admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    admin(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    admin(url, "UPDATE ledger_identity SET id = gen_random_uuid()")
    admin(url, "UPDATE ledger_publishing SET secret = decode(md5(random()::text), 'hex')")
    asyncio.run(record(url, rich(LONG, seed).events[:BEGUN]))
    return url


def copy(server: str, url: str, name: str) -> str:
    """The same club once more: a copy of its database."""
    admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    admin(server, f"CREATE DATABASE {name} TEMPLATE {conninfo_to_dict(url)['dbname']}")
    return make_conninfo(server, dbname=name)


def admin(server: str, sql: str) -> None:
    with closing(psycopg.connect(server, autocommit=True)) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(sql.encode())
