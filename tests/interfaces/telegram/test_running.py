"""How the bot keeps in touch with Telegram, by polling: what it survives, says, and how it ends."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramNetworkError
from pydantic import SecretStr
from structlog.testing import capture_logs

from application.ports.signing_in import ChannelUnavailable
from infra.bootstrap import Club, open_club
from infra.health import Health
from infra.settings import Settings
from infra.telegram import Session
from interfaces.telegram import bot as words
from tests.interfaces.telegram.conftest import A_CODE, PASSWORD, VISIT, Scene, running
from tests.telegram_server import TOKEN, WAITS, TelegramServer, Trouble


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for the next attempt."""
    monkeypatch.setattr("interfaces.telegram.main.RETRY", 0.05)


def lines(logged: list[Any], event: str) -> list[Any]:
    return [line for line in logged if line["event"] == event]


UNREADABLE = "cannot be read"
REFUSALS = [
    (Trouble(401, "Unauthorized"), "Unauthorized"),
    (Trouble(404, "Not Found"), "Not Found"),
    (Trouble(409, "Conflict: terminated by other getUpdates request"), "Conflict"),
    (Trouble(502, "Bad Gateway"), "Bad Gateway"),
    (Trouble(0), "ServerDisconnected"),
    (Trouble(502, body="<html>"), UNREADABLE),
    (Trouble(200, body="[]"), UNREADABLE),
    (Trouble(200, body='{"ok": true, "result": {}}'), UNREADABLE),
    (Trouble(200, body='{"ok": true, "result": [{}]}'), UNREADABLE),
    (Trouble(500, body='{"ok": false}'), UNREADABLE),
    (Trouble(200, body="\xff\xfe"), UNREADABLE),
]


@pytest.mark.parametrize("method", ["getUpdates", "deleteWebhook"])
async def test_whatever_telegram_says_the_bot_goes_on_and_says_so_once(
    bot_settings: Settings, telegram: TelegramServer, method: str
) -> None:
    async with open_club(bot_settings) as club:
        scene = Scene(club, telegram)
        for trouble, reason in REFUSALS:
            telegram.lasting(method, trouble)
            asked = telegram.calls_of(method)
            with capture_logs() as logged:
                async with running(club) as task:
                    await asyncio.to_thread(telegram.called, method, asked + 4)
                    assert not task.done()
                    (line,) = lines(logged, "telegram.unavailable")
                    assert reason in line["reason"]
                    telegram.lasting(method, None)
                    await scene.answers_still()
            assert logged[-1]["event"] == "telegram.running", "and that it is well again"
            assert TOKEN not in str(logged)


async def test_as_long_as_telegram_says_to_wait_it_is_left_alone(scene: Scene) -> None:
    too_many = Trouble(429, "Too Many Requests: retry after 1", {"retry_after": 1})
    scene.telegram.trouble("getUpdates", too_many)
    with capture_logs() as logged:
        scene.telegram.write("/help")
        await scene.met(lambda: lines(logged, "telegram.unavailable"), "a line")
        asked, refused = scene.telegram.calls_of("getUpdates"), time.monotonic()
        await asyncio.to_thread(scene.telegram.called, "getUpdates", asked + 1)
    assert time.monotonic() - refused > 0.9
    assert "Retry in 1 seconds" in lines(logged, "telegram.unavailable")[0]["reason"]


async def test_telegram_may_be_down_at_the_start_and_go_and_come_back(
    bot_settings: Settings, telegram: TelegramServer
) -> None:
    telegram.down()
    async with open_club(bot_settings) as club:
        scene = Scene(club, telegram)
        await scene.register("ada")
        with capture_logs() as logged:
            async with running(club):
                await scene.met(lambda: lines(logged, "telegram.unavailable"), "a line")
                with pytest.raises(ChannelUnavailable):
                    await club.sign_in.log_in("ada", PASSWORD, VISIT)
                telegram.up()
                begun, payload = await scene.log_in()
                telegram.write(f"/start {payload}")
                (code,) = re.findall(A_CODE, (await scene.said())[0])
                telegram.down()
                assert (await scene.verify(begun, code)).refresh_token
                telegram.write("/start")
                telegram.up()
                assert (await scene.said(2))[1] == words.WELCOME, "it was kept meanwhile"


async def test_what_was_answered_before_telegram_went_is_not_answered_again(
    scene: Scene,
) -> None:
    _, payload = await scene.log_in()
    scene.telegram.lasting("sendMessage", WAITS)
    scene.telegram.write(f"/start {payload}")
    await asyncio.to_thread(scene.telegram.called, "sendMessage")
    # The code goes out, and Telegram does not hear that its update is done with.
    scene.telegram.trouble("getUpdates", Trouble(502, "Bad Gateway"))
    scene.telegram.lasting("sendMessage", None)
    await scene.taken()
    assert len(await scene.said()) == 1
    await scene.answers_still()


async def test_updates_under_way_at_the_end_are_answered(
    bot_settings: Settings, telegram: TelegramServer
) -> None:
    async with open_club(bot_settings) as club:
        scene = Scene(club, telegram)
        await scene.register("ada")
        _, payload = await scene.log_in()
        async with running(club) as task:
            telegram.lasting("sendMessage", WAITS)
            telegram.write(f"/start {payload}")
            await asyncio.to_thread(telegram.called, "sendMessage")
            task.cancel()
            await asyncio.sleep(0)
            telegram.lasting("sendMessage", None)
            with pytest.raises(asyncio.CancelledError):
                await task
        assert re.search(A_CODE, telegram.sent[0]["text"])


async def test_what_was_not_answered_at_the_end_is_answered_by_the_next_bot(
    bot_settings: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.telegram.main.LAST_ANSWERS", 0.05)
    async with open_club(bot_settings) as club:
        scene = Scene(club, telegram)
        async with running(club):
            telegram.lasting("sendMessage", WAITS)
            telegram.write("/help")
            await asyncio.to_thread(telegram.called, "sendMessage")
        assert not telegram.sent
        telegram.lasting("sendMessage", None)
        async with running(club):
            assert await scene.said() == [words.WELCOME]


@pytest.mark.parametrize("method", ["getUpdates", "deleteWebhook"])
async def test_it_ends_at_once_while_telegram_keeps_it_waiting_and_leaves_nothing_running(
    bot_settings: Settings, telegram: TelegramServer, method: str
) -> None:
    if method == "deleteWebhook":
        telegram.lasting(method, WAITS)
    async with open_club(bot_settings) as club:
        async with running(club):
            await asyncio.to_thread(telegram.called, method)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        assert not [task for task in asyncio.all_tasks() if "aiogram" in str(task.get_stack())]


async def test_more_updates_than_are_answered_at_once_are_all_answered(scene: Scene) -> None:
    with scene.telegram.at_once():
        for number in range(120):
            scene.telegram.write("/help", by=3000 + number)
    await scene.said(120)
    assert len({message["chat_id"] for message in scene.telegram.sent}) == 120


async def test_of_two_that_poll_each_says_why_it_does_not_get_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logged:
        async with running(scene.club):
            await scene.met(lambda: lines(logged, "telegram.unavailable"), "a line")
    (line, *_) = lines(logged, "telegram.unavailable")
    assert "terminated by other getUpdates request" in line["reason"]
    await scene.answers_still()


async def test_a_webhook_of_former_times_is_taken_back(
    bot_settings: Settings, telegram: TelegramServer
) -> None:
    telegram.webhook = {"url": "http://127.0.0.1:1/"}
    telegram.write("/start")
    async with open_club(bot_settings) as club, running(club):
        assert await Scene(club, telegram).said() == [words.WELCOME]
    assert not telegram.webhook


# --- what is never said ---------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["http://", "http://exa mple", "http://127.0.0.1:1"])
async def test_why_a_call_failed_never_quotes_the_token(base: str) -> None:
    async with Session(api=TelegramAPIServer.from_base(base)) as session:
        with pytest.raises(TelegramNetworkError) as failed:
            await Bot(TOKEN, session=session).get_me()
    assert TOKEN not in str(failed.value)
    assert TOKEN.partition(":")[2] not in str(failed.value)


async def test_a_token_that_telegram_refuses_keeps_logins_away_and_the_club_open(
    bot_settings: Settings, telegram: TelegramServer
) -> None:
    settings = bot_settings.model_copy(update={"telegram_token": SecretStr("4242:another")})
    async with open_club(settings) as club:
        scene = Scene(club, telegram)
        with capture_logs() as logged:
            async with running(club) as task:
                await asyncio.to_thread(telegram.called, "deleteWebhook", 3)
                with pytest.raises(ChannelUnavailable):
                    await club.sign_in.log_in("ada", PASSWORD, VISIT)
                await scene.register("ada")
                assert not task.done()
        assert "Unauthorized" in lines(logged, "telegram.unavailable")[0]["reason"]
        assert "4242:another" not in str(logged)


# --- health ---------------------------------------------------------------------------------------


async def healthy(club: Club, condition: Callable[[Health], bool]) -> Health:
    async with asyncio.timeout(30):
        while True:
            found = await club.health()
            if condition(found):
                return found
            await asyncio.sleep(0.02)


def telegram_of(found: Health) -> dict[str, str]:
    return dict(found.report["components"]["telegram"])


async def test_a_club_without_a_bot_says_nothing_of_it(club: Club) -> None:
    found = await club.health()
    assert "telegram" not in found.report["components"]
    assert found.report["status"] == "running"


async def test_health_says_how_the_bot_is_doing(
    bot_settings: Settings, telegram: TelegramServer
) -> None:
    async with open_club(bot_settings) as club:
        none_yet = await club.health()
        assert telegram_of(none_yet)["status"] == "unavailable"
        assert none_yet.report["status"] == "degraded"
        async with running(club):
            well = await healthy(club, lambda found: found.report["status"] == "running")
            assert telegram_of(well)["status"] == "running"
            telegram.lasting("*", Trouble(401, "Unauthorized"))
            ill = await healthy(club, lambda found: found.report["status"] == "degraded")
            assert ill.able, "all else goes on"
            assert "Unauthorized" in telegram_of(ill)["detail"]
            telegram.lasting("*", None)
            await healthy(club, lambda found: found.report["status"] == "running")


async def test_a_bot_of_its_own_is_heard_of_without_redis(
    bot_settings: Settings, telegram: TelegramServer
) -> None:
    async with (
        open_club(bot_settings) as service,
        open_club(bot_settings, reporting=True) as alone,
    ):
        assert telegram_of(await service.health())["status"] == "unavailable"
        async with running(alone):
            await healthy(service, lambda found: found.report["status"] == "running")
            telegram.lasting("*", Trouble(502, "Bad Gateway"))
            ill = await healthy(service, lambda found: found.report["status"] == "degraded")
            assert telegram_of(ill)["status"] == "standing"
            telegram.lasting("*", None)
            await healthy(service, lambda found: found.report["status"] == "running")
