"""The rules of the club over REST, and the days of reports and lists that follow from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from application.access import THE_CLUB
from application.command import Context
from application.rules import ChangeRules
from domain.values import Role
from infra.bootstrap import Club
from infra.following.rebuilding import rebuild
from infra.settings import Settings
from projections.catalogue import DOCUMENTED
from tests.conftest import Rest
from tests.interfaces.rest.scenes import Headers

FIRST = {
    "paid_days": 30,
    "payment_patience_hours": 24,
    "shared_memberships": False,
    "timezone": "UTC",
    "daily_report_at": "08:00",
}
UNIQUE = """
SELECT conname FROM pg_constraint
WHERE conrelid = 'clients'::regclass AND contype = 'u' AND conname LIKE '%%membership%%'
"""


async def ruled(rest: Rest, **changes: Any) -> Headers:
    """An ADMIN of a club that has set these rules."""
    _, admin = await rest.user(Role.ADMIN)
    await rest.club.bus.execute(ChangeRules(changes or {"paid_days": 30}), Context(THE_CLUB, "x"))
    return admin


async def test_an_admin_reads_them_and_changes_some(rest: Rest) -> None:
    admin = await ruled(rest)
    read = await rest.http.get("/rules/", headers=admin)
    assert (read.status_code, read.json(), read.headers["ETag"]) == (200, FIRST, '"1"')
    changed = await rest.http.patch(
        "/rules/", json={"paid_days": 31}, headers={**admin, "If-Match": '"1"'}
    )
    assert (changed.status_code, changed.json()) == (200, {**FIRST, "paid_days": 31})
    late = await rest.http.patch(
        "/rules/", json={"paid_days": 32}, headers={**admin, "If-Match": '"1"'}
    )
    assert late.status_code == 412
    again = await rest.http.get("/rules/", headers={**admin, "If-None-Match": '"2"'})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "body",
    [
        {"paid_days": 0},
        {"paid_days": 3661},
        {"paid_days": "30"},
        {"daily_report_at": "8:00"},
        {"daily_report_at": "24:00"},
        {"daily_report_at": "08:60"},
        {"daily_report_at": "08:00:00"},
        {"daily_report_at": "08:00\n"},
        {"daily_report_at": "٠٨:٠٠"},
        {"daily_report_at": 8},
        {"daily_report_at": None},
        {"paid_days": None},
        {"payment_patience_hours": 1.5},
        {"shared_memberships": "yes"},
        {"timezone": "posix/Europe/Berlin"},
        {"timezone": ""},
        {"holidays": 3},
        [],
    ],
)
async def test_other_rules_are_refused_and_change_nothing(rest: Rest, body: Any) -> None:
    admin = await ruled(rest)
    head = await rest.club.ledger.head()
    refused = await rest.http.patch("/rules/", json=body, headers=admin)
    assert refused.status_code == 422, refused.text
    assert await rest.club.ledger.head() == head


async def test_sharing_memberships_changes_the_constraint_without_a_restart(
    rest: Rest, club: Club
) -> None:
    admin = await ruled(rest)
    assert await club.postgres.rows(UNIQUE) == [("clients_membership_id_key",)]
    for on in (True, True, False, True, False):
        answer = await rest.http.patch("/rules/", json={"shared_memberships": on}, headers=admin)
        assert answer.status_code == 200
        found = await club.postgres.rows(UNIQUE)
        assert found == ([] if on else [("clients_membership_id_key",)])
    assert (await rebuild(club.postgres, DOCUMENTED)).differing == ()
    assert await club.postgres.rows(UNIQUE) == [("clients_membership_id_key",)]
    await rest.http.patch("/rules/", json={"shared_memberships": True}, headers=admin)
    assert (await rebuild(club.postgres, DOCUMENTED)).differing == ()
    assert await club.postgres.rows(UNIQUE) == []


async def test_a_setting_that_differs_from_the_rules_means_nothing(
    rest: Rest, settings: Settings
) -> None:
    admin = await ruled(rest, paid_days=14)
    assert settings.paid_days == 30
    assert (await rest.http.get("/rules/", headers=admin)).json()["paid_days"] == 14


# --- days --------------------------------------------------------------------------------------


async def registered_at(rest: Rest, moment: str) -> int:
    """A user who registered at this moment."""
    clock = rest.club.services.clock
    now = clock.now
    try:
        clock.now = lambda: datetime.fromisoformat(moment)  # type: ignore[method-assign]
        number, _ = await rest.user()
    finally:
        clock.now = now  # type: ignore[method-assign]
    return number


@pytest.mark.parametrize(
    ("zone", "moments", "day"),
    [
        ("CET", ["2026-07-14T22:30:00+00:00"], "2026-07-15"),
        (
            "Atlantic/Azores",
            ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"],
            "2026-10-25",
        ),
        ("America/Vancouver", ["2026-12-01T07:30:00+00:00"], "2026-12-01"),
        ("Pacific/Kiritimati", ["2026-06-30T10:00:00+00:00"], "2026-07-01"),
        ("America/Sao_Paulo", ["2018-11-04T03:00:00+00:00"], "2018-11-04"),
    ],
)
async def test_reports_and_lists_have_one_answer_on_which_day_it_was(
    rest: Rest, zone: str, moments: list[str], day: str
) -> None:
    admin = await ruled(rest, timezone=zone)
    expected = [await registered_at(rest, moment) for moment in moments]
    before, after = (
        f"{day[:8]}{int(day[8:]) - 1:02}" if day[8:] != "01" else "2026-06-30",
        f"{day[:8]}{int(day[8:]) + 1:02}",
    )
    for asked, users in ((before, []), (day, expected), (after, [])):
        body = {"report_date_start": asked, "report_date_end": asked}
        report = await rest.http.post("/reports/", json=body, headers=admin)
        assert report.status_code == 201
        assert [user["id"] for user in report.json()["new_users"]["data"]] == users, asked
        listed = await rest.http.get(
            f"/users/for-report/?from_date={asked}&to_date={asked}", headers=admin
        )
        assert [user["id"] for user in listed.json()] == users, asked


async def test_a_list_of_reports_is_without_the_users_in_them(rest: Rest) -> None:
    admin = await ruled(rest)
    for _ in range(3):
        await rest.http.post("/reports/", json={}, headers=admin)
    listed = (await rest.http.get("/reports/", headers=admin)).json()
    assert [set(report) for report in listed] == [
        {"id", "report_date_start", "report_date_end", "drawn_at", "position", "daily", "timezone"}
    ] * 3
    whole = (await rest.http.get("/reports/2/", headers=admin)).json()
    assert [user["id"] for user in whole["new_users"]["data"]] == [1]


async def test_a_report_names_the_zone_whose_days_it_is_on_whatever_became_of_the_rules(
    rest: Rest,
) -> None:
    admin = await ruled(rest, timezone="Asia/Tokyo")
    drawn_up = (await rest.http.post("/reports/", json={}, headers=admin)).json()
    await rest.do(ChangeRules({"timezone": "America/Vancouver"}))
    await rest.http.post("/reports/", json={}, headers=admin)
    listed = (await rest.http.get("/reports/", headers=admin)).json()
    assert [report["timezone"] for report in listed] == ["Asia/Tokyo", "America/Vancouver"]
    assert drawn_up["timezone"] == "Asia/Tokyo"
