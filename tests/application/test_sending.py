"""Sending the figures of the morning: to who wants them, once at most, and never silently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.access import THE_CLUB, Caller
from application.bus import Bus
from application.daily_reports import draw_up_what_is_due
from application.ports.chats import MaybeSent, NotSent
from application.ports.ledger import LedgerUnavailable
from application.sending import Daily, send_what_is_due
from application.sessions import UnbindTelegram
from application.subscriptions import (
    NO_BOT,
    NO_CHAT,
    TOO_LATE,
    UNWRITTEN,
    NobodySubscribes,
    Subscribe,
)
from application.users import ChangeUser, DeleteUser
from domain.refusals import Busy, Forbidden
from domain.values import Role
from infra.following.refreshing import RefreshStopped
from tests.application.scene import Scene, pausing_scene, user_changes

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
EIGHT = datetime(2026, 3, 2, 8, tzinfo=UTC)
CHAT = 4711


class Killed(BaseException):
    """The process ends here."""


class Chat:
    """Keeps what is sent; goes wrong as often as it is told to."""

    def __init__(self, *faults: BaseException) -> None:
        self.sent: list[tuple[int, str]] = []
        self._faults = list(faults)

    async def send(self, chat_id: int, text: str) -> None:
        """Takes it, but for a fault."""
        await asyncio.sleep(0)
        if self._faults:
            raise self._faults.pop(0)
        self.sent.append((chat_id, text))


class Writer:
    """Keeps for whom it wrote; for some of them, it cannot."""

    def __init__(self, **cannot: Exception) -> None:
        self.wrote: list[int] = []
        self.cannot = cannot

    async def __call__(self, daily: Daily, user_id: int) -> str:
        """A text, unless there is a fault."""
        await asyncio.sleep(0)
        self.wrote.append(user_id)
        if fault := self.cannot.get(f"user_{user_id}"):
            raise fault
        return f"report-{daily.number} for user-{user_id}"


async def subscriber(scene: Scene, role: Role = Role.ANALYST, chat: int | None = CHAT) -> Caller:
    """Somebody who wants the figures since midnight; with a Telegram account, or without."""
    scene.services.clock.at = MIDNIGHT
    user = await scene.user(role)
    if chat is not None:
        await scene.session(user, chat)
    await scene.do(Subscribe({"daily": True}), user)
    return user


async def morning(scene: Scene) -> None:
    """It is eight, and the daily report is made."""
    scene.services.clock.at = EIGHT
    assert await draw_up_what_is_due(scene.bus) == 1


async def look(
    scene: Scene,
    chat: Chat | None,
    later: timedelta = timedelta(),
    bus: Bus | None = None,
    write: Writer | None = None,
) -> int:
    """Send what is due, so much later."""
    scene.services.clock.let_pass(later)
    return await send_what_is_due(bus or scene.bus, scene.services, chat, write or Writer())


def steps(scene: Scene) -> list[tuple[str, str | None]]:
    """What became of deliveries, in order, and why."""
    rows = sorted(scene.rows("report_deliveries"), key=lambda row: row["number"])
    return [(row["state"], row["reason"]) for row in rows]


async def test_who_wants_them_gets_them_once_a_day() -> None:
    scene, chat = Scene(), Chat()
    user = await subscriber(scene)
    assert await look(scene, chat, timedelta(hours=7)) == 0
    await morning(scene)
    assert [await look(scene, chat) for _ in range(3)] == [1, 0, 0]
    assert chat.sent == [(CHAT, f"report-1 for user-{user.user_id}")]
    assert steps(scene) == [("sending", None), ("delivered", None)]
    scene.services.clock.at = EIGHT + timedelta(days=1)
    await draw_up_what_is_due(scene.bus)
    assert await look(scene, chat) == 1


@pytest.mark.parametrize("count", [2, 4])
async def test_of_many_who_send_at_once_one_does(count: int) -> None:
    scene, chat, writer = pausing_scene(), Chat(), Writer()
    await subscriber(scene)
    await morning(scene)
    buses = [Bus(scene.services) for _ in range(count)]
    await asyncio.gather(*(look(scene, chat, bus=bus, write=writer) for bus in buses))
    assert len(chat.sent) == 1
    assert len(writer.wrote) == 1, "and makes the one link that anybody reads"


CANNOT = {
    "the tables are behind": (Busy(), str(Busy())),
    "the figures stand": (
        RefreshStopped(group="figures", reason="no"),
        "The tables of the group figures follow the ledger no further: no.",
    ),
    "the ledger is away": (LedgerUnavailable("at 10.1.2.3"), "LedgerUnavailable"),
    "a fault of ours": (KeyError("a row"), "KeyError"),
}


@pytest.mark.parametrize(("fault", "said"), CANNOT.values(), ids=CANNOT)
async def test_what_cannot_be_written_for_one_is_said_and_tried_again_and_holds_up_nobody(
    fault: Exception, said: str
) -> None:
    scene, chat = Scene(), Chat()
    first, second = await subscriber(scene), await subscriber(scene, chat=CHAT + 1)
    await morning(scene)
    with pytest.raises(type(fault)):
        await look(scene, chat, write=Writer(**{f"user_{first.user_id}": fault}))
    assert chat.sent == [(CHAT + 1, f"report-1 for user-{second.user_id}")]
    (failed,) = (row for row in scene.rows("report_deliveries") if row["state"] == "failed")
    assert (failed["user_id"], failed["reason"]) == (first.user_id, UNWRITTEN.format(reason=said))
    assert await look(scene, chat, timedelta(seconds=59)) == 0
    assert await look(scene, chat, timedelta(seconds=1)) == 1


async def test_a_refusal_is_tried_again_with_growing_pauses_and_given_up_after_some_hours() -> None:
    scene, chat = Scene(), Chat(*[NotSent("Forbidden: bot was blocked")] * 100)
    await subscriber(scene)
    await morning(scene)
    tried = []
    for minute in range(24 * 60):
        before = len(steps(scene))
        await look(scene, chat, timedelta(minutes=1) if minute else timedelta())
        if len(steps(scene)) > before:
            tried.append(minute)
    assert tried[:6] == [0, 1, 3, 7, 15, 31]
    assert max(tried) < 6 * 60
    assert chat.sent == []
    assert steps(scene)[-1] == ("failed", "Forbidden: bot was blocked")
    again = [row["again_at"] for row in scene.rows("report_deliveries") if row["state"] == "failed"]
    assert again[-1] is None
    assert all(again[:-1])


async def test_they_are_left_alone_for_as_long_as_they_ask() -> None:
    scene, chat = Scene(), Chat(NotSent("Too Many Requests", 600))
    await subscriber(scene)
    await morning(scene)
    assert await look(scene, chat) == 0
    assert await look(scene, chat, timedelta(seconds=599)) == 0
    assert await look(scene, chat, timedelta(seconds=1)) == 1


@pytest.mark.parametrize("fault", [MaybeSent("timed out"), Killed()])
async def test_what_may_have_come_is_not_sent_again_and_shown(fault: BaseException) -> None:
    scene, chat = Scene(), Chat(fault)
    await subscriber(scene)
    await morning(scene)
    try:
        await look(scene, chat)
    except Killed:
        assert steps(scene) == [("sending", None)]
    for _ in range(20):
        assert await look(scene, chat, timedelta(minutes=10)) == 0
    assert chat.sent == []
    assert [state for state, _ in steps(scene)] == ["sending", "unknown"]
    assert steps(scene)[-1][1]


async def test_without_a_chat_or_a_bot_it_is_shown_as_undeliverable_until_there_is_one() -> None:
    scene, chat, writer = Scene(), Chat(), Writer()
    user = await subscriber(scene, chat=None)
    await morning(scene)
    assert await look(scene, chat, write=writer) == 0
    assert steps(scene)[-1] == ("undeliverable", NO_CHAT)
    await scene.session(user, CHAT)
    assert await look(scene, None, timedelta(minutes=1), write=writer) == 0
    assert steps(scene)[-1] == ("undeliverable", NO_BOT)
    assert writer.wrote == [], "nor is a link made that nobody gets"
    assert await look(scene, chat, timedelta(minutes=2)) == 1


async def test_who_has_no_chat_is_told_at_once_and_it_is_written_down_once_a_day() -> None:
    scene, chat = Scene(), Chat()
    user = await subscriber(scene, chat=None)
    told = await scene.do(Subscribe({"daily": True}), user)
    assert told.body == {"daily": True, "undeliverable": NO_CHAT}
    await morning(scene)
    for _ in range(20):
        assert await look(scene, chat, timedelta(minutes=10)) == 0
    assert steps(scene) == [("sending", None), ("undeliverable", NO_CHAT)]
    await scene.session(user, CHAT)
    assert (await scene.do(Subscribe({"daily": True}), user)).body == {
        "daily": True,
        "undeliverable": None,
    }
    assert await look(scene, chat) == 1, "whenever there is one"


async def no_longer(scene: Scene, user: Caller) -> None:
    await scene.do(Subscribe({"daily": False}), user)


async def trainer(scene: Scene, user: Caller) -> None:
    await scene.do(ChangeUser(user.user_id or 0, user_changes(role=Role.TRAINER)))


async def gone(scene: Scene, user: Caller) -> None:
    await scene.do(DeleteUser(user.user_id or 0))


@pytest.mark.parametrize("change", [no_longer, trainer, gone])
async def test_who_does_not_want_them_or_lost_the_role_or_is_gone_gets_none(
    change: Callable[[Scene, Caller], Any],
) -> None:
    scene, chat, writer = Scene(), Chat(), Writer()
    user = await subscriber(scene)
    await change(scene, user)
    await morning(scene)
    assert await look(scene, chat, write=writer) == 0
    assert (chat.sent, steps(scene), writer.wrote) == ([], [], [])
    head = scene.head
    assert await look(scene, chat, timedelta(days=1)) == 0
    assert scene.head == head
    assert [row["daily"] for row in scene.rows("report_subscriptions")] == [False]


async def test_who_lost_the_role_and_has_it_again_asks_again() -> None:
    scene, chat = Scene(), Chat()
    user = await subscriber(scene)
    await trainer(scene, user)
    await morning(scene)
    assert await look(scene, chat) == 0
    await scene.do(ChangeUser(user.user_id or 0, user_changes(role=Role.ANALYST)))
    assert await look(scene, chat, timedelta(minutes=1)) == 0
    await scene.do(Subscribe({"daily": True}), user)
    scene.services.clock.at = EIGHT + timedelta(days=1)
    await draw_up_what_is_due(scene.bus)
    assert await look(scene, chat) == 1


async def test_an_account_that_was_unbound_gets_nothing_more() -> None:
    scene, chat = Scene(), Chat()
    user = await subscriber(scene)
    await scene.do(UnbindTelegram(user.user_id or 0), user)
    await morning(scene)
    assert await look(scene, chat) == 0
    assert steps(scene)[-1] == ("undeliverable", NO_CHAT)


async def test_who_asks_after_the_report_has_the_next_one() -> None:
    scene, chat = Scene(), Chat()
    user = await subscriber(scene)
    await no_longer(scene, user)
    await morning(scene)
    scene.services.clock.let_pass(timedelta(seconds=1))
    await scene.do(Subscribe({"daily": True}), user)
    assert await look(scene, chat) == 0


async def test_what_nobody_sent_in_time_is_said_and_not_sent() -> None:
    scene, chat = Scene(), Chat()
    await subscriber(scene)
    await morning(scene)
    assert await look(scene, chat, timedelta(hours=7)) == 0
    assert (chat.sent, steps(scene)[-1]) == ([], ("failed", TOO_LATE))
    assert await look(scene, chat, timedelta(hours=1)) == 0
    assert len(steps(scene)) == 2


@pytest.mark.parametrize("days", [1, 2, 12])
async def test_after_days_in_which_nobody_was_there_the_last_one_is_said_to_be_too_late(
    days: int,
) -> None:
    scene, chat = Scene(), Chat()
    await subscriber(scene)
    await morning(scene)
    scene.services.clock.at = MIDNIGHT + timedelta(days=days, hours=7)
    for _ in range(3):
        assert await look(scene, chat, timedelta(minutes=5)) == 0
    assert (chat.sent, steps(scene)) == ([], [("sending", None), ("failed", TOO_LATE)])


async def test_a_subscription_is_a_users_own() -> None:
    scene = Scene()
    with pytest.raises(NobodySubscribes):
        await scene.do(Subscribe({"daily": True}), THE_CLUB)
    with pytest.raises(Forbidden):
        await scene.do(Subscribe({"daily": True}), await scene.user(Role.STAFFER))


async def test_saying_it_twice_changes_nothing() -> None:
    scene = Scene()
    user = await scene.user(Role.ADMIN)
    wanted: Sequence[bool] = (False, True, True, False, False, True)
    head = scene.head
    for daily in wanted:
        await scene.do(Subscribe({"daily": daily}), user)
    topics = [what.partition(".")[2] for _, what in scene.since(head)]
    assert topics == ["taken-out", "ended", "resumed"]
