"""The routes of the figures: every report in every form, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from domain.values import Role
from infra.bootstrap import Club
from tests.conftest import Rest
from tests.interfaces.figures import Invented

REPORTS = ("clients", "cohorts", "money", "trainings", "plans")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture
def club(club: Club) -> Club:
    """A club whose figures are invented."""
    return replace(club, figures=Invented())  # type: ignore[arg-type]


@pytest.fixture
async def analyst(rest: Rest) -> dict[str, str]:
    return (await rest.user(Role.ANALYST))[1]


@pytest.fixture
def http(rest: Rest, analyst: dict[str, str]) -> httpx.AsyncClient:
    """Asks as an ANALYST."""
    rest.http.headers.update(analyst)
    return rest.http


@pytest.mark.parametrize("report", REPORTS)
async def test_a_report_says_what_it_covers_and_up_to_when_it_holds(
    http: httpx.AsyncClient, report: str
) -> None:
    shown = await http.get(f"/reports/{report}/", params={"from_date": "2026-03-02"})
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "application/json"
    assert {name: shown.json()[name] for name in ("report", "from_date", "to_date", "by")} == {
        "report": report,
        "from_date": "2026-03-02",
        "to_date": "2026-03-31",
        "by": "day",
    }
    assert shown.json()["position"] == 4711
    assert shown.json()["as_of"] == "2026-04-01T06:00:00.000000Z"


async def test_json_has_all_sections_and_money_as_text_to_the_cent(http: httpx.AsyncClient) -> None:
    shown = (await http.get("/reports/money/?by=month")).json()
    assert shown["periods"] == [{"day": "2026-03-01", "settled": "0.00", "net": "-12.00"}]
    assert shown["by_access_level"][0] == {
        "access_level": "=1+1",
        "net": "1234567.80",
        "payments": 3,
    }
    assert shown["ending"] == [{"client_id": 7, "until": "2026-04-09"}]


async def test_a_section_may_be_asked_for_alone(http: httpx.AsyncClient) -> None:
    shown = (await http.get("/reports/money/?section=ending")).json()
    assert "ending" in shown
    assert "periods" not in shown


async def test_csv_has_the_first_section_or_the_one_that_is_asked_for(
    http: httpx.AsyncClient,
) -> None:
    first = await http.get("/reports/money/?format=csv")
    assert first.headers["content-type"] == "text/csv; charset=utf-8"
    assert first.text.startswith("\ufeffday,settled,net\r\n2026-03-01,0.00,-12.00\r\n")
    named = 'attachment; filename="money-periods-2026-03-01-to-2026-03-31.csv"'
    assert first.headers["content-disposition"] == named
    levels = await http.get("/reports/money/?format=csv&section=by_access_level")
    assert levels.text.splitlines()[1:] == ["'=1+1,1234567.80,3", "PREMIUM,99.80,2", "VIP,,0"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.1", "text/csv; charset=utf-8"),
        ("*/*", "application/json"),
        (BROWSER, "application/json"),
        ("text/*", "text/csv; charset=utf-8"),
    ],
)
async def test_accept_says_what_form(http: httpx.AsyncClient, accept: str, kind: str) -> None:
    shown = await http.get("/reports/money/", headers={"Accept": accept})
    assert shown.headers["content-type"] == kind
    assert shown.headers["vary"] == "Accept"


async def test_a_form_that_there_is_not_is_refused_and_the_others_are_named(
    http: httpx.AsyncClient,
) -> None:
    refused = await http.get("/reports/money/", headers={"Accept": "application/pdf"})
    assert refused.status_code == 406
    assert refused.json()["type"] == "/problems/not-acceptable"
    assert "text/csv" in refused.json()["detail"]
    assert (await http.get("/reports/money/?format=pdf")).status_code == 422


async def test_svg_is_of_the_first_section_that_is_drawn_or_of_the_one_asked_for(
    http: httpx.AsyncClient,
) -> None:
    first = await http.get("/reports/money/", headers={"Accept": "image/svg+xml"})
    assert first.headers["content-type"] == "image/svg+xml"
    assert "default-src 'none'" in first.headers["content-security-policy"]
    assert '<title id="money-title">Over time</title>' in first.text
    levels = await http.get("/reports/money/?format=svg&section=by_access_level")
    assert ">By access level</title>" in levels.text
    undrawn = await http.get("/reports/money/?format=svg&section=ending")
    assert undrawn.status_code == 422
    assert "no chart of the section 'ending'" in undrawn.json()["detail"]


async def test_a_section_that_there_is_not_is_refused_and_the_others_are_named(
    http: httpx.AsyncClient,
) -> None:
    for form in ("json", "csv", "svg"):
        refused = await http.get(f"/reports/money/?section=by_level&format={form}")
        assert refused.status_code == 422
        assert "periods, by_access_level, ending" in refused.json()["detail"]
        assert refused.json()["errors"][0]["pointer"] == "#/section"


@pytest.mark.parametrize(
    "query",
    [
        "from_date=2026-03-02&to_date=2026-03-01",
        "from_date=2026-02-30",
        "by=year",
        "from=2026-03-01",
        "by=day&by=week",
    ],
)
async def test_days_that_make_no_sense_are_refused(http: httpx.AsyncClient, query: str) -> None:
    assert (await http.get(f"/reports/clients/?{query}")).status_code == 422


@pytest.mark.parametrize("form", ["json", "csv", "svg"])
async def test_who_has_it_already_is_not_sent_it_again(http: httpx.AsyncClient, form: str) -> None:
    first = await http.get(f"/reports/clients/?format={form}")
    known = {"If-None-Match": first.headers["etag"]}
    again = await http.get(f"/reports/clients/?format={form}", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    another = await http.get(f"/reports/clients/?format={form}&by=week", headers=known)
    assert another.status_code == 200


async def test_figures_that_do_not_reach_as_far_as_is_demanded_are_not_shown(
    http: httpx.AsyncClient,
) -> None:
    for position, status in (("4711", 200), ("4712", 503), ("x", 422)):
        shown = await http.get("/reports/clients/", headers={"Ledger-Position": position})
        assert shown.status_code == status, position


async def test_a_report_is_not_taken_for_the_number_of_one(http: httpx.AsyncClient) -> None:
    assert (await http.delete("/reports/money/")).status_code == 405
    assert (await http.get("/reports/1/")).status_code == 404
