"""How codes reach people: over the club's Telegram bot, or on the machine's own console."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from application.ports.signing_in import CodeChannel, StoreUnavailable
from infra.settings import Settings
from infra.short_lived import Store

if TYPE_CHECKING:
    from aiogram import Bot

SILENCE = 30.0
"""Seconds after which a bot that reports nothing counts as gone."""

REPORT = "telegram"
"""Where in the store the bot reports how it is doing, for all processes of the club."""


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


async def report(store: Store, trouble: str) -> None:
    """Let all processes of the club know what troubles the bot; nothing does where it is empty."""
    with suppress(StoreUnavailable):
        await store.put(REPORT, trouble.encode(), SILENCE)


async def reported(store: Store) -> dict[str, str]:
    """How the bot is doing, whichever process it runs in."""
    try:
        (trouble,) = await store.get(REPORT)
    except StoreUnavailable as lost:
        return {"status": "unavailable", "detail": str(lost)}
    if trouble is None:
        return {"status": "unavailable", "detail": "no bot runs, or it is not heard of"}
    if trouble:
        return {"status": "unavailable", "detail": trouble.decode()}
    return {"status": "running"}
