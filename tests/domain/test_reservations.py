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
    Value,
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


@pytest.mark.parametrize(
    "same",
    [
        "ada développé",
        "ADA DÉVELOPPÉ",
        "  Ada \u00a0 De\u0301veloppe\u0301 ",
        "\uff21da D\u00e9velopp\u00e9",
        "Ada\u2800D\u00e9velopp\u00e9",
        "Ada D\u00e9\u200bvelopp\u00e9",
    ],
    ids=ascii,
)
def test_values_that_people_take_for_the_same_are_one(same: str) -> None:
    assert Value("name", same).name == Value("name", "Ada Développé").name


def test_the_same_value_of_another_kind_is_another_reservation() -> None:
    assert Value("username", "ada").name != Value("email", "ada").name


def test_the_name_of_a_reservation_does_not_show_the_value() -> None:
    assert "ada" not in Value("email", "ada@example.com").name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada Lovelace", "name-177f85df57ad121d5aaac8076a4a0554"),
        ("DÉVELOPPÉ", "name-71940e9311162abc50567c5e5a7dcf6f"),
        ("De\u0301veloppe\u0301", "name-d990ec3e7f86dd8c305892092814b01f"),
        ("\ufb01t", "name-da4270e3735a3418c9d462af2e17d045"),
    ],
    ids=ascii,
)
def test_what_release_0_1_0_reserved_is_found_under_the_name_it_gave(text: str, name: str) -> None:
    assert name in Value("name", text).names


def test_plain_text_has_one_name_in_all_releases() -> None:
    assert len(Value("name", "Ada Lovelace").names) == 1
    assert len(Value("name", "Développé").names) == 2, "and as it is taken apart"
