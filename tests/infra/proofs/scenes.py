"""What the tests of proofs share: a sealed ledger, and a superuser who changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from infra.following.sealing import Sealing
from infra.ledger.postgres import Connection, Postgres
from infra.proofs.heads import Head, Outside
from infra.proofs.verifying import Verified, verify
from infra.secrets.sealing_key import SealingKey
from tests.projections.histories import record, rich

EVENTS = rich(300).events
SEALED = (1, 2, 127, 128, 129, 200, 256, 290)
"""Positions up to which it is sealed; what comes after the last is not."""
ALL = 300


@dataclass
class Sealed:
    """A ledger that was sealed now and then, also outside."""

    database: str
    home: Path

    @property
    def key(self) -> SealingKey:
        return SealingKey.of(self.home)

    @property
    def outside(self) -> Outside:
        return Outside(self.home / "outside")

    async def connect(self) -> Connection:
        return await Postgres(self.database).connect()

    async def seal(self, outside: Outside | None = None) -> Head | None:
        async with await self.connect() as connection:
            return await Sealing(Postgres(self.database), self.key, 60, outside).seal_now(
                connection
            )

    async def verify(self, outside: Sequence[Head] = ()) -> Verified:
        async with await self.connect() as connection:
            return await verify(connection, {self.key.name: self.key.public}, outside)

    async def found(self, outside: Sequence[Head] = ()) -> list[str]:
        """What verifying says."""
        return [finding.sentence for finding in (await self.verify(outside)).findings]

    def attack(self, *changes: str) -> None:
        """What a superuser can do: one transaction, no trigger, no constraint."""
        with psycopg.connect(self.database) as connection:
            for change in (OPEN, *changes, CLOSE):
                connection.execute(change.encode())


OPEN = """
ALTER TABLE ledger_events DISABLE TRIGGER USER;
ALTER TABLE ledger_seals DISABLE TRIGGER USER;
ALTER TABLE ledger_events DROP CONSTRAINT IF EXISTS ledger_events_pkey;
DROP INDEX IF EXISTS ledger_events_notification_id_idx;
"""
CLOSE = """
CREATE INDEX IF NOT EXISTS attacked ON ledger_events (notification_id);
ALTER TABLE ledger_events ENABLE TRIGGER USER;
ALTER TABLE ledger_seals ENABLE TRIGGER USER;
"""


async def sealed(database: str, home: Path) -> Sealed:
    """Such a ledger, of 300 events."""
    ledger = Sealed(database, home)
    done = 0
    for upto in SEALED:
        await record(database, EVENTS[done:upto], head=done)
        await ledger.seal(ledger.outside)
        done = upto
    await record(database, EVENTS[done:ALL], head=done)
    return ledger
