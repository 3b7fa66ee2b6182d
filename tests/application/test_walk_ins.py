"""Somebody walks up to the front desk and is let in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from application.access import Caller
from application.bus import Bus
from application.clients import LapseClient, RegisterClient
from application.command import Context
from application.first_passwords import seal_of
from application.memberships import AddMembership, MembershipBody
from application.ports.ledger import ReceiptKey
from application.ports.services import Rules
from application.users import DeleteUser, RegisterUser
from application.walk_ins import HasRegistered, IsClient, RegisterWalkIn, WalkInBody
from domain.aggregate import time_text
from domain.clients import NotLapsed
from domain.refusals import Refusal, UnknownReference
from domain.reservations import EmailTaken, Reservation, UsernameTaken, Value
from domain.users import FirstCodeIssued
from domain.values import AccessLevel, Role
from tests.application.fakes import A_MORNING
from tests.application.scene import Scene, client_body, new_user, pausing_scene, walk_in_body

DESK = Caller.user(98, Role.STAFFER)
VIP = MembershipBody(access_level=AccessLevel.VIP, description="With towels.", price="79.00")


@pytest.fixture
async def offer(scene: Scene) -> int:
    """What the club sells."""
    return await scene.made(AddMembership(VIP))


async def taken_in(scene: Scene, **facts: Any) -> Mapping[str, Any]:
    """What the desk is told of whom it took in."""
    outcome = await scene.do(RegisterWalkIn(walk_in_body(**facts)), DESK)
    assert outcome.shown is not None
    return outcome.shown


# --- all of it, at once ------------------------------------------------------------------------


async def test_one_request_makes_a_user_a_client_a_membership_and_a_payment(
    scene: Scene, offer: int
) -> None:
    position = scene.head
    shown = await taken_in(scene, membership_id=offer)
    assert scene.since(position) == [
        ("user-1", "user.registered"),
        (Reservation.stream(Value("username", "ada.lovelace").name), "reservation.made"),
        (Reservation.stream(Value("email", "ada@example.com").name), "reservation.made"),
        ("user-1", "user.first-code-issued"),
        ("membership-2", "membership.added"),
        ("client-1", "client.registered"),
        ("client-1", "client.admitted-provisionally"),
        ("reservation-client-of-user-1", "reservation.made"),
        ("reservation-holder-of-membership-2", "reservation.made"),
        ("payment-1", "payment.requested"),
    ]
    assert len({submission.command_id for _, submission in scene.ledger.log[position:]}) == 1
    assert (shown["user"]["username"], shown["user"]["role"]) == ("ada.lovelace", "USER")
    assert shown["client"]["user_id"] == shown["user"]["id"]
    assert shown["client"]["membership_id"] == shown["membership"]["id"]
    assert shown["membership"] == {"id": 2, **VIP.facts()}
    assert shown["payment"]["client_id"] == shown["client"]["id"]
    assert shown["payment"]["membership_id"] == shown["membership"]["id"]
    assert (shown["payment"]["payment_status"], shown["payment"]["amount"]) == ("PENDING", "79.00")


TAKEN: Mapping[str, tuple[dict[str, Any], type[Refusal], str | None]] = {
    "whose address is taken": ({"email": "USER1@example.com"}, EmailTaken, "email"),
    "who wants a name that is taken": ({"username": "User1"}, UsernameTaken, "username"),
    "who wants what is not sold": ({"membership_id": 99}, UnknownReference, "membership_id"),
}


@pytest.mark.parametrize("who", TAKEN)
async def test_nothing_is_left_of_somebody(scene: Scene, offer: int, who: str) -> None:
    facts, refusal, field = TAKEN[who]
    await scene.user()
    head = scene.head
    with pytest.raises(refusal) as refused:
        await taken_in(scene, **{"membership_id": offer, **facts})
    assert refused.value.field == field
    assert scene.head == head


async def test_the_desk_is_told_who_has_registered_already(scene: Scene, offer: int) -> None:
    """Who came by the web is in no list of the desk's until they are a client."""
    known = await scene.user()
    says = {"membership_id": offer, "email": "USER1@example.com"}
    with pytest.raises(HasRegistered, match=rf"^User {known.user_id} has .* POST /clients/"):
        await taken_in(scene, **says)
    facts = client_body(user_id=known.user_id, membership_id=offer)
    await scene.do(RegisterClient(facts), DESK)
    with pytest.raises(IsClient, match=rf"\?user_id={known.user_id}\.$"):
        await taken_in(scene, **says)
    await scene.do(DeleteUser(1))
    with pytest.raises(EmailTaken, match=r"^This email address is taken\.$"):
        await taken_in(scene, **says)


WRONG: Mapping[str, dict[str, Any]] = {
    "a password": {"password": "long enough"},
    "a role": {"role": "ADMIN"},
    "a status": {"status": "ACTIVE"},
    "a price": {"price": "0.01"},
    "whether they paid, in words": {"paid": "yes"},
    "two names": {"username": "ada lovelace"},
    "no address": {"email": "ada"},
}


@pytest.mark.parametrize("what", WRONG)
def test_the_desk_does_not_say(what: str) -> None:
    with pytest.raises(ValidationError):
        walk_in_body(membership_id=1, **WRONG[what])


# --- the membership ----------------------------------------------------------------------------


async def test_what_is_sold_goes_on_being_sold(scene: Scene, offer: int) -> None:
    names = [await taken_in(scene, membership_id=offer, email=f"{n}@example.com") for n in range(3)]
    held = [shown["membership"]["id"] for shown in names]
    assert len({*held, offer}) == 4
    assert [shown["membership"]["price"] for shown in names] == ["79.00"] * 3
    assert offer not in [client["membership_id"] for client in scene.rows("clients")]


async def test_a_membership_that_somebody_holds_can_be_sold_again(scene: Scene, offer: int) -> None:
    first = await taken_in(scene, membership_id=offer)
    second = await taken_in(
        scene, membership_id=first["membership"]["id"], email="grace@example.com"
    )
    assert second["membership"]["id"] not in {offer, first["membership"]["id"]}


async def test_where_memberships_are_shared_all_hold_the_one_that_is_sold() -> None:
    scene = Scene(Rules(shared_memberships=True))
    offer = await scene.made(AddMembership(VIP))
    for number in range(2):
        shown = await taken_in(scene, membership_id=offer, email=f"{number}@example.com")
        assert shown["membership"]["id"] == offer
    assert len(scene.rows("memberships")) == 1


# --- the first payment -------------------------------------------------------------------------


async def test_who_pays_at_the_desk_is_let_in_for_the_days_that_were_bought(
    scene: Scene, offer: int
) -> None:
    shown = await taken_in(scene, membership_id=offer, paid=True)
    assert shown["payment"]["payment_status"] == "PAID"
    client_id = shown["client"]["id"]
    assert scene.status(client_id) == "ACTIVE"
    assert scene.until(client_id) == time_text(A_MORNING + timedelta(days=30))


async def test_who_pays_later_is_let_in_for_as_long_as_the_club_has_patience(
    scene: Scene, offer: int
) -> None:
    client_id = (await taken_in(scene, membership_id=offer))["client"]["id"]
    assert scene.status(client_id) == "ACTIVE"
    assert scene.until(client_id) == time_text(A_MORNING + timedelta(hours=24))
    with pytest.raises(NotLapsed):
        await scene.do(LapseClient(client_id))
    scene.services.clock.let_pass(timedelta(hours=24))
    await scene.do(LapseClient(client_id))
    assert scene.status(client_id) == "EXPIRED"


# --- the username ------------------------------------------------------------------------------


async def test_a_username_is_made_of_the_name_unless_one_is_told(scene: Scene, offer: int) -> None:
    await scene.do(RegisterWalkIn(walk_in_body(membership_id=offer, username="countess")), DESK)
    shown = await taken_in(
        scene, membership_id=offer, email="am@example.com", first_name="Ada", last_name="Müller"
    )
    assert [user["username"] for user in scene.rows("users")] == ["countess", "ada.mueller"]
    assert shown["first_sign_in"]["username"] == "ada.mueller"


async def test_a_username_that_is_taken_in_any_case_is_not_proposed(
    scene: Scene, offer: int
) -> None:
    for name in ("ADA.Lovelace", "ada.lovelace2"):
        await scene.do(RegisterUser(new_user(name, email=f"{name}@example.org")))
    shown = await taken_in(scene, membership_id=offer)
    assert shown["user"]["username"] == "ada.lovelace3"


async def test_who_has_many_namesakes_gets_a_number_that_is_their_own(
    scene: Scene, offer: int
) -> None:
    for number in range(10):
        shown = await taken_in(scene, membership_id=offer, email=f"{number}@example.com")
    assert shown["user"]["username"] == f"ada.lovelace.{shown['user']['id']}"


async def test_a_member_whose_name_has_no_letters_of_usernames_is_called_by_their_number(
    scene: Scene, offer: int
) -> None:
    shown = await taken_in(
        scene, membership_id=offer, first_name="Иван", last_name="Петров", email="и@example.com"
    )
    assert shown["user"]["username"] == f"member{shown['user']['id']}"


# --- at once -----------------------------------------------------------------------------------


async def at_once(scene: Scene, *bodies: WalkInBody, key: str | None = None) -> list[Any]:
    """What becomes of these, each over a process of its own."""
    given = None if key is None else ReceiptKey(f"rest:{DESK.actor}", key)
    return await asyncio.gather(
        *(
            Bus(scene.services).execute(RegisterWalkIn(body), Context(DESK, "scene", key=given))
            for body in bodies
        ),
        return_exceptions=True,
    )


async def test_of_two_walk_ins_of_one_person_at_once_one_is_taken_in() -> None:
    scene = pausing_scene()
    offer = await scene.made(AddMembership(VIP))
    answers = await at_once(scene, *[walk_in_body(membership_id=offer)] * 2)
    assert [type(a) for a in answers if isinstance(a, Exception)] == [IsClient]
    for table in ("users", "clients", "payments"):
        assert len(scene.rows(table)) == 1
    assert len(scene.rows("memberships")) == 2


async def test_namesakes_who_walk_in_at_once_get_usernames_of_their_own() -> None:
    scene = pausing_scene()
    offer = await scene.made(AddMembership(VIP))
    bodies = [walk_in_body(membership_id=offer, email=f"{n}@example.com") for n in range(4)]
    answers = await at_once(scene, *bodies)
    names = sorted(answer.body["user"]["username"] for answer in answers)
    assert names == ["ada.lovelace", "ada.lovelace2", "ada.lovelace3", "ada.lovelace4"]


async def test_under_one_key_one_is_taken_in_and_the_code_is_told_once() -> None:
    scene = pausing_scene()
    offer = await scene.made(AddMembership(VIP))
    answers = await at_once(scene, *[walk_in_body(membership_id=offer)] * 2, key="k")
    told = [answer.shown for answer in answers]
    (again,) = await at_once(scene, walk_in_body(membership_id=offer), key="k")
    assert len(scene.rows("users")) == 1
    codes = [shown["first_sign_in"]["code"] for shown in (*told, again.shown)]
    assert sum(code is not None for code in codes) == 1
    without = [orjson.loads(orjson.dumps(answer.body)) for answer in (*answers, again)]
    assert without[0] == without[1] == without[2]


# --- the code ----------------------------------------------------------------------------------


async def test_a_code_is_kept_nowhere_but_under_a_seal(scene: Scene, offer: int) -> None:
    body = walk_in_body(membership_id=offer)
    outcome = await scene.do(RegisterWalkIn(body), DESK, key="k")
    assert outcome.shown is not None
    code = outcome.shown["first_sign_in"]["code"]
    receipt = await scene.ledger.receipt(ReceiptKey(f"rest:{DESK.actor}", "k"))
    (issued,) = [e for e in scene.ledger.events if isinstance(e, FirstCodeIssued)]
    assert receipt is not None
    kept = orjson.dumps(receipt.outcome) + repr([vars(e) for e in scene.ledger.events]).encode()
    for form in (code, code.replace("-", "")):
        assert form.encode() not in kept
    assert issued.seal == seal_of(code, 1, scene.services.seal)
    assert issued.expires_at == time_text(A_MORNING + timedelta(days=7))
    assert code not in repr(outcome)


READ: Mapping[str, Callable[[str], str]] = {
    "as it is": lambda code: code,
    "in small letters": str.lower,
    "without its hyphens": lambda code: code.replace("-", ""),
    "with blanks": lambda code: f" {code.replace('-', ' ')} ",
    "with letters for digits": lambda code: code.replace("0", "O").replace("1", "l"),
}


@pytest.mark.parametrize("how", READ)
def test_a_code_may_be_typed(how: str, scene: Scene) -> None:
    code, seal = "K7QD-3M9P-XT41-0ZRA", scene.services.seal
    assert seal_of(READ[how](code), 7, seal) == seal_of(code, 7, seal)
    assert seal_of(code, 8, seal) != seal_of(code, 7, seal)


async def test_every_code_is_another(scene: Scene, offer: int) -> None:
    codes = [
        (await taken_in(scene, membership_id=offer, email=f"{n}@example.com"))["first_sign_in"]
        for n in range(20)
    ]
    assert len({told["code"] for told in codes}) == 20
    assert all(len(told["code"].replace("-", "")) == 16 for told in codes)
