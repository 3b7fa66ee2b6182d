"""What time does by itself: late, twice or at once, it happens once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from application.bus import Bus
from application.clients import ChangeClient, DeleteClient, LapseClient
from application.housekeeping import expire_what_is_due
from application.payments import DeletePayment, ExpirePayment
from application.ports.services import Rules
from domain.clients import NotLapsed
from domain.payments import NotOverdue
from domain.values import PaymentStatus
from tests.application.scene import Scene, pausing_scene, tables_stop_following

MOMENT = timedelta(microseconds=1)
PAID = PaymentStatus.PAID


async def sweep(scene: Scene, bus: Bus | None = None) -> int:
    return await expire_what_is_due(bus or scene.bus, scene.services)


def expiries(scene: Scene) -> list[str]:
    """Whom time has ended something for, in order."""
    return [who for who, what in scene.since(0) if what.endswith(".expired")]


async def test_a_payment_that_nobody_settles_in_24_hours_expires(scene: Scene) -> None:
    payment_id = await scene.payment(await scene.client())
    scene.services.clock.let_pass(timedelta(hours=24))
    assert await sweep(scene) == 0
    scene.services.clock.let_pass(MOMENT)
    assert await sweep(scene) == 1
    assert scene.row("payments", payment_id)["payment_status"] == "EXPIRED"


async def test_a_client_becomes_expired_when_the_paid_time_has_ended(scene: Scene) -> None:
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    scene.services.clock.let_pass(timedelta(days=30) - MOMENT)
    assert await sweep(scene) == 0
    assert scene.status(client_id) == "ACTIVE"
    scene.services.clock.let_pass(MOMENT)
    assert await sweep(scene) == 1
    assert scene.status(client_id) == "EXPIRED"


async def test_only_what_has_ended_is_ended(scene: Scene) -> None:
    """The earlier service compared the wrong way round, and ended what was still running."""
    ended = await scene.client()
    await scene.payment(ended, PAID)
    overdue = await scene.payment(ended)
    scene.services.clock.let_pass(timedelta(days=30))
    running, never_paid = await scene.client(), await scene.client()
    await scene.payment(running, PAID)
    await scene.payment(running)
    assert await sweep(scene) == 2
    assert sorted(expiries(scene)) == [f"client-{ended}", f"payment-{overdue}"]
    assert scene.status(never_paid) == "ACTIVE"


@pytest.mark.parametrize("status", ["ON_HOLD", "INACTIVE", "CANCELLED", "UPCOMING"])
async def test_a_client_who_is_not_active_is_left_as_it_is(scene: Scene, status: str) -> None:
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    await scene.do(ChangeClient(client_id, {"status": status}))
    scene.services.clock.let_pass(timedelta(days=31))
    assert await sweep(scene) == 0
    assert scene.status(client_id) == status


async def test_a_late_sweep_ends_what_ended_long_ago_and_a_second_one_nothing(
    scene: Scene,
) -> None:
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    await scene.payment(client_id)
    scene.services.clock.let_pass(timedelta(days=365))
    assert await sweep(scene) == 2
    assert await sweep(scene) == 0
    assert len(expiries(scene)) == 2


async def test_sweeps_at_the_same_instant_in_two_processes_end_it_once() -> None:
    scene = pausing_scene()
    for _ in range(3):
        client_id = await scene.client()
        await scene.payment(client_id, PAID)
        await scene.payment(client_id)
    scene.services.clock.let_pass(timedelta(days=31))
    done = await asyncio.gather(
        sweep(scene), sweep(scene, Bus(scene.services)), sweep(scene, Bus(scene.services))
    )
    assert sum(done) == 6
    assert len(expiries(scene)) == len(set(expiries(scene))) == 6


async def test_what_was_settled_prolonged_or_deleted_meanwhile_is_left_alone(
    scene: Scene,
) -> None:
    prolonged, deleted = await scene.client(), await scene.client()
    for client_id in (prolonged, deleted):
        await scene.payment(client_id, PAID)
    thrown_away = await scene.payment(prolonged)
    scene.services.clock.let_pass(timedelta(days=30))
    behind = tables_stop_following(scene)
    await scene.payment(prolonged, PAID)
    await scene.do(DeleteClient(deleted))
    await scene.do(DeletePayment(thrown_away))
    services = behind._services
    assert await expire_what_is_due(behind, services) == 0
    assert expiries(scene) == []
    assert scene.status(prolonged) == "ACTIVE"


async def test_both_periods_are_settings() -> None:
    scene = Scene(Rules(paid_days=7, payment_patience_hours=1))
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    await scene.payment(client_id)
    scene.services.clock.let_pass(timedelta(hours=1) + MOMENT)
    assert await sweep(scene) == 1
    scene.services.clock.let_pass(timedelta(days=7))
    assert await sweep(scene) == 1
    assert scene.status(client_id) == "EXPIRED"


async def test_what_time_does_is_the_clubs_doing(scene: Scene) -> None:
    await scene.payment(await scene.client())
    scene.services.clock.let_pass(timedelta(days=2))
    await sweep(scene)
    recording, submission = scene.ledger.log[-1]
    assert (submission.actor, recording.command) == ("club", "expire-payment")
    assert submission.correlation_id.startswith("housekeeping-")


async def test_a_step_that_is_asked_for_too_early_is_refused(scene: Scene) -> None:
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    payment_id = await scene.payment(client_id)
    with pytest.raises(NotOverdue):
        await scene.do(ExpirePayment(payment_id))
    with pytest.raises(NotLapsed):
        await scene.do(LapseClient(client_id))
