"""Users: who may sign in, and as what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from domain.users import (
    Deleted,
    EmailChanged,
    PasswordChanged,
    Registered,
    Renamed,
    RoleChanged,
    User,
    UserDeleted,
)
from domain.values import Role
from tests.domain.scenario import START, Told, after, given, news, text, told

ADA = told(Registered, username="ada", email="ada@example.com", password_hash="h1", role="USER")
NOW = after(days=1)


def test_a_new_user_has_every_documented_column() -> None:
    user = User.register(
        7, username="ada", email="ada@example.com", password_hash="h1", role=Role.USER, at=START
    )
    assert news(user) == [ADA]
    assert user.shown() == {
        "id": 7,
        "username": "ada",
        "email": "ada@example.com",
        "role": "USER",
        "created_at": text(START),
        "last_login": None,
        "deleted_at": None,
    }


def test_a_user_is_never_shown_with_the_hash_of_the_password() -> None:
    assert "h1" not in given(User, 7, ADA).shown().values()


CHANGES: dict[str, tuple[Callable[[User], None], Told]] = {
    "goes by another name": (
        lambda user: user.rename("lovelace", NOW),
        told(Renamed, username="lovelace"),
    ),
    "has another address": (
        lambda user: user.change_email("al@example.com", NOW),
        told(EmailChanged, email="al@example.com"),
    ),
    "signs in with another password": (
        lambda user: user.change_password("h2", NOW),
        told(PasswordChanged, password_hash="h2"),
    ),
    "is given another role": (
        lambda user: user.change_role(Role.TRAINER, "192.0.2.7", NOW),
        told(RoleChanged, role="TRAINER"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_a_user_is_an_event_of_its_own(change: str) -> None:
    user = given(User, 7, ADA)
    do, event = CHANGES[change]
    do(user)
    assert news(user) == [event]
    for name, fact in event.facts.items():
        assert vars(user).get(name, user.facts.get(name)) == fact


@pytest.mark.parametrize("change", CHANGES)
def test_a_deleted_user_is_not_changed(change: str) -> None:
    user = given(User, 7, ADA, told(Deleted))
    do, _ = CHANGES[change]
    with pytest.raises(UserDeleted):
        do(user)
    assert news(user) == []


def test_what_stays_the_same_is_no_event() -> None:
    user = given(User, 7, ADA)
    user.rename("ada", NOW)
    user.change_email("ada@example.com", NOW)
    user.change_role(Role.USER, "192.0.2.7", NOW)
    assert news(user) == []


def test_a_deleted_user_keeps_its_facts_and_shows_when_it_left() -> None:
    user = given(User, 7, ADA)
    before = user.shown()
    user.delete(NOW)
    assert news(user) == [told(Deleted)]
    assert user.deleted
    assert user.shown() == before | {"deleted_at": text(NOW)}


def test_a_user_is_deleted_once() -> None:
    user = given(User, 7, ADA, told(Deleted))
    with pytest.raises(UserDeleted):
        user.delete(NOW)
