"""What happens around every request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from application.access import Caller
from application.limits import TooManyAtOnce
from application.ports.ledger import Overloaded
from domain.values import Role
from infra.metrics import Metrics
from interfaces.rest.middleware import Around
from interfaces.rest.places import MOST_OF_ONE, MOST_UNDER_WAY, Place, Places
from tests.conftest import Rest


async def test_more_requests_than_can_be_worked_on_are_refused_at_once() -> None:
    let_go = asyncio.Event()
    begun = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await let_go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(app=Around(slow, Metrics(), most_under_way=1))
    async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
        first = asyncio.create_task(http.get("/clients/"))
        await begun.wait()
        refused = await http.get("/clients/")
        let_go.set()
        assert (await first).status_code == 204
        assert (await http.get("/clients/")).status_code == 204
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/overloaded"


class Slow:
    """An app that answers when it is let go, and what it is sent meanwhile."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        await self.let_go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def called(app: Around) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://club")


async def test_what_is_still_being_sent_is_not_being_worked_on() -> None:
    slow = Slow()
    slow.let_go.set()
    rest_comes = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await rest_comes.wait()
        yield b"}"

    async with called(Around(slow, Metrics(), most_under_way=1)) as http:
        sending = [asyncio.create_task(http.post("/clients/", content=body())) for _ in range(5)]
        await asyncio.wait(sending, timeout=0.1)
        assert slow.begun == 0
        assert (await http.get("/clients/")).status_code == 204
        rest_comes.set()
        assert {(await one).status_code for one in sending} == {204}


async def test_health_is_told_also_where_nothing_else_can_be_taken() -> None:
    slow = Slow()
    async with called(Around(slow, Metrics(), most_under_way=1)) as http:
        first = asyncio.create_task(http.get("/clients/"))
        health = asyncio.create_task(http.get("/health/"))
        await asyncio.wait([first, health], timeout=0.1)
        assert slow.begun == 2
        assert (await http.get("/users/")).status_code == 503
        slow.let_go.set()
        assert [(await one).status_code for one in (first, health)] == [204, 204]
        assert (await http.get("/users/")).status_code == 204


async def test_whoever_does_not_read_the_answer_is_not_being_worked_on() -> None:
    slow = Slow()
    slow.let_go.set()
    around = Around(slow, Metrics(), most_under_way=1)
    reads = asyncio.Event()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await reads.wait()

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    unread = asyncio.create_task(around(scope, receive, send))
    await asyncio.wait([unread], timeout=0.05)
    async with called(around) as http:
        assert (await http.get("/clients/")).status_code == 204
    reads.set()
    await unread


async def test_one_caller_does_not_take_every_place() -> None:
    places = Places(most=10, most_of_one=3)

    def come(user_id: int | None, address: str = "10.0.0.1") -> Place:
        place = Place(places)
        place.take()
        try:
            place.belongs_to(user_id, address)
        except Exception:
            place.leave()
            raise
        return place

    taken = [come(7) for _ in range(3)]
    with pytest.raises(TooManyAtOnce):
        come(7)
    others = [come(8), come(None), come(None), come(None)]
    with pytest.raises(Overloaded):
        come(None)
    others.append(come(None, "10.0.0.2"))
    taken.pop().leave()
    taken.append(come(7))
    with taken[0].aside(), taken[1].aside(), taken[2].aside():
        taken += [come(7) for _ in range(3)]
        with pytest.raises(TooManyAtOnce), taken[3].aside():
            pass
    for place in (*taken, *others):
        place.leave()
        place.leave()
    assert (places.taken, places.worked_on, places.waiting) == (0, {}, {})


def test_all_addresses_of_an_ipv6_network_are_one_caller() -> None:
    places = Places(most_of_one=1)
    Place(places).belongs_to(None, "2001:db8::1")
    with pytest.raises(Overloaded):
        Place(places).belongs_to(None, "2001:db8::2")
    Place(places).belongs_to(None, "2001:db8:1::1")


async def test_a_burst_of_one_caller_leaves_room_before_it_is_known_who_they_are(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = asyncio.Event()
    of = rest.club.callers.of

    async def slowly(token: str) -> Caller:
        await looked_up.wait()
        return await of(token)

    monkeypatch.setattr(rest.club.callers, "of", slowly)
    _, one = await rest.user(Role.ADMIN)
    _, other = await rest.user(Role.ADMIN)
    burst = [
        asyncio.create_task(rest.http.get("/users/", headers=one))
        for _ in range(MOST_UNDER_WAY + 5)
    ]
    await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
    others = asyncio.create_task(rest.http.get("/users/", headers=other))
    await asyncio.wait(burst, timeout=0.05)
    looked_up.set()
    assert (await others).status_code == 200
    statuses = Counter(answer.status_code for answer in await asyncio.gather(*burst))
    assert statuses == {200: MOST_OF_ONE, 429: MOST_UNDER_WAY + 5 - MOST_OF_ONE}
