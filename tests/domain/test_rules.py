"""The rules of the club."""

from __future__ import annotations

import pytest

from domain.aggregate import text_time
from domain.days import NoTimeOfDay, UnknownZone
from domain.rules import Adopted, Changed, ClubRules, StillShared
from tests.domain.scenario import START, after, given, news, told

FIRST: dict[str, int | bool | str | None] = {
    "paid_days": 30,
    "payment_patience_hours": 24,
    "shared_memberships": False,
    "timezone": "Europe/Berlin",
    "daily_report_at": "08:00",
}
ADOPTED = told(Adopted, **FIRST)
NOW = after(days=1)


def test_a_club_adopts_all_of_its_rules_at_once() -> None:
    assert news(ClubRules.adopt(FIRST, START)) == [ADOPTED]


def test_a_change_tells_only_what_changed() -> None:
    rules = given(ClubRules, 1, ADOPTED)
    rules.change({**FIRST, "paid_days": 31}, (), NOW)
    assert news(rules) == [told(Changed, changes={"paid_days": 31})]
    assert rules.facts == {**FIRST, "paid_days": 31}
    rules.change({"paid_days": 31}, (), NOW)
    assert len(news(rules)) == 1, "and nothing where nothing does"


@pytest.mark.parametrize("zone", ["posix/Europe/Berlin", "Nowhere", "", "../UTC"])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(UnknownZone) as refused:
        ClubRules.adopt({**FIRST, "timezone": zone}, START)
    assert refused.value.field == "timezone"
    rules = given(ClubRules, 1, ADOPTED)
    with pytest.raises(UnknownZone):
        rules.change({"timezone": zone}, (), NOW)


@pytest.mark.parametrize("text", ["8:00", "24:00", "08:60", "08:00:00", "", "08:00\n", "٠٨:٠٠"])
def test_what_no_clock_shows_is_refused(text: str) -> None:
    with pytest.raises(NoTimeOfDay) as refused:
        ClubRules.adopt({**FIRST, "daily_report_at": text}, START)
    assert refused.value.field == "daily_report_at"
    rules = given(ClubRules, 1, ADOPTED)
    with pytest.raises(NoTimeOfDay):
        rules.change({"daily_report_at": text}, (), NOW)


def test_memberships_that_are_shared_stay_so_while_one_has_several_holders() -> None:
    rules = given(ClubRules, 1, told(Adopted, **{**FIRST, "shared_memberships": True}))
    with pytest.raises(StillShared, match="membership 7"):
        rules.change({"shared_memberships": False}, (9, 7), NOW)
    rules.change({"shared_memberships": True, "paid_days": 7}, (9, 7), NOW)
    rules.change({"shared_memberships": False}, (), NOW)
    assert news(rules) == [
        told(Changed, changes={"paid_days": 7}),
        told(Changed, changes={"shared_memberships": False}),
    ]


def test_a_zone_is_the_clubs_from_the_event_on_that_set_it() -> None:
    rules = given(ClubRules, 1, ADOPTED)
    assert text_time(rules.timezone_since) == START
    rules.change({"paid_days": 31}, (), NOW)
    assert text_time(rules.timezone_since) == START
    rules.change({"timezone": "Asia/Tokyo"}, (), NOW)
    assert text_time(rules.timezone_since) == NOW
