"""Users: who may sign in, and as what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from domain.users import (
    Deleted,
    EmailChanged,
    FirstCodeIssued,
    FirstCodeVoid,
    ForeignTelegram,
    HasPassword,
    NoTelegram,
    PasswordChanged,
    PasswordRehashed,
    Registered,
    Renamed,
    RoleChanged,
    SignedIn,
    TelegramBound,
    TelegramUnbound,
    User,
    UserDeleted,
)
from domain.values import Role
from infra.ledger.mapper import to_event
from tests.domain.scenario import START, Told, after, given, news, text, told

ADA = told(Registered, username="ada", email="ada@example.com", password_hash="h1", role="USER")
NOW = after(days=1)
HERE = "192.0.2.7"
BOUND = told(TelegramBound, telegram_id=5, origin=HERE)
SIGNED_IN = told(SignedIn, session_id=3, origin=HERE)


def test_a_new_user_has_every_documented_column() -> None:
    user = User.register(
        7, username="ada", email="ada@example.com", password_hash="h1", role=Role.USER, at=START
    )
    assert news(user) == [ADA]
    assert user.row() == {
        "id": 7,
        "username": "ada",
        "email": "ada@example.com",
        "role": "USER",
        "created_at": text(START),
        "last_login": None,
        "deleted_at": None,
    }


def test_a_user_is_never_shown_with_the_hash_of_the_password() -> None:
    assert "h1" not in given(User, 7, ADA).row().values()


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
    "has the password hashed anew": (
        lambda user: user.rehash_password("h2", NOW),
        told(PasswordRehashed, password_hash="h2"),
    ),
    "is given another role": (
        lambda user: user.change_role(Role.TRAINER, HERE, NOW),
        told(RoleChanged, role="TRAINER", origin=HERE),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_a_user_is_an_event_of_its_own(change: str) -> None:
    user = given(User, 7, ADA)
    do, event = CHANGES[change]
    do(user)
    assert news(user) == [event]
    for name, fact in event.facts.items():
        if name != "origin":
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
    user.change_role(Role.USER, HERE, NOW)
    assert news(user) == []


def test_a_deleted_user_keeps_its_facts_and_shows_when_it_left() -> None:
    user = given(User, 7, ADA)
    before = user.row()
    user.delete(NOW)
    assert news(user) == [told(Deleted)]
    assert user.deleted
    assert user.row() == before | {"deleted_at": text(NOW)}


def test_a_user_is_deleted_once() -> None:
    user = given(User, 7, ADA, told(Deleted))
    with pytest.raises(UserDeleted):
        user.delete(NOW)


# --- signing in --------------------------------------------------------------------------------


def test_a_user_shows_when_they_last_signed_in() -> None:
    user = given(User, 7, ADA, BOUND, SIGNED_IN)
    user.sign_in(4, 5, "192.0.2.8", NOW)
    assert news(user) == [told(SignedIn, session_id=4, origin="192.0.2.8")]
    assert user.row()["last_login"] == text(NOW)


def test_the_first_telegram_account_is_bound() -> None:
    user = given(User, 7, ADA)
    user.sign_in(3, 5, HERE, NOW)
    assert news(user) == [BOUND, SIGNED_IN]
    assert user.telegram_id == 5


def test_from_then_on_no_other_account_signs_in() -> None:
    user = given(User, 7, ADA, BOUND)
    with pytest.raises(ForeignTelegram):
        user.sign_in(3, 6, HERE, NOW)
    assert news(user) == []
    assert (user.telegram_id, user.row()["last_login"]) == (5, None)


@pytest.mark.parametrize(("history", "bound"), [((ADA,), None), ((ADA, BOUND), 5)])
def test_a_code_from_the_machine_itself_binds_nothing(
    history: tuple[Told, ...], bound: int | None
) -> None:
    user = given(User, 7, *history)
    user.sign_in(3, None, HERE, NOW)
    assert news(user) == [SIGNED_IN]
    assert user.telegram_id == bound


def test_an_account_that_is_unbound_makes_way_for_another() -> None:
    user = given(User, 7, ADA, BOUND)
    user.unbind_telegram(HERE, NOW)
    user.sign_in(3, 6, HERE, NOW)
    assert news(user) == [
        told(TelegramUnbound, origin=HERE),
        told(TelegramBound, telegram_id=6, origin=HERE),
        SIGNED_IN,
    ]
    assert user.telegram_id == 6


@pytest.mark.parametrize("history", [(ADA,), (ADA, BOUND, told(TelegramUnbound, origin=HERE))])
def test_where_no_account_is_bound_there_is_none_to_unbind(history: tuple[Told, ...]) -> None:
    user = given(User, 7, *history)
    with pytest.raises(NoTelegram):
        user.unbind_telegram(HERE, NOW)
    assert news(user) == []


def test_a_deleted_user_neither_signs_in_nor_unbinds() -> None:
    user = given(User, 7, ADA, BOUND, told(Deleted))
    with pytest.raises(UserDeleted):
        user.sign_in(3, 5, HERE, NOW)
    with pytest.raises(UserDeleted):
        user.unbind_telegram(HERE, NOW)
    assert news(user) == []


def test_a_role_that_was_changed_before_events_said_from_where_still_counts() -> None:
    state = (
        b'{"timestamp":{"_type_":"datetime_iso","_data_":"2026-01-02T09:00:00+00:00"},'
        b'"role":"TRAINER"}'
    )
    event = to_event("user-7", 2, "user.role-changed", state)
    assert isinstance(event, RoleChanged)
    assert (event.role, event.origin) == ("TRAINER", "unknown")
    user = event.mutate(given(User, 7, ADA))
    assert user is not None
    assert user.role is Role.TRAINER


# --- the first password ------------------------------------------------------------------------

TAKEN_IN = told(Registered, **{**ADA.facts, "password_hash": ""})
WEEK = after(days=7)
CODE = told(FirstCodeIssued, seal="s1", expires_at=text(WEEK))


def test_who_was_taken_in_is_given_a_code_and_chooses_a_password_with_it() -> None:
    user = given(User, 7, TAKEN_IN)
    user.issue_first_code("s1", WEEK, START)
    user.choose_first_password("s1", "h1", NOW)
    assert news(user) == [CODE, told(PasswordChanged, password_hash="h1")]
    assert user.password_hash == "h1"


VOID: dict[str, list[Told]] = {
    "used": [CODE, told(PasswordChanged, password_hash="h1")],
    "followed by another": [CODE, told(FirstCodeIssued, seal="s2", expires_at=text(WEEK))],
    "of somebody who has another role by now": [
        CODE,
        told(RoleChanged, role="ADMIN", origin=HERE),
    ],
    "of somebody who left": [CODE, told(Deleted)],
    "of nobody": [],
}


@pytest.mark.parametrize("history", VOID.values(), ids=VOID)
def test_a_code_is_void_that_was(history: list[Told]) -> None:
    user = given(User, 7, TAKEN_IN, *history)
    with pytest.raises(FirstCodeVoid):
        user.choose_first_password("s1", "h9", NOW)
    assert news(user) == []


def test_a_code_is_good_until_its_end_and_no_longer() -> None:
    assert given(User, 7, TAKEN_IN, CODE).is_first_code("s1", after(days=6, hours=23))
    assert not given(User, 7, TAKEN_IN, CODE).is_first_code("s1", WEEK)
    assert not given(User, 7, TAKEN_IN, CODE).is_first_code("s2", START)


def test_who_has_chosen_a_password_is_given_no_code() -> None:
    for history in ([ADA], [TAKEN_IN, CODE, told(PasswordChanged, password_hash="h1")]):
        user = given(User, 7, *history)
        with pytest.raises(HasPassword):
            user.issue_first_code("s2", WEEK, NOW)


def test_who_left_is_given_no_code() -> None:
    with pytest.raises(UserDeleted):
        given(User, 7, TAKEN_IN, told(Deleted)).issue_first_code("s1", WEEK, NOW)
