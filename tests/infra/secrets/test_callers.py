"""Who a token stands for now: in this process, in another, and while parts are gone or behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from application.access import THE_CLUB, THIS_MACHINE, Caller
from application.bus import Bus
from application.command import Command, Context
from application.ports.signing_in import InvalidToken, RefreshClaims
from application.repository import replay
from application.sessions import (
    EndSession,
    OpenSession,
    SessionEnded,
    UnbindTelegram,
    proof_of,
)
from application.sign_in import Visit
from application.users import ChangeUser, DeleteUser, NewUser, RegisterUser, UserChanges
from domain.aggregate import Event
from domain.sessions import Ended, Ending, Session
from domain.users import User
from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.ledger.mapper import to_stored
from infra.secrets.callers import FRESH, Callers
from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from infra.settings import Settings
from tests.application.fakes import A_MORNING
from tests.servers import RedisServer, private_redis
from tests.waiting import until

LIFE = 600
A_VISIT = Visit("scene", THIS_MACHINE)


@dataclass(frozen=True)
class Visitor:
    """A user with a session, and an access token of it."""

    user_id: int
    session_id: int
    token: str


async def do(bus: Bus, command: Command) -> dict[str, Any]:
    return dict((await bus.execute(command, Context(THE_CLUB, "scene"))).body or {})


async def sign_in(club: Club, user_id: int, telegram_id: int | None = None) -> Visitor:
    """Another session of the user."""
    stream = User.stream(user_id)
    user = replay((await club.ledger.streams([stream]))[stream])
    assert isinstance(user, User)
    session_id = (await do(club.bus, OpenSession(user_id, telegram_id, proof_of(user))))["id"]
    return Visitor(user_id, session_id, club.tokens.access_token(user_id, session_id, LIFE))


async def visitor(club: Club, name: str = "ada", role: Role = Role.USER) -> Visitor:
    """Somebody who has just signed in."""
    body = NewUser(username=name, email=f"{name}@example.com", password="long enough", role=role)
    user_id = (await do(club.bus, RegisterUser(body)))["id"]
    return await sign_in(club, user_id, telegram_id=1000 + user_id)


async def role_of(club: Club, token: str) -> Role | None:
    """What the bearer may do there; None for nothing."""
    try:
        return (await club.callers.of(token)).role
    except InvalidToken:
        return None


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock by which callers are believed; `moment.now` sets it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("infra.secrets.callers.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[Club]:
    """Another process of the same club, without a store that the two would share."""
    async with open_club(settings) as opened:
        yield opened


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with private_redis() as private:
        yield private


@asynccontextmanager
async def two_clubs(
    settings: Settings, redis: RedisServer, *, projecting: bool
) -> AsyncIterator[tuple[Club, Club, Visitor]]:
    """Two processes of a club that share a Redis, and a visitor whom the tables show."""
    sharing = settings.model_copy(update={"redis_url": redis.url})
    async with open_club(sharing) as opening:
        somebody = await visitor(opening)
    async with (
        open_club(sharing, projecting=projecting) as here,
        open_club(sharing, projecting=projecting) as there,
    ):
        yield here, there, somebody


async def has_ended(club: Club, session_id: int) -> bool:
    """Whether the table of sessions shows it."""
    rows = await club.postgres.rows("SELECT ended_at FROM sessions WHERE id = %s", [session_id])
    return rows[0][0] is not None


# --- the end of a session ----------------------------------------------------------------------

ENDINGS: dict[str, Callable[[Visitor], Command]] = {
    "logged out": lambda v: EndSession(v.session_id),
    "another password": lambda v: ChangeUser(
        v.user_id, UserChanges.model_validate({"password": "another one"})
    ),
    "unbound": lambda v: UnbindTelegram(v.user_id),
    "deleted": lambda v: DeleteUser(v.user_id),
}
endings = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())


@endings
async def test_an_ended_session_is_refused_at_once_in_this_process(
    club: Club, moment: SimpleNamespace, ending: Callable[[Visitor], Command]
) -> None:
    ada, eve = await visitor(club), await visitor(club, "eve")
    assert await role_of(club, ada.token) is Role.USER
    await do(club.bus, ending(ada))
    assert await role_of(club, ada.token) is None
    assert await role_of(club, eve.token) is Role.USER


@endings
async def test_an_ended_session_is_refused_in_another_process_within_seconds(
    club: Club, other: Club, moment: SimpleNamespace, ending: Callable[[Visitor], Command]
) -> None:
    ada = await visitor(club)
    assert await role_of(other, ada.token) is Role.USER
    await do(club.bus, ending(ada))
    moment.now += FRESH + 0.001
    assert await role_of(other, ada.token) is None


async def test_the_other_sessions_of_whoever_logs_out_go_on(club: Club, other: Club) -> None:
    phone = await visitor(club)
    laptop = await sign_in(club, phone.user_id, 1000 + phone.user_id)
    by_hand = club.tokens.access_token(phone.user_id, None, LIFE)
    await do(club.bus, EndSession(phone.session_id))
    for process in (club, other):
        assert await role_of(process, phone.token) is None
        assert await role_of(process, laptop.token) is Role.USER
        assert await role_of(process, by_hand) is Role.USER


async def test_a_session_that_the_table_does_not_show_yet_is_open(club: Club) -> None:
    ada = await visitor(club)
    unknown = club.tokens.access_token(ada.user_id, ada.session_id + 1, LIFE)
    assert await role_of(club, unknown) is Role.USER


async def test_tables_that_are_behind_let_nobody_in_whose_session_ended(
    settings: Settings, redis: RedisServer
) -> None:
    async with two_clubs(settings, redis, projecting=False) as (here, there, ada):
        assert await role_of(here, ada.token) is Role.USER
        await do(here.bus, EndSession(ada.session_id))
        assert not await has_ended(here, ada.session_id)
        assert await role_of(here, ada.token) is None
        assert await role_of(there, ada.token) is None


async def test_no_store_is_needed_to_refuse(
    settings: Settings, redis: RedisServer, moment: SimpleNamespace
) -> None:
    async with two_clubs(settings, redis, projecting=True) as (here, there, ada):
        assert await role_of(there, ada.token) is Role.USER
        await asyncio.to_thread(redis.stop)
        await do(here.bus, EndSession(ada.session_id))
        assert await role_of(here, ada.token) is None
        moment.now += FRESH + 0.001
        assert await role_of(there, ada.token) is None


async def test_a_store_that_comes_back_empty_lets_nobody_back_in(
    settings: Settings, redis: RedisServer, moment: SimpleNamespace
) -> None:
    async with two_clubs(settings, redis, projecting=True) as (here, there, ada):
        await do(here.bus, EndSession(ada.session_id))
        await asyncio.to_thread(redis.stop)
        await asyncio.to_thread(redis.start)
        moment.now += FRESH + 0.001
        assert await role_of(here, ada.token) is None
        assert await role_of(there, ada.token) is None


async def test_this_process_refuses_by_itself_while_all_else_is_gone_or_behind(
    settings: Settings, redis: RedisServer, moment: SimpleNamespace
) -> None:
    async with two_clubs(settings, redis, projecting=False) as (here, _, ada):
        assert await role_of(here, ada.token) is Role.USER
        await asyncio.to_thread(redis.stop)
        await do(here.bus, EndSession(ada.session_id))
        assert not await has_ended(here, ada.session_id)
        moment.now += FRESH + 0.001
        assert await role_of(here, ada.token) is None


async def test_a_look_that_began_before_the_end_of_a_session_does_not_bring_it_back(
    settings: Settings,
) -> None:
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        looking.set()
        await go_on.wait()
        return [standing(7, 8)]

    tokens = SignedTokens(Keys(settings.home), "club")
    callers = Callers(tokens, rows, LIFE)
    token = tokens.access_token(7, 8, LIFE)
    slow = asyncio.create_task(callers.of(token))
    await looking.wait()
    await callers.witness([an_end(8)])
    go_on.set()
    await asyncio.wait([slow])
    with pytest.raises(InvalidToken):
        await callers.of(token)


@pytest.mark.parametrize("what", ["another role", "deleted"])
async def test_a_look_that_began_before_a_change_is_not_believed_after_it(
    settings: Settings, what: str
) -> None:
    looks: list[asyncio.Future[list[tuple[Any, ...]]]] = []
    looking = asyncio.Event()

    async def rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        looks.append(asyncio.get_running_loop().create_future())
        looking.set()
        return await looks[-1]

    tokens = SignedTokens(Keys(settings.home), "club")
    callers = Callers(tokens, rows, LIFE)
    token = tokens.access_token(7, 8, LIFE)
    slow = asyncio.create_task(callers.of(token))
    await looking.wait()
    looking.clear()
    await callers.witness([of_the_user(what)])
    looks[0].set_result([standing(7, 8)])
    await slow
    after = asyncio.create_task(callers.of(token))
    await asyncio.wait_for(looking.wait(), LIFE)
    looks[1].set_result([])
    with pytest.raises(InvalidToken):
        await after


def of_the_user(what: str) -> Event:
    """That user 7 is given another role, or is deleted."""
    user = User.register(
        7, username="ada", email="", password_hash="", role=Role.ADMIN, at=A_MORNING
    )
    if what == "deleted":
        user.delete(A_MORNING)
    else:
        user.change_role(Role.USER, "", A_MORNING)
    *_, event = user.collect_events()
    assert isinstance(event, Event)
    return event


def standing(user_id: int, session_id: int) -> tuple[Any, ...]:
    """What the ledger answers of a USER."""
    user = User.register(
        user_id, username="ada", email="", password_hash="", role=Role.USER, at=A_MORNING
    )
    (registered,) = user.collect_events()
    assert isinstance(registered, Event)
    stored = to_stored(registered)
    return user_id, session_id, stored.topic, stored.state, None


def an_end(session_id: int) -> Event:
    """The event that this session has ended."""
    ends_at = A_MORNING + timedelta(days=1)
    session = Session.open(
        session_id, user_id=7, ends_at=ends_at, origin="", agent="", at=A_MORNING
    )
    session.end(Ending.LOGGED_OUT, "", A_MORNING)
    *_, ended = session.collect_events()
    assert isinstance(ended, Ended)
    return ended


# --- the user ----------------------------------------------------------------------------------


def as_role(role: Role) -> UserChanges:
    return UserChanges.model_validate({"role": role})


async def test_a_new_role_holds_at_once_here_and_within_seconds_elsewhere(
    club: Club, other: Club, moment: SimpleNamespace
) -> None:
    ada = await visitor(club)
    tokens = [ada.token, club.tokens.access_token(ada.user_id, None, LIFE)]
    for role, before in ((Role.STAFFER, Role.USER), (Role.USER, Role.STAFFER)):
        for token in tokens:
            assert await role_of(other, token) is before
        await do(club.bus, ChangeUser(ada.user_id, as_role(role)))
        for token in tokens:
            assert await role_of(club, token) is role
            assert await role_of(other, token) is before
        moment.now += FRESH + 0.001
        for token in tokens:
            assert await role_of(other, token) is role


@pytest.mark.parametrize("what", ["another role", "deleted"])
async def test_no_table_is_needed_for_a_change_to_hold(
    settings: Settings, redis: RedisServer, moment: SimpleNamespace, what: str
) -> None:
    command: Command
    async with two_clubs(settings, redis, projecting=False) as (here, there, ada):
        if what == "deleted":
            command, after = DeleteUser(ada.user_id), None
        else:
            command, after = ChangeUser(ada.user_id, as_role(Role.TRAINER)), Role.TRAINER
        assert await role_of(there, ada.token) is Role.USER
        await do(here.bus, command)
        assert await role_of(here, ada.token) is after
        moment.now += FRESH + 0.001
        assert await role_of(there, ada.token) is after
        claims = RefreshClaims(ada.user_id, ada.session_id, 1)
        refreshed = there.sign_in.refresh(
            there.tokens.refresh_token(claims, int(time.time()) + LIFE), A_VISIT
        )
        if what == "deleted":
            with pytest.raises(SessionEnded):
                await refreshed
        else:
            assert await role_of(there, (await refreshed).access_token) is after


async def test_a_deleted_user_is_let_in_no_more_with_or_without_a_session(
    club: Club, other: Club, moment: SimpleNamespace
) -> None:
    ada = await visitor(club)
    tokens = [ada.token, club.tokens.access_token(ada.user_id, None, LIFE)]
    for process in (club, other):
        assert [await role_of(process, token) for token in tokens] == [Role.USER] * 2
    await do(club.bus, DeleteUser(ada.user_id))
    assert [await role_of(club, token) for token in tokens] == [None, None]
    moment.now += FRESH + 0.001
    assert [await role_of(other, token) for token in tokens] == [None, None]


async def test_changes_count_within_seconds_of_the_real_clock(club: Club, other: Club) -> None:
    ada, eve = await visitor(club), await visitor(club, "eve")
    for somebody in (ada, eve):
        assert await role_of(other, somebody.token) is Role.USER
    await do(club.bus, EndSession(ada.session_id))
    await do(club.bus, ChangeUser(eve.user_id, as_role(Role.TRAINER)))

    async def noticed() -> bool:
        found = [await role_of(other, somebody.token) for somebody in (ada, eve)]
        return found == [None, Role.TRAINER]

    await until(noticed, "both are noticed", patience=2 * FRESH)


# --- what is remembered ------------------------------------------------------------------------


class Table:
    """Stands for the tables, and counts the looks at them."""

    def __init__(self) -> None:
        self.looks: list[tuple[int, int]] = []

    async def rows(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        asked = list(zip(*params, strict=True))
        self.looks += asked
        return [standing(user_id, session_id) for user_id, session_id in asked]


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def callers(table: Table, settings: Settings) -> Callers:
    tokens = SignedTokens(Keys(settings.home), "club")
    return Callers(tokens, table.rows, LIFE)


async def asks(callers: Callers, settings: Settings, user_id: int) -> Caller:
    tokens = SignedTokens(Keys(settings.home), "club")
    return await callers.of(tokens.access_token(user_id, user_id, LIFE))


async def test_a_caller_is_believed_for_two_seconds_and_no_longer(
    callers: Callers, table: Table, settings: Settings, moment: SimpleNamespace
) -> None:
    for _ in range(3):
        assert (await asks(callers, settings, 7)).user_id == 7
        moment.now += FRESH / 2
    assert table.looks == [(7, 7)]
    moment.now += 0.001
    await asks(callers, settings, 7)
    assert table.looks == [(7, 7)] * 2


async def test_the_earliest_callers_are_forgotten_where_there_are_too_many(
    callers: Callers,
    table: Table,
    settings: Settings,
    moment: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.secrets.callers.REMEMBERED", 3)
    for user_id in (1, 2, 3, 4):
        await asks(callers, settings, user_id)
    table.looks.clear()
    for user_id in (4, 3, 2):
        await asks(callers, settings, user_id)
    assert table.looks == []
    await asks(callers, settings, 1)
    assert table.looks == [(1, 1)]


async def test_many_who_ask_at_once_are_looked_up_together(
    callers: Callers, table: Table, settings: Settings
) -> None:
    found = await asyncio.gather(*(asks(callers, settings, 1 + n % 5) for n in range(50)))
    assert {caller.session_id for caller in found} == {1, 2, 3, 4, 5}
    assert len(table.looks) <= 10
