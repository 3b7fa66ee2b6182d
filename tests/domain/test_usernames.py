"""Usernames that are proposed to people who name none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.usernames import MOST_NAMESAKES, proposals

USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
NAMES = {
    ("Ada", "Müller"): "ada.mueller",
    ("Ada", "Mu\u0308ller"): "ada.mueller",
    ("Anna Maria", "García Núñez"): "anna-maria.garcia-nunez",
    ("Seán", "O'Brien"): "sean.obrien",
    ("Łukasz", "Żółć"): "lukasz.zolc",
    ("İpek", "Işık"): "ipek.isik",
    ("Søren", "Ægir"): "soren.aegir",
    ("J. R.", "Weiß-Groß"): "j-r.weiss-gross",
    ("李", "Wang"): "wang",
    ("Иван", "Петров"): "grace",
    ("!", "?"): "grace",
}


@pytest.mark.parametrize(("names", "username"), NAMES.items())
def test_a_name_is_written_in_the_letters_of_usernames(
    names: tuple[str, str], username: str
) -> None:
    assert next(proposals(*names, "Grace+club@example.com", 7)) == username


def test_who_has_neither_such_a_name_nor_such_an_address_is_a_member_with_a_number() -> None:
    assert list(proposals("Иван", "Петров", "иван@example.com", 7)) == ["member7"]


def test_of_one_name_there_may_be_many() -> None:
    names = list(proposals("Ada", "Müller", "ada@example.com", 7))
    assert names[:3] == ["ada.mueller", "ada.mueller2", "ada.mueller3"]
    assert names[-1] == "ada.mueller.7"
    assert len(set(names)) == len(names) == MOST_NAMESAKES + 1


@given(st.text(max_size=50), st.text(max_size=80), st.text(max_size=60), st.integers(1, 2**31 - 1))
def test_whatever_somebody_is_called_something_usable_is_proposed(
    first_name: str, last_name: str, local: str, number: int
) -> None:
    names = list(proposals(first_name, last_name, f"{local}@example.com", number))
    assert names
    assert all(USERNAME.fullmatch(name) for name in names)
