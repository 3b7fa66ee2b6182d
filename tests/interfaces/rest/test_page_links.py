"""Links: a browser opens the overview with one, and nothing else, and nobody else does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from application.ports.signing_in import PageClaims, RefreshClaims, RevokedLink
from application.users import ChangeUser, DeleteUser, UserChanges
from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from infra.settings import Settings
from interfaces.rest.door import COOKIE
from interfaces.rest.main import create_app
from tests.conftest import Rest
from tests.interfaces.figures import Invented
from tests.interfaces.rest.scenes import Headers

PAGE, LINKS = "/reports/overview/", "/reports/overview/links/"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def club(club: Club) -> Club:
    """A club whose figures are invented."""
    return replace(club, figures=Invented())  # type: ignore[arg-type]


async def made(rest: Rest, signed_in: Headers) -> tuple[int, str]:
    """The number and the token of a new link."""
    answer = await rest.http.post(LINKS, headers=signed_in)
    assert answer.status_code == 201, answer.text
    (token,) = parse_qs(urlsplit(answer.json()["url"]).query)["link"]
    return answer.json()["id"], token


async def opened(rest: Rest, token: str) -> httpx.Response:
    """What a browser gets that has followed the link."""
    first = await rest.http.get(PAGE, params={"link": token}, headers=BROWSER)
    if first.status_code != 303:
        return first
    return await by_cookie(rest, token)


async def by_cookie(
    rest: Rest, token: str, path: str = PAGE, method: str = "GET"
) -> httpx.Response:
    cookie = {"Cookie": f"{COOKIE}={token}"}
    return await rest.http.request(method, path, headers=BROWSER | cookie)


async def test_a_link_is_told_once_with_until_when_it_is_good(rest: Rest) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    keyed = analyst | {"Idempotency-Key": "k"}
    answer = await rest.http.post(LINKS, json={}, headers=keyed)
    link = answer.json()
    assert link.keys() == {"id", "url", "expires_at"}
    assert link["url"].startswith("/reports/overview/?link=eyJ")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] == f"{LINKS}{link['id']}/"
    again = await rest.http.post(LINKS, json={}, headers=keyed)
    assert again.json() == link | {"url": None}
    listed = (await rest.http.get(LINKS, headers=analyst)).json()
    assert [one.keys() for one in listed] == [{"id", "page", "made_at", "expires_at"}]
    assert (await rest.http.get(LINKS, headers=(await rest.user(Role.ADMIN))[1])).json() == []


async def test_a_link_leads_to_the_page_without_the_token_in_the_address(rest: Rest) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    _, token = await made(rest, analyst)
    asked = f"{PAGE}?from_date=2026-03-02&link={token}&by=week"
    first = await rest.http.get(asked, headers=BROWSER)
    assert (first.status_code, first.content) == (303, b"")
    assert first.headers["location"] == f"{PAGE}?from_date=2026-03-02&by=week"
    assert first.headers["referrer-policy"] == "no-referrer"
    assert "no-store" in first.headers["cache-control"]
    cookie = SimpleCookie(first.headers["set-cookie"])[COOKIE]
    assert (cookie.value, cookie["path"]) == (token, PAGE)
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "lax", "")
    ends = cookie["expires"]
    assert ends.endswith("GMT")
    page = await by_cookie(rest, token)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Overview</h1>" in page.text
    assert token not in page.text


@pytest.fixture
async def behind_a_proxy(settings: Settings) -> Settings:
    return settings.model_copy(update={"public_url": "https://club.example/api"})


async def test_a_link_is_to_where_the_club_is_reached_and_the_cookie_stays_there(
    behind_a_proxy: Settings,
) -> None:
    async with open_club(behind_a_proxy) as club:
        app = create_app(club)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://inside"
        ) as http:
            rest = Rest(club, http)
            _, admin = await rest.user(Role.ADMIN)
            url = (await http.post(LINKS, headers=admin)).json()["url"]
            assert url.startswith("https://club.example/api/reports/overview/?link=")
            (token,) = parse_qs(urlsplit(url).query)["link"]
            first = await http.get(PAGE, params={"link": token}, headers=BROWSER)
    assert first.headers["location"] == "https://club.example/api/reports/overview/"
    cookie = SimpleCookie(first.headers["set-cookie"])[COOKIE]
    assert (cookie["path"], cookie["secure"]) == ("/api/reports/overview/", True)


async def test_the_cookie_opens_the_page_and_nothing_else(rest: Rest) -> None:
    number, token = await made(rest, (await rest.user(Role.ADMIN))[1])
    assert (await by_cookie(rest, token)).status_code == 200
    for path in (LINKS, "/reports/", "/reports/money/", "/users/me/", "/users/", "/rules/"):
        assert (await by_cookie(rest, token, path)).status_code == 401, path
    for method, path in (("POST", LINKS), ("DELETE", f"{LINKS}{number}/"), ("POST", "/reports/")):
        assert (await by_cookie(rest, token, path, method)).status_code == 401, path
    assert (await by_cookie(rest, token, PAGE, "POST")).status_code == 405


async def test_a_token_of_one_kind_is_none_of_another(rest: Rest) -> None:
    user_id, admin = await rest.user(Role.ADMIN)
    _, link = await made(rest, admin)
    access = admin["Authorization"].removeprefix("Bearer ")
    soon = int(time.time()) + 600
    refresh = rest.club.tokens.refresh_token(RefreshClaims(user_id, 1, 1), soon)
    for token in (access, refresh):
        assert (await opened(rest, token)).status_code == 401
        assert (await by_cookie(rest, token)).status_code == 401
    bearer = {"Authorization": f"Bearer {link}"}
    for path in (PAGE, "/reports/money/", "/users/me/"):
        assert (await rest.http.get(path, headers=bearer)).status_code == 401, path
    exchanged = await rest.http.post("/jwt-auth/get-access-token/", json={"refresh_token": link})
    assert exchanged.status_code == 401


Spoilt = Callable[[Rest, PageClaims, str], str]


def old(rest: Rest, claims: PageClaims, _: str) -> str:
    return rest.club.tokens.page_token(claims._replace(ends_at=int(time.time()) - 60))


def of_another_page(rest: Rest, claims: PageClaims, _: str) -> str:
    return rest.club.tokens.page_token(claims._replace(page="payroll"))


def of_another_reader(rest: Rest, claims: PageClaims, _: str) -> str:
    return rest.club.tokens.page_token(claims._replace(user_id=claims.user_id + 1))


def of_no_link(rest: Rest, claims: PageClaims, _: str) -> str:
    return rest.club.tokens.page_token(claims._replace(link_id=claims.link_id + 1))


def of_another_club(rest: Rest, claims: PageClaims, _: str) -> str:
    other = Keys(rest.club.settings.home / "other")
    return SignedTokens(other, rest.club.settings.issuer).page_token(claims)


def cut(_: Rest, __: PageClaims, token: str) -> str:
    return token[:-7]


def without_an_end(_: Rest, __: PageClaims, token: str) -> str:
    return token.rpartition(".")[0] + "."


def made_up(*_: object) -> str:
    return "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (old, "This link has expired"),
        (cut, "This link is not valid here"),
        (without_an_end, "This link is not valid here"),
        (of_another_page, "This link is not valid here"),
        (of_another_club, "This link is not valid here"),
        (of_another_reader, "This link was revoked"),
        (of_no_link, "This link was revoked"),
        (made_up, "This link is not valid here"),
    ],
)
async def test_a_link_that_is_not_good_says_on_a_page_what_to_do(
    rest: Rest, spoilt: Spoilt, said: str
) -> None:
    user_id, analyst = await rest.user(Role.ANALYST)
    await rest.user(Role.ANALYST)
    number, token = await made(rest, analyst)
    claims = PageClaims(user_id, "overview", number, int(time.time()) + 600)
    wrong = spoilt(rest, claims, token)
    first = await rest.http.get(PAGE, params={"link": wrong}, headers=BROWSER)
    assert first.status_code == 401
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in first.headers["content-security-policy"]
    assert "set-cookie" not in first.headers
    assert said in first.text
    assert "club reports link" in first.text
    assert wrong not in first.text
    assert (await opened(rest, token)).status_code == 200


async def test_a_revoked_link_opens_nothing_from_then_on(rest: Rest) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    number, token = await made(rest, analyst)
    _, kept = await made(rest, analyst)
    assert (await by_cookie(rest, token)).status_code == 200
    gone = await rest.http.delete(f"{LINKS}{number}/", headers=analyst)
    assert gone.status_code == 204
    for answer in (await opened(rest, token), await by_cookie(rest, token)):
        assert answer.status_code == 401
        assert "This link was revoked" in answer.text
    assert (await opened(rest, kept)).status_code == 200
    listed = (await rest.http.get(LINKS, headers=analyst)).json()
    assert [one["id"] for one in listed] == [number + 1]


async def test_a_link_is_revoked_in_every_process_at_once(rest: Rest, settings: Settings) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    number, token = await made(rest, analyst)
    async with open_club(settings, projecting=False) as other:
        assert (await other.callers.reader(token, "overview")).role is Role.ANALYST
        await rest.http.delete(f"{LINKS}{number}/", headers=analyst)
        with pytest.raises(RevokedLink):
            await other.callers.reader(token, "overview")


async def test_another_analyst_does_not_revoke_it_and_an_admin_does(rest: Rest) -> None:
    number, token = await made(rest, (await rest.user(Role.ANALYST))[1])
    _, another = await rest.user(Role.ANALYST)
    assert (await rest.http.delete(f"{LINKS}{number}/", headers=another)).status_code == 404
    _, admin = await rest.user(Role.ADMIN)
    assert (await rest.http.delete(f"{LINKS}{number}/", headers=admin)).status_code == 204
    assert (await opened(rest, token)).status_code == 401


async def test_whoever_lost_the_role_reads_nothing_more(rest: Rest) -> None:
    await rest.user(Role.ADMIN)
    user_id, analyst = await rest.user(Role.ANALYST)
    _, token = await made(rest, analyst)
    await rest.do(ChangeUser(user_id, UserChanges.model_validate({"role": Role.TRAINER})))
    for answer in (await opened(rest, token), await by_cookie(rest, token)):
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "Your role does not allow this" in answer.text


async def test_whoever_is_deleted_reads_nothing_more(rest: Rest) -> None:
    await rest.user(Role.ADMIN)
    user_id, analyst = await rest.user(Role.ANALYST)
    _, token = await made(rest, analyst)
    await rest.do(DeleteUser(user_id))
    assert (await opened(rest, token)).status_code == 401


async def test_without_a_link_a_browser_is_told_how_to_get_one(rest: Rest) -> None:
    page = await rest.http.get(PAGE, headers=BROWSER)
    assert page.status_code == 401
    assert "This page is opened with a link" in page.text
    as_json = await rest.http.get(PAGE)
    assert as_json.headers["content-type"] == "application/problem+json"
    assert as_json.headers["www-authenticate"] == "Bearer"


async def test_days_that_make_no_sense_are_refused_on_a_page(rest: Rest) -> None:
    _, token = await made(rest, (await rest.user(Role.ANALYST))[1])
    wrong = f"{PAGE}?from_date=2026-03-02&to_date=2026-03-01"
    page = await by_cookie(rest, token, wrong)
    assert page.status_code == 422
    assert "should not be before from_date" in page.text
    assert (await by_cookie(rest, token, f"{PAGE}?from=%3Cb%3E")).status_code == 422


async def test_a_bearer_token_reads_it_as_json_or_as_a_page(rest: Rest) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    shown = await rest.http.get(PAGE, headers=analyst)
    assert shown.headers["content-type"] == "application/json"
    body = shown.json()
    assert body["before"] == {"from_date": "2026-01-29", "to_date": "2026-02-28"}
    assert [one["name"] for one in body["headlines"]][:2] == ["active", "net"]
    assert body["headlines"][1]["now"] == "1234567.80"
    reports = ("clients", "cohorts", "money", "trainings", "plans")
    assert [body[name]["report"] for name in reports] == list(reports)
    known = analyst | {"If-None-Match": shown.headers["etag"]}
    assert (await rest.http.get(PAGE, headers=known)).status_code == 304
    for more in ({"Accept": "text/html"}, BROWSER):
        page = await rest.http.get(PAGE, headers=analyst | more)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
    asked = await rest.http.get(f"{PAGE}?format=html", headers=analyst)
    assert asked.headers["content-type"] == "text/html; charset=utf-8"
    assert (await rest.http.get(f"{PAGE}?format=csv", headers=analyst)).status_code == 422


async def test_no_log_has_the_token(rest: Rest) -> None:
    with capture_logs() as logs:
        number, token = await made(rest, (await rest.user(Role.ANALYST))[1])
        await opened(rest, token)
        await opened(rest, cut(rest, PageClaims(1, "overview", number, 0), token))
        await rest.http.get(f"/reports/overview?link={token}")
    assert [log for log in logs if log["event"] == "request" and log["path"] == PAGE]
    signature = token.rpartition(".")[2][:40]
    assert signature not in str(logs)


async def test_the_ledger_and_its_receipts_do_not_have_it_either(rest: Rest) -> None:
    keyed = (await rest.user(Role.ANALYST))[1] | {"Idempotency-Key": "k"}
    answer = await rest.http.post(LINKS, headers=keyed)
    signature = answer.json()["url"].rpartition(".")[2]
    for sql in (
        "SELECT convert_from(state, 'utf8') FROM ledger_events",
        "SELECT outcome::text FROM ledger_receipts",
        "SELECT l::text FROM page_links AS l",
    ):
        rows = await rest.club.postgres.rows(sql, [])
        assert rows
        assert signature not in str(rows)
