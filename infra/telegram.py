"""The club's Telegram bot. Importing aiogram takes seconds, so only who has a bot does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramAPIError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import LinkPreviewOptions
from aiogram.utils.token import TokenValidationError
from aiohttp import ClientConnectorError, ClientTimeout, ConnectionTimeoutError

from application.ports.chats import MaybeSent, NotSent
from application.ports.signing_in import ChannelUnavailable
from infra.faults import Fault

LONGEST_WAIT = 5
"""Seconds to wait for Telegram's name of the bot."""

LONGEST_CALL = 10.0
"""Seconds to wait for Telegram to do anything else."""

LONGEST_CONNECTING = 4.0
"""Seconds of these to wait for a connection; where there is none by then, nothing was asked."""

logger = structlog.get_logger(__name__)


class NotABotToken(Fault):
    """CLUB_TELEGRAM_TOKEN is not the token of a Telegram bot: it looks like 123456:AAHdqTcv."""


class NotReached(TelegramNetworkError):
    """Telegram was not reached: nothing has left this machine."""


class Session(AiohttpSession):
    """Whatever goes wrong between here and Telegram is an AiogramError that may be logged.

    aiogram lets some of it through as it comes, quotes the answer that it cannot read (Telegram
    repeats the text of a message there, with the code), and may quote the URL, with the token.
    """

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109 - aiogram's own
    ) -> TelegramType:
        """Have Telegram do it; raises AiogramError."""
        limits = ClientTimeout(
            total=self.timeout if timeout is None else timeout, connect=LONGEST_CONNECTING
        )
        try:
            return await super().make_request(bot, method, limits)  # type: ignore[arg-type]
        except TelegramAPIError as lost:
            lost.message = str(lost.message).replace(bot.token, "…")
            if isinstance(lost.__cause__, ClientConnectorError | ConnectionTimeoutError):
                # The cause quotes the URL.
                raise NotReached(method, lost.message) from None
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


class TelegramChats:
    """Chats of the club's bot, in which it says something by itself."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def send(self, chat_id: int, text: str) -> None:
        """Send it, once; raises NotSent where Telegram refused it or was not reached.

        Else, where anything goes wrong, MaybeSent: it may have been taken before.
        """
        try:
            await self._bot.send_message(
                chat_id,
                text,
                # Who follows a link for a preview of it must not be told what is there.
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                protect_content=True,
            )
        except TelegramRetryAfter as busy:
            raise NotSent(str(busy), busy.retry_after) from busy
        except NotReached as lost:
            raise NotSent("Telegram cannot be reached.") from lost
        except (TelegramServerError, TelegramNetworkError) as lost:
            raise MaybeSent(str(lost)) from lost
        except TelegramAPIError as refused:
            raise NotSent(str(refused)) from refused
        except AiogramError as lost:
            raise MaybeSent(str(lost)) from lost


@asynccontextmanager
async def open_bot(token: str, api_url: str) -> AsyncIterator[Bot]:
    """The bot of this token, at this Bot API server; raises NotABotToken."""
    server = TelegramAPIServer.from_base(api_url)
    session = Session(api=server, timeout=LONGEST_CALL)
    try:
        bot = Bot(token, session=session)
    except TokenValidationError:
        # What is wrong with it may quote the token.
        raise NotABotToken from None
    try:
        yield bot
    finally:
        await session.close()
