"""Clubs that join a chain, leave it, or move: by name, each with a ledger of its own."""

from __future__ import annotations

import re
from secrets import token_bytes
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from infra.chain.ledgers import ClubLedger, LedgerFault, reading
from infra.chain.records import TOPIC
from infra.chain.store import ChainStore
from infra.faults import Fault
from infra.ledger.postgres import Connection, Postgres
from infra.ledger.schema import open_ledger

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
"""What a club may be called in a chain."""

_IDENTITY = f"""
SELECT i.id::text, p.secret FROM ledger_identity AS i, ledger_publishing AS p
WHERE p.topic = '{TOPIC}'
"""  # noqa: S608 - made of a constant
_ADD = """
INSERT INTO chain_clubs (name, ledger, url, secret) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING RETURNING number
"""
_WITH_LEDGER = "SELECT name FROM chain_clubs WHERE ledger = %s"
_FIND = "SELECT number, ledger FROM chain_clubs WHERE name = %s FOR UPDATE"
_ALL = """
SELECT c.name, c.head, c.seen_at IS NOT NULL, p.group_name, p.generation, p.position, p.reason
FROM chain_clubs AS c LEFT JOIN chain_positions AS p ON p.club = c.number
ORDER BY c.name, p.group_name, p.generation
"""
_POSITIONS = "SELECT position, digest FROM chain_positions WHERE club = %s AND position > 0"
_MOVE = "UPDATE chain_clubs SET url = %s, secret = %s, looked_at = NULL WHERE number = %s"
_TRY_AGAIN = "UPDATE chain_positions SET again_at = NULL WHERE club = %s"

_ADDRESS = "SELECT url FROM chain_clubs WHERE number = %s"
_FROM_THE_BEGINNING = """
UPDATE chain_positions SET position = 0, digest = '', recorded_at = NULL, advanced_at = NULL,
    reason = NULL, stands_at = NULL, topic = NULL, since = NULL, tries = 0, again_at = NULL
WHERE club = %s
"""
_ANOTHER_SECRET = f"""
UPDATE ledger_publishing SET secret = %s
WHERE topic = '{TOPIC}' AND (SELECT id::text FROM ledger_identity) = %s RETURNING secret
"""  # noqa: S608 - made of a constant

# Tables of the chain, of whatever generation.
_TABLES = """
SELECT n.nspname, c.relname FROM chain_groups AS g
JOIN pg_namespace AS n ON n.nspname = g.name || '_' || g.generation
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r'
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'club' AND a.attnum > 0
ORDER BY 1, 2
"""


class NameRefused(Fault):
    """A club in a chain has a name of 1 to 48 of a-z, 0-9 and -."""


class AddressRefused(Fault):
    """This is not the address of a Postgres: postgresql://user:password@host/database."""


class LedgerAway(Fault):
    """The club's database cannot be reached at this address."""


class LedgerClosed(Fault):
    """The chain may only read in the club's database: its publisher's new secret cannot be written.

    Behind the name, say the club's own CLUB_DATABASE_URL, which is used this once.
    """


class NameTaken(Fault):
    """There is a club {name} in the chain already: `move` gives it another address."""


class LedgerTaken(Fault):
    """This ledger is in the chain already, as {name}."""

    def __init__(self, name: str) -> None:
        """Where one asks what it is called there."""
        super().__init__(name=name)
        self.name = name


class NotInChain(Fault):
    """There is no club {name} in the chain."""


class AnotherLedger(Fault):
    """This is not the ledger of {name}: {reason}."""


class Place(NamedTuple):
    """How far the chain is with a club, in the tables of one group."""

    group: str
    generation: int
    position: int
    reason: str | None


class Listed(NamedTuple):
    """A club of the chain; its address, which may have a password in it, is not told."""

    name: str
    head: int | None
    """Where its ledger ended when it was looked at last."""
    places: list[Place]


async def add(store: ChainStore, name: str, url: str) -> None:
    """Have a club join, with all that ever happened in it.

    Raises NameRefused, AddressRefused, LedgerAway, NameTaken or LedgerTaken, and what
    `open_ledger` raises where there is no club at the address, or one of an older release.
    """
    if not NAME.fullmatch(name):
        raise NameRefused
    ledger, secret = await _ledger_at(url)
    async with await store.connect(autocommit=True) as connection:
        added = await connection.execute(_ADD, [name, ledger, url, secret])
        if await added.fetchone() is None:
            found = await (await connection.execute(_WITH_LEDGER, [ledger])).fetchone()
            raise NameTaken(name=name) if found is None else LedgerTaken(name=found[0])


async def every(store: ChainStore) -> list[Listed]:
    """All clubs, by name."""
    async with await store.connect(autocommit=True) as connection:
        cursor = await connection.execute(_ALL)
        found: dict[str, Listed] = {}
        for name, head, seen, *place in await cursor.fetchall():
            listed = found.setdefault(name, Listed(name, head if seen else None, []))
            if place[0] is not None:
                listed.places.append(Place(*place))
    return list(found.values())


async def remove(store: ChainStore, name: str) -> None:
    """Have a club leave, with all rows that there are of it; raises NotInChain.

    Whoever takes something in for it at this moment is waited for, and takes nothing after it.
    """
    async with await store.connect() as connection, connection.transaction():
        number, _ = await _find(connection, name)
        await connection.execute("DELETE FROM chain_positions WHERE club = %s", [number])
        await _empty(connection, number)
        await connection.execute("DELETE FROM chain_clubs WHERE number = %s", [number])


async def again(store: ChainStore, name: str, own: str | None = None) -> None:
    """Have a club taken in anew from its own ledger, whatever was taken for it before.

    Its publisher has a new secret from here on, which no copy of the ledger knows; `own` is where
    that may be written, if the chain may only read. Raises NotInChain, LedgerAway, LedgerClosed or
    AnotherLedger.
    """
    async with await store.connect() as connection, connection.transaction():
        number, ledger = await _find(connection, name)
        cursor = await connection.execute(_ADDRESS, [number])
        ((url,),) = await cursor.fetchall()
        secret = await _with_another_secret(own or url, ledger)
        if secret is None:
            raise AnotherLedger(name=name, reason="its identity is another")
        await connection.execute(_FROM_THE_BEGINNING, [number])
        await _empty(connection, number)
        await connection.execute(_MOVE, [url, secret, number])


async def _empty(connection: Connection, number: int) -> None:
    """Take away a club's rows, in the tables of whatever generation."""
    await connection.execute("SET LOCAL statement_timeout = 0")
    cursor = await connection.execute(_TABLES)
    for schema, table in await cursor.fetchall():
        statement = SQL("DELETE FROM {} WHERE club = %s").format(Identifier(schema, table))
        await connection.execute(statement, [number])


async def _with_another_secret(url: str, ledger: str) -> bytes | None:
    """The new secret of the ledger's publisher; None where it is another ledger."""
    try:
        async with await Postgres(url).connect(autocommit=True) as connection:
            cursor = await connection.execute(_ANOTHER_SECRET, [token_bytes(32), ledger])
            row = await cursor.fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
        raise LedgerClosed from None
    except psycopg.OperationalError:
        raise LedgerAway from None
    return None if row is None else row[0]


async def move(store: ChainStore, name: str, url: str) -> None:
    """Have a club's ledger read at another address from here on: it has to be the same ledger.

    Raises NotInChain or AnotherLedger, and what `add` raises of addresses.
    """
    identity, secret = await _ledger_at(url)
    async with await store.connect(autocommit=True) as connection:
        number, ledger = await _find(connection, name)
        if ledger != identity:
            raise AnotherLedger(name=name, reason="its identity is another")
        cursor = await connection.execute(_POSITIONS, [number])
        places = await cursor.fetchall()
        try:
            async with reading(url) as at:
                await _agrees(at, places)
        except LedgerFault as fault:
            raise AnotherLedger(name=name, reason=str(fault)) from fault
        await connection.execute(_MOVE, [url, secret, number])
        await connection.execute(_TRY_AGAIN, [number])


async def _agrees(ledger: ClubLedger, places: list[tuple[int, bytes]]) -> None:
    for position, digest in places:
        await ledger.agrees(position, digest)


async def _find(connection: Connection, name: str) -> tuple[int, str]:
    cursor = await connection.execute(_FIND, [name])
    row = await cursor.fetchone()
    if row is None:
        raise NotInChain(name=name)
    return row[0], row[1]


async def _ledger_at(url: str) -> tuple[str, bytes]:
    """The identity of the ledger at this address, and the secret of its publisher."""
    try:
        named = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # What is wrong with it may quote the password.
        raise AddressRefused from None
    if not named:  # libpq would take what the environment says, or a Postgres of this machine
        raise AddressRefused
    try:
        async with await Postgres(url).connect(autocommit=True) as connection:
            await open_ledger(connection)
            cursor = await connection.execute(_IDENTITY)
            row = await cursor.fetchone()
    except (psycopg.OperationalError, UnicodeError):  # a name that can be no host's, too
        raise LedgerAway from None
    if row is None:
        raise LedgerAway
    return row[0], row[1]
