"""How codes reach people: over the club's Telegram bot, or on the machine's own console."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import AiogramError, TelegramAPIError, TelegramNetworkError
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.utils.token import TokenValidationError

from application.ports import ChannelUnavailable, CodeChannel, StoreUnavailable
from infra.faults import Fault
from infra.settings import Settings
from infra.short_lived import Store

LONGEST_WAIT = 5
"""Seconds to wait for Telegram's name of the bot."""

LONGEST_CALL = 10.0
"""Seconds to wait for Telegram to do anything else."""

SILENCE = 30.0
"""Seconds after which a bot that reports nothing counts as gone."""

REPORT = "telegram"
"""Where in the store the bot reports how it is doing, for all processes of the club."""

logger = structlog.get_logger(__name__)


class NotABotToken(Fault):
    """CLUB_TELEGRAM_TOKEN is not the token of a Telegram bot: it looks like 123456:AAHdqTcv."""


class Session(AiohttpSession):
    """Whatever goes wrong between here and Telegram is an AiogramError that may be logged.

    aiogram lets some of it through as it comes, quotes the answer that it cannot read (Telegram
    repeats the text of a message there, with the code), and may quote the URL, with the token.
    """

    async def make_request(
        self, bot: Bot, method: TelegramMethod[TelegramType], timeout: int | None = None
    ) -> TelegramType:
        """Have Telegram do it; raises AiogramError."""
        try:
            return await super().make_request(bot, method, timeout)
        except TelegramAPIError as lost:
            lost.message = str(lost.message).replace(bot.token, "…")
            raise
        except (AiogramError, OSError, ValueError, LookupError, TypeError) as unreadable:
            # The cause quotes what must not be logged.
            said = f"an answer that cannot be read ({type(unreadable).__name__})"
            raise TelegramNetworkError(method, said) from None


class TelegramLinks:
    """Links that open a chat with the club's bot; the bot answers them with a code."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._name: str | None = None

    async def link(self, payload: str) -> str:
        """A deep link, with what the bot is to be told."""
        if self._name is None:
            try:
                self._name = (await self._bot.get_me(request_timeout=LONGEST_WAIT)).username
            except AiogramError as lost:
                logger.warning("telegram.unavailable", reason=str(lost))
                raise ChannelUnavailable from lost
        return f"https://t.me/{self._name}?start={payload}"


@asynccontextmanager
async def open_bot(settings: Settings) -> AsyncIterator[Bot | None]:
    """The bot of these settings, where there is one."""
    if settings.telegram_token is None:
        yield None
        return
    server = TelegramAPIServer.from_base(settings.telegram_api_url)
    session = Session(api=server, timeout=LONGEST_CALL)
    try:
        bot = Bot(settings.telegram_token.get_secret_value(), session=session)
    except TokenValidationError:
        # What is wrong with it may quote the token.
        raise NotABotToken from None
    try:
        yield bot
    finally:
        await session.close()


def code_channel(settings: Settings, bot: Bot | None) -> CodeChannel:
    """How this club's codes reach people."""
    if bot is not None:
        return CodeChannel(link=TelegramLinks(bot).link)
    return CodeChannel(show=_on_console if settings.shows_codes_on_console else None)


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
