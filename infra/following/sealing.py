"""Who seals the ledger: a follower that extends its tree, and signs a head of it now and then.

It looks seldom, and takes much at once: between two seals it asks nothing, so that whoever writes
does not notice it. Leaves, tiles and heads are committed together; the tree itself says how far
it is. Of several who seal, one has a turn at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog

from infra.faults import Fault
from infra.following.follower import Follower
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, LOCK, number_in
from infra.parts import SEALS
from infra.proofs import heads, tree
from infra.proofs.check import Refused, check_head
from infra.proofs.heads import BesideTheKey, Head, Outside
from infra.secrets.sealing_key import SealingKey
from infra.standstill import Standstill

SEALING_LOCK = LOCK + 2
"""The advisory lock under which the tree grows."""

BATCH = 4096
"""Events that go into the tree in one transaction."""

LOOK = 5.0
"""Seconds between looks whether there is something new, once it is time to seal."""

Connection = psycopg.AsyncConnection[Any]

logger = structlog.get_logger(__name__)

_TURN = "SELECT pg_try_advisory_xact_lock(%s)"
_WAIT = "SELECT pg_advisory_xact_lock(%s)"
_ON_DISK = "SET LOCAL synchronous_commit = on"


class LedgerShorter(Fault):
    """The ledger ends at position {head}, and was sealed up to {sealed}.

    It was cut, or restored to an earlier time: `club audit verify` says more.
    """


class LedgerRewritten(Fault):
    """The ledger is not the one that was sealed at position {sealed}.

    `club audit verify` says more.
    """


class PositionMissing(Fault):
    """There is no event at position {position} of the ledger, but there are later ones."""


class HeadForged(Fault):
    """The last head, of position {size}, is not signed by the key {key} which it names.

    `club audit verify` says more.
    """


class OtherKey(Fault):
    """The last head, of position {size}, is of the key {key}, which is not the one in the home.

    Bring back `keys/heads.pem`; where it is lost for good, `club audit key --new` has the one that
    is there stand for what was sealed.
    """


class KeyLost(Fault):
    """The ledger was sealed before, and the key that signed it, `keys/heads.pem`, is not there.

    Bring it back, and start again; where it is lost for good, `club audit key --new` makes another.
    """


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Sealing:
    """Seals what is new, at most every so many seconds."""

    def __init__(
        self,
        postgres: Postgres,
        key: SealingKey | None,
        every: float,
        outside: Outside | None = None,
        now: Callable[[], datetime] = _utc_now,
        beside: BesideTheKey | None = None,
    ) -> None:
        """Without the key that signed before, it signs nothing, and says so."""
        self.name = SEALS
        self.follower = Follower(SEALS, postgres, self.step)
        self._key = key
        self._every = every
        self._outside = outside
        self._beside = beside
        self._now = now
        self._look_at = 0.0
        self._owed = outside is not None or beside is not None
        """Whether heads may be missing outside: that does not wait for the next seal."""

    @property
    def standstill(self) -> Standstill | None:
        """Why it does not go on; None where it does."""
        return self.follower.standstill

    async def run(self) -> None:
        """Seal until cancelled."""
        await self.follower.run()

    async def step(self, connection: Connection) -> bool:
        """Take some events into the tree, and seal it with the last; whether there are more."""
        if time.monotonic() < self._look_at:
            return False
        cursor = await connection.execute(_TURN, [SEALING_LOCK])
        if await cursor.fetchone() != (True,):
            await connection.rollback()
            return False
        wait = 0 if self._owed else await self._wait(connection)
        if wait > 0:
            await connection.rollback()
            self._look_at = time.monotonic() + min(wait, LOOK)
            return False
        if await self._extend(connection) == BATCH:
            await connection.commit()
            return True
        if await self._seal(connection) is None:
            self._look_at = time.monotonic() + min(self._every, LOOK)
        return False

    async def seal_now(
        self, connection: Connection, progress: Callable[[int], object] = lambda _: None
    ) -> Head | None:
        """Seal all that is there; the last head, also where there was nothing new."""
        while True:
            await connection.execute(_WAIT, [SEALING_LOCK])
            taken = await self._extend(connection)
            progress(taken)
            if taken < BATCH:
                await self._seal(connection)
                last = await heads.last(connection)
                await connection.rollback()
                return last
            await connection.commit()

    async def _wait(self, connection: Connection) -> float:
        """Seconds until it is time to seal; a clock that was put back does not put that off."""
        last = await heads.last(connection)
        age = self._every if last is None else (self._now() - last.moment).total_seconds()
        return self._every - age if 0 <= age < self._every else 0

    async def _extend(self, connection: Connection) -> int:
        """Take the next events into the tree; how many there were.

        The last one that is in it is looked at again: it must still be where it was.
        """
        size = await tree.size_of(connection)
        known = [await tree.leaf_at(connection, size)] if size else []
        hashes: list[bytes] = []
        async for leaf in tree.leaves(connection, size + 1 - len(known), BATCH + len(known)):
            expected = size + 1 - len(known) + len(hashes)
            if leaf.position != expected:
                raise PositionMissing(position=expected)
            hashes.append(leaf.hash)
        if len(hashes) < len(known):
            raise LedgerShorter(head=await number_in(connection, HEAD), sealed=size)
        if hashes[: len(known)] != known:
            raise LedgerRewritten(sealed=size)
        new = hashes[len(known) :]
        await tree.extend(connection, size, new)
        return len(new)

    async def _seal(self, connection: Connection) -> Head | None:
        """Sign the tree as it is, and commit; None where that is signed already."""
        size = await tree.size_of(connection)
        known = last, beside, outside = await self._known(connection)
        for before in filter(None, known):
            self._look_at_signature(before, beside)
            await _look_at_ledger(connection, size, before)
        new = None
        if size > (last.size if last else 0):
            if self._key is None:
                raise KeyLost
            # Whoever keeps it outside keeps what must not be gone after a crash.
            await connection.execute(_ON_DISK)
            new = heads.sign(self._key, size, await tree.root_at(connection, size), self._now())
            await heads.keep(connection, new)
        await connection.commit()
        await self._put(connection, beside, outside)
        return new

    async def sign_again(self, connection: Connection) -> None:
        """Have this key stand for all that another one signed, where that still holds."""
        await connection.execute(_WAIT, [SEALING_LOCK])
        size = await tree.size_of(connection)
        known = [head for head in await self._known(connection) if head]
        for before in known:
            await _look_at_ledger(connection, size, before)
        await connection.rollback()
        if self._key is None or self._beside is None or not known:
            return
        newest = max(known)
        again = heads.sign(self._key, newest.size, newest.root, self._now())
        await asyncio.to_thread(self._beside.put, again)

    async def _known(self, connection: Connection) -> tuple[Head | None, Head | None, Head | None]:
        """The last head in the database, the one beside the key, and the last one outside."""
        return (
            await heads.last(connection),
            await asyncio.to_thread(self._beside.last) if self._beside else None,
            await asyncio.to_thread(self._outside.last) if self._outside else None,
        )

    def _look_at_signature(self, head: Head, beside: Head | None) -> None:
        """What another key signed holds as far as ours has signed it again, beside itself."""
        if self._key is not None and head.key == self._key.name:
            try:
                check_head(head.shown, self._key.public)
            except Refused as wrong:
                raise HeadForged(size=head.size, key=head.key) from wrong
        elif self._key is None:
            raise KeyLost
        elif not (beside and beside.key == self._key.name and beside.size >= head.size):
            raise OtherKey(size=head.size, key=head.key)

    async def _put(self, connection: Connection, beside: Head | None, outside: Head | None) -> None:
        """Keep what was signed also where the database does not reach."""
        self._owed = self._beside is not None or self._outside is not None
        if self._beside is not None:
            last = await heads.last(connection)
            await connection.rollback()
            if last is not None and (beside is None or beside.size < last.size):
                await asyncio.to_thread(self._beside.put, last)
        if self._outside is not None:
            missing = await heads.after(connection, outside.size if outside else 0)
            await connection.rollback()
            if outside is None and len(missing) > 1:
                logger.warning("seals.none-outside", folder=self._outside.folder, put=len(missing))
            for each in missing:
                await asyncio.to_thread(self._outside.put, each)
        self._owed = False


async def _look_at_ledger(connection: Connection, size: int, before: Head) -> None:
    """Whether what is in the tree begins with what was sealed before."""
    if before.size > size:
        raise LedgerShorter(head=size, sealed=before.size)
    if await tree.root_at(connection, before.size) != before.root:
        raise LedgerRewritten(sealed=before.size)
