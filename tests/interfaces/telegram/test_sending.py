"""The figures of the morning, in a real chat of a Telegram of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from application.access import THE_CLUB, Caller
from application.command import Context
from application.daily_reports import draw_up_what_is_due
from application.page_links import OVERVIEW
from application.repository import replay
from application.rules import ChangeRules
from application.sessions import OpenSession, proof_of
from application.subscriptions import Subscribe
from application.users import NewUser, RegisterUser
from domain.users import User
from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.settings import Settings
from projections.subscriptions import LATEST
from tests.interfaces.telegram.conftest import PASSWORD
from tests.telegram_server import TelegramServer, Trouble

CHAT = 1001


@dataclass
class Morning:
    """Ada, an analyst with a Telegram account, who wants the figures; the report is made."""

    club: Club
    telegram: TelegramServer
    ada: Caller

    async def steps(self) -> list[tuple[str, str | None]]:
        """What became of deliveries."""
        rows = await self.club.postgres.rows(
            "SELECT state, reason FROM report_deliveries ORDER BY number"
        )
        return [(state, reason) for state, reason in rows]

    async def shown(self) -> list[tuple[str, str | None]]:
        """The same, once the tables show all of it."""
        assert await self.club.read_side.reached(await self.club.ledger.head())
        return await self.steps()


async def do(club: Club, command: object, caller: Caller = THE_CLUB) -> dict[str, object]:
    outcome = await club.bus.execute(command, Context(caller, "scene"))  # type: ignore[arg-type]
    return dict(outcome.body or {})


@pytest.fixture
async def morning_of_ada(
    bot_settings: Settings, telegram: TelegramServer
) -> AsyncIterator[Morning]:
    async with open_club(bot_settings) as club:
        body = NewUser(
            username="ada", email="ada@example.com", password=PASSWORD, role=Role.ANALYST
        )
        user_id = int(str((await do(club, RegisterUser(body)))["id"]))
        events = (await club.ledger.streams([User.stream(user_id)]))[User.stream(user_id)]
        user = replay(events)
        assert isinstance(user, User)
        await do(club, OpenSession(user_id, CHAT, proof_of(user)))
        ada = Caller.user(user_id, Role.ANALYST)
        await do(club, Subscribe({"daily": True}), ada)
        await do(club, ChangeRules({"daily_report_at": "00:00"}))
        assert await draw_up_what_is_due(club.bus) == 1
        assert await club.read_side.reached(await club.ledger.head())
        yield Morning(club, telegram, ada)


async def test_with_the_figures_comes_a_link_where_the_club_is_reached_from_outside(
    morning_of_ada: Morning,
) -> None:
    reached = morning_of_ada.club.settings.model_copy(update={"public_url": "https://club.example"})
    club = replace(morning_of_ada.club, settings=reached)
    assert await club.send_reports() == 1
    (sent,) = morning_of_ada.telegram.sent
    _, _, token = sent["text"].partition("https://club.example/reports/overview/?link=")
    reader = await club.callers.reader(token, OVERVIEW)
    assert reader.user_id == morning_of_ada.ada.user_id


REFUSALS = {
    "blocked": Trouble(403, "Forbidden: bot was blocked by the user"),
    "no chat": Trouble(400, "Bad Request: chat not found"),
    "busy": Trouble(429, "Too Many Requests: retry after 7", {"retry_after": 7}),
    "token": Trouble(401, "Unauthorized"),
}


async def test_the_figures_come_once_beside_those_of_the_day_before(
    morning_of_ada: Morning,
) -> None:
    assert await morning_of_ada.club.send_reports() == 1
    assert await morning_of_ada.club.send_reports() == 0
    (sent,) = morning_of_ada.telegram.sent
    assert sent["chat_id"] == str(CHAT)
    for line in ("Active clients: 0 (0)", "Joined: 0 (0)", "Lapsed: 0 (0)", "New users: 0 (0)"):
        assert line in sent["text"].splitlines(), sent["text"]
    assert "Net money (settled less refunded): 0" in sent["text"]
    assert "is_disabled" in sent["link_preview_options"]
    assert await morning_of_ada.shown() == [("sending", None), ("delivered", None)]


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_of_telegram_is_shown_and_tried_again(
    morning_of_ada: Morning, refusal: Trouble
) -> None:
    morning_of_ada.telegram.trouble("sendMessage", refusal)
    assert await morning_of_ada.club.send_reports() == 0
    state, reason = (await morning_of_ada.shown())[-1]
    assert state == "failed"
    assert reason
    (again,) = await morning_of_ada.club.postgres.rows(
        "SELECT again_at > at FROM report_deliveries WHERE state = 'failed'"
    )
    assert again == (True,)
    ((name, *latest),) = await morning_of_ada.club.postgres.rows(LATEST)
    assert (name, latest[1], latest[2]) == ("ada", state, reason), "and to whoever runs the club"


async def test_a_telegram_that_is_away_is_a_failure_for_certain(morning_of_ada: Morning) -> None:
    morning_of_ada.telegram.down()
    assert await morning_of_ada.club.send_reports() == 0
    assert (await morning_of_ada.shown())[-1] == ("failed", "Telegram cannot be reached.")
    morning_of_ada.telegram.up()


@pytest.mark.parametrize(
    "trouble",
    [Trouble(0), Trouble(502, "Bad Gateway"), Trouble(500, "Internal"), Trouble(200, body="{")],
    ids=["connection lost", "502", "500", "unreadable"],
)
async def test_what_telegram_may_have_taken_is_unknown_and_not_sent_again(
    morning_of_ada: Morning, trouble: Trouble
) -> None:
    morning_of_ada.telegram.trouble("sendMessage", trouble)
    assert await morning_of_ada.club.send_reports() == 0
    state, reason = (await morning_of_ada.shown())[-1]
    assert state == "unknown"
    assert reason
    assert "AAHdqTcv" not in reason, "never with the bot's token"
    assert await morning_of_ada.club.send_reports() == 0
    assert morning_of_ada.telegram.calls_of("sendMessage") == 1
