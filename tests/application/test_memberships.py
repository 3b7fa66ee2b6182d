"""Commands about memberships."""

from __future__ import annotations

from typing import Any

import pytest

from application.clients import ChangeClient, DeleteClient
from application.memberships import (
    AddMembership,
    ChangeMembership,
    DeleteMembership,
    MembershipBody,
    MembershipChanges,
)
from application.ports.services import Rules
from domain.refusals import NotFound
from domain.reservations import MembershipHeld
from tests.application.scene import Scene

VIP: dict[str, Any] = {"access_level": "VIP", "description": "at any hour", "price": "99.9"}


async def test_a_membership_is_shown_as_it_is_sold(scene: Scene) -> None:
    body = await scene.body(AddMembership(MembershipBody(**VIP)))
    assert body == {"id": 1, **VIP, "price": "99.90"}


async def test_a_complete_update_replaces_everything(scene: Scene) -> None:
    await scene.do(AddMembership(MembershipBody(**VIP)))
    body = await scene.body(ChangeMembership(1, MembershipBody(price="10").facts()))
    assert body == {"id": 1, "access_level": None, "description": None, "price": "10.00"}


async def test_a_partial_update_leaves_the_rest(scene: Scene) -> None:
    await scene.do(AddMembership(MembershipBody(**VIP)))
    changes = MembershipChanges.model_validate({"description": None})
    body = await scene.body(ChangeMembership(1, changes.named()))
    assert body == {"id": 1, **VIP, "price": "99.90", "description": None}


async def test_a_membership_that_a_client_holds_is_not_deleted(scene: Scene) -> None:
    membership_id = await scene.membership()
    client_id = await scene.client(membership_id=membership_id)
    words = rf"^This membership is issued to client-{client_id}\.$"
    with pytest.raises(MembershipHeld, match=words):
        await scene.do(DeleteMembership(membership_id))
    await scene.do(DeleteClient(client_id))
    await scene.do(DeleteMembership(membership_id))
    assert scene.rows("memberships") == []
    with pytest.raises(NotFound):
        await scene.do(DeleteMembership(membership_id))


async def test_a_shared_membership_is_not_deleted_while_one_client_holds_it() -> None:
    scene = Scene(Rules(shared_memberships=True))
    membership_id, other = await scene.membership(), await scene.membership()
    first, second = [await scene.client(membership_id=membership_id) for _ in range(2)]
    await scene.do(DeleteClient(first))
    with pytest.raises(MembershipHeld):
        await scene.do(DeleteMembership(membership_id))
    await scene.do(ChangeClient(second, {"membership_id": other}))
    await scene.do(DeleteMembership(membership_id))
    assert [row["id"] for row in scene.rows("memberships")] == [other]


async def test_a_payment_does_not_keep_a_membership_from_being_deleted(scene: Scene) -> None:
    membership_id = await scene.membership()
    client_id = await scene.client(membership_id=membership_id)
    await scene.payment(client_id)
    await scene.do(ChangeClient(client_id, {"membership_id": await scene.membership()}))
    await scene.do(DeleteMembership(membership_id))
    assert scene.rows("payments")[0]["membership_id"] == membership_id
