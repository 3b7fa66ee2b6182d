"""Commands about users."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import product

import pytest

from application.access import ANYBODY, THE_CLUB, Caller
from application.bus import Bus
from application.clients import RegisterClient
from application.command import Command, Context
from application.users import ChangeUser, DeleteUser, LastAdmin, RegisterUser, UserReplacement
from domain.refusals import NotFound, UnknownReference
from domain.reservations import EmailTaken, Reservation, UsernameTaken
from domain.users import User
from domain.values import Role
from tests.application.fakes import A_MORNING
from tests.application.scene import Scene, client_body, new_user, pausing_scene, user_changes

ADMIN = Caller.user(99, Role.ADMIN)


def hash_of(scene: Scene, number: int) -> str:
    return str(scene.row("users", number)["password_hash"])


async def test_anybody_becomes_a_user(scene: Scene) -> None:
    body = await scene.body(RegisterUser(new_user("ada")), ANYBODY)
    assert body == {
        "id": 1,
        "username": "ada",
        "email": "ada@example.com",
        "role": "USER",
        "created_at": "2026-03-02T09:00:00.000000Z",
        "last_login": None,
        "deleted_at": None,
    }
    assert scene.ledger.log[0][1].actor == "anybody"


async def test_a_password_is_kept_as_a_hash_and_never_shown(scene: Scene) -> None:
    body = await scene.body(RegisterUser(new_user("ada", password="correct horse")), ANYBODY)
    assert hash_of(scene, 1).startswith("$argon2id$")
    changed = await scene.body(ChangeUser(1, user_changes(password="battery staple")), ADMIN)
    for shown in (body, changed):
        assert not {"password", "password_hash"} & set(shown)
        assert not any("argon2" in str(fact) for fact in shown.values())


@pytest.mark.parametrize("name", ["ada", "ADA", "Ada"])
async def test_a_username_is_taken_in_whatever_case(scene: Scene, name: str) -> None:
    await scene.do(RegisterUser(new_user("ada")))
    other = await scene.user()
    with pytest.raises(UsernameTaken):
        await scene.do(RegisterUser(new_user(name, email="other@example.com")))
    with pytest.raises(UsernameTaken):
        await scene.do(ChangeUser(other.user_id or 0, user_changes(username=name)))


@pytest.mark.parametrize(
    "email", ["ada@example.com", "ADA@Example.com", "\uff41da@example.com"], ids=ascii
)
async def test_an_address_is_taken_however_it_is_written(scene: Scene, email: str) -> None:
    await scene.do(RegisterUser(new_user("ada")))
    other = await scene.user()
    with pytest.raises(EmailTaken):
        await scene.do(RegisterUser(new_user("al", email=email)))
    with pytest.raises(EmailTaken):
        await scene.do(ChangeUser(other.user_id or 0, user_changes(email=email)))


async def test_a_domain_is_the_same_in_letters_and_in_the_alphabet_of_hosts(scene: Scene) -> None:
    await scene.do(RegisterUser(new_user("ada", email="ada@b\u00fccher.example")))
    with pytest.raises(EmailTaken):
        await scene.do(RegisterUser(new_user("al", email="ada@xn--bcher-kva.example")))


async def test_an_address_of_an_earlier_release_stays_taken(scene: Scene) -> None:
    """It was reserved as it came, with a letter of full width, which is a plain one by now."""
    digest = hashlib.sha256("\uff41da@example.com".encode()).hexdigest()[:32]
    made = Reservation.make(f"email-{digest}", "user-7", A_MORNING)
    scene.ledger.given(*made.collect_events())  # type: ignore[arg-type]
    with pytest.raises(EmailTaken):
        await scene.do(RegisterUser(new_user("al", email="\uff41da@example.com")))


async def test_a_name_and_an_address_that_were_given_up_are_free(scene: Scene) -> None:
    await scene.do(RegisterUser(new_user("ada")))
    await scene.do(ChangeUser(1, user_changes(username="al", email="al@example.com")))
    await scene.do(RegisterUser(new_user("ada")))
    assert [user["username"] for user in scene.rows("users")] == ["al", "ada"]


async def test_one_may_write_ones_own_name_in_another_case(scene: Scene) -> None:
    await scene.do(RegisterUser(new_user("ada")))
    body = await scene.body(ChangeUser(1, user_changes(username="Ada")))
    assert body["username"] == "Ada"
    with pytest.raises(UsernameTaken):
        await scene.do(RegisterUser(new_user("ada", email="other@example.com")))


async def test_a_user_who_left_keeps_its_name_and_address_and_cannot_be_asked_for(
    scene: Scene,
) -> None:
    owner = await scene.user()
    await scene.do(DeleteUser(1), owner)
    row = scene.row("users", 1)
    assert (row["username"], row["deleted_at"]) == ("user1", "2026-03-02T09:00:00.000000Z")
    with pytest.raises(UsernameTaken):
        await scene.do(RegisterUser(new_user("user1", email="other@example.com")))
    with pytest.raises(EmailTaken):
        await scene.do(RegisterUser(new_user("other", email="user1@example.com")))
    for command in (DeleteUser(1), ChangeUser(1, user_changes(username="al"))):
        with pytest.raises(NotFound, match=r"^There is no user 1\.$"):
            await scene.do(command)


async def test_who_left_does_not_become_a_client(scene: Scene) -> None:
    owner, membership_id = await scene.user(), await scene.membership()
    await scene.do(DeleteUser(1), owner)
    with pytest.raises(UnknownReference) as refused:
        await scene.do(RegisterClient(client_body(user_id=1, membership_id=membership_id)))
    assert refused.value.field == "user_id"


async def test_a_partial_update_leaves_the_rest(scene: Scene) -> None:
    owner = await scene.user(Role.TRAINER)
    before = hash_of(scene, 1)
    body = await scene.body(ChangeUser(1, user_changes(email="al@example.com")), owner)
    assert (body["username"], body["email"], body["role"]) == ("user1", "al@example.com", "TRAINER")
    assert hash_of(scene, 1) == before


async def test_a_complete_update_keeps_role_and_password_where_they_are_not_named(
    scene: Scene,
) -> None:
    owner = await scene.user(Role.TRAINER)
    before = hash_of(scene, 1)
    replacement = UserReplacement(username="ada", email="ada@example.com")
    body = await scene.body(ChangeUser(1, replacement), owner)
    assert (body["username"], body["email"], body["role"]) == ("ada", "ada@example.com", "TRAINER")
    assert hash_of(scene, 1) == before
    everything = UserReplacement(
        username="ada", email="ada@example.com", role=Role.USER, password="battery staple"
    )
    body = await scene.body(ChangeUser(1, everything), ADMIN)
    assert body["role"] == "USER"
    assert hash_of(scene, 1) != before


async def test_naming_what_is_so_already_changes_nothing(scene: Scene) -> None:
    owner = await scene.user()
    head = scene.head
    same = user_changes(username="user1", email="user1@example.com", role="USER")
    outcome = await scene.do(ChangeUser(1, same), owner)
    assert (outcome.version, scene.head) == (1, head)


async def test_the_number_of_a_user_comes_from_its_sequence(scene: Scene) -> None:
    numbers = [(await scene.user()).user_id for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert set(await scene.ledger.streams([User.stream(n) for n in (1, 2, 3)])) == {
        "user-1",
        "user-2",
        "user-3",
    }


# --- the last ADMIN ----------------------------------------------------------------------------


def leaving(caller: Caller) -> list[Command]:
    """The ways in which an ADMIN is one no more."""
    number = caller.user_id or 0
    role = ChangeUser(number, user_changes(role=Role.USER))
    name = f"trainer{number}"
    whole = UserReplacement(username=name, email=f"{name}@example.com", role=Role.TRAINER)
    return [role, ChangeUser(number, whole), DeleteUser(number)]


@pytest.mark.parametrize("way", range(3))
async def test_the_last_admin_stays_one(scene: Scene, way: int) -> None:
    last, gone = await scene.user(Role.ADMIN), await scene.user(Role.ADMIN)
    await scene.do(DeleteUser(gone.user_id or 0), last)
    for caller in (last, THE_CLUB):
        with pytest.raises(LastAdmin):
            await scene.do(leaving(last)[way], caller)
    assert scene.row("users", last.user_id or 0)["role"] == "ADMIN"
    await scene.user(Role.ADMIN)
    await scene.do(leaving(last)[way], last)


async def test_the_last_admin_may_change_everything_else(scene: Scene) -> None:
    last = await scene.user(Role.ADMIN)
    await scene.do(ChangeUser(last.user_id or 0, user_changes(email="new@example.com")), last)
    await scene.do(ChangeUser(last.user_id or 0, user_changes(role=Role.ADMIN)), last)


@pytest.mark.parametrize(("first", "second"), list(product(range(3), repeat=2)))
async def test_of_two_admins_who_leave_at_the_same_instant_one_stays(
    first: int, second: int
) -> None:
    scene = pausing_scene()
    one, other = await scene.user(Role.ADMIN), await scene.user(Role.ADMIN)
    answers = await asyncio.gather(
        Bus(scene.services).execute(leaving(one)[first], Context(one, "scene")),
        Bus(scene.services).execute(leaving(other)[second], Context(other, "scene")),
        return_exceptions=True,
    )
    assert [type(a) for a in answers if isinstance(a, Exception)] == [LastAdmin]
    there = [u for u in scene.rows("users") if u.get("deleted_at") is None]
    assert [u["role"] for u in there].count("ADMIN") == 1
