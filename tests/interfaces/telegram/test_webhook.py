"""The bot over a webhook: the same answers, and what it does not take from others."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from infra.bootstrap import open_club
from infra.settings import Settings
from interfaces.telegram import bot as words
from tests.interfaces.telegram.conftest import A_CODE, Scene, running
from tests.telegram_server import SECRET, WAITS, TelegramServer, Trouble, person, private_chat

PATH = "/telegram/updates"
UPDATE: dict[str, Any] = {
    "update_id": 1,
    "message": {
        "message_id": 1,
        "date": 1_790_000_000,
        "chat": private_chat(),
        "from": person(),
        "text": "/start",
    },
}


@pytest.fixture
async def http(webhook: Scene) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever finds the webhook."""
    url = webhook.telegram.webhook["url"].removesuffix(PATH)
    async with httpx.AsyncClient(base_url=url) as http:
        yield http


def secret(scene: Scene) -> dict[str, str]:
    return {SECRET: scene.telegram.webhook["secret_token"]}


async def test_the_link_of_a_login_is_answered_with_its_code(webhook: Scene) -> None:
    begun, payload = await webhook.log_in()
    webhook.telegram.write(f"/start {payload}")
    (code,) = re.findall(A_CODE, (await webhook.said())[0])
    assert (await webhook.verify(begun, code)).refresh_token
    assert "getUpdates" not in {method for method, _ in webhook.telegram.calls}


async def test_telegram_is_told_what_to_send_and_a_secret(webhook: Scene) -> None:
    (asked,) = [asked for method, asked in webhook.telegram.calls if method == "setWebhook"]
    assert asked["allowed_updates"] == '["edited_message", "message"]'
    assert re.fullmatch(r"[A-Za-z0-9_-]{43,256}", asked["secret_token"])


async def test_an_update_that_telegram_sends_again_gives_no_second_code(webhook: Scene) -> None:
    _, payload = await webhook.log_in()
    number = webhook.telegram.write(f"/start {payload}")
    await webhook.taken()
    again = UPDATE["message"] | {"text": f"/start {payload}"}
    webhook.telegram.deliver({"update_id": number, "message": again})
    await webhook.taken()
    said = await webhook.said(2)
    assert said[1] == words.ENDED
    assert [push.status for push in webhook.telegram.pushes] == [200, 200]


SECRETS = (None, b"", b"wrong", "geheimnis-é".encode(), b"\xff\xfe", b"x" * 5000)


async def test_whoever_does_not_know_the_secret_is_sent_away(
    webhook: Scene, http: httpx.AsyncClient
) -> None:
    for given in SECRETS:
        headers = {} if given is None else {SECRET.encode(): given}
        answer = await http.post(PATH, json=UPDATE, headers=headers)
        assert answer.status_code == 401, given
    assert not webhook.telegram.calls_of("sendMessage")


async def test_only_post_is_taken(webhook: Scene, http: httpx.AsyncClient) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = await http.request(method, PATH, headers=secret(webhook))
        assert answer.status_code == 405, method


async def test_there_is_nothing_else(webhook: Scene, http: httpx.AsyncClient) -> None:
    for path in ("/", "/telegram/updates/", "/telegram/updates/x", "/health/"):
        assert (await http.post(path, json=UPDATE, headers=secret(webhook))).status_code == 404


NO_UPDATES = (
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'"text"', 400),
    (b"null", 400),
    (b"[]", 400),
    (b"{}", 400),
    (b'{"update_id": "one"}', 400),
    (b'{"update_id": null, "message": {}}', 400),
    (b'{"update_id": 1, "message": "\\ud800"}', 400),
    (b'{"update_id": ' + b"[" * 100_000, 400),
    (b'{"update_id": ' + b"1" * 10_000 + b"}", 400),
    (b"[" * 100_000 + b"]" * 100_000, 400),
    (b'{"a": "' + b"x" * 2_000_000 + b'"}', 413),
)


async def test_what_is_no_update_is_refused(webhook: Scene, http: httpx.AsyncClient) -> None:
    for body, status in NO_UPDATES:
        for kind in ("application/json", "text/plain; charset=nonsense", ""):
            headers = {**secret(webhook), "Content-Type": kind}
            answer = await http.post(PATH, content=body, headers=headers)
            assert answer.status_code == status, body[:40]
    webhook.telegram.write("/start")
    assert await webhook.said() == [words.WELCOME], "and it goes on"


async def test_a_body_that_is_not_packed_as_it_says_is_refused(
    webhook: Scene, http: httpx.AsyncClient
) -> None:
    for packed in ("gzip", "deflate", "nonsense"):
        headers = {**secret(webhook), "Content-Encoding": packed}
        answer = await http.post(PATH, content=b"not packed", headers=headers)
        assert answer.status_code == 400


async def test_an_update_that_cannot_be_read_is_taken_so_that_it_does_not_come_for_ever(
    webhook: Scene,
) -> None:
    unreadable: list[dict[str, Any]] = [
        {"hologram": {"depth": 3}},
        {"message": {"message_id": "many"}},
        {"message": None},
    ]
    for update in unreadable:
        webhook.telegram.deliver(update, unasked=True)
    webhook.telegram.write("/start")
    assert await webhook.said() == [words.WELCOME]
    assert {push.status for push in webhook.telegram.pushes} == {200}


async def test_what_came_while_the_bot_was_gone_is_sent_again(
    webhook_settings: Settings, telegram: TelegramServer
) -> None:
    async with open_club(webhook_settings) as club:
        scene = Scene(club, telegram)
        async with running(club):
            await scene.met(lambda: telegram.webhook, "the webhook is set")
        telegram.write("/start")
        await scene.met(lambda: len(telegram.pushes) > 2, "it is tried again")
        assert {push.status for push in telegram.pushes} == {0}
        async with running(club):
            assert await scene.said() == [words.WELCOME]


async def test_updates_under_way_at_the_end_are_answered(
    webhook_settings: Settings, telegram: TelegramServer
) -> None:
    async with open_club(webhook_settings) as club:
        scene = Scene(club, telegram)
        async with running(club) as task:
            await scene.met(lambda: telegram.webhook, "the webhook is set")
            telegram.lasting("sendMessage", WAITS)
            telegram.write("/start")
            await asyncio.to_thread(telegram.called, "sendMessage")
            task.cancel()
            await asyncio.sleep(0)
            telegram.lasting("sendMessage", None)
            with pytest.raises(asyncio.CancelledError):
                await task
        await scene.taken()
        assert [push.status for push in telegram.pushes] == [200]
        assert len(telegram.sent) == 1


async def test_a_webhook_that_somebody_took_away_is_set_again(
    webhook_settings: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.telegram.main.LOOK", 0.05)
    monkeypatch.setattr("interfaces.telegram.main.RETRY", 0.05)
    async with open_club(webhook_settings) as club, running(club):
        scene = Scene(club, telegram)
        await scene.met(lambda: telegram.webhook, "the webhook is set")
        telegram.webhook = {"url": "https://example.com/"}
        await scene.met(lambda: telegram.calls_of("setWebhook") == 2, "it is set again")
        telegram.write("/start")
        assert await scene.said() == [words.WELCOME]


async def test_a_taken_port_and_a_refused_webhook_are_said_and_tried_again(
    webhook_settings: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.telegram.main.RETRY", 0.05)
    telegram.trouble("setWebhook", Trouble(400, "Bad Request: bad webhook: HTTPS url expected"))
    async with open_club(webhook_settings) as club:
        scene = Scene(club, telegram)
        with capture_logs() as logged:
            with socket.create_server(("127.0.0.1", webhook_settings.telegram_webhook_port)):
                async with running(club):
                    await scene.met(lambda: logged, "a line")
                    assert "in use" in logged[0]["reason"]
            async with running(club):
                await scene.met(lambda: telegram.webhook, "the webhook is set")
    assert "HTTPS url expected" in str(logged)
    assert "exc_info" not in str(logged)
