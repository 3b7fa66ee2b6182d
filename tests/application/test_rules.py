"""The rules of the club, as commands change them and decisions follow them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace

import pytest

from application.access import Caller
from application.clients import DeleteClient, RegisterClient
from application.ports.services import Rules
from application.reports import DrawUpReport, ReportBody
from application.rules import AdoptRules, ChangeRules
from domain.refusals import Forbidden, PreconditionFailed
from domain.reports import DrawnUp
from domain.reservations import MembershipHeld
from domain.rules import StillShared
from domain.values import PaymentStatus, Role
from tests.application.scene import Scene, client_body, pausing_scene

ADMIN = Caller.user(1, Role.ADMIN)


@pytest.fixture
async def ruled() -> Scene:
    scene = Scene()
    await scene.do(AdoptRules(asdict(Rules())))
    return scene


async def test_settings_are_the_first_value_and_nothing_else(ruled: Scene) -> None:
    other = Scene(services=replace(ruled.services, first_rules=Rules(paid_days=7)))
    assert (await other.bus.rules()).paid_days == 30
    await other.do(AdoptRules(asdict(Rules(paid_days=7))))
    assert (await other.bus.rules()).paid_days == 30


async def test_a_club_that_has_adopted_none_goes_by_its_settings() -> None:
    scene = Scene(Rules(paid_days=7))
    assert (await scene.bus.rules()).paid_days == 7
    await scene.do(ChangeRules({"payment_patience_hours": 8}))
    assert await scene.bus.rules() == Rules(paid_days=7, payment_patience_hours=8)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_only_an_admin_changes_them(ruled: Scene, role: Role) -> None:
    with pytest.raises(Forbidden):
        await ruled.do(ChangeRules({"paid_days": 1}), Caller.user(1, role))


async def test_a_change_may_name_the_version_that_it_rests_on(ruled: Scene) -> None:
    await ruled.do(ChangeRules({"paid_days": 31}), ADMIN, versions={1})
    with pytest.raises(PreconditionFailed):
        await ruled.do(ChangeRules({"paid_days": 32}), ADMIN, versions={1})


async def test_days_are_bought_by_the_rule_of_the_moment(ruled: Scene) -> None:
    first, second = await ruled.client(), await ruled.client()
    await ruled.payment(first, PaymentStatus.PAID)
    await ruled.do(ChangeRules({"paid_days": 7}), ADMIN)
    await ruled.payment(second, PaymentStatus.PAID)
    days = [
        event.days  # type: ignore[attr-defined]
        for event in ruled.ledger.events
        if event.TOPIC == "client.admitted"
    ]
    assert days == [30, 7]


async def test_a_report_is_of_the_days_of_the_zone_that_holds(ruled: Scene) -> None:
    await ruled.do(ChangeRules({"timezone": "Pacific/Auckland"}), ADMIN)
    await ruled.do(DrawUpReport(ReportBody(report_date_start="2026-03-02")))
    event = ruled.ledger.events[-1]
    assert isinstance(event, DrawnUp)
    assert (event.starts_at, event.ends_before) == (
        "2026-03-01T11:00:00.000000Z",
        "2026-03-02T11:00:00.000000Z",
    )


async def test_memberships_are_shared_from_one_command_to_the_next(ruled: Scene) -> None:
    membership = await ruled.membership()
    holder = await ruled.client(membership_id=membership)
    newcomer = (await ruled.user()).user_id
    command = RegisterClient(client_body(user_id=newcomer, membership_id=membership))
    with pytest.raises(MembershipHeld):
        await ruled.do(command)
    await ruled.do(ChangeRules({"shared_memberships": True}), ADMIN)
    await ruled.do(command)
    with pytest.raises(StillShared, match=f"membership {membership}:"):
        await ruled.do(ChangeRules({"shared_memberships": False}), ADMIN)
    await ruled.do(DeleteClient(holder))
    await ruled.do(ChangeRules({"shared_memberships": False}), ADMIN)


async def test_a_second_holder_and_the_end_of_sharing_do_not_both_happen() -> None:
    """Each is decided on what it looked at, and of two at once one is decided again."""
    scene = pausing_scene(Rules(shared_memberships=True))
    await scene.do(AdoptRules(asdict(Rules(shared_memberships=True))))
    membership = await scene.membership()
    await scene.client(membership_id=membership)
    newcomer = (await scene.user()).user_id
    command = RegisterClient(client_body(user_id=newcomer, membership_id=membership))
    outcomes = await asyncio.gather(
        scene.do(command),
        scene.do(ChangeRules({"shared_memberships": False})),
        return_exceptions=True,
    )
    assert [type(one) for one in outcomes if isinstance(one, Exception)] in (
        [StillShared],
        [MembershipHeld],
    )
