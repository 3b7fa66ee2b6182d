"""Where answers lead: behind a proxy that strips a path, behind TLS, and from pages elsewhere."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import ValidationError

from infra.bootstrap import Club, open_club
from infra.settings import Settings
from interfaces.rest.headers import ANSWERED, READ
from interfaces.rest.main import create_app
from tests.conftest import Rest
from tests.interfaces.rest.scenes import furnished

OUTSIDE = "https://club.example/api"
SITE = "https://www.club.example"
FOREIGN = {"Host": "elsewhere.example", "X-Forwarded-Host": "elsewhere.example"}


def called(club: Club) -> httpx.AsyncClient:
    """Its app, as a proxy calls it that took `/api` away."""
    transport = httpx.ASGITransport(app=create_app(club), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


@pytest.fixture
async def outside(settings: Settings) -> AsyncIterator[Rest]:
    """A club that is reached behind a path and TLS, and from pages of another site."""
    told = settings.model_copy(update={"public_url": f"{OUTSIDE}/", "cors_origins": SITE})
    async with open_club(told) as club, called(club) as http:
        yield Rest(club, http)


async def test_every_way_on_is_one_that_whoever_is_outside_can_go(outside: Rest) -> None:
    scene = await furnished(outside)
    http, admin = outside.http, scene.admin | FOREIGN

    made = await http.post("/exercises/", json={"title": "Plank"}, headers=admin)
    assert made.headers["Location"] == f"{OUTSIDE}/exercises/{made.json()['id']}/"
    first = await http.get("/exercises/?limit=1", headers=admin)
    assert first.headers["Link"].startswith(f"<{OUTSIDE}/exercises/?limit=1&after=")
    for method in ("GET", "PUT", "HEAD"):
        led = await http.request(method, f"/clients/{scene.client}?total=true", headers=admin)
        there = f"{OUTSIDE}/clients/{scene.client}/?total=true"
        assert (led.status_code, led.headers["Location"]) == (307, there)
    for method in ("POST", "OPTIONS"):
        refused = await http.request(method, f"/clients/{scene.client}", headers=admin)
        assert refused.status_code == 405
        assert refused.headers["Allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    led = await http.get("/metrics/", headers=admin)
    assert (led.status_code, led.headers["Location"]) == (307, f"{OUTSIDE}/metrics")
    refused = (await http.get("/clients/9999/", headers=admin)).json()
    assert refused["type"] == f"{OUTSIDE}/problems/not-found"
    assert refused["instance"] == f"{OUTSIDE}/clients/9999/"
    links = (await http.get("/", headers=admin)).json()["links"]
    assert all(link.startswith(f"{OUTSIDE}/") for link in links.values())
    document = (await http.get("/openapi.json", headers=admin)).json()
    assert document["servers"] == [{"url": OUTSIDE}]
    means = (await http.get("/problems/not-found", headers=admin)).json()
    assert means["type"] == refused["type"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_names_what_it_needs_as_seen_from_itself(outside: Rest, page: str) -> None:
    shown = (await outside.http.get(page, headers=FOREIGN)).text
    needed = re.findall(r"(?:src|href)=\"([^\"]+)\"", shown)
    assert needed
    for path in needed:
        assert httpx.URL(f"{OUTSIDE}{page}").join(path).path.startswith("/api/static-offline-docs/")
    assert "openapi.json" in shown
    assert "/openapi.json" not in shown
    assert "elsewhere" not in shown


async def test_no_answer_repeats_what_a_request_says_of_its_host(rest: Rest) -> None:
    scene = await furnished(rest)
    headers = scene.admin | FOREIGN | {"X-Forwarded-Proto": "https", "Forwarded": "host=elsewhere"}
    for path in (
        *("/", "/clients", "/clients/", "/metrics/", "/nowhere/", "/docs", "/docs/", "/redoc"),
        *("/openapi.json", "/exercises/?limit=1", "//elsewhere.example/", "//elsewhere.example"),
        *("/problems/not-found", "/clients/x/", "/static-offline-docs"),
    ):
        answer = await rest.http.get(path, headers=headers)
        assert "elsewhere" not in answer.headers.get("Location", ""), path
        if "elsewhere" not in path:
            assert "elsewhere" not in str(answer.headers) + answer.text, path


async def test_without_a_public_url_every_way_is_a_path(rest: Rest) -> None:
    scene = await furnished(rest)
    led = await rest.http.get("/clients?limit=1", headers=scene.admin)
    assert led.headers["Location"] == "/clients/?limit=1"
    made = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=scene.admin)
    assert made.headers["Location"] == f"/exercises/{made.json()['id']}/"
    assert "servers" not in (await rest.http.get("/openapi.json")).json()


# --- pages of another site -----------------------------------------------------------------


PREFLIGHT = {
    "Origin": SITE,
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": ", ".join(READ).lower(),
}


async def test_a_page_of_a_known_site_may_ask_and_reads_what_is_answered(outside: Rest) -> None:
    asked = await outside.http.options("/clients/1/", headers=PREFLIGHT)
    assert (asked.status_code, len(asked.headers["X-Request-Id"])) == (200, 32)
    named = await outside.http.options("/clients/1/", headers={**PREFLIGHT, "X-Request-Id": "b7a1"})
    assert named.headers["X-Request-Id"] == "b7a1"
    assert asked.headers["Access-Control-Allow-Origin"] == SITE
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    allowed = asked.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(allowed) >= {name.lower() for name in READ}
    for path in ("/", "/clients/1/", "/nowhere/"):
        answer = await outside.http.get(path, headers={"Origin": SITE})
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        assert answer.headers["Access-Control-Expose-Headers"].split(", ") == list(ANSWERED)
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_page_of_another_site_may_not(outside: Rest) -> None:
    headers = PREFLIGHT | {"Origin": f"{SITE}.elsewhere.example"}
    refused = await outside.http.options("/clients/1/", headers=headers)
    assert (refused.status_code, len(refused.headers["X-Request-Id"])) == (400, 32)
    answer = await outside.http.get("/", headers={"Origin": "null"})
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_no_site_is_known_unless_it_is_set(rest: Rest) -> None:
    asked = await rest.http.options("/clients/1/", headers=PREFLIGHT)
    assert (asked.status_code, asked.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH, PUT")
    answer = await rest.http.get("/", headers={"Origin": SITE})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "wrong",
    [
        {"public_url": "club.example"},
        {"public_url": "ftp://club.example"},
        {"public_url": "https://club.example/api?x=1"},
        {"public_url": "https://club.example/a b"},
        {"public_url": "https://me:secret@club.example/"},
        {"cors_origins": "club.example"},
        {"cors_origins": "https://club.example/"},
        {"cors_origins": "https://club.example, nowhere"},
    ],
)
def test_what_leads_nowhere_is_refused_at_the_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_origins_are_kept_as_browsers_write_them() -> None:
    told = "https://Club.example:443, http://desk.example:80,http://desk.example:8080"
    kept = "https://club.example,http://desk.example,http://desk.example:8080"
    assert Settings(cors_origins=told).cors_origins == kept
