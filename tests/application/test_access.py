"""Who may do what: the table in full, and the commands that keep to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from application.access import ANYBODY, RULES, THE_CLUB, Caller, Permission, allow, reaches_all
from application.clients import (
    ChangeClient,
    DeleteClient,
    GrantBody,
    GrantDays,
    RegisterClient,
)
from application.command import Command
from application.exercises import AddExercise, ChangeExercise, DeleteExercise, ExerciseBody
from application.first_passwords import FirstCodeBody, IssueFirstCode
from application.memberships import (
    AddMembership,
    ChangeMembership,
    DeleteMembership,
    MembershipBody,
)
from application.payments import ChangePayment, DeletePayment, RequestPayment
from application.reports import DrawUpReport, ReportBody
from application.rules import ChangeRules
from application.sessions import EndSession, UnbindTelegram
from application.subscriptions import Subscribe
from application.training_plans import (
    AddTrainingToPlan,
    ChangePlan,
    DeletePlan,
    DrawUpPlan,
    PinBody,
    PinPlan,
    RemoveTrainingFromPlan,
    ScheduleBody,
    SchedulePlan,
    TrainingInPlanBody,
    TrainingOnDay,
    TrainingPlanBody,
    UnpinPlan,
)
from application.trainings import (
    AddExerciseToTraining,
    ChangeExerciseInTraining,
    ChangeTraining,
    CopyBody,
    CopyTraining,
    DeleteTraining,
    PlanTraining,
    RemoveExerciseFromTraining,
    TrainingBody,
    TrainingExerciseBody,
)
from application.users import ChangeUser, DeleteUser, RegisterUser
from application.walk_ins import RegisterWalkIn
from domain.refusals import Forbidden, NotFound, Refusal, UnknownReference
from domain.values import ClientStatus, PaymentStatus, PlanStatus, Role
from tests.application.scene import (
    Scene,
    client_body,
    new_user,
    payment_body,
    user_changes,
    walk_in_body,
)

U, A, T, F, S, N, O = Role  # noqa: E741 - USER, ADMIN, TRAINER, STAFFER, SYSTEM, ANALYST, OTHER
EVERYBODY = frozenset(Role)


@dataclass(frozen=True)
class Reach:
    """Who reaches everybody's; and whether anybody reaches their own."""

    roles: frozenset[Role]
    own: bool = False


def only(*roles: Role) -> Reach:
    return Reach(frozenset({A, *roles}))


def own_and(*roles: Role) -> Reach:
    return Reach(frozenset({A, *roles}), own=True)


EXPECTED: Mapping[Permission, Reach] = {
    Permission.USERS_LIST: only(F),
    Permission.USERS_OF_CLIENTS: own_and(F),
    Permission.USERS_FOR_REPORT: only(N),
    Permission.USERS_READ: own_and(),
    Permission.USERS_CHANGE: own_and(),
    Permission.USERS_DELETE: own_and(),
    Permission.USERS_SET_ROLE: only(),
    Permission.USERS_UNBIND_TELEGRAM: own_and(),
    Permission.USERS_FIRST_CODE: only(F),
    Permission.SESSIONS_READ: only(*Role),
    Permission.SESSIONS_END: own_and(),
    Permission.SESSIONS_OF_USERS: own_and(),
    Permission.MEMBERSHIPS_LIST: only(F),
    Permission.MEMBERSHIPS_READ: only(F),
    Permission.MEMBERSHIPS_KEEP: only(),
    Permission.CLIENTS_LIST: only(F),
    Permission.CLIENTS_SEARCH: only(T, F),
    Permission.CLIENTS_READ: own_and(T, F),
    Permission.CLIENTS_KEEP: own_and(F),
    Permission.CLIENTS_DECIDE: only(F),
    Permission.EXERCISES_READ: only(*Role),
    Permission.EXERCISES_KEEP: only(T),
    Permission.EXERCISES_DELETE: only(),
    Permission.TRAININGS_LIST: only(),
    Permission.TRAININGS_READ: own_and(T),
    Permission.TRAININGS_KEEP: own_and(T),
    Permission.TRAINING_PLANS_LIST: only(),
    Permission.TRAINING_PLANS_READ: own_and(T),
    Permission.TRAINING_PLANS_KEEP: own_and(T),
    Permission.PAYMENTS_LIST: only(F, S),
    Permission.PAYMENTS_READ: own_and(F, S),
    Permission.PAYMENTS_KEEP: own_and(F, S),
    Permission.PAYMENTS_SETTLE: only(F, S),
    Permission.CLIENTS_GRANT: only(F),
    Permission.CLIENTS_WALK_IN: only(F),
    Permission.PAYMENTS_SECOND_COLLECTIONS: only(F),
    Permission.PROVIDERS_KEEP: only(),
    Permission.REPORTS_DRAW_UP: only(N, S),
    Permission.REPORTS_READ: only(N),
    Permission.PAGE_LINKS_REVOKE: own_and(),
    Permission.RULES_READ: only(),
    Permission.RULES_CHANGE: only(),
    Permission.HISTORY_READ: only(),
    Permission.HISTORY_OF_OWN: own_and(),
    Permission.HEALTH_DETAILS: only(),
}


def test_the_table_is_told_in_full_here() -> None:
    assert set(EXPECTED) == set(RULES) == set(Permission)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", EXPECTED)
def test_each_role_reaches_what_it_should_by_each_permission(
    permission: Permission, role: Role
) -> None:
    caller, missing = Caller.user(7, role), NotFound(what="thing", id=1)
    reach = EXPECTED[permission]
    if role in reach.roles:
        assert reaches_all(caller, permission)
        allow(caller, permission, owner=8, missing=missing)
        allow(caller, permission, owner=None, missing=missing)
    elif reach.own:
        assert not reaches_all(caller, permission)
        allow(caller, permission, owner=7, missing=missing)
        for owner in (8, None):
            with pytest.raises(NotFound):
                allow(caller, permission, owner=owner, missing=missing)
    else:
        for owner in (7, 8, None):
            with pytest.raises(Forbidden):
                allow(caller, permission, owner=owner, missing=missing)


@pytest.mark.parametrize("permission", EXPECTED)
def test_the_club_itself_reaches_everything(permission: Permission) -> None:
    assert reaches_all(THE_CLUB, permission)


@pytest.mark.parametrize("permission", [p for p, reach in EXPECTED.items() if reach.own])
def test_what_belongs_to_nobody_is_not_that_of_those_who_have_not_signed_in(
    permission: Permission,
) -> None:
    with pytest.raises(NotFound):
        allow(ANYBODY, permission, owner=None, missing=NotFound(what="thing", id=1))


# --- every command, by every role, on one's own and on another's -------------------------------


@dataclass(frozen=True)
class Things:
    """One user, and all that is theirs; and what is everybody's."""

    user_id: int
    client_id: int
    membership_id: int
    training_id: int
    exercise_id: int
    plan_id: int
    payment_id: int
    free_exercise_id: int
    free_training_id: int
    free_plan_id: int
    free_user_id: int
    free_membership_id: int
    taken_in_user_id: int
    session_id: int


async def things_of(scene: Scene, owner: Caller) -> Things:
    assert owner.user_id is not None
    membership_id = await scene.membership()
    client_id = await scene.client(owner, membership_id=membership_id)
    exercise_id = await scene.exercise("Squat")
    training_id = await scene.training(client_id, exercise_id)
    return Things(
        user_id=owner.user_id,
        client_id=client_id,
        membership_id=membership_id,
        training_id=training_id,
        exercise_id=exercise_id,
        plan_id=await scene.plan(owner, training_id, clients=[client_id]),
        payment_id=await scene.payment(client_id),
        free_exercise_id=await scene.exercise("Lunge"),
        free_training_id=await scene.training(client_id),
        free_plan_id=await scene.plan(owner),
        free_user_id=(await scene.user()).user_id or 0,
        free_membership_id=await scene.membership(),
        taken_in_user_id=await scene.walk_in(email="grace@example.com"),
        session_id=await scene.session(owner, telegram_id=5),
    )


@dataclass(frozen=True)
class Case:
    """A command, who may give it, and the refusal where the thing is another's."""

    command: Callable[[Things], Command]
    reach: Reach
    hidden: type[Refusal] = NotFound


TRAINER, CLERK, CASHIER = own_and(T), own_and(F), own_and(F, S)
CASES: Mapping[str, Case] = {
    "change a user": Case(
        lambda t: ChangeUser(t.user_id, user_changes(username="lovelace")), own_and()
    ),
    "delete a user": Case(lambda t: DeleteUser(t.user_id), own_and()),
    "unbind a Telegram account": Case(lambda t: UnbindTelegram(t.user_id), own_and()),
    "log out": Case(lambda t: EndSession(t.session_id), own_and()),
    "add a membership": Case(lambda _: AddMembership(MembershipBody(price="1")), only()),
    "change a membership": Case(
        lambda t: ChangeMembership(t.membership_id, {"price": "1.00"}), only()
    ),
    "delete a membership": Case(lambda t: DeleteMembership(t.free_membership_id), only()),
    "change a client": Case(lambda t: ChangeClient(t.client_id, {"first_name": "Al"}), CLERK),
    "delete a client": Case(lambda t: DeleteClient(t.client_id), CLERK),
    "grant days": Case(
        lambda t: GrantDays(t.client_id, GrantBody(days=10, reason="The pool was closed.")), only(F)
    ),
    "take in who walks in": Case(
        lambda t: RegisterWalkIn(walk_in_body(membership_id=t.membership_id)), only(F)
    ),
    "give a first code": Case(
        lambda t: IssueFirstCode(t.taken_in_user_id, FirstCodeBody()), only(F)
    ),
    "add an exercise": Case(lambda _: AddExercise(ExerciseBody(title="Plank")), only(T)),
    "change an exercise": Case(
        lambda t: ChangeExercise(t.exercise_id, {"title": "Plank"}), only(T)
    ),
    "delete an exercise": Case(lambda t: DeleteExercise(t.exercise_id), only()),
    "plan a training": Case(
        lambda t: PlanTraining(TrainingBody(client_id=t.client_id, title="Arms")),
        TRAINER,
        UnknownReference,
    ),
    "copy a training": Case(
        lambda t: CopyTraining(t.training_id, CopyBody(date="2026-04-01")), TRAINER
    ),
    "put a plan onto days": Case(
        lambda t: SchedulePlan(
            t.plan_id,
            ScheduleBody(
                client_id=t.client_id,
                trainings=[TrainingOnDay(training_id=t.training_id, date="2026-04-01")],
            ),
        ),
        TRAINER,
    ),
    "change a training": Case(lambda t: ChangeTraining(t.training_id, {"title": "Arms"}), TRAINER),
    "delete a training": Case(lambda t: DeleteTraining(t.training_id), TRAINER),
    "add an exercise to a training": Case(
        lambda t: AddExerciseToTraining(
            TrainingExerciseBody(
                training_id=t.training_id, exercise_id=t.free_exercise_id, order_in_training=2
            )
        ),
        TRAINER,
        UnknownReference,
    ),
    "change an exercise in a training": Case(
        lambda t: ChangeExerciseInTraining(t.training_id, t.exercise_id, {"reps": 1}), TRAINER
    ),
    "take an exercise out of a training": Case(
        lambda t: RemoveExerciseFromTraining(t.training_id, t.exercise_id), TRAINER
    ),
    "draw up a plan": Case(
        lambda t: DrawUpPlan(TrainingPlanBody(user_id=t.user_id, title="Summer")),
        TRAINER,
        UnknownReference,
    ),
    "change a plan": Case(
        lambda t: ChangePlan(t.plan_id, {"status": PlanStatus.COMPLETED.value}), TRAINER
    ),
    "delete a plan": Case(lambda t: DeletePlan(t.plan_id), TRAINER),
    "add a training to a plan": Case(
        lambda t: AddTrainingToPlan(t.plan_id, TrainingInPlanBody(training_id=t.free_training_id)),
        TRAINER,
    ),
    "take a training out of a plan": Case(
        lambda t: RemoveTrainingFromPlan(t.plan_id, t.training_id), TRAINER
    ),
    "pin a plan": Case(
        lambda t: PinPlan(t.client_id, PinBody(training_plan_id=t.free_plan_id)), TRAINER
    ),
    "unpin a plan": Case(lambda t: UnpinPlan(t.client_id, t.plan_id), TRAINER),
    "request a payment": Case(
        lambda t: RequestPayment(payment_body(t.client_id, t.membership_id)),
        CASHIER,
        UnknownReference,
    ),
    "call a payment off": Case(
        lambda t: ChangePayment(
            t.payment_id,
            payment_body(t.client_id, t.membership_id, payment_status=PaymentStatus.CANCELLED),
        ),
        CASHIER,
    ),
    "delete a payment": Case(lambda t: DeletePayment(t.payment_id), CASHIER),
    "subscribe to reports": Case(lambda _: Subscribe({"daily": True}), only(N)),
    "draw up a report": Case(lambda _: DrawUpReport(ReportBody()), only(N, S)),
    "change the rules": Case(lambda _: ChangeRules({"paid_days": 31}), only()),
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("what", CASES)
async def test_anothers_things_are_as_if_they_were_not_there(
    scene: Scene, what: str, role: Role
) -> None:
    case, things = CASES[what], await things_of(scene, await scene.user())
    stranger = await scene.user(role)
    command, head = case.command(things), scene.head
    if role in case.reach.roles:
        await scene.do(command, stranger)
        assert scene.head > head
        return
    with pytest.raises(case.hidden if case.reach.own else Forbidden):
        await scene.do(command, stranger)
    assert scene.head == head


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("what", [what for what, case in CASES.items() if case.reach.own])
async def test_what_is_ones_own_is_in_reach_whatever_the_role(
    scene: Scene, what: str, role: Role
) -> None:
    owner = await scene.user(role)
    await scene.user(A)  # who stays, where the owner is one and leaves
    things = await things_of(scene, owner)
    head = scene.head
    await scene.do(CASES[what].command(things), owner)
    assert scene.head > head


@pytest.mark.parametrize("role", Role)
async def test_who_may_make_a_client_of_whom(scene: Scene, role: Role) -> None:
    caller, other, membership_id = (
        await scene.user(role),
        await scene.user(),
        await scene.membership(),
    )
    others = RegisterClient(client_body(user_id=other.user_id, membership_id=membership_id))
    if role in {A, F}:
        await scene.do(others, caller)
    else:
        with pytest.raises(UnknownReference, match=r"^There is no user 2 to refer to\.$"):
            await scene.do(others, caller)
        own = RegisterClient(client_body(user_id=caller.user_id, membership_id=membership_id))
        await scene.do(own, caller)
    (client,) = scene.rows("clients")
    assert client["user_id"] == (other if role in {A, F} else caller).user_id


# --- the same words, whether it is another's or not there at all -------------------------------

NOWHERE = 999
HIDDEN: Mapping[str, Callable[[Things, int], Command]] = {
    "user": lambda t, n: ChangeUser(n or t.user_id, user_changes(username="lovelace")),
    "user with a Telegram account": lambda t, n: UnbindTelegram(n or t.user_id),
    "session": lambda t, n: EndSession(n or t.session_id),
    "client": lambda t, n: ChangeClient(n or t.client_id, {"first_name": "Al"}),
    "training": lambda t, n: DeleteTraining(n or t.training_id),
    "plan": lambda t, n: DeletePlan(n or t.plan_id),
    "payment": lambda t, n: DeletePayment(n or t.payment_id),
    "client in a training": lambda t, n: PlanTraining(
        TrainingBody(client_id=n or t.client_id, title="Arms")
    ),
    "client in a payment": lambda t, n: RequestPayment(
        payment_body(n or t.client_id, t.membership_id)
    ),
    "training in an exercise": lambda t, n: AddExerciseToTraining(
        TrainingExerciseBody(
            training_id=n or t.training_id, exercise_id=t.free_exercise_id, order_in_training=2
        )
    ),
    "user in a plan": lambda t, n: DrawUpPlan(
        TrainingPlanBody(user_id=n or t.user_id, title="Summer")
    ),
    "client that is pinned": lambda t, n: PinPlan(
        n or t.client_id, PinBody(training_plan_id=t.free_plan_id)
    ),
}


@pytest.mark.parametrize("what", HIDDEN)
async def test_nothing_tells_anothers_from_what_is_not_there(scene: Scene, what: str) -> None:
    things, stranger = await things_of(scene, await scene.user()), await scene.user()
    said = []
    for number in (0, NOWHERE):
        with pytest.raises(Refusal) as refused:
            await scene.do(HIDDEN[what](things, number), stranger)
        words = re.sub(r"[0-9]+", "#", refused.value.detail)
        said.append((type(refused.value), refused.value.field, words))
    assert said[0] == said[1]


async def test_nothing_in_ones_own_things_tells_what_others_have(scene: Scene) -> None:
    """References from one's own things to those of others, on every way there is."""
    things, stranger = await things_of(scene, await scene.user()), await scene.user()
    own_client = await scene.client(stranger)
    own_training, own_plan = await scene.training(own_client), await scene.plan(stranger)
    asking: list[tuple[Callable[[int], Command], int]] = [
        (lambda n: ChangeTraining(own_training, {"client_id": n}), things.client_id),
        (
            lambda n: AddTrainingToPlan(own_plan, TrainingInPlanBody(training_id=n)),
            things.training_id,
        ),
        (lambda n: PinPlan(own_client, PinBody(training_plan_id=n)), things.plan_id),
        (lambda n: UnpinPlan(own_client, n), things.plan_id),
        (lambda n: ChangePlan(own_plan, {"user_id": n}), things.user_id),
    ]
    for command, others in asking:
        said = []
        for number in (others, NOWHERE):
            with pytest.raises((NotFound, UnknownReference)) as refused:
                await scene.do(command(number), stranger)
            words = refused.value.detail.replace(str(number), "#")
            said.append((refused.value.code, refused.value.field, words))
        assert said[0] == said[1]


# --- nobody grants themselves what the club sells or decides -----------------------------------


@pytest.mark.parametrize("role", [role for role in Role if role is not A])
async def test_nobody_but_an_admin_sets_a_role(scene: Scene, role: Role) -> None:
    caller = await scene.user(role)
    own = caller.user_id or 0
    for wanted in Role:
        if wanted is role:
            continue
        with pytest.raises(Forbidden) as refused:
            await scene.do(ChangeUser(own, user_changes(role=wanted)), caller)
        assert refused.value.field == "role"
    await scene.do(ChangeUser(own, user_changes(role=role)), caller)
    await scene.do(ChangeUser(own, user_changes(role=Role.OTHER)), Caller.user(99, A))
    assert scene.row("users", own)["role"] == "OTHER"


@pytest.mark.parametrize("role", [U, T, S, N, O])
async def test_a_client_does_not_set_its_own_status_membership_or_user(
    scene: Scene, role: Role
) -> None:
    caller = await scene.user(role)
    client_id, free = await scene.client(caller), await scene.membership()
    other = await scene.user()
    wanted = {"status": "INACTIVE", "membership_id": free, "user_id": other.user_id}
    for name, fact in wanted.items():
        with pytest.raises(Forbidden) as refused:
            await scene.do(ChangeClient(client_id, {name: fact}), caller)
        assert refused.value.field == name
    as_it_is = {name: scene.row("clients", client_id)[name] for name in wanted}
    await scene.do(ChangeClient(client_id, {**as_it_is, "last_name": "Byron"}), caller)
    assert scene.row("clients", client_id)["last_name"] == "Byron"


@pytest.mark.parametrize("status", ClientStatus)
async def test_a_user_starts_as_a_client_now_or_later(scene: Scene, status: ClientStatus) -> None:
    caller, membership_id = await scene.user(), await scene.membership()
    body = client_body(user_id=caller.user_id, membership_id=membership_id, status=status)
    if status in {ClientStatus.ACTIVE, ClientStatus.UPCOMING}:
        await scene.do(RegisterClient(body), caller)
        return
    with pytest.raises(Forbidden) as refused:
        await scene.do(RegisterClient(body), caller)
    assert refused.value.field == "status"
    await scene.do(RegisterClient(body), await scene.user(F))
    assert scene.rows("clients")[0]["status"] == status.value


async def test_a_staffer_sets_status_membership_and_user_of_a_client(scene: Scene) -> None:
    client_id, free = await scene.client(), await scene.membership()
    other, staffer = await scene.user(), await scene.user(F)
    wanted = {"status": "ON_HOLD", "membership_id": free, "user_id": other.user_id}
    await scene.do(ChangeClient(client_id, wanted), staffer)
    assert wanted.items() <= scene.row("clients", client_id).items()


@pytest.mark.parametrize("role", [U, T, N, O])
@pytest.mark.parametrize("status", [s for s in PaymentStatus if s is not PaymentStatus.CANCELLED])
async def test_who_pays_takes_no_step_but_to_call_the_payment_off(
    scene: Scene, role: Role, status: PaymentStatus
) -> None:
    caller = await scene.user(role)
    client_id = await scene.client(caller)
    now = PaymentStatus.FAILED if status is PaymentStatus.PENDING else PaymentStatus.PENDING
    steps = [] if now is PaymentStatus.PENDING else [now]
    membership_id = scene.row("clients", client_id)["membership_id"]
    payment_id = await scene.payment(client_id, *steps)
    body = payment_body(client_id, membership_id, payment_status=status)
    with pytest.raises(Forbidden) as refused:
        await scene.do(ChangePayment(payment_id, body), caller)
    assert refused.value.field == "payment_status"
    if status is not PaymentStatus.PENDING:
        with pytest.raises(Forbidden):
            await scene.do(RequestPayment(body), caller)
    assert scene.row("payments", payment_id)["payment_status"] == now.value


@pytest.mark.parametrize("role", [U, T, N, O])
@pytest.mark.parametrize("status", [None, PaymentStatus.PENDING, PaymentStatus.CANCELLED])
async def test_who_pays_does_not_say_when(
    scene: Scene, role: Role, status: PaymentStatus | None
) -> None:
    caller = await scene.user(role)
    membership_id = await scene.membership()
    client_id = await scene.client(caller, membership_id=membership_id)
    payment_id = await scene.payment(client_id)
    body = payment_body(
        client_id, membership_id, payment_status=status, timestamp="2026-01-01T00:00:00Z"
    )
    for command in (RequestPayment(body), ChangePayment(payment_id, body)):
        with pytest.raises(Forbidden) as refused:
            await scene.do(command, caller)
        assert refused.value.field == "timestamp"


@pytest.mark.parametrize("role", [A, F, S])
async def test_those_who_settle_settle_and_refund(scene: Scene, role: Role) -> None:
    cashier, membership_id = await scene.user(role), await scene.membership()
    client_id = await scene.client(membership_id=membership_id)
    payment_id = await scene.payment(client_id)
    for status in (PaymentStatus.PAID, PaymentStatus.REFUNDED):
        body = payment_body(client_id, membership_id, payment_status=status)
        await scene.do(ChangePayment(payment_id, body), cashier)
        assert scene.row("payments", payment_id)["payment_status"] == status.value


async def test_anybody_registers_but_only_with_the_role_user(scene: Scene) -> None:
    for role in Role:
        if role is not U:
            with pytest.raises(Forbidden) as refused:
                await scene.do(RegisterUser(new_user("ada", role=role)), ANYBODY)
            assert refused.value.field == "role"
    await scene.do(RegisterUser(new_user("ada", role=U)), ANYBODY)
    assert [user["role"] for user in scene.rows("users")] == ["USER"]


@pytest.mark.parametrize("own", [what for what, case in CASES.items() if not case.reach.own])
async def test_who_has_not_signed_in_does_not_keep_what_is_everybodys(
    scene: Scene, own: str
) -> None:
    things = await things_of(scene, await scene.user())
    with pytest.raises(Forbidden):
        await scene.do(CASES[own].command(things), ANYBODY)
