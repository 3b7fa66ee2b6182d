"""How codes reach people: over the club's Telegram bot, or on the machine's own console."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from application.ports.signing_in import CodeChannel
from infra.settings import Settings

if TYPE_CHECKING:
    from aiogram import Bot


@asynccontextmanager
async def open_codes(settings: Settings) -> AsyncIterator[tuple[CodeChannel, Bot | None]]:
    """How this club's codes reach people, and its bot where it has one."""
    if settings.telegram_token is None:
        yield CodeChannel(show=_on_console if settings.shows_codes_on_console else None), None
        return
    from infra.telegram import TelegramLinks, open_bot  # noqa: PLC0415 - it takes seconds

    token = settings.telegram_token.get_secret_value()
    async with open_bot(token, settings.telegram_api_url) as bot:
        yield CodeChannel(link=TelegramLinks(bot).link), bot


def _on_console(username: str, code: str) -> None:
    print(f"  The code of {username}: {code}", file=sys.stderr, flush=True)
