"""`club bot`: the Telegram bot in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import uvloop

from infra.bootstrap import open_club
from infra.faults import Fault
from infra.settings import Settings
from interfaces.cli.opening import end_this_on_signal, in_plain_words, settings


class NoBot(Fault):
    """The bot needs the token of a Telegram bot, in CLUB_TELEGRAM_TOKEN."""


class NoRedis(Fault):
    """A bot on its own meets the service in a Redis (CLUB_REDIS_URL); else `club run` runs it."""


def bot() -> None:
    """Run the Telegram bot: by long polling, or by webhook where CLUB_TELEGRAM_WEBHOOK_URL is set.

    `club run` runs the bot too; beside this command, start it with --no-bot.
    """
    found = settings()
    with in_plain_words(), suppress(asyncio.CancelledError):
        if found.telegram_token is None:
            raise NoBot
        if found.redis_url is None:
            raise NoRedis
        uvloop.run(_run(found))


async def _run(found: Settings) -> None:
    end_this_on_signal()
    from interfaces.telegram.main import run_bot  # noqa: PLC0415 - it takes seconds

    async with open_club(found, reporting=True) as club:
        await run_bot(club)
