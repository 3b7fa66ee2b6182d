"""A worker that is struck in the middle of a transaction: run as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import psycopg

from infra.chain import projecting
from infra.chain.intake import Intake
from infra.chain.projecting import Projection
from infra.chain.store import open_chain
from infra.ledger.pipelines import sent
from projections.catalogue import GROUPS
from tests.infra.chain.scenes import Member, arrived, ask

SECOND = 2
"""Which time it is struck: something was committed before."""


async def main(chain: str, club: str, where: str, signal: int) -> None:
    """Take in all that is in the club's ledger, and be struck; then, if there is a then, again."""
    ((ledger, secret),) = await ask(
        club, "SELECT id::text, secret FROM ledger_identity, ledger_publishing"
    )
    records = await Member("struck", club, ledger, secret).records(size=100)
    strike_at(where, signal)
    async with open_chain(chain, GROUPS) as store:
        intake = Intake(store)
        try:
            for record in records:
                await intake.take(arrived(record))
            print("not struck")
        except psycopg.OperationalError:
            await intake.take(arrived(*records))
            print("lost, and nothing left to take")
        finally:
            await intake.close()


def strike_at(where: str, signal: int) -> None:
    """Be struck while the position is held, or when the rows are on their way."""
    times: list[str] = []

    def strike() -> None:
        times.append(where)
        if len(times) == SECOND:
            os.kill(os.getpid(), signal)

    take = Projection._take

    async def held(self: Projection, *given: Any) -> int:
        strike()
        return await take(self, *given)

    async def on_its_way(connection: Any) -> None:
        await sent(connection)
        strike()

    if where == "held":
        Projection._take = held  # type: ignore[assignment, method-assign]
    else:
        projecting.sent = on_its_way  # type: ignore[attr-defined]


if __name__ == "__main__":
    _, to, of, at, by = sys.argv
    asyncio.run(main(to, of, at, int(by)))
