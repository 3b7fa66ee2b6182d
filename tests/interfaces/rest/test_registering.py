"""Registering in numbers: it is limited, and harms nobody who signs in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from infra.bootstrap import Club
from infra.secrets.passwords import MOST_WAITING
from infra.settings import Settings
from interfaces.rest.main import create_app
from tests.conftest import Rest
from tests.waiting import until

MANY = 200
OURS, THEIRS = "192.0.2.7", "198.51.100.1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Codes are shown on the console, so that one can sign in."""
    return settings.model_copy(update={"console_codes": True})


@pytest.fixture
def app(club: Club) -> FastAPI:
    return create_app(club)


@asynccontextmanager
async def calling(app: FastAPI, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who calls from this address."""
    transport = httpx.ASGITransport(app=app, client=(address, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
        yield http


async def register(http: httpx.AsyncClient, name: str) -> httpx.Response:
    body = {"username": name, "email": f"{name}@example.com", "password": "long enough"}
    return await http.post("/users/", json=body)


async def log_in(http: httpx.AsyncClient, name: str) -> httpx.Response:
    return await http.post("/jwt-auth/login/", json={"username": name, "password": "long enough"})


@asynccontextmanager
async def flooded(
    app: FastAPI, addresses: Iterator[str], refused: int
) -> AsyncIterator[list[httpx.Response]]:
    """Very many register at once; what so many of them were refused with, while others wait."""
    answers: list[httpx.Response] = []

    async def one(number: int, address: str) -> None:
        async with calling(app, address) as http:
            answers.append(await register(http, f"flood{number}"))

    async with asyncio.TaskGroup() as tasks:
        flood = [tasks.create_task(one(n, next(addresses))) for n in range(MANY)]
        await until(_so_many(answers, refused), "the others are refused")
        yield answers
        for task in flood:
            task.cancel()


def _so_many(answers: list[httpx.Response], refused: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return sum(answer.status_code != 201 for answer in answers) >= refused

    return enough


async def three_log_in(app: FastAPI) -> None:
    async with calling(app, OURS) as http:
        for left in (59, 58, 57):
            answer = await log_in(http, "ada")
            assert answer.status_code == 200
            assert f'"address";r={left};' in answer.headers["RateLimit"]


def _everywhere() -> Iterator[str]:
    return (f"198.51.{number // 250}.{number % 250 + 1}" for number in range(MANY))


async def test_very_many_from_one_address_are_refused_and_harm_nobody(
    rest: Rest, app: FastAPI
) -> None:
    async with calling(app, OURS) as http:
        assert (await register(http, "ada")).status_code == 201
    allowed = rest.club.settings.registrations_per_address
    refused = MANY - allowed
    async with flooded(app, iter([THEIRS] * MANY), refused) as answers:
        await three_log_in(app)
    assert Counter(a.status_code for a in answers if a.status_code != 201) == {429: refused}
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["type"] == "/problems/too-many-attempts"
            assert 0 < int(answer.headers["Retry-After"]) <= 300
            assert answer.headers["RateLimit"].startswith('"address";r=0;')


@pytest.mark.usefixtures("costly_hashes")
async def test_very_many_from_everywhere_wait_for_one_another_and_for_nobody_else(
    app: FastAPI,
) -> None:
    async with calling(app, OURS) as http:
        assert (await register(http, "ada")).status_code == 201
    async with flooded(app, _everywhere(), MANY - MOST_WAITING - 20) as answers:
        await three_log_in(app)
    refused = Counter(a.status_code for a in answers if a.status_code != 201)
    assert set(refused) == {503}
    assert all(a.headers["Retry-After"] for a in answers if a.status_code == 503)


async def test_whether_a_name_is_taken_can_be_asked_so_often(rest: Rest, app: FastAPI) -> None:
    async with calling(app, THEIRS) as http:
        assert (await register(http, "ada")).status_code == 201
        said = Counter([(await register(http, "ada")).status_code for _ in range(79)])
    allowed = rest.club.settings.registrations_per_address
    assert said == {409: allowed - 1, 429: 80 - allowed}


async def test_whoever_has_signed_in_to_register_others_is_not_limited(rest: Rest) -> None:
    _, signed_in = await rest.user()
    body = {"username": "user1", "email": "x@example.com", "password": "long enough"}
    for _ in range(rest.club.settings.registrations_per_address + 5):
        assert (await rest.http.post("/users/", json=body, headers=signed_in)).status_code == 409
