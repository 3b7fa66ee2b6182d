"""Signing in, step by step: what each takes, what each refuses, and what is left of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest

from application.access import ANYBODY, Caller, Origin
from application.bus import Bus
from application.command import Context
from application.limits import TooManyAttempts
from application.ports.ledger import LedgerUnavailable, Overloaded
from application.ports.services import Bounds
from application.ports.signing_in import (
    ChannelUnavailable,
    CodeChannel,
    InvalidToken,
    NoCodeChannel,
    RefreshClaims,
    StoreUnavailable,
)
from application.sessions import SessionEnded, UnbindTelegram
from application.sign_in import (
    PAYLOAD,
    LinkEnded,
    LinkUnreadable,
    LoginEnded,
    NoSession,
    SignedIn,
    WrongCode,
    WrongCredentials,
)
from application.users import ChangeUser, DeleteUser, RegisterUser, username_of
from domain.aggregate import time_text
from domain.refusals import NotFound, Refusal
from domain.reservations import EmailTaken, Reservation, UsernameTaken
from domain.sign_ins import Failed
from domain.text import forms
from domain.users import ForeignTelegram, User
from domain.values import Role
from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from tests.application.fakes import FakeHasher
from tests.application.scene import ADAS_PHONE, PASSWORD, Door, new_user, user_changes, visit

ANOTHER_PHONE = ADAS_PHONE + 1
NEW_PASSWORD = user_changes(password="another one")


@pytest.fixture(scope="session")
def keys(signing_key: Path) -> Keys:
    return Keys(signing_key)


@pytest.fixture
def tokens(keys: Keys) -> SignedTokens:
    return SignedTokens(keys, "the-club")


@pytest.fixture
async def door(tokens: SignedTokens) -> Door:
    """The way into a club with one user."""
    door = Door(tokens)
    await door.user()
    return door


def other_than(code: str) -> str:
    """Six digits that are not the code."""
    return f"{(int(code) + 1) % 10**6:06d}"


# --- the password ------------------------------------------------------------------------------


async def test_a_right_password_is_answered_with_a_link_and_a_token(door: Door) -> None:
    now, head = door.clock.at, door.head
    begun = await door.sign_in.log_in("user1", PASSWORD, visit())
    assert begun.link is not None
    assert begun.link.startswith("https://t.me/club_bot?start=")
    assert begun.link_ends_at == now + timedelta(minutes=5)
    assert begun.login_ends_at == now + timedelta(minutes=10)
    assert [limit.left for limit in begun.allowance] == [9, 59]
    assert door.head == head, "nobody has signed in yet"


async def test_every_link_and_token_is_another_of_at_least_128_bits(tokens: SignedTokens) -> None:
    door = Door(tokens, Bounds(attempts_per_account=50))
    await door.user()
    begun = [await door.begin() for _ in range(50)]
    for login_token, payload in begun:
        assert PAYLOAD.fullmatch(payload)
        assert len(payload) * 6 >= 128
        assert len(login_token) * 6 >= 128
    assert len({secret for both in begun for secret in both}) == 100


@pytest.mark.parametrize("username", ["USER1", " user1 "])
async def test_a_name_is_the_same_however_it_is_written(door: Door, username: str) -> None:
    await door.enter(username)
    assert door.session_rows() == [(1, None)]


async def test_a_password_is_not_the_same_however_it_is_written(door: Door) -> None:
    for password in (PASSWORD.upper(), f"{PASSWORD} ", PASSWORD[:-1], ""):
        with pytest.raises(WrongCredentials):
            await door.begin(password=password)
    assert door.failures() == [(1, "wrong-password")] * 4


class CountingHasher(FakeHasher):
    """Knows how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def verify(self, password: str, password_hash: str | None) -> bool:
        self.asked += 1
        return await super().verify(password, password_hash)


async def test_nothing_tells_an_unknown_or_deleted_user_from_a_wrong_password(
    door: Door,
) -> None:
    hasher = CountingHasher()
    gone = await door.user()
    await door.do(DeleteUser(2), gone)
    door.sign_in._services = replace(door.services, passwords=hasher)
    said, steps = [], []
    for username, password in [("user1", "wrong"), ("nobody", PASSWORD), ("user2", PASSWORD)]:
        door.store.asked.clear()
        door.book.asked.clear()
        hasher.asked = 0
        with pytest.raises(WrongCredentials) as refused:
            await door.begin(username, password)
        said.append((type(refused.value), refused.value.detail, refused.value.field))
        steps.append(([name for name, _ in door.store.asked], [*door.book.asked], hasher.asked))
    assert len(set(said)) == 1
    assert steps[0] == steps[1] == steps[2]
    assert steps[0][2] == 1
    failed = [event for event in door.ledger.events if isinstance(event, Failed)]
    assert [(e.user_id, e.why) for e in failed] == [
        (1, "wrong-password"),
        (None, "unknown-user"),
        (None, "unknown-user"),
    ]
    assert [(e.origin, e.agent) for e in failed] == [("192.0.2.7", "curl/8.9")] * 3
    actors = {submission.actor for _, submission in door.ledger.log[-3:]}
    assert actors == {"anybody"}


class FullHasher(FakeHasher):
    """Too many wait for it."""

    async def verify(self, password: str, password_hash: str | None) -> bool:
        raise Overloaded


async def test_what_the_club_was_too_busy_to_look_at_is_no_failed_attempt(door: Door) -> None:
    fakes = door.services
    for passwords, lost in ((FullHasher(), False), (fakes.passwords, True)):
        door.sign_in._services = replace(fakes, passwords=passwords)
        door.book.lost = lost
        for _ in range(100):
            with pytest.raises((Overloaded, LedgerUnavailable)):
                await door.begin()
    door.sign_in._services, door.book.lost = fakes, False
    begun = await door.sign_in.log_in("user1", PASSWORD, visit())
    assert [limit.left for limit in begun.allowance] == [9, 59]


async def test_a_password_cannot_be_guessed_while_the_log_takes_nothing(door: Door) -> None:
    """A wrong one is noted there; that this fails must not make it a free try."""

    async def full(*_: object) -> int:
        raise Overloaded

    door.book.append = full  # type: ignore[method-assign, assignment]
    for _ in range(10):
        with pytest.raises(Overloaded):
            await door.begin(password="wrong")
    with pytest.raises(TooManyAttempts):
        await door.begin(password="wrong")


# --- registering -------------------------------------------------------------------------------


def registering(address: str = "192.0.2.7") -> Context:
    return Context(ANYBODY, "a visit", origin=Origin(address))


async def test_from_one_address_one_registers_so_often(tokens: SignedTokens) -> None:
    door = Door(tokens, Bounds(registrations_per_address=3))
    for number in range(3):
        await door.sign_in.register(RegisterUser(new_user(f"ada{number}")), registering())
    for name in ("ada1", "ada9"):
        with pytest.raises(TooManyAttempts) as refused:
            await door.sign_in.register(RegisterUser(new_user(name)), registering())
        assert 0 < refused.value.seconds <= 300
    await door.sign_in.register(RegisterUser(new_user("ada9")), registering("198.51.100.1"))
    assert len(door.rows("users")) == 4


async def test_who_asks_whether_a_name_is_taken_is_limited_as_well(tokens: SignedTokens) -> None:
    door = Door(tokens, Bounds(registrations_per_address=5))
    await door.user()
    for _ in range(5):
        with pytest.raises(UsernameTaken):
            await door.sign_in.register(RegisterUser(new_user("user1")), registering())
    with pytest.raises(TooManyAttempts):
        await door.sign_in.register(RegisterUser(new_user("user1")), registering())


async def test_what_is_taken_is_refused_before_anything_is_hashed(door: Door) -> None:
    hashed = 0

    class Counting(FakeHasher):
        async def hash(self, password: str, *, at_the_door: bool = False) -> str:
            nonlocal hashed
            hashed += 1
            return await super().hash(password)

    bus = Bus(replace(door.services, passwords=Counting()))
    for body in (new_user("user1"), new_user("al", email="user1@example.com")):
        with pytest.raises((UsernameTaken, EmailTaken)):
            await bus.execute(RegisterUser(body), registering())
    assert hashed == 0
    await bus.execute(RegisterUser(new_user("al")), registering())
    assert hashed == 1


async def test_from_one_address_tokens_are_exchanged_so_often(tokens: SignedTokens) -> None:
    door = Door(tokens, Bounds(attempts_per_address=5))
    await door.user()
    signed_in = await door.enter()
    for _ in range(5):
        with pytest.raises(InvalidToken):
            await door.sign_in.refresh("no token", visit())
    with pytest.raises(TooManyAttempts):
        await door.sign_in.refresh(signed_in.refresh_token, visit())
    await door.sign_in.refresh(signed_in.refresh_token, visit("198.51.100.1"))


# --- the forms of a password -------------------------------------------------------------------


COMPOSED, APART = "G\u00e4stekarte 2026", "Ga\u0308stekarte 2026"
"""What one person types, on one device and on another."""


@pytest.mark.parametrize("at_first", [COMPOSED, APART], ids=ascii)
async def test_a_password_is_the_same_on_every_device(door: Door, at_first: str) -> None:
    await door.do(ChangeUser(1, user_changes(password=at_first)))
    head = door.head
    for typed in (COMPOSED, APART):
        await door.enter(password=typed)
    assert ("user-1", "user.password-rehashed") not in door.told_since(head)


MIXED = "\u00e4a\u0308 in two forms"


@pytest.mark.parametrize(
    ("hashed", "typed"),
    [(APART, APART), (APART, COMPOSED), (MIXED, MIXED)],
    ids=["as it was", "on another device", "in two forms"],
)
async def test_a_hash_of_an_earlier_release_lets_in_once_and_is_renewed(
    tokens: SignedTokens, hashed: str, typed: str
) -> None:
    door = Door(tokens)
    user = User.register(
        1,
        username="user1",
        email="user1@example.com",
        password_hash=await door.services.passwords.hash(hashed),
        role=Role.USER,
        at=door.clock.at,
    )
    reserved = Reservation.make(username_of("user1").name, "user-1", door.clock.at)
    door.ledger.given(*user.collect_events(), *reserved.collect_events())  # type: ignore[arg-type]

    await door.enter(password=typed)
    assert door.told_since(2)[0] == ("user-1", "user.password-rehashed")
    head = door.head
    hasher = CountingHasher()
    door.sign_in._services = replace(door.services, passwords=hasher)
    for again in forms(hashed):
        hasher.asked = 0
        await door.enter(password=again)
        assert hasher.asked == 1, "it is known in the form of today"
    assert ("user-1", "user.password-rehashed") not in door.told_since(head)
    assert [ended for _, ended in door.session_rows()] == [None] * (1 + len(forms(hashed)))


async def test_for_nobody_each_form_is_tried_as_for_a_wrong_password(door: Door) -> None:
    hasher = CountingHasher()
    door.sign_in._services = replace(door.services, passwords=hasher)
    asked = []
    for username in ("user1", "nobody"):
        hasher.asked = 0
        with pytest.raises(WrongCredentials):
            await door.begin(username, MIXED)
        asked.append(hasher.asked)
    assert asked == [3, 3]


async def test_what_was_typed_is_not_in_the_log(door: Door) -> None:
    for username, password in [("hunter2-as-a-name", "x"), ("user1", "hunter2-as-a-password")]:
        with pytest.raises(WrongCredentials):
            await door.begin(username, password)
    assert "hunter2" not in str([vars(event) for event in door.ledger.events])


async def test_a_name_that_was_given_up_lets_nobody_in(door: Door) -> None:
    await door.do(ChangeUser(1, user_changes(username="lovelace")))
    with pytest.raises(WrongCredentials):
        await door.begin("user1")
    await door.enter("lovelace")


async def test_the_store_and_the_log_are_told_no_secret(door: Door) -> None:
    """But for the code, which is good for nothing without the login's token."""
    login_token, payload = await door.begin()
    code = await door.code(payload)
    signed_in = await door.verify(login_token, code)
    refreshed = await door.sign_in.refresh(signed_in.refresh_token, visit())
    secrets = [login_token, payload, signed_in.refresh_token, refreshed.access_token]
    known = f"{door.store.asked} {door.store.kept} {[vars(e) for e in door.ledger.events]}"
    for secret in (*secrets, refreshed.refresh_token, PASSWORD):
        assert secret not in known
    hashes = [row["password_hash"] for row in door.rows("users")]
    assert not [kept for kept in door.store.kept if hashes[0].encode() in kept]


# --- the link ----------------------------------------------------------------------------------


async def test_the_link_is_answered_with_a_code_of_six_digits(door: Door) -> None:
    _, payload = await door.begin()
    username, code = await door.sign_in.open_link(payload, ADAS_PHONE, visit("telegram"))
    assert username == "user1"
    assert re.fullmatch(r"[0-9]{6}", code)


async def test_codes_are_all_over_the_place(tokens: SignedTokens) -> None:
    door = Door(tokens, Bounds(attempts_per_account=200, attempts_per_address=200))
    await door.user()
    codes = [await door.code((await door.begin())[1]) for _ in range(200)]
    assert len(set(codes)) > 190
    assert {code[0] for code in codes} == set("0123456789")


async def test_a_link_is_good_once(door: Door) -> None:
    _, payload = await door.begin()
    await door.code(payload)
    for telegram_id in (ADAS_PHONE, ANOTHER_PHONE):
        with pytest.raises(LinkEnded):
            await door.code(payload, telegram_id)


@pytest.mark.parametrize("seed", range(10))
async def test_of_all_who_open_a_link_at_once_one_gets_a_code(door: Door, seed: int) -> None:
    login_token, payload = await door.begin()
    at_random(door, seed)
    opened = await asyncio.gather(
        *(door.code(payload, ADAS_PHONE + n) for n in range(5)), return_exceptions=True
    )
    (code,) = [answer for answer in opened if isinstance(answer, str)]
    assert [type(answer) for answer in opened if answer != code] == [LinkEnded] * 4
    await door.verify(login_token, code)


async def test_a_link_is_good_for_five_minutes(door: Door) -> None:
    _, first = await door.begin()
    _, second = await door.begin()
    door.let_pass(seconds=299)
    await door.code(first)
    door.let_pass(seconds=2)
    with pytest.raises(LinkEnded):
        await door.code(second)


UNREADABLE = [
    "",
    " ",
    "a b",
    "a\n",
    "ä",
    "a=",
    "a+b",
    "a/b",
    "٣",
    "a\x00",
    "%61",
    "a" * 65,
    "a" * 5000,
]


@pytest.mark.parametrize("payload", UNREADABLE)
async def test_what_cannot_be_the_payload_of_a_link_is_refused_unseen(
    door: Door, payload: str
) -> None:
    head = door.head
    door.store.asked.clear()
    with pytest.raises(LinkUnreadable):
        await door.code(payload)
    await door.sign_in.spoil_link(payload)
    assert door.store.asked == []
    assert door.head == head


@pytest.mark.parametrize("payload", ["a", "a" * 64, "-_-", "0" * 32])
async def test_a_link_that_never_was_has_ended(door: Door, payload: str) -> None:
    with pytest.raises(LinkEnded):
        await door.code(payload)


async def test_what_the_person_holds_is_no_link(door: Door) -> None:
    login_token, payload = await door.begin()
    with pytest.raises(LinkEnded):
        await door.code(login_token)
    code = await door.code(payload)
    with pytest.raises(LoginEnded):
        await door.verify(payload, code)


async def test_a_link_that_others_have_seen_is_good_for_nothing(door: Door) -> None:
    login_token, payload = await door.begin()
    await door.sign_in.spoil_link(payload)
    with pytest.raises(LinkEnded):
        await door.code(payload)
    with pytest.raises(WrongCode):
        await door.verify(login_token, "123456")


async def test_another_account_than_the_bound_one_gets_no_code_and_ends_the_login(
    door: Door,
) -> None:
    await door.enter()
    login_token, payload = await door.begin()
    head = door.head
    with pytest.raises(ForeignTelegram):
        await door.code(payload, ANOTHER_PHONE)
    assert door.told_since(head) == [("sign-in-1", "foreign-telegram")]
    with pytest.raises(LinkEnded):
        await door.code(payload)
    with pytest.raises(LoginEnded):
        await door.verify(login_token, "123456")
    assert door.session_rows() == [(1, None)]
    await door.enter()


async def test_the_link_of_a_user_who_left_has_ended(door: Door) -> None:
    _, payload = await door.begin()
    await door.do(DeleteUser(1))
    with pytest.raises(LinkEnded):
        await door.code(payload)


# --- the code ----------------------------------------------------------------------------------


async def test_the_right_code_opens_a_session(door: Door, tokens: SignedTokens) -> None:
    head = door.head
    signed_in = await door.enter()
    assert door.told_since(head) == [
        ("user-1", "user.telegram-bound"),
        ("user-1", "user.signed-in"),
        ("session-1", "session.opened"),
    ]
    assert {vars(event)["origin"] for event in door.ledger.events[head:]} == {"192.0.2.7"}
    submission = door.ledger.log[-1][1]
    assert (submission.actor, submission.correlation_id) == ("user-1", "a visit")
    assert signed_in.session_id == 1
    assert abs(signed_in.ends_at - (door.clock.at + timedelta(days=30))) < timedelta(seconds=1)
    claims = tokens.read_refresh_token(signed_in.refresh_token)
    assert claims == RefreshClaims(1, 1, 1)
    assert door.row("users", 1)["last_login"] == time_text(door.clock.at)


async def test_a_code_is_good_once(door: Door) -> None:
    login_token, payload = await door.begin()
    code = await door.code(payload)
    await door.verify(login_token, code)
    for _ in range(7):
        with pytest.raises(LoginEnded):
            await door.verify(login_token, code)
    assert door.session_rows() == [(1, None)]
    assert door.failures() == []


async def test_a_code_is_good_for_five_minutes(door: Door) -> None:
    login_token, payload = await door.begin()
    other_token, other_payload = await door.begin()
    door.let_pass(seconds=290)
    code, other = await door.code(payload), await door.code(other_payload)
    door.let_pass(seconds=299)
    await door.verify(login_token, code)
    door.let_pass(seconds=2)
    with pytest.raises(WrongCode):
        await door.verify(other_token, other)
    assert door.session_rows() == [(1, None)]


async def test_a_login_is_good_for_ten_minutes(door: Door) -> None:
    login_token, _ = await door.begin()
    door.let_pass(seconds=599)
    with pytest.raises(WrongCode):
        await door.verify(login_token, "123456")
    door.let_pass(seconds=2)
    with pytest.raises(LoginEnded):
        await door.verify(login_token, "123456")


@pytest.mark.parametrize("login_token", ["", "x", "x" * 43, "\x00", "ü"])
async def test_a_login_that_never_was_has_ended(door: Door, login_token: str) -> None:
    head = door.head
    with pytest.raises(LoginEnded):
        await door.verify(login_token, "123456")
    assert door.head == head


async def test_without_the_link_there_is_no_right_code(door: Door) -> None:
    login_token, payload = await door.begin()
    for code in ("000000", "123456", "None"):
        with pytest.raises(WrongCode):
            await door.verify(login_token, code)
    assert door.failures() == [(1, "wrong-code")] * 3
    await door.verify(login_token, await door.code(payload))


async def test_a_code_of_another_login_is_wrong(door: Door) -> None:
    await door.user()
    login_token, payload = await door.begin()
    for username in ("user1", "user2"):
        other = await door.code((await door.begin(username))[1])
        code = await door.code((await door.begin(username))[1])
        if other == code:  # one time in a million
            continue
        with pytest.raises(WrongCode):
            await door.verify(login_token, other)
    await door.verify(login_token, await door.code(payload))


async def test_four_wrong_codes_are_forgiven(door: Door) -> None:
    login_token, payload = await door.begin()
    code = await door.code(payload)
    for _ in range(4):
        with pytest.raises(WrongCode):
            await door.verify(login_token, other_than(code))
    await door.verify(login_token, code)
    assert door.failures() == [(1, "wrong-code")] * 4


async def test_five_wrong_codes_end_the_login(door: Door) -> None:
    login_token, payload = await door.begin()
    code = await door.code(payload)
    for _ in range(5):
        with pytest.raises(WrongCode):
            await door.verify(login_token, other_than(code))
    for tried in (code, other_than(code), code):
        with pytest.raises(LoginEnded):
            await door.verify(login_token, tried)
    assert door.failures() == [(1, "wrong-code")] * 4 + [(1, "too-many-codes")]
    assert door.session_rows() == []
    await door.enter()


async def test_wrong_codes_before_the_link_is_opened_count(door: Door) -> None:
    login_token, payload = await door.begin()
    for _ in range(5):
        with pytest.raises(WrongCode):
            await door.verify(login_token, "123456")
    with pytest.raises(LinkEnded):
        await door.code(payload)


async def test_another_login_has_five_tries_of_its_own(door: Door) -> None:
    for _ in range(2):
        login_token, _ = await door.begin()
        for _ in range(4):
            with pytest.raises(WrongCode):
                await door.verify(login_token, "123456")
    await door.enter()


async def test_nothing_is_the_code_of_a_link_that_nobody_opened(door: Door) -> None:
    login_token, _ = await door.begin()
    with pytest.raises(WrongCode):
        await door.verify(login_token, "")


# --- at the same instant -----------------------------------------------------------------------


def at_random(door: Door, seed: int) -> None:
    """Let those who come at once overtake each other, another way with each seed."""
    random = Random(seed)
    door.store.pauses = lambda: random.randrange(6)


def kinds(answers: list[Any]) -> list[str]:
    return sorted(type(answer).__name__ for answer in answers)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("many", [2, 10])
async def test_however_many_come_with_the_right_code_one_session_is_opened(
    door: Door, many: int, seed: int
) -> None:
    login_token, payload = await door.begin()
    code = await door.code(payload)
    at_random(door, seed)
    answers = await asyncio.gather(
        *(door.verify(login_token, code) for _ in range(many)), return_exceptions=True
    )
    assert kinds(answers) == ["LoginEnded"] * (many - 1) + ["SignedIn"]
    assert door.session_rows() == [(1, None)]
    assert door.failures() == []


@pytest.mark.parametrize("seed", range(20))
async def test_however_many_guess_at_once_five_guesses_are_answered(door: Door, seed: int) -> None:
    login_token, payload = await door.begin()
    code = await door.code(payload)
    at_random(door, seed)
    guesses = [f"{(int(code) + n) % 10**6:06d}" for n in range(1, 31)]
    answers = await asyncio.gather(
        *(door.verify(login_token, guess) for guess in guesses), return_exceptions=True
    )
    assert kinds(answers) == ["LoginEnded"] * 25 + ["WrongCode"] * 5
    assert sorted(why for _, why in door.failures()) == ["too-many-codes"] + ["wrong-code"] * 4
    with pytest.raises(LoginEnded):
        await door.verify(login_token, code)


async def mixed(tokens: SignedTokens, seed: int) -> tuple[Door, list[Any]]:
    """A right code and nineteen wrong ones at once, and what each is answered."""
    door = Door(tokens)
    await door.user()
    login_token, payload = await door.begin()
    code = await door.code(payload)
    at_random(door, seed)
    tried = [f"{(int(code) + n) % 10**6:06d}" for n in range(20)]
    Random(seed).shuffle(tried)
    every = (door.verify(login_token, one) for one in tried)
    return door, await asyncio.gather(*every, return_exceptions=True)


@pytest.mark.parametrize("seed", range(40))
async def test_a_right_code_among_wrong_ones_opens_one_session_or_none(
    tokens: SignedTokens, seed: int
) -> None:
    door, answers = await mixed(tokens, seed)
    assert set(kinds(answers)) <= {"LoginEnded", "SignedIn", "WrongCode"}
    opened = [answer for answer in answers if isinstance(answer, SignedIn)]
    assert len(door.session_rows()) == len(opened) <= 1


async def test_whether_a_right_code_wins_among_wrong_ones_is_left_to_chance(
    tokens: SignedTokens,
) -> None:
    """Else the test above would show one of the two only."""
    opened = {len((await mixed(tokens, seed))[0].session_rows()) for seed in range(40)}
    assert opened == {0, 1}


async def test_a_right_code_among_wrong_ones_gives_no_guess_more(tokens: SignedTokens) -> None:
    for seed in range(40):
        _, answers = await mixed(tokens, seed)
        guesses = [answer for answer in answers if isinstance(answer, WrongCode | SignedIn)]
        assert len(guesses) <= 5


@pytest.mark.parametrize("seed", range(10))
async def test_two_logins_with_two_accounts_bind_one(door: Door, seed: int) -> None:
    logins = [await door.begin() for _ in range(4)]
    codes = [await door.code(payload, ADAS_PHONE + n) for n, (_, payload) in enumerate(logins)]
    at_random(door, seed)
    answers = await asyncio.gather(
        *(door.verify(token, code) for (token, _), code in zip(logins, codes, strict=True)),
        return_exceptions=True,
    )
    assert kinds(answers) == ["LoginEnded"] * 3 + ["SignedIn"]
    assert door.session_rows() == [(1, None)]
    assert [e.TOPIC for e in door.ledger.events].count("user.telegram-bound") == 1


# --- what changes between the steps ------------------------------------------------------------


async def test_an_account_is_bound_only_once_its_code_was_shown(door: Door) -> None:
    _, of_a_stranger = await door.begin()
    await door.code(of_a_stranger, ANOTHER_PHONE)
    door.let_pass(minutes=6)
    await door.enter(telegram_id=ADAS_PHONE)
    bound = [e for e in door.ledger.events if e.TOPIC == "user.telegram-bound"]
    assert [vars(event)["telegram_id"] for event in bound] == [ADAS_PHONE]


Change = Callable[[Door], Awaitable[Any]]
CHANGES: dict[str, Change] = {
    "the password was changed": lambda door: door.do(ChangeUser(1, NEW_PASSWORD)),
    "the user left": lambda door: door.do(DeleteUser(1)),
    "another account was bound": lambda door: door.enter(telegram_id=ANOTHER_PHONE),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_code_is_void_when_meanwhile(door: Door, change: str) -> None:
    login_token, payload = await door.begin()
    code = await door.code(payload)
    await CHANGES[change](door)
    before = door.session_rows()
    with pytest.raises(LoginEnded):
        await door.verify(login_token, code)
    with pytest.raises(LoginEnded):
        await door.verify(login_token, code)
    assert door.session_rows() == before


async def test_a_login_with_a_password_that_was_changed_before_its_link_is_void(
    door: Door,
) -> None:
    login_token, payload = await door.begin()
    await door.do(ChangeUser(1, NEW_PASSWORD))
    code = await door.code(payload)
    with pytest.raises(LoginEnded):
        await door.verify(login_token, code)
    assert door.session_rows() == []
    await door.enter(password="another one")


async def test_a_new_name_role_or_address_ends_no_login(door: Door) -> None:
    login_token, payload = await door.begin()
    changes = user_changes(username="lovelace", email="al@example.com", role=Role.TRAINER)
    await door.do(ChangeUser(1, changes))
    username, code = await door.sign_in.open_link(payload, ADAS_PHONE, visit("telegram"))
    assert username == "lovelace"
    await door.verify(login_token, code)


async def test_who_was_unbound_signs_in_with_a_new_account(door: Door) -> None:
    await door.enter()
    await door.do(UnbindTelegram(1))
    assert door.session_rows() == [(1, "telegram-unbound")]
    await door.enter(telegram_id=ANOTHER_PHONE)
    _, payload = await door.begin()
    with pytest.raises(ForeignTelegram):
        await door.code(payload, ADAS_PHONE)


async def test_a_code_that_went_to_an_account_before_it_was_unbound_is_void(door: Door) -> None:
    await door.enter()
    login_token, payload = await door.begin()
    code = await door.code(payload)
    await door.do(UnbindTelegram(1))
    with pytest.raises(LoginEnded):
        await door.verify(login_token, code)
    assert door.session_rows() == [(1, "telegram-unbound")]


# --- without Telegram --------------------------------------------------------------------------


async def test_without_a_bot_the_code_is_shown_on_the_machine(door: Door) -> None:
    shown: list[tuple[str, str]] = []
    door.sign_in = door.through(CodeChannel(show=lambda *said: shown.append(said)))
    begun = await door.sign_in.log_in("user1", PASSWORD, visit())
    assert begun.link is None
    ((username, code),) = shown
    assert username == "user1"
    head = door.head
    await door.verify(begun.login_token, code)
    assert door.told_since(head) == [("user-1", "user.signed-in"), ("session-1", "session.opened")]


async def test_nobody_is_shown_a_code_for_a_wrong_password(door: Door) -> None:
    shown: list[tuple[str, str]] = []
    door.sign_in = door.through(CodeChannel(show=lambda *said: shown.append(said)))
    for username in ("user1", "nobody"):
        with pytest.raises(WrongCredentials):
            await door.sign_in.log_in(username, "wrong", visit())
    assert shown == []


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
async def test_without_any_way_for_codes_nobody_is_asked_further(door: Door, password: str) -> None:
    door.sign_in = door.through(CodeChannel())
    head = door.head
    with pytest.raises(NoCodeChannel):
        await door.sign_in.log_in("user1", password, visit())
    assert door.head == head
    assert door.store.kept == []


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
async def test_while_telegram_cannot_be_reached_nobody_learns_of_a_password(
    door: Door, password: str
) -> None:
    door.telegram.lost = True
    head = door.head
    for _ in range(5):
        with pytest.raises(ChannelUnavailable):
            await door.sign_in.log_in("user1", password, visit())
    assert door.head == head
    door.telegram.lost = False
    await door.enter()


async def test_while_telegram_cannot_be_reached_it_is_not_asked_without_limit(door: Door) -> None:
    door.telegram.lost = True
    for _ in range(10):
        with pytest.raises(ChannelUnavailable):
            await door.begin()
    with pytest.raises(TooManyAttempts):
        await door.begin()


# --- what cannot be reached --------------------------------------------------------------------


async def test_while_the_store_is_gone_nobody_signs_in_and_nothing_happens(door: Door) -> None:
    login_token, payload = await door.begin()
    door.store.answers = 0
    head = door.head
    for step in (
        door.begin(),
        door.begin(password="wrong"),
        door.code(payload),
        door.verify(login_token, "123456"),
        door.sign_in.spoil_link(payload),
    ):
        with pytest.raises(StoreUnavailable):
            await step
    assert door.head == head
    door.store.answers = None
    await door.verify(login_token, await door.code(payload))


async def test_a_store_that_goes_away_in_a_login_leaves_no_session(door: Door) -> None:
    for answers in range(10):
        door.store.answers = answers
        try:
            await door.begin()
        except StoreUnavailable:
            continue
        break
    assert answers == 5, "three counts, the login and the link"
    assert door.session_rows() == []
    assert door.failures() == []


async def test_a_store_that_goes_away_at_a_link_gives_no_code(door: Door) -> None:
    for answers in range(10):
        login_token, payload = await door.begin()
        door.store.answers = answers
        try:
            code = await door.code(payload)
        except StoreUnavailable:
            door.store.answers = None
            if answers < 3:  # the link was not taken yet
                await door.verify(login_token, await door.code(payload))
            continue
        break
    door.store.answers = None
    assert answers == 4, "the link, the login, the link once more, the code"
    assert len(door.session_rows()) == 3
    await door.verify(login_token, code)


async def test_a_store_that_goes_away_at_a_code_leaves_no_session(tokens: SignedTokens) -> None:
    door = Door(tokens, Bounds(attempts_per_account=50))
    await door.user()
    opened = 0
    for answers in range(10):
        login_token, payload = await door.begin()
        code = await door.code(payload)
        door.store.answers = answers
        try:
            await door.verify(login_token, code)
        except StoreUnavailable:
            door.store.answers = None
            assert len(door.session_rows()) == opened
            if answers <= 3:  # the login was not taken yet
                await door.verify(login_token, code)
                opened += 1
            else:
                with pytest.raises(LoginEnded):
                    await door.verify(login_token, code)
            continue
        break
    assert answers == 5, "a count, the login and its code, a try, the login taken, all dropped"
    assert len(door.session_rows()) == opened + 1


async def test_while_the_club_cannot_answer_no_link_is_used_up(door: Door) -> None:
    login_token, payload = await door.begin()
    door.book.lost = True
    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            await door.code(payload)
    door.book.lost = False
    await door.verify(login_token, await door.code(payload))


async def test_while_the_club_cannot_answer_nobody_signs_in(door: Door) -> None:
    login_token, payload = await door.begin()
    code = await door.code(payload)
    head = door.head
    door.book.lost = True
    for step in (door.begin(), door.begin("nobody"), door.verify(login_token, code)):
        with pytest.raises(LedgerUnavailable):
            await step
    door.book.lost = False
    assert door.head == head
    with pytest.raises(LoginEnded):
        await door.verify(login_token, code)
    await door.enter()


async def test_without_the_store_sessions_go_on_and_end(door: Door) -> None:
    signed_in = await door.enter()
    door.store.answers = 0
    refreshed = await door.sign_in.refresh(signed_in.refresh_token, visit())
    await door.sign_in.refresh(refreshed.refresh_token, visit())
    await door.sign_in.log_out(Caller.user(1, Role.USER, 1), None, visit())
    assert door.session_rows() == [(1, "logged-out")]


# --- the tokens --------------------------------------------------------------------------------


async def test_a_refresh_token_is_exchanged_for_an_access_token_and_the_next(
    door: Door, tokens: SignedTokens
) -> None:
    signed_in = await door.enter()
    head = door.head
    refreshed = await door.sign_in.refresh(signed_in.refresh_token, visit("192.0.2.9"))
    assert door.told_since(head) == [("session-1", "session.refreshed")]
    assert vars(door.ledger.events[-1])["origin"] == "192.0.2.9"
    claims = tokens.check(refreshed.access_token)
    assert (claims.user_id, claims.session_id) == (1, 1)
    assert refreshed.seconds == 15 * 60
    assert abs(claims.expires - (time.time() + 15 * 60)) < 5
    assert tokens.read_refresh_token(refreshed.refresh_token) == RefreshClaims(1, 1, 2)
    assert refreshed.ends_at == signed_in.ends_at


async def test_an_access_token_lasts_no_longer_than_its_session(
    door: Door, tokens: SignedTokens
) -> None:
    signed_in = await door.enter()
    door.let_pass(days=29, hours=23, minutes=55)
    refreshed = await door.sign_in.refresh(signed_in.refresh_token, visit())
    assert 298 <= refreshed.seconds <= 300
    assert tokens.check(refreshed.access_token).session_id == 1


async def test_all_refresh_tokens_of_a_session_end_with_it(
    door: Door, tokens: SignedTokens
) -> None:
    token = (await door.enter()).refresh_token
    ends = []
    for _ in range(4):
        ends.append(jwt.decode(token, options={"verify_signature": False})["exp"])
        door.let_pass(days=5)
        token = (await door.sign_in.refresh(token, visit())).refresh_token
    assert len(set(ends)) == 1


async def test_an_old_refresh_token_ends_its_family_and_the_log_says_so(door: Door) -> None:
    other = await door.enter()
    first = (await door.enter()).refresh_token
    second = (await door.sign_in.refresh(first, visit())).refresh_token
    newest = (await door.sign_in.refresh(second, visit())).refresh_token
    head = door.head
    with pytest.raises(SessionEnded):
        await door.sign_in.refresh(first, visit("198.51.100.66"))
    assert door.told_since(head) == [
        ("session-2", "session.token-reused"),
        ("session-2", "session.ended"),
    ]
    assert {vars(event)["origin"] for event in door.ledger.events[head:]} == {"198.51.100.66"}
    for token in (first, second, newest):
        with pytest.raises(SessionEnded):
            await door.sign_in.refresh(token, visit())
    await door.sign_in.refresh(other.refresh_token, visit())
    assert door.session_rows() == [(1, None), (2, "token-reused")]


async def test_of_two_who_come_with_one_token_at_most_one_goes_on(door: Door) -> None:
    token = (await door.enter()).refresh_token
    answers = await asyncio.gather(
        *(door.sign_in.refresh(token, visit()) for _ in range(2)), return_exceptions=True
    )
    assert kinds(answers) == ["Refreshed", "SessionEnded"]
    assert door.session_rows() == [(1, "token-reused")]


async def test_no_token_of_a_session_that_is_over_is_exchanged(door: Door) -> None:
    logged_out, over = await door.enter(), await door.enter()
    await door.sign_in.log_out(Caller.user(1, Role.USER, 1), None, visit())
    door.let_pass(days=31)
    head = door.head
    for signed_in in (logged_out, over):
        with pytest.raises(SessionEnded):
            await door.sign_in.refresh(signed_in.refresh_token, visit())
    assert door.head == head


@pytest.mark.parametrize("forged", ["tampered", "access", "of another club", "", "a.b.c", "ü"])
async def test_what_is_no_refresh_token_of_ours_changes_nothing(
    door: Door, tokens: SignedTokens, forged: str, tmp_path: Path
) -> None:
    first = (await door.enter()).refresh_token
    refreshed = await door.sign_in.refresh(first, visit())
    head, _, rest = refreshed.refresh_token.partition(".")
    made = {
        "tampered": f"{head}.x{rest[1:]}",
        "access": refreshed.access_token,
        "of another club": SignedTokens(Keys(tmp_path), "the-club").refresh_token(
            RefreshClaims(1, 1, 2), int(time.time()) + 600
        ),
    }.get(forged, forged)
    before = door.head
    with pytest.raises(InvalidToken):
        await door.sign_in.refresh(made, visit())
    assert door.head == before
    await door.sign_in.refresh(refreshed.refresh_token, visit())


async def test_a_token_that_names_another_user_than_its_session_gets_nothing(
    door: Door, tokens: SignedTokens
) -> None:
    """It is signed with our key, for a club that went on from an older copy of its database."""
    await door.user()
    signed_in = await door.enter("user1")
    ends_at = int(time.time()) + 600
    with pytest.raises((InvalidToken, SessionEnded)):
        await door.sign_in.refresh(tokens.refresh_token(RefreshClaims(2, 1, 1), ends_at), visit())
    await door.sign_in.refresh(signed_in.refresh_token, visit())


async def test_a_refresh_token_is_no_access_token(door: Door, tokens: SignedTokens) -> None:
    signed_in = await door.enter()
    with pytest.raises(InvalidToken):
        tokens.check(signed_in.refresh_token)


# --- out again ---------------------------------------------------------------------------------


async def test_who_logs_out_ends_the_session_that_asks_or_the_one_named(door: Door) -> None:
    for _ in range(3):
        await door.enter()
    caller = Caller.user(1, Role.USER, session_id=2)
    await door.sign_in.log_out(caller, None, visit())
    await door.sign_in.log_out(caller, 3, visit())
    assert door.session_rows() == [(1, None), (2, "logged-out"), (3, "logged-out")]
    head = door.head
    await door.sign_in.log_out(caller, 3, visit())
    assert door.head == head


async def test_nobody_logs_somebody_else_out(door: Door) -> None:
    await door.user()
    for username in ("user1", "user2"):
        await door.enter(username)
    caller = Caller.user(2, Role.TRAINER, session_id=2)
    for number in (1, 77):
        with pytest.raises(NotFound):
            await door.sign_in.log_out(caller, number, visit())
    assert door.session_rows() == [(1, None), (2, None)]


async def test_a_token_of_no_session_ends_none_but_the_one_named(door: Door) -> None:
    await door.enter()
    caller = Caller.user(1, Role.USER)
    with pytest.raises(NoSession):
        await door.sign_in.log_out(caller, None, visit())
    assert door.session_rows() == [(1, None)]
    await door.sign_in.log_out(caller, 1, visit())
    assert door.session_rows() == [(1, "logged-out")]


# --- limits ------------------------------------------------------------------------------------


async def test_an_account_is_tried_ten_times_right_or_wrong_there_or_not(door: Door) -> None:
    head = door.head
    for username in ("user1", "nobody"):
        for n in range(10):
            try:
                await door.begin(username, PASSWORD if n % 2 else "wrong")
            except WrongCredentials:
                continue
        said = []
        for password in (PASSWORD, "wrong"):
            with pytest.raises(TooManyAttempts) as refused:
                await door.sign_in.log_in(username.upper(), password, visit())
            said.append(refused.value.detail)
        assert said == ["Too many attempts. Please try again in 300 seconds."] * 2
    assert door.told_since(head)[-1] == ("sign-in-15", "unknown-user")
    door.let_pass(seconds=301)
    await door.enter()


async def test_who_tries_too_often_costs_no_hash(door: Door) -> None:
    hasher = CountingHasher()
    door.sign_in._services = replace(door.services, passwords=hasher)
    for _ in range(20):
        with pytest.raises((WrongCredentials, TooManyAttempts)):
            await door.begin(password="wrong")
    assert hasher.asked == 10
    assert len(door.failures()) == 10


async def test_an_address_tries_sixty_times_whatever_the_names(door: Door) -> None:
    for n in range(60):
        with pytest.raises(WrongCredentials):
            await door.sign_in.log_in(f"name{n}", "wrong", visit("2001:db8::1"))
    with pytest.raises(TooManyAttempts):
        await door.sign_in.log_in("user1", PASSWORD, visit("2001:db8::ffff"))
    await door.enter()


async def test_an_address_tries_sixty_codes_whatever_the_logins(door: Door) -> None:
    for _ in range(60):
        with pytest.raises(LoginEnded):
            await door.verify("made up", "123456")
    login_token, payload = await door.begin()
    code = await door.code(payload)
    with pytest.raises(TooManyAttempts) as refused:
        await door.verify(login_token, code)
    assert refused.value.seconds == 300
    await door.sign_in.verify(login_token, code, visit("198.51.100.1"))


async def test_limits_are_settings_of_the_club(tokens: SignedTokens) -> None:
    door = Door(tokens, Bounds(attempts_per_account=2, attempts_window_seconds=10))
    await door.user()
    for _ in range(2):
        await door.begin()
    with pytest.raises(TooManyAttempts):
        await door.begin()
    door.let_pass(seconds=11)
    await door.begin()


async def test_one_address_does_not_keep_somebody_else_out(door: Door) -> None:
    for _ in range(60):
        with pytest.raises(Refusal):
            await door.sign_in.log_in("user1", "wrong", visit("198.51.100.66"))
    await door.enter()
