"""Commands about clients."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from application.access import Caller
from application.clients import (
    AdmitClient,
    ChangeClient,
    ClientBody,
    ClientChanges,
    ComesBack,
    DeleteClient,
    GrantBody,
    GrantDays,
    RegisterClient,
    UserLeft,
    WithdrawAdmission,
)
from application.housekeeping import expire_what_is_due
from application.memberships import DeleteMembership
from application.payments import ChangePayment, PaymentBody
from application.ports.services import Rules
from application.users import DeleteUser
from domain.aggregate import text_time, time_text
from domain.clients import NotBornYet, TimeIsOver
from domain.refusals import UnknownReference
from domain.reservations import MembershipHeld, UserHasClient
from domain.values import ClientStatus, Gender, PaymentStatus, Role
from tests.application.fakes import A_MORNING
from tests.application.scene import PERSON, Scene, client_body, pausing_scene

STAFFER = Caller.user(99, Role.STAFFER)


async def registered(scene: Scene) -> ClientBody:
    """The body of a client who was made of user 1 on membership 1."""
    body = client_body(
        user_id=(await scene.user()).user_id,
        membership_id=await scene.membership(),
        gender=Gender.FEMALE,
        weight_kg="61.5",
    )
    await scene.do(RegisterClient(body))
    return body


async def test_a_client_is_shown_as_it_was_registered(scene: Scene) -> None:
    body = client_body(user_id=(await scene.user()).user_id, membership_id=await scene.membership())
    assert await scene.body(RegisterClient(body)) == {
        "id": 1,
        "user_id": 1,
        "membership_id": 1,
        **PERSON,
        "gender": None,
        "weight_kg": None,
        "height_sm": None,
        "status": "ACTIVE",
    }


async def own_client(scene: Scene, **facts: Any) -> int:
    """A USER makes a client of themselves."""
    owner, membership_id = await scene.user(), await scene.membership()
    body = client_body(user_id=owner.user_id, membership_id=membership_id, **facts)
    return await scene.made(RegisterClient(body), owner)


@pytest.mark.parametrize("named", [{}, {"status": ClientStatus.ACTIVE}], ids=str)
async def test_who_never_pays_is_let_in_for_a_day_and_then_no_more(
    scene: Scene, named: dict[str, ClientStatus]
) -> None:
    client_id = await own_client(scene, **named)
    assert scene.until(client_id) == time_text(A_MORNING + timedelta(hours=24))
    scene.services.clock.let_pass(timedelta(hours=24) - timedelta(microseconds=1))
    assert await expire_what_is_due(scene.bus, scene.services) == 0
    assert scene.status(client_id) == "ACTIVE"
    scene.services.clock.let_pass(timedelta(microseconds=1))
    assert await expire_what_is_due(scene.bus, scene.services) == 1
    assert scene.status(client_id) == "EXPIRED"


async def test_the_provisional_time_is_the_patience_that_the_club_has_with_payments() -> None:
    scene = Scene(Rules(payment_patience_hours=3))
    client_id = await own_client(scene)
    assert scene.until(client_id) == time_text(A_MORNING + timedelta(hours=3))


async def test_who_pays_in_time_is_let_in_for_what_was_paid(scene: Scene) -> None:
    client_id = await own_client(scene)
    scene.services.clock.let_pass(timedelta(hours=5))
    await scene.payment(client_id, PaymentStatus.PAID)
    scene.services.clock.let_pass(timedelta(days=29))
    assert await expire_what_is_due(scene.bus, scene.services) == 0
    assert scene.status(client_id) == "ACTIVE"
    scene.services.clock.let_pass(timedelta(days=1))
    assert await expire_what_is_due(scene.bus, scene.services) == 1
    assert scene.status(client_id) == "EXPIRED"


async def test_who_starts_later_stays_upcoming_until_a_payment(scene: Scene) -> None:
    client_id = await own_client(scene, status=ClientStatus.UPCOMING)
    scene.services.clock.let_pass(timedelta(days=40))
    assert await expire_what_is_due(scene.bus, scene.services) == 0
    await scene.payment(client_id, PaymentStatus.PAID)
    assert scene.status(client_id) == "ACTIVE"


@pytest.mark.parametrize("status", ClientStatus)
async def test_staff_register_in_any_status_without_an_end(
    scene: Scene, status: ClientStatus
) -> None:
    body = client_body(
        user_id=(await scene.user()).user_id,
        membership_id=await scene.membership(),
        status=status,
    )
    client_id = await scene.made(RegisterClient(body), STAFFER)
    scene.services.clock.let_pass(timedelta(days=400))
    assert await expire_what_is_due(scene.bus, scene.services) == 0
    assert (scene.status(client_id), scene.until(client_id)) == (status.value, None)


# --- pauses, and who comes back ----------------------------------------------------------------


async def test_who_was_on_hold_longer_than_was_paid_for_has_all_of_it_left(scene: Scene) -> None:
    client_id = await scene.client()
    await scene.payment(client_id, PaymentStatus.PAID)
    await scene.do(ChangeClient(client_id, {"status": "ON_HOLD"}), STAFFER)
    scene.services.clock.let_pass(timedelta(days=40))
    assert await expire_what_is_due(scene.bus, scene.services) == 0
    await scene.do(ChangeClient(client_id, {"status": "ACTIVE"}), STAFFER)
    assert scene.until(client_id) == time_text(A_MORNING + timedelta(days=70))
    assert await expire_what_is_due(scene.bus, scene.services) == 0
    scene.services.clock.let_pass(timedelta(days=30))
    assert await expire_what_is_due(scene.bus, scene.services) == 1


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])
async def test_a_pause_over_the_night_in_which_clocks_change_gives_back_every_second(
    day: str,
) -> None:
    scene = Scene(Rules(timezone="Europe/Berlin"))
    scene.services.clock.at = begin = text_time(f"{day}T20:00:00Z")
    client_id = await scene.client()
    await scene.payment(client_id, PaymentStatus.PAID)
    scene.services.clock.let_pass(timedelta(hours=4))
    await scene.do(ChangeClient(client_id, {"status": "ON_HOLD"}))
    scene.services.clock.let_pass(timedelta(hours=9))
    await scene.do(ChangeClient(client_id, {"status": "ACTIVE"}))
    assert scene.until(client_id) == time_text(begin + timedelta(days=30, hours=9))


@pytest.mark.parametrize("status", ["ON_HOLD", "CANCELLED"])
async def test_a_payment_of_a_client_whom_the_club_stopped_changes_no_standing(
    scene: Scene, status: str
) -> None:
    client_id = await scene.client(status=status)
    await scene.payment(client_id, PaymentStatus.PAID)
    assert (scene.status(client_id), scene.until(client_id)) == (status, None)
    scene.services.clock.let_pass(timedelta(days=40))
    await scene.do(ChangeClient(client_id, {"status": "ACTIVE"}), STAFFER)
    assert scene.until(client_id) == time_text(A_MORNING + timedelta(days=70))


@pytest.mark.parametrize("status", ["EXPIRED", "INACTIVE", "UPCOMING", "CANCELLED"])
async def test_staff_make_nobody_active_who_has_no_time(scene: Scene, status: str) -> None:
    never_paid = await scene.client(status=status)
    over = await scene.client()
    await scene.payment(over, PaymentStatus.PAID)
    scene.services.clock.let_pass(timedelta(days=30))
    await scene.do(ChangeClient(over, {"status": status}))
    for client_id in (never_paid, over):
        head = scene.head
        with pytest.raises(TimeIsOver, match=rf"/clients/{client_id}/grants/"):
            await scene.do(ChangeClient(client_id, {"status": "ACTIVE"}), STAFFER)
        assert scene.head == head


@pytest.mark.parametrize("status", ["EXPIRED", "INACTIVE", "UPCOMING"])
async def test_a_grant_lets_in_whom_nobody_can_make_active(scene: Scene, status: str) -> None:
    client_id = await scene.client(status=status)
    grant = GrantDays(client_id, GrantBody(days=1, reason="A day to try it."))
    until = time_text(A_MORNING + timedelta(days=1))
    assert await scene.body(grant, STAFFER) == {
        "client_id": client_id,
        "status": "ACTIVE",
        "until": until,
        "kept_seconds": None,
        "provisional": False,
    }
    scene.services.clock.let_pass(timedelta(days=1))
    assert await expire_what_is_due(scene.bus, scene.services) == 1


async def test_a_grant_to_who_is_cancelled_waits_for_the_club(scene: Scene) -> None:
    client_id = await scene.client(status="CANCELLED")
    shown = await scene.body(GrantDays(client_id, GrantBody(days=2, reason="Sorry.")), STAFFER)
    assert (shown["status"], shown["until"], shown["kept_seconds"]) == ("CANCELLED", None, 172800)


async def test_a_grant_does_not_bring_back_the_client_of_a_deleted_user(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    await scene.do(DeleteUser(owner.user_id or 0))
    await scene.do(GrantDays(client_id, GrantBody(days=2, reason="Sorry.")))
    assert scene.status(client_id) == "INACTIVE"


@pytest.mark.parametrize("days", [0, 367, -1, 1.5, "3", True, None])
def test_a_grant_is_of_1_to_366_days(days: Any) -> None:
    with pytest.raises(ValidationError):
        GrantBody.model_validate({"days": days, "reason": "Sorry."})


@pytest.mark.parametrize("reason", [None, "", "  ", "x" * 201])
def test_a_grant_has_a_reason(reason: Any) -> None:
    with pytest.raises(ValidationError):
        GrantBody.model_validate({"days": 1, "reason": reason})


async def test_nobody_makes_the_client_of_a_deleted_user_active(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    await scene.payment(client_id, PaymentStatus.PAID)
    await scene.do(DeleteUser(owner.user_id or 0))
    assert scene.status(client_id) == "INACTIVE"
    with pytest.raises(UserLeft) as refused:
        await scene.do(ChangeClient(client_id, {"status": "ACTIVE"}), Caller.user(98, Role.ADMIN))
    assert refused.value.field == "status"
    await scene.payment(client_id, PaymentStatus.PAID)
    assert scene.status(client_id) == "INACTIVE"


async def test_the_client_of_a_deleted_user_comes_back_as_that_of_another(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    await scene.payment(client_id, PaymentStatus.PAID)
    await scene.do(DeleteUser(owner.user_id or 0))
    heir = await scene.user()
    await scene.do(ChangeClient(client_id, {"user_id": heir.user_id, "status": "ACTIVE"}))
    assert scene.status(client_id) == "ACTIVE"


async def test_a_user_who_is_deleted_meanwhile_keeps_the_client_from_becoming_active() -> None:
    scene = pausing_scene()
    owner = await scene.user()
    client_id = await scene.client(owner)
    await scene.payment(client_id, PaymentStatus.PAID)
    await scene.do(ChangeClient(client_id, {"status": "ON_HOLD"}))
    await asyncio.gather(
        scene.do(DeleteUser(owner.user_id or 0)),
        scene.do(ChangeClient(client_id, {"status": "ACTIVE"})),
        return_exceptions=True,
    )
    assert scene.status(client_id) == "INACTIVE"


async def test_a_user_is_one_client(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    with pytest.raises(UserHasClient, match=rf"^This user is already a client: client-{client_id}"):
        await scene.client(owner)


async def test_a_membership_is_issued_to_one_client(scene: Scene) -> None:
    membership_id = await scene.membership()
    first, second = await scene.client(membership_id=membership_id), await scene.client()
    words = rf"^This membership is issued to client-{first}\.$"
    with pytest.raises(MembershipHeld, match=words):
        await scene.client(membership_id=membership_id)
    with pytest.raises(MembershipHeld, match=words):
        await scene.do(ChangeClient(second, {"membership_id": membership_id}))


async def test_who_holds_a_membership_is_told_to_staff_alone(scene: Scene) -> None:
    owner, membership_id = await scene.user(), await scene.membership()
    await scene.client(membership_id=membership_id)
    body = client_body(user_id=owner.user_id, membership_id=membership_id)
    with pytest.raises(MembershipHeld) as refused:
        await scene.do(RegisterClient(body), owner)
    assert refused.value.detail == "This membership is issued to somebody else."
    for role in (Role.STAFFER, Role.ADMIN):
        with pytest.raises(MembershipHeld, match=r"client-1[.]$"):
            await scene.do(RegisterClient(body), Caller.user(98, role))


async def test_a_club_that_sells_tiers_issues_a_membership_to_many() -> None:
    scene = Scene(Rules(shared_memberships=True))
    membership_id, other = await scene.membership(), await scene.membership()
    clients = [await scene.client(membership_id=membership_id) for _ in range(3)]
    await scene.do(ChangeClient(clients[0], {"membership_id": other}))
    await scene.do(ChangeClient(clients[0], {"membership_id": membership_id}))
    await scene.do(DeleteClient(clients[1]))
    assert [row["membership_id"] for row in scene.rows("clients")] == [membership_id] * 2


async def test_who_is_not_there_is_not_referred_to(scene: Scene) -> None:
    owner, membership_id = await scene.user(), await scene.membership()
    client_id = await scene.client(await scene.user())
    for field, body in {
        "user_id": client_body(user_id=999, membership_id=membership_id),
        "membership_id": client_body(user_id=owner.user_id, membership_id=999),
    }.items():
        with pytest.raises(UnknownReference, match=r" 999 to refer to\.$") as refused:
            await scene.do(RegisterClient(body))
        assert refused.value.field == field
        with pytest.raises(UnknownReference) as refused:
            await scene.do(ChangeClient(client_id, {field: 999}))
        assert refused.value.field == field
    await scene.do(DeleteMembership(membership_id))
    with pytest.raises(UnknownReference):
        await scene.client(owner, membership_id=membership_id)


async def test_user_and_membership_of_a_client_who_left_are_free(scene: Scene) -> None:
    owner, membership_id = await scene.user(), await scene.membership()
    client_id = await scene.client(owner, membership_id=membership_id)
    await scene.do(DeleteClient(client_id))
    again = await scene.client(owner, membership_id=membership_id)
    assert again != client_id
    assert [row["id"] for row in scene.rows("clients")] == [again]


async def test_user_and_membership_that_a_client_changed_away_from_are_free(scene: Scene) -> None:
    owner, other = await scene.user(), await scene.user()
    old, new = await scene.membership(), await scene.membership()
    client_id = await scene.client(owner, membership_id=old)
    await scene.do(ChangeClient(client_id, {"user_id": other.user_id, "membership_id": new}))
    assert await scene.client(owner, membership_id=old) != client_id
    with pytest.raises(UserHasClient):
        await scene.do(ChangeClient(client_id, {"user_id": owner.user_id}))


async def test_a_complete_update_replaces_all_but_a_status_that_is_not_named(scene: Scene) -> None:
    body = await registered(scene)
    await scene.do(ChangeClient(1, {"status": "ON_HOLD"}))
    whole = client_body(user_id=body.user_id, membership_id=body.membership_id, last_name="Byron")
    shown = await scene.body(ChangeClient(1, whole.replacement()), STAFFER)
    assert shown == {
        "id": 1,
        **whole.facts(),
        "gender": None,
        "weight_kg": None,
        "status": "ON_HOLD",
    }
    named = client_body(**{**whole.model_dump(), "status": "ACTIVE"})
    shown = await scene.body(ChangeClient(1, named.replacement()), STAFFER)
    assert shown["status"] == "ACTIVE"


async def test_a_client_replaces_itself_though_the_club_has_put_it_on_hold(scene: Scene) -> None:
    body = await registered(scene)
    await scene.do(ChangeClient(1, {"status": "ON_HOLD"}))
    owner = Caller.user(body.user_id, Role.USER)
    whole = client_body(user_id=body.user_id, membership_id=body.membership_id)
    shown = await scene.body(ChangeClient(1, whole.replacement()), owner)
    assert (shown["gender"], shown["status"]) == (None, "ON_HOLD")


async def test_a_partial_update_leaves_the_rest(scene: Scene) -> None:
    body = await registered(scene)
    changes = ClientChanges.model_validate({"gender": None, "height_sm": 170})
    shown = await scene.body(ChangeClient(1, changes.named()))
    assert shown == {"id": 1, **body.facts(), "gender": None, "height_sm": "170.00"}


async def test_nobody_is_born_tomorrow(scene: Scene) -> None:
    owner, membership_id = await scene.user(), await scene.membership()
    for born in ("2026-03-03", "2199-12-31"):
        with pytest.raises(NotBornYet):
            await scene.client(owner, membership_id=membership_id, date_of_birth=born)
    client_id = await scene.client(owner, date_of_birth="2026-03-02")
    with pytest.raises(NotBornYet):
        await scene.do(ChangeClient(client_id, {"date_of_birth": "2026-03-03"}))


async def test_nothing_follows_for_a_client_who_is_gone(scene: Scene) -> None:
    client_id = await scene.client()
    await scene.do(DeleteClient(client_id))
    head = scene.head
    await scene.do(AdmitClient(client_id, 1, "2026-03-02T09:00:00.000000Z"))
    await scene.do(WithdrawAdmission(client_id, 1))
    assert scene.head == head


async def test_a_membership_that_was_shared_has_one_holder_when_it_is_not_shared_any_more() -> None:
    sharing = Scene(Rules(shared_memberships=True))
    membership_id = await sharing.membership()
    first = await sharing.client(membership_id=membership_id)
    second = await sharing.client(membership_id=membership_id)
    await sharing.do(DeleteClient(first))
    services = replace(sharing.services, first_rules=Rules(shared_memberships=False))
    strict = Scene(services=services)
    newcomer = (await sharing.user()).user_id
    with pytest.raises(MembershipHeld, match=rf"client-{second}[.]$"):
        await strict.do(RegisterClient(client_body(user_id=newcomer, membership_id=membership_id)))
    await strict.do(DeleteClient(second))
    await strict.do(RegisterClient(client_body(user_id=newcomer, membership_id=membership_id)))


async def test_who_has_been_a_client_is_taken_back_by_the_club_only(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    await scene.do(DeleteClient(client_id), owner)
    again = client_body(user_id=owner.user_id, membership_id=await scene.membership())
    with pytest.raises(ComesBack):
        await scene.do(RegisterClient(again), owner)
    assert await scene.made(RegisterClient(again), STAFFER) != client_id


async def test_a_late_payment_does_not_bring_back_the_client_of_a_user_who_left(
    scene: Scene,
) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    payment_id = await scene.payment(client_id)
    assert owner.user_id is not None
    await scene.do(DeleteUser(owner.user_id))
    await scene.do(
        ChangePayment(
            payment_id,
            PaymentBody(client_id=client_id, membership_id=1, payment_status=PaymentStatus.PAID),
        )
    )
    assert scene.status(client_id) == "INACTIVE"
    assert scene.until(client_id) is not None
