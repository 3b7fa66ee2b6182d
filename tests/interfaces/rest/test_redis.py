"""The service while its Redis goes away and comes back: only signing in has to wait."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from redis import Redis as Client

from application.exercises import AddExercise, ExerciseBody
from application.ports.queries import PageRequest, View
from domain.values import Role
from infra.bootstrap import open_club
from infra.settings import Settings
from infra.short_lived import LONGEST_MARK, LONGEST_WAIT, Marks, open_store
from interfaces.rest.main import create_app
from projections.engine.reads import Reads
from projections.views import LISTINGS, LOOKUPS
from tests.conftest import Rest
from tests.servers import RedisServer, private_redis

PASSWORD = "long enough"
QUICK = 0.2
"""Seconds within which answers come, on a busy machine too; less than a wait for Redis."""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with private_redis() as private:
        yield private


@pytest.fixture
async def rest(settings: Settings, redis: RedisServer) -> AsyncIterator[Rest]:
    """The REST API of an open club on a Redis of its own, which shows codes on its console."""
    with_redis = settings.model_copy(update={"redis_url": redis.url, "console_codes": True})
    async with open_club(with_redis) as club:
        transport = httpx.ASGITransport(app=create_app(club), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
            yield Rest(club, http)


@dataclass
class Guest:
    """Somebody who signs in, step by step."""

    rest: Rest
    console: pytest.CaptureFixture[str]
    username: str = "visitor"

    async def post(self, step: str, body: Mapping[str, Any]) -> Any:
        return await self.rest.http.post(f"/jwt-auth/{step}/", json=body)

    async def log_in(self) -> httpx.Response:
        body = {"username": self.username, "password": PASSWORD}
        answer: httpx.Response = await self.post("login", body)
        return answer

    async def begin(self) -> dict[str, str]:
        """What verification is to be sent."""
        begun = await self.log_in()
        assert begun.status_code == 200, begun.text
        (code,) = re.findall(rf"code of {self.username}: (\d{{6}})", self.console.readouterr().err)
        return {"login_token": begun.json()["login_token"], "code": code}

    async def sign_in(self) -> str:
        """A refresh token."""
        verified = await self.post("verification", await self.begin())
        assert verified.status_code == 200, verified.text
        return str(verified.json()["refresh_token"])

    async def refresh(self, refresh_token: str) -> tuple[str, dict[str, str]]:
        """The next refresh token, and the header of an access token."""
        answer = await self.post("get-access-token", {"refresh_token": refresh_token})
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        return tokens["refresh_token"], {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture
async def ada(rest: Rest, capsys: pytest.CaptureFixture[str]) -> Guest:
    """An ADMIN who is not signed in."""
    await rest.user(Role.ADMIN, username="visitor", password=PASSWORD)
    return Guest(rest, capsys)


AWAY: dict[str, tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]] = {
    "stopped": (RedisServer.stop, RedisServer.start),
    "frozen": (RedisServer.freeze, RedisServer.thaw),
}


@dataclass
class Outage:
    """Lets Redis go away, in one of the ways in which it may, and come back."""

    redis: RedisServer
    kind: str

    async def begin(self) -> None:
        await asyncio.to_thread(AWAY[self.kind][0], self.redis)

    async def end(self) -> None:
        await asyncio.to_thread(AWAY[self.kind][1], self.redis)


@pytest.fixture(params=AWAY)
def outage(request: pytest.FixtureRequest, redis: RedisServer) -> Outage:
    return Outage(redis, request.param)


def has_to_wait(answer: httpx.Response) -> bool:
    """Whether the answer is the one of a service whose Redis is away."""
    return (
        answer.status_code == 503
        and answer.headers["Content-Type"] == "application/problem+json"
        and answer.json()["type"] == "/problems/store-unavailable"
        and int(answer.headers["Retry-After"]) > 0
    )


async def timed(answers: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """Await one after the other; what they gave, and the seconds that each took."""
    given, took = [], []
    for answer in answers:
        begun = time.monotonic()
        given.append(await answer)
        took.append(time.monotonic() - begun)
    return given, took


# --- signing in --------------------------------------------------------------------------------


async def test_signing_in_has_to_wait_and_says_so(ada: Guest, outage: Outage) -> None:
    begun = await ada.begin()
    await outage.begin()
    answers, took = await timed([ada.log_in(), ada.post("verification", begun)])
    assert all(has_to_wait(answer) for answer in answers)
    assert max(took) < LONGEST_WAIT + 0.5


async def test_signing_in_works_on_the_first_try_once_redis_is_back(
    ada: Guest, outage: Outage
) -> None:
    await ada.sign_in()
    await outage.begin()
    assert has_to_wait(await ada.log_in())
    await outage.end()
    await ada.refresh(await ada.sign_in())


async def test_a_restart_that_nobody_noticed_fails_no_login(ada: Guest, redis: RedisServer) -> None:
    others = [Guest(ada.rest, ada.console, f"nobody{number}") for number in range(6)]
    refused = await asyncio.gather(*(guest.log_in() for guest in others))
    assert {answer.status_code for answer in refused} == {401}
    await asyncio.to_thread(redis.stop)
    await asyncio.to_thread(redis.start)
    await ada.sign_in()
    refused = await asyncio.gather(*(guest.log_in() for guest in others))
    assert {answer.status_code for answer in refused} == {401}


async def test_a_code_that_could_not_be_checked_is_good_once_redis_thaws(
    ada: Guest, redis: RedisServer
) -> None:
    begun = await ada.begin()
    await asyncio.to_thread(redis.freeze)
    assert has_to_wait(await ada.post("verification", begun))
    await asyncio.to_thread(redis.thaw)
    assert (await ada.post("verification", begun)).status_code == 200


async def test_a_login_that_redis_forgot_has_ended(ada: Guest, redis: RedisServer) -> None:
    begun = await ada.begin()
    await asyncio.to_thread(redis.stop)
    await asyncio.to_thread(redis.start)
    answer = await ada.post("verification", begun)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/login-ended")


# --- everything else ---------------------------------------------------------------------------


async def test_reading_and_writing_go_on_and_stay_quick(ada: Guest, outage: Outage) -> None:
    """Redis is left alone for a while once it did not answer: one of them waits, and not long."""
    http = ada.rest.http
    sessions = [(await ada.refresh(await ada.sign_in()))[1] for _ in range(3)]
    await outage.begin()
    writing = [
        http.post("/exercises/", json={"title": f"Squat {n}"}, headers=sessions[0])
        for n in range(5)
    ]
    reading = [
        http.get(path, headers=headers)
        for headers in sessions
        for path in ("/users/1/", "/exercises/", "/exercises/1/", "/jwt-auth/sessions/")
        for _ in range(3)
    ]
    written, writes = await timed(writing)
    read, reads = await timed(reading)
    assert {answer.status_code for answer in written} == {201}
    assert {answer.status_code for answer in read} == {200}
    assert max(writes + reads) < LONGEST_MARK + 2 * QUICK
    assert sum(seconds > QUICK for seconds in writes + reads) <= 1
    assert statistics.median(reads) < QUICK / 2


async def test_tokens_are_exchanged(ada: Guest, outage: Outage) -> None:
    refresh_token = await ada.sign_in()
    await outage.begin()
    refresh_token, headers = await ada.refresh(refresh_token)
    assert (await ada.rest.http.get("/users/1/", headers=headers)).status_code == 200
    await ada.refresh(refresh_token)


async def test_a_token_that_comes_back_ends_its_session(ada: Guest, outage: Outage) -> None:
    first = await ada.sign_in()
    _, headers = await ada.refresh(first)
    await outage.begin()
    answer = await ada.post("get-access-token", {"refresh_token": first})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/session-ended")
    assert (await ada.rest.http.get("/users/1/", headers=headers)).status_code == 401


async def test_logging_out_ends_the_session(ada: Guest, outage: Outage) -> None:
    refresh_token, headers = await ada.refresh(await ada.sign_in())
    _, others = await ada.refresh(await ada.sign_in())
    await outage.begin()
    leaving = ada.rest.http.post("/jwt-auth/logout/", headers=headers)
    (left,), (took,) = await timed([leaving])
    assert left.status_code == 204
    assert took < LONGEST_MARK + 2 * QUICK
    assert (await ada.rest.http.get("/users/1/", headers=headers)).status_code == 401
    again = await ada.post("get-access-token", {"refresh_token": refresh_token})
    assert again.status_code == 401
    await outage.end()
    assert (await ada.rest.http.get("/users/1/", headers=headers)).status_code == 401
    assert (await ada.rest.http.get("/users/1/", headers=others)).status_code == 200


async def test_lists_are_counted(ada: Guest, outage: Outage) -> None:
    http, headers = ada.rest.http, ada.rest.token(1)
    await outage.begin()
    for number in range(1, 4):
        await http.post("/exercises/", json={"title": f"Squat {number}"}, headers=headers)
        (answer,), (took,) = await timed([http.get("/exercises/?total=true", headers=headers)])
        assert answer.headers["X-Total-Count"] == str(number)
        assert took < LONGEST_MARK + 2 * QUICK


async def test_a_frozen_redis_does_not_keep_the_club_open(
    settings: Settings, redis: RedisServer
) -> None:
    async with open_club(settings.model_copy(update={"redis_url": redis.url})) as club:
        await club.store.ping()
        await asyncio.to_thread(redis.freeze)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2 * LONGEST_WAIT


async def test_a_club_opens_without_its_redis_and_finds_it_later(
    settings: Settings, redis: RedisServer
) -> None:
    await asyncio.to_thread(redis.stop)
    async with open_club(settings.model_copy(update={"redis_url": redis.url})) as club:
        assert (await club.health()).report["components"]["redis"]["status"] == "unavailable"
        await asyncio.to_thread(redis.start)
        assert (await club.health()).report["components"]["redis"]["status"] == "running"


# --- what is kept ------------------------------------------------------------------------------


async def test_a_sign_in_leaves_nothing_in_redis_that_does_not_end(
    ada: Guest, redis: RedisServer, redis_of: Any
) -> None:
    begun = await ada.begin()
    wrong = f"{(int(begun['code']) + 1) % 10**6:06d}"
    await ada.post("verification", {**begun, "code": wrong})
    refresh_token, headers = await ada.refresh(await ada.sign_in())
    await ada.rest.http.get("/users/?total=true", headers=headers)
    await ada.post("get-access-token", {"refresh_token": refresh_token})
    await ada.rest.http.post("/jwt-auth/logout/", headers=headers)
    await ada.begin()
    names = redis_of.keys("*")
    kinds = {name.split(b":")[2].decode() for name in names}
    assert kinds == {"login", "code", "tries", "attempts", "count"}
    assert all(redis_of.pttl(name) > 0 for name in names)


async def test_redis_knows_no_secret(ada: Guest, redis_of: Any) -> None:
    """Whoever reads it cannot go on with a login."""
    begun = await ada.begin()
    names = redis_of.keys("*")
    kept = b" ".join([*names, *(redis_of.get(name) or b"" for name in names)])
    assert begun["code"].encode() in kept
    for secret in (begun["login_token"], PASSWORD, ada.username):
        assert secret.encode() not in kept


@pytest.fixture
def redis_of(redis: RedisServer) -> Iterator[Any]:
    """What an operator sees of it."""
    with Client.from_url(redis.url) as client:
        yield client


# --- cached counts -----------------------------------------------------------------------------


class Counting:
    """The tables, as one process asks them, and how often it had them counted."""

    def __init__(self, rest: Rest, marks: Marks) -> None:
        self._rest = rest
        self.counted = 0
        self.reads = Reads(self._rows, self._rows, marks, LISTINGS, LOOKUPS)

    async def _rows(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        self.counted += sql.startswith("SELECT count(*)")
        return await self._rest.club.postgres.rows(sql, params)

    async def total(self, **filters: Any) -> int:
        return await self.reads.total(View.EXERCISES, PageRequest(filters=filters))


@pytest.fixture
async def processes(rest: Rest, redis: RedisServer) -> AsyncIterator[tuple[Counting, Counting]]:
    """Two processes that share a Redis."""
    async with open_store(redis.url) as one, open_store(redis.url) as other:
        yield Counting(rest, Marks(one)), Counting(rest, Marks(other))


async def add(rest: Rest, title: str, **facts: Any) -> None:
    await rest.do(AddExercise(ExerciseBody(title=title, **facts)))


async def test_at_one_position_a_list_is_counted_once_for_all_processes(
    rest: Rest, processes: tuple[Counting, Counting]
) -> None:
    here, there = processes
    await add(rest, "Squat")
    assert [await here.total(), await here.total(), await there.total()] == [1, 1, 1]
    assert (here.counted, there.counted) == (1, 0)


async def test_a_change_is_counted_at_once_by_every_process(
    rest: Rest, processes: tuple[Counting, Counting]
) -> None:
    here, there = processes
    for number in range(1, 4):
        await add(rest, f"Squat {number}")
        assert [await there.total(), await here.total()] == [number, number]
    assert (here.counted, there.counted) == (0, 3)


async def test_lists_that_are_filtered_otherwise_are_counted_apart(
    rest: Rest, processes: tuple[Counting, Counting]
) -> None:
    here, there = processes
    await add(rest, "Squat", muscle_group="LEGS")
    await add(rest, "Plank", muscle_group="CORE")
    for _ in range(2):
        assert await here.total() == 2
        assert await there.total(muscle_group="LEGS") == 1
        assert await here.total(muscle_group="ARMS") == 0
    assert (here.counted, there.counted) == (2, 1)


async def test_without_redis_every_count_is_computed(
    rest: Rest, redis: RedisServer, processes: tuple[Counting, Counting]
) -> None:
    here, there = processes
    await add(rest, "Squat")
    assert await here.total() == 1
    await asyncio.to_thread(redis.stop)
    assert [await here.total(), await there.total()] == [1, 1]
    assert (here.counted, there.counted) == (2, 1)


async def test_over_http_whoever_writes_reads_the_count_that_follows(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for number in range(1, 4):
        body = {"title": f"Squat {number}"}
        assert (await rest.http.post("/exercises/", json=body, headers=admin)).status_code == 201
        for _ in range(2):
            answer = await rest.http.get("/exercises/?total=true", headers=admin)
            assert answer.headers["X-Total-Count"] == str(number)
