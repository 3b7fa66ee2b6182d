"""What runs as long as a club is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

import psycopg
import structlog

from application.daily_reports import draw_up_what_is_due
from application.housekeeping import expire_what_is_due
from infra.club import Club
from infra.following.elsewhere import follow
from infra.following.follower import RETRY
from infra.following.sealing import Sealing
from infra.servers.embedded_postgres import start_again
from infra.servers.postgres_server import EmbeddedPostgresError
from infra.timers import Timer, Timers

logger = structlog.get_logger(__name__)


def all_that_runs(
    club: Club, projecting: bool, beside: Sequence[Timers | Sealing]
) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """What runs as long as the club is open."""
    yield "postgres", club.postgres.keep_watch()
    if projecting:
        yield "projecting", club.projecting.run()
    else:
        yield "follower", follow(club.postgres, club.watch)
    if club.settings.database_url is None:
        yield "embedded-postgres", _keep_up(club)
    for part in beside:
        yield part.name, part.run()


async def works_beside(
    club: Club, housekeeping: bool, sealing: bool
) -> AsyncIterator[Timers | Sealing]:
    """What works beside the projectors, and says how it is doing."""
    if housekeeping:
        yield _timers(club)
    if sealing:
        yield await club.sealing()


async def _keep_up(club: Club) -> None:
    """Start the embedded Postgres again whenever it goes without being told to."""
    while True:
        try:
            async with await club.postgres.connect(autocommit=True) as connection:
                async for _ in connection.notifies():
                    pass  # It listens to nothing: this ends when Postgres does.
        except psycopg.OperationalError as lost:
            logger.warning("postgres.lost", reason=str(lost).strip())
        try:
            await asyncio.to_thread(start_again, club.settings.home)
        except (EmbeddedPostgresError, psycopg.Error, OSError) as fault:
            logger.warning("postgres.down", reason=str(fault).strip())
            await asyncio.sleep(RETRY)


def _timers(club: Club) -> Timers:
    """What time does, where no Celery does it."""
    every = club.settings.reports_seconds
    return Timers(
        Timer("housekeeping", partial(_keep_house, club), club.settings.housekeeping_seconds),
        Timer("refreshing reports", club.refresh_reports, every),
        Timer("the daily report", partial(draw_up_what_is_due, club.bus), every),
        Timer("sending reports", club.send_reports, every),
    )


async def _keep_house(club: Club) -> int:
    """Do what is due; how many commands that took."""
    done = await expire_what_is_due(club.bus, club.services)
    await club.ledger.forget_receipts(club.settings.receipt_hours)
    return done
