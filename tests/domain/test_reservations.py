"""Reservations: one holder for each value."""

from __future__ import annotations

import pytest

from domain.reservations import (
    Made,
    MembershipHeld,
    Released,
    Reservation,
    Retaken,
    UsernameTaken,
)
from tests.domain.scenario import START, after, given, news, told

ADAS = told(Made, holder="user-7")
NOW = after(days=1)


def test_whoever_takes_a_value_first_holds_it() -> None:
    reservation = Reservation.make("username-abc", "user-7", START)
    assert news(reservation) == [ADAS]
    assert reservation.holder == "user-7"


def test_a_value_that_is_held_is_refused_to_others_naming_the_holder() -> None:
    reservation = given(Reservation, "holder", told(Made, holder="client-42"))
    with pytest.raises(MembershipHeld, match=r"^This membership is issued to client-42\.$"):
        reservation.take("client-43", NOW, MembershipHeld)
    assert reservation.holder == "client-42"


def test_the_holder_may_take_its_value_again() -> None:
    reservation = given(Reservation, "name", ADAS)
    reservation.take("user-7", NOW, UsernameTaken)
    assert news(reservation) == []


def test_a_released_value_is_anybodys() -> None:
    reservation = given(Reservation, "name", ADAS, told(Released))
    reservation.take("user-8", NOW, UsernameTaken)
    assert news(reservation) == [told(Retaken, holder="user-8")]
    assert reservation.holder == "user-8"


def test_only_the_holder_gives_a_value_back() -> None:
    reservation = given(Reservation, "name", ADAS)
    reservation.release("user-8", NOW)
    assert news(reservation) == []
    reservation.release("user-7", NOW)
    assert news(reservation) == [told(Released)]
    assert reservation.holder is None


@pytest.mark.parametrize("same", ["ada lovelace", "ADA LOVELACE", "  Ada \u00a0 Lovelace "])
def test_values_that_people_take_for_the_same_are_one(same: str) -> None:
    assert Reservation.of("name", same) == Reservation.of("name", "Ada Lovelace")


def test_the_same_value_of_another_kind_is_another_reservation() -> None:
    assert Reservation.of("username", "ada") != Reservation.of("email", "ada")


def test_the_name_of_a_reservation_does_not_show_the_value() -> None:
    assert "ada" not in Reservation.of("email", "ada@example.com")
