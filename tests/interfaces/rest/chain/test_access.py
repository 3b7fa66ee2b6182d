"""Who reads a chain: its own people, with tokens and links that are good there alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from application.ports.chain import NameTaken
from application.ports.signing_in import PageClaims, RefreshClaims
from domain.refusals import NotFound
from domain.values import Role
from infra.chain.people import MOST_LINKS, Links, People
from infra.chain.reading import Chain, open_reading
from infra.secrets.clocks import SystemClock
from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens, of_chain
from infra.settings import Settings
from interfaces.rest.assembly import Outside
from interfaces.rest.chain.main import GROUPS, create_chain_app
from interfaces.rest.door import COOKIE
from tests.conftest import Rest
from tests.interfaces.rest.chain.scenes import Headers, Reading, join, say, take_in
from tests.interfaces.rest.chain.test_clubs import asking
from tests.projections.histories import rich
from tests.waiting import until

EVERYBODY = {None: 200, "ADMIN": 200, "ANALYST": 200}
READERS = {None: 401, "ADMIN": 200, "ANALYST": 200}
PAGE, LINKS = "/chain/reports/overview/", "/chain/reports/overview/links/"
TABLE = {
    "GET /": EVERYBODY,
    "GET /health/": EVERYBODY,
    "GET /metrics": EVERYBODY,
    "GET /.well-known/jwks.json": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "GET /docs": EVERYBODY,
    "GET /redoc": EVERYBODY,
    "GET /problems/{code}": EVERYBODY,
    "GET /chain/clubs/": READERS,
    "GET /chain/reports/clients/": READERS,
    "GET /chain/reports/cohorts/": READERS,
    "GET /chain/reports/money/": READERS,
    "GET /chain/reports/trainings/": READERS,
    "GET /chain/reports/plans/": READERS,
    f"GET {PAGE}": READERS,
    f"GET {LINKS}": READERS,
    f"POST {LINKS}": {None: 401, "ADMIN": 201, "ANALYST": 201},
    f"DELETE {LINKS}{{page_link_id}}/": {None: 401, "ADMIN": 404, "ANALYST": 404},
}
"""What everybody gets who asks for each route of the chain."""

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
READING = ("/chain/clubs/", "/chain/reports/money/", PAGE, LINKS)


@pytest.fixture
async def chain(chain: Chain, url: str) -> Chain:
    """A chain of one club, in which something has happened."""
    events = rich(60).events
    await take_in(url, await join(url, "North", events), events)
    return chain


async def test_every_route_is_in_the_table_and_lets_in_whom_it_says(reading: Reading) -> None:
    callers: dict[str | None, Headers] = {
        None: {},
        "ADMIN": (await reading.person(Role.ADMIN))[1],
        "ANALYST": (await reading.person(Role.ANALYST))[1],
    }
    routes = {
        f"{method} {route.path}"
        for group in GROUPS
        for route in group.routes.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert routes == TABLE.keys()
    for route, expected in TABLE.items():
        method, path = route.split()
        there = path.format(page_link_id=7, code="being-built")
        got = {
            role: (await reading.http.request(method, there, headers=headers)).status_code
            for role, headers in callers.items()
        }
        assert got == expected, route


async def test_a_token_of_a_club_is_none_of_the_chain(reading: Reading, rest: Rest) -> None:
    """One home, so one key, and the same number of somebody who may read everything in both."""
    assert reading.chain.settings.home == rest.club.settings.home
    user_id, of_club = await rest.user(Role.ADMIN)
    number, of_chain = await reading.person(Role.ADMIN)
    assert user_id == number
    soon = int(time.time()) + 600
    link = (await rest.http.post("/reports/overview/links/", headers=of_club)).json()["url"]
    (of_page,) = parse_qs(urlsplit(link).query)["link"]
    refused = {
        of_club["Authorization"].removeprefix("Bearer "),
        rest.club.tokens.refresh_token(RefreshClaims(user_id, 1, 1), soon),
        rest.club.tokens.page_token(PageClaims(user_id, "overview", 1, soon)),
        of_page,
    }
    # Nor is what the chain itself has signed for something else.
    own_page = (await reading.chain.links.make(number)).token
    own_refresh = reading.chain.tokens.refresh_token(RefreshClaims(number, 1, 1), soon)
    for token in {*refused, own_page, own_refresh}:
        for path in READING:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await reading.http.get(path, headers=headers)
            assert answer.status_code == 401, (path, token)
            assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    for token in {*refused, own_refresh, of_chain["Authorization"].removeprefix("Bearer ")}:
        assert (await opened(reading, token)).status_code == 401
        assert (await by_cookie(reading, token)).status_code == 401
    assert (await reading.http.get("/chain/clubs/", headers=of_chain)).status_code == 200
    assert (await opened(reading, own_page)).status_code == 200


async def test_a_token_of_the_chain_is_none_of_a_club(reading: Reading, rest: Rest) -> None:
    user_id, _ = await rest.user(Role.ADMIN)
    number, of_chain = await reading.person(Role.ADMIN)
    assert user_id == number
    soon = int(time.time()) + 600
    tokens = {
        of_chain["Authorization"].removeprefix("Bearer "),
        reading.chain.tokens.refresh_token(RefreshClaims(number, 1, 1), soon),
        (await reading.chain.links.make(number)).token,
    }
    for token in tokens:
        for path in ("/users/me/", "/reports/money/", "/reports/overview/", "/rules/"):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await rest.http.get(path, headers=headers)).status_code == 401, path
        cookie = {"Cookie": f"{COOKIE}={token}"}
        assert (await rest.http.get("/reports/overview/", headers=cookie)).status_code == 401
        body = {"refresh_token": token}
        exchanged = await rest.http.post("/jwt-auth/get-access-token/", json=body)
        assert exchanged.status_code == 401


async def test_a_token_that_others_signed_or_that_is_over_is_refused(reading: Reading) -> None:
    number, _ = await reading.person(Role.ADMIN)
    settings = reading.chain.settings
    ((identity,),) = await reading.chain.postgres.rows("SELECT id::text FROM chain_identity")
    issuer, kinds = f"urn:uuid:{identity}", of_chain(identity)
    stranger = SignedTokens(Keys(settings.home / "stranger"), issuer, kinds)
    tokens = {
        "of another chain": stranger.access_token(number, None, 600),
        "of another issuer": SignedTokens(
            reading.chain.keys, "https://other.example", kinds
        ).access_token(number, None, 600),
        "over": reading.chain.tokens.access_token(number, None, -60),
        "of nobody": reading.chain.tokens.access_token(number + 1, None, 600),
        "cut": reading.chain.tokens.access_token(number, None, 600)[:-9],
    }
    for name, token in tokens.items():
        headers = {"Authorization": f"Bearer {token}"}
        refused = await reading.http.get("/chain/clubs/", headers=headers)
        assert refused.status_code == 401, name


async def test_a_token_or_link_of_another_chain_of_the_same_home_is_refused(
    reading: Reading, chain_settings: Settings, url: str
) -> None:
    """One key, and in both there are a reader and a link of these numbers."""
    _, of_one = await reading.person()
    _, link = await made(reading, of_one)
    await say(url, "UPDATE chain_identity SET id = gen_random_uuid()")
    async with open_reading(chain_settings) as chain, asking(chain) as http:
        another = Reading(chain, http)
        assert (await http.get("/chain/clubs/", headers=of_one)).status_code == 401
        assert (await opened(another, link)).status_code == 401
        assert (await by_cookie(another, link)).status_code == 401
        assert (await http.get("/chain/clubs/", headers=another.token(1))).status_code == 200
    assert (await reading.http.get("/chain/clubs/", headers=of_one)).status_code == 200
    assert (await opened(reading, link)).status_code == 200


async def test_whoever_prints_a_token_need_not_know_where_the_chain_is_reached(
    reading: Reading, chain_settings: Settings
) -> None:
    number, _ = await reading.person()
    elsewhere = chain_settings.model_copy(update={"public_url": "https://chain.example"})
    async with open_reading(elsewhere, signing=True) as chain:
        headers = Reading(chain, reading.http).token(number)
    assert (await reading.http.get("/chain/clubs/", headers=headers)).status_code == 200


async def test_whoever_is_removed_is_out_within_seconds_with_token_and_link(
    reading: Reading, chain_settings: Settings
) -> None:
    number, analyst = await reading.person()
    token = (await reading.chain.links.make(number)).token
    assert (await reading.http.get("/chain/clubs/", headers=analyst)).status_code == 200
    assert (await opened(reading, token)).status_code == 200
    async with open_reading(chain_settings) as elsewhere:
        await elsewhere.people.remove("reader 1")
        again = await elsewhere.people.add("reader 1", Role.ADMIN)
    assert again.number != number, "a name that is given again is somebody else"
    assert (await opened(reading, token)).status_code == 401

    async def is_out() -> bool:
        return (await reading.http.get("/chain/clubs/", headers=analyst)).status_code == 401

    await until(is_out, "whoever was removed is out", patience=5)


# --- links -----------------------------------------------------------------------------------


async def made(reading: Reading, signed_in: Headers) -> tuple[int, str]:
    """The number and the token of a new link."""
    answer = await reading.http.post(LINKS, headers=signed_in)
    assert answer.status_code == 201, answer.text
    (token,) = parse_qs(urlsplit(answer.json()["url"]).query)["link"]
    return answer.json()["id"], token


async def opened(reading: Reading, token: str) -> httpx.Response:
    """What a browser gets that has followed the link."""
    first = await reading.http.get(PAGE, params={"link": token}, headers=BROWSER)
    return await by_cookie(reading, token) if first.status_code == 303 else first


async def by_cookie(reading: Reading, token: str, path: str = PAGE) -> httpx.Response:
    cookie = {"Cookie": f"{COOKIE}={token}"}
    return await reading.http.get(path, headers=BROWSER | cookie)


async def test_a_link_opens_the_page_once_it_is_out_of_the_address_and_nothing_else(
    reading: Reading, analyst: Headers
) -> None:
    with capture_logs() as logs:
        answer = await reading.http.post(LINKS, json={}, headers=analyst)
        link = answer.json()
        assert link.keys() == {"id", "url", "expires_at"}
        assert link["url"].startswith(f"{PAGE}?link=eyJ")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["location"] == f"{LINKS}{link['id']}/"
        (token,) = parse_qs(urlsplit(link["url"]).query)["link"]
        asked = f"{PAGE}?from_date=2026-01-01&link={token}&club=North"
        first = await reading.http.get(asked, headers=BROWSER)
        assert (first.status_code, first.content) == (303, b"")
        assert first.headers["location"] == f"{PAGE}?from_date=2026-01-01&club=North"
        assert first.headers["referrer-policy"] == "no-referrer"
        cookie = SimpleCookie(first.headers["set-cookie"])[COOKIE]
        assert (cookie.value, cookie["path"]) == (token, PAGE)
        assert (cookie["httponly"], cookie["samesite"]) == (True, "lax")
        page = await by_cookie(reading, token)
        assert page.status_code == 200
        assert "<h1>Overview</h1>" in page.text
        assert token not in page.text
        await reading.http.get(f"{PAGE.rstrip('/')}?link={token}")
        for path in ("/chain/clubs/", "/chain/reports/money/", LINKS):
            assert (await by_cookie(reading, token, path)).status_code == 401, path
    assert [log for log in logs if log["event"] == "request" and log["path"] == PAGE]
    assert token.rpartition(".")[2][:40] not in str(logs)


async def test_a_link_is_to_where_the_chain_is_reached(chain: Chain) -> None:
    app = create_chain_app(chain, Outside("https://chain.example/api/"))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://inside") as http:
        _, admin = await Reading(chain, http).person(Role.ADMIN)
        url = (await http.post(LINKS, headers=admin)).json()["url"]
        assert url.startswith(f"https://chain.example/api{PAGE}?link=")
        (token,) = parse_qs(urlsplit(url).query)["link"]
        first = await http.get(PAGE, params={"link": token}, headers=BROWSER)
    cookie = SimpleCookie(first.headers["set-cookie"])[COOKIE]
    assert (cookie["path"], cookie["secure"]) == (f"/api{PAGE}", True)


async def test_a_link_that_was_revoked_opens_nothing_and_the_page_says_what_to_do(
    reading: Reading, url: str
) -> None:
    _, analyst = await reading.person()
    number, token = await made(reading, analyst)
    await made(reading, analyst)
    _, another = await reading.person()
    listed = await reading.http.get(f"{LINKS}?limit=1&total=true", headers=analyst)
    assert [one["id"] for one in listed.json()] == [number]
    assert listed.headers["x-total-count"] == "2"
    assert 'rel="next"' in listed.headers["link"]
    assert (await reading.http.get(LINKS, headers=another)).json() == []
    assert (await reading.http.delete(f"{LINKS}{number}/", headers=another)).status_code == 404
    assert (await reading.http.delete(f"{LINKS}{number}/", headers=analyst)).status_code == 204
    page = await opened(reading, token)
    assert page.status_code == 401
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "This link was revoked" in page.text
    assert "club chain users link NAME" in page.text
    assert "club reports link" not in page.text


async def test_an_admin_revokes_those_of_others_and_what_is_over_is_not_kept(
    reading: Reading, url: str
) -> None:
    _, analyst = await reading.person()
    kept, other = await made(reading, analyst)
    _, admin = await reading.person(Role.ADMIN)
    assert (await opened(reading, other)).status_code == 200
    assert (await reading.http.delete(f"{LINKS}{kept}/", headers=admin)).status_code == 204
    assert (await opened(reading, other)).status_code == 401
    # What is over is listed no more, and goes with the next.
    await made(reading, analyst)
    await say(url, "UPDATE chain_links SET expires_at = now() - interval '1 s'")
    assert (await reading.http.get(LINKS, headers=analyst)).json() == []
    await made(reading, analyst)
    rows = await reading.chain.postgres.rows("SELECT l::text FROM chain_links AS l")
    assert len(rows) == 1
    assert "eyJ" not in str(rows)


async def test_of_more_links_than_anybody_needs_the_oldest_are_good_no_more(
    reading: Reading,
) -> None:
    number, analyst = await reading.person()
    other, another = await reading.person()
    kept = await reading.chain.links.make(other)
    first = await reading.chain.links.make(number)
    for _ in range(MOST_LINKS - 1):
        last = await reading.chain.links.make(number)
    assert (await opened(reading, first.token)).status_code == 200
    last = await reading.chain.links.make(number)
    assert (await opened(reading, first.token)).status_code == 401
    for link in (kept, last):
        assert (await opened(reading, link.token)).status_code == 200
    listed = await reading.http.get(f"{LINKS}?total=true&limit=1", headers=analyst)
    assert listed.headers["x-total-count"] == str(MOST_LINKS)
    assert len((await reading.http.get(LINKS, headers=another)).json()) == 1


async def test_what_is_written_again_after_a_lost_connection_is_no_refusal(
    chain: Chain,
) -> None:
    """The connection is lost when all is written, and before anybody is told."""

    async def twice(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        await chain.postgres.rows(sql, params)
        return await chain.postgres.rows(sql, params)

    people = People(twice)
    ada = await people.add("Ada", Role.ANALYST)
    assert await chain.people.all() == [ada]
    with pytest.raises(NameTaken):
        await people.add("Ada", Role.ADMIN)
    link = await chain.links.make(ada.number)
    links = Links(twice, chain.tokens, SystemClock())
    await links.revoke(link.number, ada.number)
    with pytest.raises(NotFound):
        await links.revoke(link.number, ada.number)
    await people.remove("Ada")
    with pytest.raises(NotFound):
        await people.remove("Ada")


async def test_a_reader_who_became_another_role_is_that_within_seconds(
    reading: Reading, url: str
) -> None:
    number, headers = await reading.person(Role.ADMIN)
    chain = replace(reading.chain)
    assert (await chain.callers.of(headers["Authorization"][7:])).role is Role.ADMIN
    await say(url, "UPDATE chain_users SET role = 'ANALYST' WHERE number = %s", number)

    async def is_analyst() -> bool:
        return (await chain.callers.of(headers["Authorization"][7:])).role is Role.ANALYST

    await until(is_analyst, "the new role counts", patience=5)
