"""Links that open a page: for whom they are made, and what of them is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from application.page_links import (
    GOOD_FOR,
    MakePageLink,
    MakePageLinkFor,
    NobodyReads,
    NoReader,
    PageLinkBody,
    RevokePageLink,
)
from application.users import DeleteUser
from domain.page_links import Made, Revoked
from domain.refusals import Forbidden, NotFound
from domain.values import Role
from tests.application.scene import Scene

READERS = (Role.ADMIN, Role.ANALYST)
MAKE = MakePageLink(PageLinkBody())


@pytest.mark.parametrize("role", Role)
async def test_who_reads_reports_makes_a_link_for_themselves(scene: Scene, role: Role) -> None:
    caller = await scene.user(role)
    if role not in READERS:
        with pytest.raises(Forbidden):
            await scene.do(MAKE, caller)
        return
    outcome = await scene.do(MAKE, caller)
    ends_at = int((scene.services.clock.at + GOOD_FOR).timestamp())
    assert outcome.shown is not None
    assert outcome.shown["url"] == f"/reports/overview/?link=overview.1.{caller.user_id}.{ends_at}"
    made = scene.ledger.events[-1]
    assert isinstance(made, Made)
    assert (made.user_id, made.page) == (caller.user_id, "overview")


async def test_the_link_is_in_no_receipt_and_no_event(scene: Scene) -> None:
    analyst = await scene.user(Role.ANALYST)
    first = await scene.do(MAKE, analyst, key="k")
    again = await scene.do(MAKE, analyst, key="k")
    assert first.shown is not None
    assert again.shown == {**first.shown, "url": None}
    assert [e for e in scene.ledger.events if "overview.1" in str(vars(e))] == []


@pytest.mark.parametrize("role", Role)
async def test_at_the_machine_a_link_is_for_whoever_may_read(scene: Scene, role: Role) -> None:
    user = await scene.user(role)
    assert user.user_id is not None
    if role in READERS:
        assert await scene.made(MakePageLinkFor(user.user_id)) == 1
        return
    with pytest.raises(NoReader, match=f"is {role.value}"):
        await scene.do(MakePageLinkFor(user.user_id))


async def test_a_link_is_for_somebody(scene: Scene) -> None:
    with pytest.raises(NobodyReads):
        await scene.do(MAKE)
    admin, analyst = await scene.user(Role.ADMIN), await scene.user(Role.ANALYST)
    await scene.do(DeleteUser(analyst.user_id or 0), admin)
    with pytest.raises(NotFound):
        await scene.do(MakePageLinkFor(analyst.user_id or 0))


async def test_a_link_is_revoked_by_its_reader_or_an_admin_and_by_nobody_else(
    scene: Scene,
) -> None:
    reader, another = await scene.user(Role.ANALYST), await scene.user(Role.ANALYST)
    first, second = await scene.made(MAKE, reader), await scene.made(MAKE, reader)
    with pytest.raises(NotFound):
        await scene.do(RevokePageLink(first), another)
    with pytest.raises(Forbidden):
        await scene.do(RevokePageLink(first), await scene.user(Role.STAFFER))
    await scene.do(RevokePageLink(first), reader)
    await scene.do(RevokePageLink(second), await scene.user(Role.ADMIN))
    revoked = [e.number for e in scene.ledger.events if isinstance(e, Revoked)]
    assert revoked == [first, second]


async def test_revoking_what_is_over_changes_nothing(scene: Scene) -> None:
    reader = await scene.user(Role.ANALYST)
    revoked, old = await scene.made(MAKE, reader), await scene.made(MAKE, reader)
    await scene.do(RevokePageLink(revoked), reader)
    scene.services.clock.let_pass(GOOD_FOR + timedelta(seconds=1))
    for number in (revoked, old):
        assert (await scene.do(RevokePageLink(number), reader)).position == 0
