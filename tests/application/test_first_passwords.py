"""The first password: chosen by the person, with a code that is good once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from application.access import Caller
from application.first_passwords import FirstCodeBody, IssueFirstCode
from application.limits import TooManyAttempts
from application.ports.services import Bounds
from application.sign_in import WrongCredentials
from application.users import ChangeUser, DeleteUser
from domain.refusals import Forbidden, NotFound
from domain.sign_ins import Failed
from domain.users import FirstCodeVoid, HasPassword
from domain.values import Role
from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from tests.application.scene import Door, user_changes, visit

ADMIN, DESK = Caller.user(99, Role.ADMIN), Caller.user(98, Role.STAFFER)
CHOSEN = "correct horse battery"
ADA = "ada.lovelace"


class FrontDoor(Door):
    """The way in for who was taken in at the front desk."""

    async def code_for(self, user_id: int, caller: Caller = DESK) -> str:
        """Another code for the user."""
        outcome = await self.do(IssueFirstCode(user_id, FirstCodeBody()), caller)
        assert outcome.shown is not None
        return str(outcome.shown["code"])

    async def choose(
        self,
        code: str,
        password: str = CHOSEN,
        username: str = ADA,
        address: str = "192.0.2.7",
    ) -> None:
        await self.sign_in.choose_first_password(username, code, password, visit(address))


@pytest.fixture
def tokens(signing_key: Path) -> SignedTokens:
    return SignedTokens(Keys(signing_key), "the-club")


@pytest.fixture
async def door(tokens: SignedTokens) -> FrontDoor:
    """The way into a club with one user, 1, who was taken in."""
    door = FrontDoor(tokens)
    await door.walk_in()
    return door


async def test_who_has_the_code_chooses_a_password_and_signs_in_with_it(door: FrontDoor) -> None:
    await door.choose(await door.code_for(1))
    opened = await door.enter(ADA, password=CHOSEN)
    assert door.session_rows() == [(opened.session_id, None)]


@pytest.mark.parametrize("password", ["", "long enough", CHOSEN])
async def test_without_a_chosen_password_nobody_signs_in(door: FrontDoor, password: str) -> None:
    code = await door.code_for(1)
    for shown in (password, code):
        with pytest.raises(WrongCredentials):
            await door.begin(ADA, shown)
    assert door.failures() == [(1, "wrong-password")] * 2


async def test_a_code_is_good_once(door: FrontDoor) -> None:
    code = await door.code_for(1)
    await door.choose(code)
    with pytest.raises(FirstCodeVoid):
        await door.choose(code, "another password")
    await door.enter(ADA, password=CHOSEN)


async def test_of_many_who_come_with_a_code_at_once_one_chooses(door: FrontDoor) -> None:
    code = await door.code_for(1)
    passwords = [f"password {n}" for n in range(5)]
    answers = await asyncio.gather(
        *(door.choose(code, password) for password in passwords), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(FirstCodeVoid) == 4
    chosen = passwords[answers.index(None)]
    await door.enter(ADA, password=chosen)


async def test_a_code_is_good_for_a_week(door: FrontDoor) -> None:
    code = await door.code_for(1)
    door.let_pass(days=7)
    with pytest.raises(FirstCodeVoid):
        await door.choose(code)
    another = await door.code_for(1)
    door.let_pass(days=6, hours=23)
    await door.choose(another)


async def test_another_code_makes_the_one_before_void(door: FrontDoor) -> None:
    first, second = await door.code_for(1), await door.code_for(1)
    with pytest.raises(FirstCodeVoid):
        await door.choose(first)
    await door.choose(second)


async def test_the_code_of_one_is_not_that_of_another(door: FrontDoor) -> None:
    await door.walk_in(email="grace@example.com", first_name="Grace", last_name="Hopper")
    hers = await door.code_for(2)
    with pytest.raises(FirstCodeVoid):
        await door.choose(hers)
    await door.choose(hers, username="grace.hopper")


async def test_nothing_tells_who_waits_for_a_first_password(door: FrontDoor) -> None:
    await door.user()
    await door.walk_in(email="left@example.com", username="left")
    await door.do(DeleteUser(3), ADMIN)
    said = set()
    for username in (ADA, "user1", "left", "nobody"):
        with pytest.raises(FirstCodeVoid) as refused:
            await door.choose("AAAA-BBBB-CCCC-DDDD", username=username)
        said.add((refused.value.detail, refused.value.field))
    assert len(said) == 1
    assert door.failures() == [
        (1, "wrong-first-code"),
        (2, "wrong-first-code"),
        (None, "unknown-user"),
        (None, "unknown-user"),
    ]


async def test_guessing_is_limited_by_account_and_by_address(tokens: SignedTokens) -> None:
    door = FrontDoor(tokens, Bounds(attempts_per_account=3, attempts_per_address=5))
    await door.walk_in()
    code = await door.code_for(1)
    for _ in range(3):
        with pytest.raises(FirstCodeVoid):
            await door.choose("AAAA-BBBB-CCCC-DDDD")
    with pytest.raises(TooManyAttempts):
        await door.choose(code)
    with pytest.raises(FirstCodeVoid):
        await door.choose(code, username="somebody.else")
    with pytest.raises(TooManyAttempts):
        await door.choose(code, username="somebody.new")
    await door.choose(code, address="192.0.2.8")


async def test_what_was_typed_is_not_kept(door: FrontDoor) -> None:
    code = await door.code_for(1)
    for attempt in ("AAAA-BBBB-CCCC-DDDD", code):
        try:
            await door.choose(attempt)
        except FirstCodeVoid:
            continue
    log = repr([vars(event) for event in door.ledger.events])
    for typed in ("AAAA", code, CHOSEN):
        assert typed not in log
    assert any(isinstance(event, Failed) for event in door.ledger.events)


# --- who gives a code to whom ------------------------------------------------------------------


async def test_nobody_gets_a_code_who_has_a_password(door: FrontDoor) -> None:
    await door.user()
    with pytest.raises(HasPassword):
        await door.code_for(2, ADMIN)
    for nobody in (2, 99):
        with pytest.raises(NotFound):  # the desk is told of clients alone
            await door.code_for(nobody)
    await door.choose(await door.code_for(1))
    with pytest.raises(HasPassword):
        await door.code_for(1)


async def test_a_password_that_an_admin_sets_makes_the_code_void(door: FrontDoor) -> None:
    code = await door.code_for(1)
    await door.do(ChangeUser(1, user_changes(password=CHOSEN)), ADMIN)
    with pytest.raises(FirstCodeVoid):
        await door.choose(code, "another password")
    await door.enter(ADA, password=CHOSEN)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.USER])
async def test_the_front_desk_does_not_become_who_was_promoted(door: FrontDoor, role: Role) -> None:
    before = await door.code_for(1)
    await door.do(ChangeUser(1, user_changes(role=role)), ADMIN)
    with pytest.raises(FirstCodeVoid):
        await door.choose(before)
    with pytest.raises(Forbidden):
        await door.code_for(1)
    await door.choose(await door.code_for(1, ADMIN))
