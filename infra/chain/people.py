"""Who reads a chain: its own people, who are nobody's users, and the links they open pages with.

They are rows of the chain's database, and not in any ledger. Whoever is removed reads nothing more
within the time for which a reader is believed; a link is looked up at each opening.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from application.access import Caller
from application.page_links import GOOD_FOR, OVERVIEW
from application.ports.chain import Link, NameTaken, Reader
from application.ports.queries import Page, PageRequest
from application.ports.services import Clock
from application.ports.signing_in import PageClaims, RevokedLink, RevokedToken
from domain.aggregate import time_text
from domain.refusals import NotFound
from domain.values import Role
from infra.secrets.callers import FRESH
from infra.secrets.tokens import SignedTokens
from projections.engine.batching import Batcher
from projections.engine.lists import Listing, Statement, page, total
from projections.engine.reads import Rows, page_of
from projections.engine.table import utc

MOST_LINKS = 30
"""How many links of one reader are good at once: with the next, the oldest is not any more."""

_ADD = """
INSERT INTO chain_users AS there (name, role, added_by) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET name = excluded.name WHERE there.added_by = excluded.added_by
RETURNING number
"""
_ALL = "SELECT number, name, role FROM chain_users ORDER BY name"
_SET_ROLE = "UPDATE chain_users SET role = %s WHERE name = %s RETURNING number"
_REMOVE = "DELETE FROM chain_users WHERE number = %s"
_NAMED = "SELECT number, name, role FROM chain_users WHERE name = %s"
_STANDING = "SELECT number, role FROM chain_users WHERE number = ANY(%s)"

# What nobody opens any more goes with the next that is made, and the reader's oldest of too many.
_MAKE = f"""
WITH asked AS (SELECT %s::integer AS reader, %s AS page, %s::timestamptz AS expires_at),
over AS (DELETE FROM chain_links WHERE expires_at < now() OR number IN (
    SELECT number FROM chain_links JOIN asked USING (reader)
    ORDER BY number DESC OFFSET {MOST_LINKS - 1}))
INSERT INTO chain_links (reader, page, expires_at) SELECT * FROM asked RETURNING number
"""  # noqa: S608 - made of a constant
_THERE = "SELECT 1 FROM chain_links WHERE number = %s AND reader = coalesce(%s, reader)"
_REVOKE = "DELETE FROM chain_links WHERE number = %s"
_LINK = "SELECT 1 FROM chain_links WHERE number = %s AND reader = %s AND page = %s"


class People:
    """The chain's people."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def add(self, name: str, role: Role) -> Reader:
        """Somebody more; raises NameTaken."""
        found = await self._rows(_ADD, [name, role.value, uuid4()])
        if not found:
            raise NameTaken(name=name)
        return Reader(found[0][0], name, role)

    async def all(self) -> Sequence[Reader]:
        """Everybody, by name."""
        return [_reader(*row) for row in await self._rows(_ALL, ())]

    async def named(self, name: str) -> Reader:
        """Who is called this; raises NotFound."""
        for row in await self._rows(_NAMED, [name]):
            return _reader(*row)
        raise NotFound(what="reader", id=name)

    async def set_role(self, name: str, role: Role) -> None:
        """Let somebody read as this from now on; raises NotFound."""
        if not await self._rows(_SET_ROLE, [role.value, name]):
            raise NotFound(what="reader", id=name)

    async def remove(self, name: str) -> None:
        """Let somebody read nothing any more, whatever tokens and links they have."""
        reader = await self.named(name)
        # Not by what it finds: where the connection is lost, it is run again.
        await self._rows(_REMOVE, [reader.number])


def _reader(number: int, name: str, role: str) -> Reader:
    return Reader(number, name, Role(role))


class _Known(NamedTuple):
    caller: Caller | None
    until: float


class Callers:
    """Knows who a token of the chain stands for, and what they may do now."""

    def __init__(self, tokens: SignedTokens, rows: Rows) -> None:
        self._tokens = tokens
        self._rows = rows
        self._known: dict[int, _Known] = {}
        self._readers: Batcher[int, Caller | None] = Batcher(self._fetch)

    async def of(self, token: str) -> Caller:
        """The caller; raises InvalidToken where the token or its reader is not good any more."""
        caller = await self._standing(self._tokens.check(token).user_id)
        if caller is None:
            raise RevokedToken
        return caller

    async def reader(self, token: str, page: str) -> Caller:
        """Whoever opens this page with a link; raises InvalidToken where it is not good."""
        claims = self._tokens.read_page_token(token, page)
        # The database is asked at each opening, so it ends in every process at once.
        if not await self._rows(_LINK, [claims.link_id, claims.user_id, page]):
            raise RevokedLink
        caller = (await self._fetch([claims.user_id]))[claims.user_id]
        if caller is None:
            raise RevokedLink
        return caller

    async def _standing(self, number: int) -> Caller | None:
        known, now = self._known.get(number), time.monotonic()
        if known is None or known.until < now:
            known = _Known(await self._readers.get(number), now + FRESH)
            # Nobody is known who is not there: there are as many as readers, and no more.
            if known.caller is None:
                self._known.pop(number, None)
            else:
                self._known[number] = known
        return known.caller

    async def _fetch(self, numbers: Sequence[int]) -> dict[int, Caller | None]:
        found: dict[int, Caller | None] = dict.fromkeys(numbers)
        for number, role in await self._rows(_STANDING, [list(numbers)]):
            found[number] = Caller.user(number, Role(role))
        return found


LINKS = Listing(
    kind="page-link",
    table="chain_links AS l",
    answer=f"l.number AS id, l.page, {utc('l.made_at')}, {utc('l.expires_at')}",
    owner="l.reader",
    columns={"id": "l.number", "made_at": "l.made_at", "expires_at": "l.expires_at"},
    only="l.expires_at > now()",
)


class Pages:
    """The rows of a list of the chain, in pages."""

    def __init__(self, rows: Rows, listing: Listing) -> None:
        self._rows = rows
        self._listing = listing

    async def page(self, wanted: PageRequest) -> Page:
        """A page; raises UnreadableCursor."""
        return await page_of(self._found, page(self._listing, wanted), wanted.limit)

    async def total(self, wanted: PageRequest) -> int:
        """How many rows all pages have."""
        return int((await self._found(total(self._listing, wanted)))[0][0])

    async def _found(self, asked: Statement) -> list[tuple[Any, ...]]:
        return await self._rows(asked.sql, asked.params)


class Links(Pages):
    """Links to the overview."""

    def __init__(self, rows: Rows, tokens: SignedTokens, clock: Clock) -> None:
        super().__init__(rows, LINKS)
        self._tokens = tokens
        self._clock = clock

    async def make(self, reader: int) -> Link:
        """A link for this reader; its token is told once."""
        until = self._clock.now() + GOOD_FOR
        ((number,),) = await self._rows(_MAKE, [reader, OVERVIEW, until])
        claims = PageClaims(reader, OVERVIEW, number, int(until.timestamp()))
        return Link(number, self._tokens.page_token(claims), time_text(until))

    async def revoke(self, number: int, reader: int | None) -> None:
        """Let a link open nothing any more; raises NotFound where it is another's."""
        if not await self._rows(_THERE, [number, reader]):
            raise NotFound(what="page link", id=number)
        await self._rows(_REVOKE, [number])
