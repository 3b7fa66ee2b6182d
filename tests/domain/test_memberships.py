"""Memberships: what the club sells."""

from __future__ import annotations

from domain.memberships import Added, Deleted, DetailsChanged, Membership, Repriced
from tests.domain.scenario import START, after, given, news, told

FACTS = {"access_level": "VIP", "description": None, "price": "49.90"}
VIP = told(Added, **FACTS)
NOW = after(days=1)


def test_a_new_membership_has_every_documented_column() -> None:
    membership = Membership.add(3, FACTS, START)
    assert news(membership) == [VIP]
    assert membership.row() == {"id": 3, **FACTS}


def test_a_new_price_is_an_event_of_its_own() -> None:
    membership = given(Membership, 3, VIP)
    membership.change({"price": "59.90", "access_level": "PREMIUM"}, NOW)
    assert news(membership) == [
        told(Repriced, price="59.90"),
        told(DetailsChanged, changes={"access_level": "PREMIUM"}),
    ]
    assert membership.row() == {"id": 3, **FACTS, "price": "59.90", "access_level": "PREMIUM"}


def test_an_event_tells_only_what_changed() -> None:
    membership = given(Membership, 3, VIP)
    membership.change({**FACTS, "description": "at any hour"}, NOW)
    assert news(membership) == [told(DetailsChanged, changes={"description": "at any hour"})]


def test_a_description_can_be_emptied() -> None:
    membership = given(Membership, 3, told(Added, **{**FACTS, "description": "at any hour"}))
    membership.change({"description": None}, NOW)
    assert news(membership) == [told(DetailsChanged, changes={"description": None})]
    assert membership.facts["description"] is None


def test_what_stays_the_same_is_no_event() -> None:
    membership = given(Membership, 3, VIP)
    membership.change(FACTS, NOW)
    assert news(membership) == []


def test_a_membership_is_taken_off_the_offer() -> None:
    membership = given(Membership, 3, VIP)
    membership.delete(NOW)
    assert news(membership) == [told(Deleted)]
    assert membership.deleted
