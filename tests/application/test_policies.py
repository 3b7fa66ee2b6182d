"""What follows from what: the pure table, and through the bus, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from application.clients import (
    AdmitClient,
    ChangeClient,
    DeactivateClientOf,
    DeleteClient,
    WithdrawAdmission,
)
from application.command import Command
from application.exercises import DeleteExercise
from application.memberships import DeleteMembership
from application.policies import consequences
from application.sessions import EndSessionsOf
from application.training_plans import (
    DeletePlan,
    RemoveTrainingFromPlan,
    RemoveTrainingFromPlans,
    UnpinPlan,
    UnpinPlansFrom,
)
from application.trainings import (
    ChangeTraining,
    DeleteTraining,
    DeleteTrainingsOf,
    RemoveExerciseEverywhere,
    RemoveExerciseFromTraining,
)
from application.users import DeleteUser
from domain import (
    clients,
    exercises,
    memberships,
    payments,
    sessions,
    training_plans,
    trainings,
    users,
)
from domain.aggregate import Event
from domain.refusals import Busy
from domain.reservations import MembershipHeld
from domain.sessions import Ending
from domain.values import PaymentStatus
from tests.application.fakes import A_MORNING
from tests.application.scene import Scene, tables_stop_following
from tests.application.test_access import things_of

MOMENT = "2026-01-31T09:00:00.000000Z"


def happened(kind: type[Event], stream: str, **facts: Any) -> Event:
    common = {"originator_id": stream, "originator_version": 2, "timestamp": A_MORNING}
    return kind(**common, **facts)


@pytest.mark.parametrize(
    ("event", "commands"),
    [
        (
            happened(users.Deleted, "user-7"),
            [DeactivateClientOf(7), EndSessionsOf(7, Ending.USER_DELETED)],
        ),
        (
            happened(users.PasswordChanged, "user-7", password_hash="h2"),
            [EndSessionsOf(7, Ending.PASSWORD_CHANGED)],
        ),
        (
            happened(users.TelegramUnbound, "user-7", origin="192.0.2.7"),
            [EndSessionsOf(7, Ending.TELEGRAM_UNBOUND)],
        ),
        (happened(users.RoleChanged, "user-7", role="USER", origin="192.0.2.7"), []),
        (happened(users.SignedIn, "user-7", session_id=3, origin="192.0.2.7"), []),
        (happened(users.TelegramBound, "user-7", telegram_id=5, origin="192.0.2.7"), []),
        (happened(sessions.TokenReused, "session-3", generation=1, origin="192.0.2.7"), []),
        (happened(sessions.Ended, "session-3", why="logged-out", origin="192.0.2.7"), []),
        (happened(clients.Deleted, "client-42"), [DeleteTrainingsOf(42), UnpinPlansFrom(42)]),
        (happened(trainings.Deleted, "training-9"), [RemoveTrainingFromPlans(9)]),
        (happened(exercises.Deleted, "exercise-5"), [RemoveExerciseEverywhere(5)]),
        (
            happened(
                payments.Settled,
                "payment-1",
                client_id=42,
                occurred_at=MOMENT,
                collector="club",
                reference=None,
            ),
            [AdmitClient(42, 1, MOMENT)],
        ),
        (
            happened(payments.Refunded, "payment-1", client_id=42, occurred_at=MOMENT),
            [WithdrawAdmission(42, 1)],
        ),
        (happened(payments.Expired, "payment-1", occurred_at=MOMENT), []),
        (happened(payments.Deleted, "payment-1"), []),
        (happened(clients.Expired, "client-42"), []),
        (happened(memberships.Deleted, "membership-3"), []),
        (happened(training_plans.Deleted, "training-plan-4"), []),
        (happened(trainings.ExerciseRemoved, "training-9", exercise_id=5), []),
    ],
    ids=lambda case: case.TOPIC if isinstance(case, Event) else "",
)
def test_an_event_is_answered_with_these_commands(
    event: Event, commands: Sequence[Command]
) -> None:
    assert consequences(event) == commands


# --- in the transaction of their cause ---------------------------------------------------------


def recorded(scene: Scene, position: int) -> list[tuple[str, str, str, str]]:
    """What was recorded after a position: whom, what, by which command, and why."""
    return [
        (r.event.originator_id, r.event.TOPIC, r.command, r.causation_id)
        for r, _ in scene.ledger.log[position:]
    ]


async def test_what_goes_with_a_client_has_events_of_its_own_in_one_transaction(
    scene: Scene,
) -> None:
    owner = await scene.user()
    things = await things_of(scene, owner)
    head = scene.head
    await scene.do(DeleteClient(things.client_id), owner, correlation_id="a conversation")

    told = recorded(scene, head)
    why = {(stream, topic): (command, cause) for stream, topic, command, cause in told}
    assert len(why) == len(told)
    client, training = f"client-{things.client_id}", f"training-{things.training_id}"
    empty, plan = f"training-{things.free_training_id}", f"training-plan-{things.plan_id}"
    command_id = why[client, "client.deleted"][1]
    gone = next(e for e in scene.ledger.events if e.TOPIC == "client.deleted").event_id
    training_gone = next(
        e
        for e in scene.ledger.events
        if (e.originator_id, e.TOPIC) == (training, "training.deleted")
    ).event_id
    reservations = {key: why.pop(key) for key in list(why) if key[1] == "reservation.released"}
    assert list(reservations.values()) == [("delete-client", command_id)] * 2
    assert why == {
        (client, "client.deleted"): ("delete-client", command_id),
        (training, "training.exercise-removed"): ("delete-trainings-of", gone),
        (training, "training.deleted"): ("delete-trainings-of", gone),
        (empty, "training.deleted"): ("delete-trainings-of", gone),
        (plan, "training-plan.unpinned-from-client"): ("unpin-plans-from", gone),
        (plan, "training-plan.training-removed"): ("remove-training-from-plans", training_gone),
    }
    submissions = {id(submission): submission for _, submission in scene.ledger.log[head:]}
    (submission,) = submissions.values()
    assert submission.actor == owner.actor
    assert submission.correlation_id == "a conversation"
    assert submission.command_id == command_id
    for table in ("trainings", "trainings_exercises", "training_plan_trainings"):
        assert scene.rows(table) == []
    assert things.client_id not in [row["id"] for row in scene.rows("clients")]
    assert scene.rows("clients_training_plan") == []
    paid = [row["client_id"] for row in scene.rows("payments")]
    assert things.client_id in paid, "payments outlive their client"


async def test_an_exercise_that_is_gone_leaves_every_training(scene: Scene) -> None:
    squat, lunge = await scene.exercise("Squat"), await scene.exercise("Lunge")
    client_id = await scene.client()
    both, one = (
        await scene.training(client_id, squat, lunge),
        await scene.training(client_id, squat),
    )
    await scene.training(client_id, lunge)
    head = scene.head
    await scene.do(DeleteExercise(squat))
    assert scene.since(head)[-2:] == [
        (f"training-{both}", "training.exercise-removed"),
        (f"training-{one}", "training.exercise-removed"),
    ]
    assert {row["exercise_id"] for row in scene.rows("trainings_exercises")} == {lunge}


async def test_a_training_that_is_gone_leaves_every_plan(scene: Scene) -> None:
    owner = await scene.user()
    training_id = await scene.training(await scene.client(owner))
    plans = [await scene.plan(owner, training_id) for _ in range(2)]
    head = scene.head
    await scene.do(DeleteTraining(training_id), owner)
    assert scene.since(head) == [
        (f"training-{training_id}", "training.deleted"),
        *((f"training-plan-{n}", "training-plan.training-removed") for n in plans),
    ]


async def test_the_client_of_a_user_who_left_becomes_inactive(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    head = scene.head
    await scene.do(DeleteUser(owner.user_id or 0), owner)
    told = recorded(scene, head)
    assert told == [
        ("user-1", "user.deleted", "delete-user", told[0][3]),
        (f"client-{client_id}", "client.deactivated", "deactivate-client-of", "user-1/2"),
    ]
    assert {s.actor for _, s in scene.ledger.log[head:]} == {"user-1"}


async def test_a_user_who_is_no_client_leaves_alone(scene: Scene) -> None:
    owner = await scene.user()
    head = scene.head
    await scene.do(DeleteUser(owner.user_id or 0), owner)
    assert scene.since(head) == [("user-1", "user.deleted")]


async def test_a_payment_that_is_settled_lets_the_client_in_in_the_same_transaction(
    scene: Scene,
) -> None:
    client_id = await scene.client(status="EXPIRED")
    payment_id = await scene.payment(client_id)
    head = scene.head
    await scene.payment(client_id, PaymentStatus.PAID)
    told = [t for t in recorded(scene, head) if t[1] != "membership.added"][1:]
    assert told == [
        ("payment-2", "payment.settled", "change-payment", told[0][3]),
        (f"client-{client_id}", "client.admitted", "admit-client", "payment-2/2"),
        (f"client-{client_id}", "client.activated", "admit-client", "payment-2/2"),
    ]
    assert len({id(s) for _, s in scene.ledger.log[-3:]}) == 1
    assert payment_id == 1


async def test_a_policy_is_not_bound_by_the_version_that_the_request_named(scene: Scene) -> None:
    owner = await scene.user()
    training_id = await scene.training(await scene.client(owner))
    plan_id = await scene.plan(owner, training_id)
    await scene.do(DeleteTraining(training_id), owner, versions={1})
    assert (f"training-plan-{plan_id}", "training-plan.training-removed") == scene.since(0)[-1]


# --- where the read tables are behind ----------------------------------------------------------


async def behind(scene: Scene, *since: Command, then: Command) -> list[tuple[str, str]]:
    """What `then` does where the read tables do not show `since` yet."""
    bus, scene_bus = tables_stop_following(scene), scene.bus
    for command in since:
        await scene.do(command)
    head = scene.head
    scene.bus = bus
    try:
        await scene.do(then)
    finally:
        scene.bus = scene_bus
    return [told for told in scene.since(head) if not told[0].startswith("reservation")]


async def test_a_training_given_to_another_client_meanwhile_is_not_deleted_with_the_first(
    scene: Scene,
) -> None:
    first, other = await scene.client(), await scene.client()
    training_id = await scene.training(first)
    told = await behind(
        scene, ChangeTraining(training_id, {"client_id": other}), then=DeleteClient(first)
    )
    assert told == [(f"client-{first}", "client.deleted")]
    assert scene.row("trainings", training_id)["client_id"] == other


async def test_what_let_go_meanwhile_is_no_reason_to_refuse(scene: Scene) -> None:
    owner = await scene.user()
    client_id, exercise_id = await scene.client(owner), await scene.exercise()
    training_id = await scene.training(client_id, exercise_id)
    plan_id = await scene.plan(owner, training_id, clients=[client_id])
    assert await behind(
        scene,
        RemoveExerciseFromTraining(training_id, exercise_id),
        then=DeleteExercise(exercise_id),
    ) == [(f"exercise-{exercise_id}", "exercise.deleted")]
    assert await behind(
        scene, RemoveTrainingFromPlan(plan_id, training_id), then=DeleteTraining(training_id)
    ) == [(f"training-{training_id}", "training.deleted")]
    assert await behind(scene, UnpinPlan(client_id, plan_id), then=DeleteClient(client_id)) == [
        (f"client-{client_id}", "client.deleted")
    ]


async def test_what_is_gone_meanwhile_is_no_reason_to_refuse(scene: Scene) -> None:
    owner = await scene.user()
    client_id, exercise_id = await scene.client(owner), await scene.exercise()
    training_id = await scene.training(client_id, exercise_id)
    kept = await scene.training(client_id)
    plan_id = await scene.plan(owner, kept, clients=[client_id])
    assert await behind(scene, DeleteTraining(training_id), then=DeleteExercise(exercise_id)) == [
        (f"exercise-{exercise_id}", "exercise.deleted")
    ]
    assert await behind(scene, DeletePlan(plan_id), then=DeleteTraining(kept)) == [
        (f"training-{kept}", "training.deleted")
    ]
    one_more = await scene.training(client_id)
    await scene.plan(owner, clients=[client_id])
    gone = [DeleteTraining(one_more), DeletePlan(plan_id + 1)]
    assert await behind(scene, *gone, then=DeleteClient(client_id)) == [
        (f"client-{client_id}", "client.deleted")
    ]


async def test_a_membership_is_free_as_soon_as_its_holder_has_another(scene: Scene) -> None:
    old, new = await scene.membership(), await scene.membership()
    client_id = await scene.client(membership_id=old)
    told = await behind(
        scene, ChangeClient(client_id, {"membership_id": new}), then=DeleteMembership(old)
    )
    assert told == [(f"membership-{old}", "membership.deleted")]
    with pytest.raises(MembershipHeld):
        await scene.do(DeleteMembership(new))


async def test_whoever_joined_unseen_keeps_a_decision_from_being_recorded(scene: Scene) -> None:
    """Tables that never catch up: the club gives way rather than leave a training behind."""
    client_id = await scene.client()
    following, scene.bus = scene.bus, tables_stop_following(scene)
    behind_bus, scene.bus = scene.bus, following
    training_id = await scene.training(client_id)
    head, scene.bus = scene.head, behind_bus
    with pytest.raises(Busy):
        await scene.do(DeleteClient(client_id))
    assert scene.since(head) == []
    assert scene.row("trainings", training_id)["client_id"] == client_id
