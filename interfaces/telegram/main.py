"""The Telegram channel, put together: the bot, by long polling or by webhook."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramRetryAfter
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from aiogram.types.update import UpdateTypeLookupError
from aiohttp import web
from pydantic import BaseModel, ValidationError

from infra.bootstrap import Club
from infra.parts import BOT
from infra.standstill import Standstill
from infra.telegram import LONGEST_CALL
from interfaces.telegram.bot import dispatcher

RETRY = 5.0
"""Seconds between attempts to reach Telegram."""

LONG_POLL = 10
"""Seconds for which Telegram keeps a request for updates that are still to come."""

MOST_AT_ONCE = 25
"""Updates that are answered beside each other."""

LAST_ANSWERS = 3.0
"""Seconds in which updates under way at the end are answered."""

LOOK = 10.0
"""Seconds between looks at whether Telegram still knows the webhook."""

LONGEST_SILENCE = 40.0
"""Seconds in which Telegram answers something, where all is well."""

SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header

logger = structlog.get_logger("telegram")


async def run_bot(club: Club) -> None:
    """Answer people on Telegram until cancelled; the club has a bot.

    While Telegram cannot be reached, or refuses the bot, this goes on trying.
    """
    assert club.bot is not None  # noqa: S101 - the caller has looked
    answering = _Answering(club, club.bot)
    url = club.settings.telegram_webhook_url
    taking = _Polling(answering) if url is None else _Webhook(answering, url)
    async with club.parts.reporting(answering):
        while True:
            pause = RETRY
            try:
                await taking.run()
            except (AiogramError, OSError) as lost:
                answering.is_troubled(str(lost))
                if isinstance(lost, TelegramRetryAfter):
                    pause = lost.retry_after
            await asyncio.sleep(pause)


class RawUpdate(BaseModel, extra="allow"):
    """An update that is still to be read."""

    update_id: int


class GetRawUpdates(TelegramMethod[list[RawUpdate]]):
    """Ask for updates, each to be read by itself: one that cannot be read must not stop the rest.

    aiogram's own refuses all that came with it, and is given the same ones again for ever.
    """

    __returning__ = list[RawUpdate]
    __api_method__ = "getUpdates"

    offset: int | None
    limit: int
    timeout: int
    allowed_updates: list[str]


class _Answering:
    """Answers updates, however they come, and knows how the bot is doing."""

    name = BOT

    def __init__(self, club: Club, bot: Bot) -> None:
        self.club = club
        self.bot = bot
        self._dispatcher = dispatcher(club.sign_in)
        self.kinds = self._dispatcher.resolve_used_update_types()
        self._heard: float | None = None
        """When Telegram answered last, by the monotonic clock."""
        self._trouble: Standstill | None = Standstill("Telegram has not answered yet")

    @property
    def standstill(self) -> Standstill | None:
        """Why nobody is answered: Telegram refuses, cannot be reached, or says nothing."""
        if self._trouble is None and self._heard is not None:
            quiet = time.monotonic() - self._heard
            if quiet > LONGEST_SILENCE:
                return Standstill.of_silence("Telegram has stopped answering", quiet)
        return self._trouble

    def is_well(self) -> None:
        """Telegram has just answered."""
        self._heard = time.monotonic()
        if self._trouble is not None:
            self._trouble = None
            logger.info("telegram.running", webhook=self.club.settings.telegram_webhook_url)

    def is_troubled(self, reason: str) -> None:
        """Telegram cannot be reached, or refuses; the log is only told what is new."""
        if self._trouble is None or self._trouble.reason != reason:
            self._trouble = Standstill(reason)
            logger.warning("telegram.unavailable", reason=reason)

    async def answer(self, raw: RawUpdate) -> None:
        """Answer an update; what this aiogram does not know yet is passed over."""
        try:
            update = Update.model_validate(raw.model_dump(), context={"bot": self.bot})
            kind = update.event_type
        except (ValidationError, UpdateTypeLookupError):
            logger.warning("telegram.unreadable", update_id=raw.update_id)
            return
        if kind in self.kinds:
            await self._dispatcher.feed_update(self.bot, update)


class _Polling:
    """Asks for updates; each counts as taken once it was answered, so none is lost in between.

    aiogram's `start_polling` does not do for this: cancelled, it leaves its requests running,
    it calls an update taken before it was answered, and tells nobody that its token is refused.
    """

    def __init__(self, answering: _Answering) -> None:
        self._answering = answering
        self._offset: int | None = None

    async def run(self) -> None:
        """Raises AiogramError where Telegram does not answer, or refuses."""
        bot = self._answering.bot
        # What was sent while a webhook was set is kept by Telegram, and polled now.
        await bot.delete_webhook(drop_pending_updates=False)
        # At first, to know whether Telegram answers.
        wait = 0
        while True:
            asked = GetRawUpdates(
                offset=self._offset,
                limit=MOST_AT_ONCE,
                timeout=wait,
                allowed_updates=self._answering.kinds,
            )
            updates = await bot(asked, request_timeout=wait + int(LONGEST_CALL))
            self._answering.is_well()
            await self._answer(updates)
            if updates:
                self._offset = max(update.update_id for update in updates) + 1
            wait = LONG_POLL

    async def _answer(self, updates: Sequence[RawUpdate]) -> None:
        """Answer them beside each other; told to end, give what was begun a moment."""
        under_way = asyncio.gather(*(self._answering.answer(update) for update in updates))
        try:
            await asyncio.shield(under_way)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                await asyncio.wait_for(under_way, LAST_ANSWERS)
            raise


class _Webhook:
    """Takes what Telegram sends, with the secret that it was told; says so once it was answered.

    So Telegram sends it again if this process ends in between. The secret follows from the token:
    several processes may serve one webhook.
    """

    def __init__(self, answering: _Answering, url: str) -> None:
        self._answering = answering
        self._url = url
        self._secret = hmac.digest(answering.bot.token.encode(), b"webhook", hashlib.sha256).hex()

    async def run(self) -> None:
        """Raises AiogramError where Telegram does not answer or refuses, OSError for the port.

        Ends where somebody has set another webhook, or none.
        """
        app = web.Application()
        app.router.add_post(urlsplit(self._url).path or "/", self._take)
        # Telegram packs nothing, and what others pack badly would be a fault of ours.
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=LAST_ANSWERS, auto_decompress=False
        )
        settings, bot = self._answering.club.settings, self._answering.bot
        try:
            await runner.setup()
            host, port = settings.telegram_webhook_host, settings.telegram_webhook_port
            await web.TCPSite(runner, host, port).start()
            await bot.set_webhook(
                self._url, secret_token=self._secret, allowed_updates=self._answering.kinds
            )
            while (await bot.get_webhook_info()).url == self._url:
                self._answering.is_well()
                await asyncio.sleep(LOOK)
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        given = request.headers.get(SECRET, "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self._secret.encode()):
            raise web.HTTPUnauthorized(text="This is not the secret of the webhook.")
        try:
            update = RawUpdate.model_validate_json(await request.read())
        except ValidationError as unreadable:
            raise web.HTTPBadRequest(text="This is no update.") from unreadable
        await self._answering.answer(update)
        return web.Response()
