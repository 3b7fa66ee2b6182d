"""Knowing how far the read tables are, in a process that does not project."""

from __future__ import annotations

import asyncio

import structlog

from application.ports.ledger import LedgerUnavailable
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from projections.engine.schema import POSITION

EVERY = 0.003
"""Seconds between looks while somebody waits for the tables."""

RETRY = 0.5
"""Seconds between attempts while the database cannot be reached."""

logger = structlog.get_logger(__name__)


async def follow(postgres: Postgres, watch: Watch) -> None:
    """Tell the watch where the projector of another process is, whenever somebody waits for it."""
    while True:
        await watch.wanted()
        try:
            ((position,),) = await postgres.rows(POSITION)
        except LedgerUnavailable as lost:
            logger.warning("follower.lost", reason=str(lost))
            await asyncio.sleep(RETRY)
            continue
        watch.fall_back(position)
        watch.advance(position)
        await asyncio.sleep(EVERY)
