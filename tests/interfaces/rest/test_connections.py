"""Whoever is slow, says nothing or half of it, or does not listen: waited for, and only so long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx
import pytest

from domain.values import Role
from interfaces.rest import connections
from interfaces.rest.bodies import LARGEST_BODY
from tests.conftest import Rest
from tests.interfaces.rest.raw import NONE, Raw, connected, request
from tests.interfaces.rest.serving import served
from tests.waiting import until

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of half a second, so that the tests need none."""
    monkeypatch.setattr(connections, "LOOK", 0.05)
    monkeypatch.setattr(connections, "PATIENCE", 0.5)
    monkeypatch.setattr(connections, "READING_PATIENCE", 0.5)
    monkeypatch.setattr("interfaces.rest.bodies.BODY_SECONDS", 0.5)


@pytest.fixture
async def url(rest: Rest) -> AsyncIterator[str]:
    """Where the club is served."""
    async with served(rest.club) as found:
        yield found


@pytest.fixture
async def admin(rest: Rest) -> dict[str, str]:
    _, headers = await rest.user(Role.ADMIN)
    return headers


async def add(url: str, admin: dict[str, str], title: str) -> int:
    """Somebody else adds an exercise meanwhile; the status of the answer."""
    async with httpx.AsyncClient(base_url=url, headers=admin) as http:
        return (await http.post("/exercises/", json={"title": title})).status_code


# --- sending -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"POST /exer",
        b"POST /exercises/ HTTP/1.1\r\nHost: club\r\nX-Some",
        b"POST /exercises/ HTTP/1.1\r\nContent-Length: 10\r\nHost: club\r\n",
    ],
    ids=["half a request line", "half of the headers", "all headers but their end"],
)
async def test_whoever_says_half_of_what_they_want_is_told_so_and_hung_up_on(
    url: str, said: bytes
) -> None:
    async with connected(url) as (one,):
        await one.send(said)
        answer = await one.answer()
        assert (answer.status, answer.problem["type"]) == (408, "/problems/request-timeout")
        assert answer.headers["connection"] == "close"
        assert await one.is_closed()


@pytest.mark.parametrize("said", [b"", b"\r\n\r\n"], ids=["nothing", "empty lines"])
async def test_whoever_says_nothing_is_hung_up_on_without_a_word(url: str, said: bytes) -> None:
    async with connected(url) as (one,):
        await one.send(said)
        assert await one.answer() == NONE


async def test_a_request_line_that_drips_in_is_not_waited_for_any_longer(url: str) -> None:
    async with connected(url) as (one,):
        dripping = asyncio.create_task(drip(one, b"GET /" + b"x" * 10_000))
        assert (await one.answer()).status == 408
        dripping.cancel()


async def drip(one: Raw, data: bytes) -> None:
    for byte in data:
        await one.send(bytes([byte]))
        await asyncio.sleep(0.1)


async def test_a_kept_connection_that_goes_on_with_empty_lines_is_hung_up_on(url: str) -> None:
    async with connected(url) as (one,):
        await one.send(request("GET", "/", {}))
        assert (await one.answer()).status == 200
        dripping = asyncio.create_task(drip(one, b"\r\n" * 5000))
        assert await one.answer() == NONE
        dripping.cancel()


@pytest.mark.parametrize("with_token", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunks", "trailers", "a word first"])
async def test_a_body_that_does_not_come_is_a_408(
    url: str, admin: dict[str, str], framing: str, *, with_token: bool
) -> None:
    headers = JSON | (admin if with_token else {})
    headers |= {
        "length": {"Content-Length": "100"},
        "chunks": {"Transfer-Encoding": "chunked"},
        "trailers": {"Transfer-Encoding": "chunked", "Trailer": "X-One"},
        "a word first": {"Content-Length": "100", "Expect": "100-continue"},
    }[framing]
    begun = {
        "length": b"{",
        "chunks": b"1\r\n{\r\n",
        "trailers": b"2\r\n{}\r\n0\r\nX-One: 1\r\n",
        "a word first": b"",
    }[framing]
    async with connected(url) as (one,):
        await one.send(request("POST", "/exercises/", headers) + begun)
        answer = await one.answer()
        if framing == "a word first":
            assert answer.status == 100
            answer = await one.answer()
        assert (answer.status, answer.problem["type"]) == (408, "/problems/request-timeout")
        assert answer.headers["connection"] == "close"
        assert await one.is_closed()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_a_body_is_waited_for_no_longer_where_none_is_asked_for(
    url: str, method: str
) -> None:
    async with connected(url) as (one,):
        await one.send(request(method, "/nowhere", {"Content-Length": "5"}))
        assert (await one.reader.readline()).split()[1] == b"408"


async def test_a_body_that_comes_slowly_but_steadily_is_taken(
    url: str, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.rest.bodies.SLOWEST", 1000)
    body = json.dumps({"title": "Plank", "description": "x" * 1500}).encode()
    async with connected(url) as (one,):
        await one.send(
            request("POST", "/exercises/", admin | JSON | {"Content-Length": str(len(body))})
        )
        began = asyncio.get_running_loop().time()
        for start in range(0, len(body), 200):
            await one.send(body[start : start + 200])
            await asyncio.sleep(0.1)
        took = asyncio.get_running_loop().time() - began
        assert (await one.answer()).status == 201
    assert took > 0.5, "longer than anything that drips is waited for"


async def test_a_body_in_pieces_is_one_body(url: str, admin: dict[str, str]) -> None:
    headers = admin | JSON | {"Transfer-Encoding": "chunked"}
    async with connected(url) as (one,):
        await one.send(request("POST", "/exercises/", headers))
        for piece in (b'{"title"', b': "Pla', b'nk"}'):
            await one.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0.01)
        await one.send(b"0\r\n\r\n")
        assert (await one.answer()).status == 201
        await one.send(request("GET", "/exercises/?title=Plank", admin))
        assert json.loads((await one.answer()).body)[0]["title"] == "Plank"


async def test_whoever_asks_before_sending_hears_that_it_is_too_much(
    url: str, admin: dict[str, str]
) -> None:
    headers = admin | JSON | {"Expect": "100-continue"}
    async with connected(url, 2) as (small, large):
        body = b'{"title": "Plank"}'
        await small.send(
            request("POST", "/exercises/", headers | {"Content-Length": str(len(body))})
        )
        assert (await small.answer()).status == 100
        await small.send(body)
        assert (await small.answer()).status == 201
        too_much = {"Content-Length": str(LARGEST_BODY + 1)}
        await large.send(request("POST", "/exercises/", headers | too_much))
        assert (await large.answer()).status == 413
        assert await large.is_closed()


async def test_headers_without_an_end_are_refused(url: str) -> None:
    async with connected(url) as (one,):
        await one.send(b"GET / HTTP/1.1\r\nHost: club\r\n")
        for number in range(100):
            await one.send(b"X-%d: %b\r\n" % (number, b"x" * 10_000))
            if number == 0:
                await asyncio.sleep(0.05)
        answer = await one.answer()
        assert answer.status == 431
        assert answer.problem["type"] == "/problems/request-header-fields-too-large"


@pytest.mark.parametrize("said", [b"\x16\x03\x01\x02\x00\x01", b"BREW / HTTP/1.1\r\n\r\n"])
async def test_what_is_not_http_is_a_problem_too(url: str, said: bytes) -> None:
    async with connected(url) as (one,):
        await one.send(said)
        answer = await one.answer()
        assert (answer.status, answer.problem["type"]) == (400, "/problems/bad-request")


async def test_requests_in_a_row_are_answered_in_a_row(url: str, admin: dict[str, str]) -> None:
    body = b'{"title": "Plank"}'
    many = [
        request("POST", "/exercises/", admin | JSON, body),
        request("GET", "/exercises/", admin),
        request("HEAD", "/exercises/", admin),
        request("GET", "/nowhere", {}),
    ]
    async with connected(url) as (one,):
        await one.send(b"".join(many))
        assert (await one.answer()).status == 201
        assert (await one.answer()).status == 200
        head = await one.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert (await one.answer()).status == 404


async def test_an_answer_is_not_lost_to_half_a_request_behind_it(
    url: str, admin: dict[str, str], rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(position: int) -> bool:
        await asyncio.sleep(1.0)
        return True

    monkeypatch.setattr(rest.club.read_side, "reached", slowly)
    async with connected(url) as (one,):
        await one.send(request("GET", "/exercises/", admin | {"Ledger-Position": "1"}))
        await one.send(b"GET /exer")
        assert (await one.answer()).status == 200
        assert (await one.answer()).status == 408


# --- what bodies take up -----------------------------------------------------------------------


async def test_large_bodies_take_up_only_so_much_and_small_ones_come_through(
    url: str, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.rest.bodies.BODY_SECONDS", 60.0)
    large = {"Content-Length": str(LARGEST_BODY)}
    begun = request("POST", "/exercises/", JSON | large) + b"x" * (LARGEST_BODY - 1)
    async with connected(url, 70) as many:
        await asyncio.gather(*(one.send(begun) for one in many))

        async def refused() -> bool:
            return sum(len(one.reader._buffer) > 0 for one in many) >= 5  # type: ignore[attr-defined]

        await until(refused, "the last of them are refused")
        assert await add(url, admin, "Plank") == 201
    monkeypatch.setattr("interfaces.rest.bodies.BODY_SECONDS", 0.5)

    async def taken_again() -> bool:
        body = json.dumps({"title": "x" * 500_000}).encode()
        async with httpx.AsyncClient(base_url=url, headers=admin | JSON) as http:
            return (await http.post("/exercises/", content=body)).status_code == 422

    await until(taken_again, "those who are gone take up nothing")


# --- reading -----------------------------------------------------------------------------------


async def test_whoever_does_not_read_is_hung_up_on_and_takes_no_place(
    url: str, admin: dict[str, str]
) -> None:
    greedy = request("GET", "/openapi.json", {}) * 200
    async with connected(url, 5) as many:
        for one in many:
            one.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await one.send(greedy)

        async def gone() -> bool:
            for one in many:
                try:
                    await one.send(b"\r\n")
                except OSError:
                    continue
                return False
            return True

        await until(gone, "they are hung up on")
        assert await add(url, admin, "Plank") == 201


async def test_whoever_reads_slowly_gets_all_of_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 60
    async with connected(url) as (one,):
        await one.send(request("GET", "/openapi.json", {}) * asked)
        sizes = set()
        for number in range(asked):
            sizes.add(len((await one.answer()).body))
            if number % 6 == 0:
                await asyncio.sleep(0.1)
    assert len(sizes) == 1
    assert asked * sizes.pop() > 10_000_000


# --- more than there is room for ---------------------------------------------------------------


async def test_where_there_are_too_many_whoever_was_waited_for_longest_goes(
    url: str, admin: dict[str, str], rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 60.0)
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 20)
    let_go = asyncio.Event()

    async def reached(position: int) -> bool:
        await let_go.wait()
        return True

    monkeypatch.setattr(rest.club.read_side, "reached", reached)
    async with connected(url) as (busy,), connected(url, 15) as idle:
        await busy.send(request("GET", "/exercises/", admin | {"Ledger-Position": "1"}))
        await asyncio.sleep(0.2)
        async with connected(url, 30):
            assert await asyncio.gather(*(one.is_closed() for one in idle)) == [True] * 15
            async with httpx.AsyncClient(base_url=url, headers=admin) as http:
                assert (await http.get("/exercises/")).status_code == 200
            let_go.set()
            assert (await busy.answer()).status == 200, "who is being served stays"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((1024, 20_000), 10_256), ((1024, 4096), 4096), ((20_000, 20_000), None), ((-1, -1), None)],
)
def test_the_process_takes_as_many_files_as_it_needs_and_is_granted(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], expected: int | None
) -> None:
    asked: list[tuple[int, int]] = []
    fake = SimpleNamespace(
        RLIMIT_NOFILE=7,
        RLIM_INFINITY=-1,
        getrlimit=lambda _: limits,
        setrlimit=lambda _, wanted: asked.append(wanted),
    )
    monkeypatch.setattr(connections, "resource", fake)
    connections.let_many_in()
    assert asked == ([] if expected is None else [(expected, limits[1])])
