"""The bot of an open club, and a Telegram of the test's own to talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from application.access import THE_CLUB, Origin
from application.command import Context
from application.sign_in import LoginBegun, SignedIn, Visit
from application.users import NewUser, RegisterUser
from infra.bootstrap import Club, open_club
from infra.servers.local_servers import free_port
from infra.settings import Settings
from interfaces.telegram.main import run_bot
from tests.telegram_server import TOKEN, TelegramServer, telegram_server

PASSWORD = "correct horse battery"
VISIT = Visit("test", Origin("192.0.2.7", "a test"))
A_CODE = r"\b([0-9]{6})\b"


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    """A Telegram to which nobody has written yet."""
    with telegram_server() as server:
        yield server


@pytest.fixture
def bot_settings(settings: Settings, telegram: TelegramServer) -> Settings:
    """Settings of a club whose bot polls this Telegram."""
    there = {"telegram_token": SecretStr(TOKEN), "telegram_api_url": telegram.url}
    return settings.model_copy(update={**there, "attempts_per_account": 100})


@pytest.fixture
def webhook_settings(bot_settings: Settings) -> Settings:
    """The same, over a webhook."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/telegram/updates"
    there = {"telegram_webhook_url": url, "telegram_webhook_port": port}
    return bot_settings.model_copy(update=there)


@asynccontextmanager
async def running(club: Club) -> AsyncIterator[asyncio.Task[None]]:
    """The bot runs; it is told to end, and ends, with the block."""
    task = asyncio.create_task(run_bot(club))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Scene:
    """Ada, the bot of her club, and what becomes of it on Telegram."""

    club: Club
    telegram: TelegramServer

    async def register(self, username: str) -> None:
        """A new user."""
        body = NewUser(username=username, email=f"{username}@example.com", password=PASSWORD)
        await self.club.bus.execute(RegisterUser(body), Context(THE_CLUB, "scene"))

    async def log_in(self, username: str = "ada") -> tuple[LoginBegun, str]:
        """A login, and the payload of its link."""
        begun = await self.club.sign_in.log_in(username, PASSWORD, VISIT)
        assert begun.link is not None
        return begun, begun.link.partition("?start=")[2]

    async def verify(self, begun: LoginBegun, code: str) -> SignedIn:
        return await self.club.sign_in.verify(begun.login_token, code, VISIT)

    async def said(self, number: int = 1) -> list[str]:
        """The first so many messages of the bot."""
        return await asyncio.to_thread(self.telegram.said, number)

    async def taken(self) -> None:
        """Wait until the bot is done with all that it was sent."""
        await asyncio.to_thread(self.telegram.all_confirmed)

    async def met(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until it holds."""
        await asyncio.to_thread(self.telegram.wait, condition, what)

    async def answers_still(self) -> None:
        """The bot goes on as ever, which is the last that it says."""
        before = len(self.telegram.sent)
        self.telegram.write("/help")
        said = await self.said(before + 1)
        await self.taken()
        assert said[-1].startswith("Hello!")
        assert len(self.telegram.sent) == before + 1, "and says nothing else"

    async def topics(self) -> list[str]:
        """Every event of the ledger, by its topic."""
        rows = await self.club.postgres.rows(
            "SELECT topic FROM ledger_events ORDER BY notification_id"
        )
        return [str(topic) for (topic,) in rows]


@pytest.fixture
async def scene(bot_settings: Settings, telegram: TelegramServer) -> AsyncIterator[Scene]:
    """Ada is a user, and the bot polls."""
    async with open_club(bot_settings) as club, running(club):
        scene = Scene(club, telegram)
        await scene.register("ada")
        yield scene


@pytest.fixture
async def webhook(webhook_settings: Settings, telegram: TelegramServer) -> AsyncIterator[Scene]:
    """Ada is a user, and the bot takes its webhook."""
    async with open_club(webhook_settings) as club, running(club):
        scene = Scene(club, telegram)
        await scene.register("ada")
        await scene.met(lambda: telegram.webhook, "the webhook is set")
        yield scene
