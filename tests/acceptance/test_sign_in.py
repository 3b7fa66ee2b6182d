"""Signing in from the password to logging out: real processes, a real Redis, a Bot API server."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from infra.servers.local_servers import free_port
from tests.acceptance.service import CLUB, MAKE_RUN, PASSWORD, Service, until
from tests.servers import RedisServer, private_redis
from tests.telegram_server import TOKEN, WAITS, TelegramServer, telegram_server

CLUB_BOT = (str(CLUB), "bot")
RUN_WITHOUT_BOT = (str(CLUB), "run", "--no-bot")
A_CODE = r"\b([0-9]{6})\b"

Services = Callable[..., Service]


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    """A Telegram to which nobody has written yet."""
    with telegram_server() as server:
        yield server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with private_redis() as server:
        yield server


@pytest.fixture
def settings(database: str, telegram: TelegramServer) -> dict[str, str]:
    """A club with a bot, on the test's own database."""
    return {
        "CLUB_DATABASE_URL": database,
        "CLUB_TELEGRAM_TOKEN": TOKEN,
        "CLUB_TELEGRAM_API_URL": telegram.url,
    }


@dataclass
class Ada:
    """Somebody who signs in, and every secret that she has had in her hands."""

    service: Service
    secrets: set[str] = field(default_factory=lambda: {PASSWORD})
    number: int = 0

    def register(self) -> None:
        body = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        self.number = self._post("/users/", body, 201)["id"]

    def log_in(self) -> tuple[str, str]:
        """The login token, and the payload of the link."""
        begun = self._post("/jwt-auth/login/", {"username": "ada", "password": PASSWORD})
        link = re.fullmatch(
            r"https://t\.me/club_test_bot\?start=([A-Za-z0-9_-]{22,64})", begun["telegram_link"]
        )
        assert link is not None
        return self._kept(begun["login_token"]), self._kept(link[1])

    def verify(self, login_token: str, code: str) -> str:
        """The refresh token."""
        body = {"login_token": login_token, "code": self._kept(code)}
        return self._kept(self._post("/jwt-auth/verification/", body)["refresh_token"])

    def refresh(self, refresh_token: str) -> tuple[str, str]:
        """The access token, and the next refresh token."""
        found = self._post("/jwt-auth/get-access-token/", {"refresh_token": refresh_token})
        return self._kept(found["access_token"]), self._kept(found["refresh_token"])

    def use(self, refresh_token: str) -> None:
        """Everything after the code: a protected route, a refresh, logging out."""
        first, next_one = self.refresh(refresh_token)
        assert self.reads_herself(first) == 200
        second, last = self.refresh(next_one)
        assert self.reads_herself(second) == 200
        with self.service.http(bearer(second)) as http:
            assert http.post("/jwt-auth/logout/").status_code == 204
        until(lambda: self.reads_herself(second) == 401, "the token is refused", 10)
        assert self.reads_herself(first) == 401
        self._post("/jwt-auth/get-access-token/", {"refresh_token": last}, 401)

    def reads_herself(self, access_token: str) -> int:
        with self.service.http(bearer(access_token)) as http:
            return http.get(f"/users/{self.number}/").status_code

    def _post(self, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
        with self.service.http() as http:
            answer = http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def _kept(self, secret: str) -> str:
        self.secrets.add(secret)
        return secret


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sign_in(ada: Ada, telegram: TelegramServer) -> None:
    """All of it, over the bot."""
    login_token, payload = ada.log_in()
    before = len(telegram.sent)
    telegram.write(f"/start {payload}")
    (code,) = re.findall(A_CODE, telegram.said(before + 1)[-1])
    ada.use(ada.verify(login_token, code))


def says_nothing_secret(ada: Ada, *processes: Service) -> None:
    for process in processes:
        said = process.said.read_text()
        assert "Traceback" not in said
        for secret in {*ada.secrets, TOKEN, TOKEN.partition(":")[2]}:
            assert secret not in said


def try_to_log_in(service: Service) -> httpx.Response:
    with service.http() as http:
        body = {"username": "ada", "password": PASSWORD}
        return http.post("/jwt-auth/login/", json=body)


# --- the whole way -------------------------------------------------------------------------------


def test_in_one_process(
    services: Services, settings: dict[str, str], telegram: TelegramServer
) -> None:
    service = services(**settings)
    service.start()
    ada = Ada(service)
    ada.register()
    sign_in(ada, telegram)
    sign_in(ada, telegram)
    assert "Codes       over Telegram" in service.said.read_text()
    assert service.end() == 0
    says_nothing_secret(ada, service)


def test_with_the_bot_in_a_process_of_its_own(
    services: Services, settings: dict[str, str], telegram: TelegramServer, redis: RedisServer
) -> None:
    service = services(**settings, CLUB_REDIS_URL=redis.url)
    service.start(RUN_WITHOUT_BOT)
    assert "Codes       over Telegram, by `club bot`" in service.said.read_text()
    assert not telegram.calls_of("getUpdates")
    bot = beside(services, service, settings, redis)
    ada = Ada(service)
    ada.register()
    sign_in(ada, telegram)
    assert (bot.end(), service.end()) == (0, 0)
    says_nothing_secret(ada, service, bot)


def beside(
    services: Services, service: Service, settings: dict[str, str], redis: RedisServer
) -> Service:
    """`club bot`, in the home of the service."""
    bot = services(**settings, CLUB_REDIS_URL=redis.url, CLUB_HOME=str(service.home))
    bot.launch(CLUB_BOT)
    return bot


@pytest.mark.parametrize("alone", [False, True], ids=["club run", "club bot"])
def test_over_a_webhook(
    services: Services,
    settings: dict[str, str],
    telegram: TelegramServer,
    redis: RedisServer,
    alone: bool,
) -> None:
    port = str(free_port())
    settings["CLUB_TELEGRAM_WEBHOOK_PORT"] = port
    settings["CLUB_TELEGRAM_WEBHOOK_URL"] = f"http://127.0.0.1:{port}/updates"
    service = services(**settings, CLUB_REDIS_URL=redis.url)
    service.start(RUN_WITHOUT_BOT if alone else (str(CLUB), "run"))
    processes = [service, beside(services, service, settings, redis)] if alone else [service]
    ada = Ada(service)
    ada.register()
    sign_in(ada, telegram)
    ada.secrets.add(telegram.webhook["secret_token"])
    assert [push.status for push in telegram.pushes if push.status] == [200]
    assert not telegram.calls_of("getUpdates")
    assert [process.end() for process in processes] == [0] * len(processes)
    says_nothing_secret(ada, *processes)


# --- without Telegram ----------------------------------------------------------------------------


def on_console(service: Service) -> str:
    """The code that the service showed on its console."""
    return str(
        until(lambda: re.findall(r"The code of ada: ([0-9]{6})", service.said.read_text()), "it")[0]
    )


def test_make_run_shows_the_code_on_its_console_and_says_so(services: Services) -> None:
    service = services()
    service.start(MAKE_RUN)
    assert "Codes       on this console" in service.said.read_text()
    ada = Ada(service)
    ada.register()
    begun = try_to_log_in(service).json()
    assert begun["telegram_link"] is None
    ada.use(ada.verify(begun["login_token"], on_console(service)))
    with service.http() as http:
        assert "telegram" not in http.get("/health/").json()["components"]


def test_with_a_database_of_its_own_nobody_signs_in_without_a_bot(
    services: Services, database: str
) -> None:
    service = services(CLUB_DATABASE_URL=database)
    service.start()
    assert "Codes       none, so nobody can sign in" in service.said.read_text()
    Ada(service).register()
    answer = try_to_log_in(service)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert not re.search(r"code of", service.said.read_text())


def test_unless_codes_on_the_console_are_asked_for_by_name(
    services: Services, database: str
) -> None:
    service = services(CLUB_DATABASE_URL=database, CLUB_CONSOLE_CODES="true")
    service.start()
    assert "Codes       on this console" in service.said.read_text()
    ada = Ada(service)
    ada.register()
    begun = try_to_log_in(service).json()
    ada.use(ada.verify(begun["login_token"], on_console(service)))


def test_without_its_bot_and_without_a_redis_nobody_signs_in_and_it_says_so(
    services: Services, settings: dict[str, str]
) -> None:
    service = services(**settings)
    service.start(RUN_WITHOUT_BOT)
    assert "Codes       none, so nobody can sign in (CLUB_REDIS_URL" in service.said.read_text()


# --- what the bot cannot do without --------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "given", "says"),
    [
        (CLUB_BOT, {}, "The bot needs the token of a Telegram bot, in CLUB_TELEGRAM_TOKEN.\n"),
        (
            CLUB_BOT,
            {"CLUB_TELEGRAM_TOKEN": TOKEN},
            "A bot on its own meets the service in a Redis (CLUB_REDIS_URL); "
            "else `club run` runs it.\n",
        ),
        *(
            (
                command,
                {"CLUB_TELEGRAM_TOKEN": "nonsense", "CLUB_REDIS_URL": "redis://127.0.0.1:1"},
                "CLUB_TELEGRAM_TOKEN is not the token of a Telegram bot: "
                "it looks like 123456:AAHdqTcv.\n",
            )
            for command in (CLUB_BOT, (str(CLUB), "run"))
        ),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    services: Services, database: str, command: tuple[str, ...], given: dict[str, str], says: str
) -> None:
    process = services(**given, CLUB_DATABASE_URL=database)
    process.launch(command)
    assert process.process.wait(60) == 1
    assert process.said.read_text() == says


def test_with_a_token_that_telegram_refuses_all_else_goes_on(
    services: Services, settings: dict[str, str]
) -> None:
    service = services(**{**settings, "CLUB_TELEGRAM_TOKEN": "4242:not-ours"})
    service.start()
    Ada(service).register()
    answer = try_to_log_in(service)
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    until(lambda: "Unauthorized" in service.said.read_text(), "the log says why")
    assert service.is_open()
    assert service.end() == 0
    assert "not-ours" not in service.said.read_text()
    assert "Traceback" not in service.said.read_text()


def test_telegram_may_be_down_at_the_start(
    services: Services, settings: dict[str, str], telegram: TelegramServer
) -> None:
    telegram.down()
    service = services(**settings)
    service.start()
    ada = Ada(service)
    ada.register()
    assert try_to_log_in(service).status_code == 503
    until(lambda: "telegram.unavailable" in service.said.read_text(), "the log says so")
    telegram.up()
    sign_in(ada, telegram)


# --- how it ends ---------------------------------------------------------------------------------


def test_a_bot_that_is_killed_loses_no_link(
    services: Services, settings: dict[str, str], telegram: TelegramServer, redis: RedisServer
) -> None:
    service = services(**settings, CLUB_REDIS_URL=redis.url)
    service.start(RUN_WITHOUT_BOT)
    bot = beside(services, service, settings, redis)
    telegram.called("getUpdates", 2)
    ada = Ada(service)
    ada.register()
    login_token, payload = ada.log_in()

    bot.kill()
    telegram.write(f"/start {payload}")
    bot.launch(CLUB_BOT)
    (code,) = re.findall(A_CODE, telegram.said()[0])

    bot.kill()
    refresh_token = ada.verify(login_token, code)
    ada.use(refresh_token)


def test_who_was_being_answered_when_the_bot_was_killed_is_told_to_begin_anew(
    services: Services, settings: dict[str, str], telegram: TelegramServer, redis: RedisServer
) -> None:
    service = services(**settings, CLUB_REDIS_URL=redis.url)
    service.start(RUN_WITHOUT_BOT)
    bot = beside(services, service, settings, redis)
    ada = Ada(service)
    ada.register()
    _, payload = ada.log_in()
    telegram.lasting("sendMessage", WAITS)
    telegram.write(f"/start {payload}")
    telegram.called("sendMessage")
    bot.kill()
    telegram.lasting("sendMessage", None)
    assert not telegram.sent
    bot.launch(CLUB_BOT)
    assert "Please sign in again" in telegram.said()[0]
    sign_in(ada, telegram)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", [CLUB_BOT, (str(CLUB), "run")], ids=["club bot", "club run"])
def test_told_to_end_it_ends_soon_and_leaves_nothing_open(
    services: Services,
    settings: dict[str, str],
    telegram: TelegramServer,
    redis: RedisServer,
    command: tuple[str, ...],
    number: signal.Signals,
) -> None:
    # Python tells of whatever was not closed or not awaited.
    heard = {"CLUB_REDIS_URL": redis.url, "PYTHONWARNINGS": "default"}
    heard["CLUB_DAILY_REPORT_AT"] = "23:59"  # It would be logged.
    process = services(**settings, **heard)
    process.launch(command)
    telegram.called("getUpdates", 2)
    began = time.monotonic()
    assert process.end(number) == 0
    assert time.monotonic() - began < 5, "a long poll lasts longer"
    said = process.said.read_text()
    for trouble in ("Traceback", "Warning", "never", "destroyed", "nclosed", "exception"):
        assert trouble not in said
    assert [line["event"] for line in logged(said)] == ["telegram.running"]


def logged(said: str) -> list[dict[str, Any]]:
    """The lines of a log, without the banner."""
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]
