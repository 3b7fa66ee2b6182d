"""From a command to its outcome: keys, versions, conflicts, and what is only decided on facts."""

from __future__ import annotations

import asyncio
import hashlib
from asyncio import gather
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import is_dataclass, replace
from typing import Any

import pytest

import application.bus
from application.access import ANYBODY, THE_CLUB, Caller
from application.bus import Bus, KeyReused, Outcome, StillInFlight
from application.clients import ChangeClient, DeleteClient, RegisterClient
from application.command import Command, Context
from application.exercises import AddExercise, ChangeExercise, ExerciseBody
from application.handlers import HANDLERS
from application.memberships import AddMembership, ChangeMembership, MembershipBody
from application.payments import ChangePayment, DeletePayment
from application.ports.ledger import Receipt, ReceiptKey, StaleDecision, Submission
from application.training_plans import (
    ChangePlan,
    DeletePlan,
    RemoveTrainingFromPlan,
    UnpinPlan,
)
from application.trainings import (
    AddExerciseToTraining,
    ChangeExerciseInTraining,
    ChangeTraining,
    DeleteTraining,
    RemoveExerciseFromTraining,
    TrainingExerciseBody,
)
from application.users import ChangeUser, DeleteUser, RegisterUser
from domain.refusals import Busy, Forbidden, NotFound, PreconditionFailed, Refusal
from domain.reservations import ExerciseTitleTaken, MembershipHeld, UserHasClient, UsernameTaken
from domain.values import Role
from tests.application.fakes import FakeLedger
from tests.application.scene import (
    Scene,
    client_body,
    new_user,
    pausing_scene,
    payment_body,
    user_changes,
)
from tests.application.test_access import Things, things_of

VIP = AddMembership(MembershipBody(price="99"))


def asked(key: str, caller: Caller = THE_CLUB) -> Context:
    return Context(caller, "scene", key=ReceiptKey("rest", key))


# --- the same command again --------------------------------------------------------------------


async def test_the_same_command_of_the_same_key_happens_once_and_answers_the_same(
    scene: Scene,
) -> None:
    first = await scene.bus.execute(VIP, asked("k"))
    again = await scene.bus.execute(AddMembership(MembershipBody(price="99.00")), asked("k"))
    assert (again.body, again.version) == (first.body, first.version)
    assert len(scene.rows("memberships")) == 1
    assert scene.head == first.position


async def test_the_key_is_known_to_every_process(scene: Scene) -> None:
    first = await scene.bus.execute(VIP, asked("k"))
    again = await Bus(scene.services).execute(VIP, asked("k"))
    assert again.body == first.body
    assert len(scene.rows("memberships")) == 1


async def test_another_key_or_source_or_none_is_another_command(scene: Scene) -> None:
    for key in (ReceiptKey("rest", "a"), ReceiptKey("rest", "b"), ReceiptKey("amqp", "a"), None):
        await scene.bus.execute(VIP, Context(THE_CLUB, "scene", key=key))
    assert len(scene.rows("memberships")) == 4


async def test_a_key_that_was_used_for_another_request_is_refused(scene: Scene) -> None:
    await scene.bus.execute(VIP, asked("k"))
    others: list[Command] = [
        AddMembership(MembershipBody(price="98")),
        AddExercise(ExerciseBody(title="Squat")),
        DeleteUser(1),
    ]
    for other in others:
        with pytest.raises(KeyReused):
            await scene.bus.execute(other, asked("k"))
    assert scene.head == 1


REFUSED: Mapping[str, tuple[Command, Caller]] = {
    "username-taken": (RegisterUser(new_user("ADA")), THE_CLUB),
    "not-found": (DeleteUser(999), THE_CLUB),
    "forbidden": (VIP, Caller.user(1, Role.USER)),
    "not-born-yet": (
        RegisterClient(client_body(user_id=1, membership_id=1, date_of_birth="2199-01-01")),
        THE_CLUB,
    ),
    "unknown-reference": (RegisterClient(client_body(user_id=9, membership_id=1)), THE_CLUB),
}


@pytest.mark.parametrize("code", REFUSED)
async def test_a_refusal_is_answered_again_word_for_word_whatever_has_changed(
    scene: Scene, code: str
) -> None:
    await scene.do(RegisterUser(new_user("ada")))
    await scene.membership()
    command, caller = REFUSED[code]
    said: list[Refusal] = []
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            await scene.bus.execute(command, asked("k", caller))
        said.append(refused.value)
        await scene.do(ChangeUser(1, user_changes(username="lovelace")))
    assert said[0].code == said[1].code == code
    assert type(said[0]) is type(said[1])
    assert (said[0].detail, said[0].field) == (said[1].detail, said[1].field)
    assert str(said[1]) == said[1].detail


async def test_a_refusal_without_a_key_is_decided_anew(scene: Scene) -> None:
    await scene.do(RegisterUser(new_user("ada")))
    with pytest.raises(UsernameTaken):
        await scene.do(RegisterUser(new_user("ada", email="other@example.com")))
    await scene.do(ChangeUser(1, user_changes(username="lovelace")))
    await scene.do(RegisterUser(new_user("ada", email="other@example.com")))


async def test_a_refused_command_that_a_person_replays_is_decided_anew_and_happens_once(
    scene: Scene,
) -> None:
    await scene.do(RegisterUser(new_user("ada")))
    command = RegisterUser(new_user("ada", email="other@example.com"))
    replayed = replace(asked("k"), replayed=True)
    for context in (asked("k"), replayed, replayed):
        with pytest.raises(UsernameTaken):
            await scene.bus.execute(command, context)
    await scene.do(ChangeUser(1, user_changes(username="lovelace")))
    first = await scene.bus.execute(command, replayed)
    assert await scene.bus.execute(command, replayed) == replace(first, position=0)
    with pytest.raises(UsernameTaken):
        await scene.bus.execute(command, asked("k"))


async def test_a_replay_changes_nothing_about_what_was_accepted_nor_about_another_request(
    scene: Scene,
) -> None:
    replayed = replace(asked("k"), replayed=True)
    first = await scene.bus.execute(VIP, asked("k"))
    assert await scene.bus.execute(VIP, replayed) == replace(first, position=0)
    with pytest.raises(NotFound):
        await scene.bus.execute(DeleteClient(9), asked("no"))
    with pytest.raises(KeyReused):
        await scene.bus.execute(VIP, replace(asked("no"), replayed=True))


async def test_two_at_once_of_one_key_in_one_process_the_second_is_told_to_wait() -> None:
    scene = pausing_scene()
    first, second = await asyncio.gather(
        scene.bus.execute(VIP, asked("k")),
        scene.bus.execute(VIP, asked("k")),
        return_exceptions=True,
    )
    assert isinstance(first, Outcome)
    assert isinstance(second, StillInFlight)
    again = await scene.bus.execute(VIP, asked("k"))
    assert again.body == first.body


async def test_two_at_once_of_one_key_in_two_processes_happen_once() -> None:
    scene = pausing_scene()
    first, second = await asyncio.gather(
        *(Bus(scene.services).execute(VIP, asked("k")) for _ in range(2))
    )
    assert first.body == second.body
    assert len(scene.rows("memberships")) == 1


async def test_two_requests_at_once_of_one_key_in_two_processes_one_is_refused() -> None:
    scene = pausing_scene()
    answers = await asyncio.gather(
        Bus(scene.services).execute(VIP, asked("k")),
        Bus(scene.services).execute(AddMembership(MembershipBody(price="1")), asked("k")),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["KeyReused", "Outcome"]
    assert len(scene.rows("memberships")) == 1


async def test_a_key_is_free_again_where_nothing_was_recorded(scene: Scene) -> None:
    fails = _OnceUnavailable(scene.ledger)
    bus = Bus(replace(scene.services, ledger=fails))
    with pytest.raises(ConnectionError):
        await bus.execute(VIP, asked("k"))
    await bus.execute(VIP, asked("k"))
    assert len(scene.rows("memberships")) == 1


class _OnceUnavailable(FakeLedger):
    """Another's log, which cannot be reached the first time."""

    def __init__(self, other: FakeLedger) -> None:
        self.__dict__ = other.__dict__
        self._failed = False

    async def append(self, submission: Submission) -> int:
        if not self._failed:
            self._failed = True
            raise ConnectionError
        return await super().append(submission)


async def test_a_password_leaves_no_trace_in_receipts_or_in_the_log(scene: Scene) -> None:
    body = new_user("ada", password="correct horse battery")
    for caller in (ANYBODY, THE_CLUB):
        with suppress(UsernameTaken):
            await scene.bus.execute(RegisterUser(body), asked("k", caller))
    other = RegisterUser(new_user("ada", password="another password"))
    assert other.fingerprint() == RegisterUser(body).fingerprint()
    kept = scene.ledger._receipts.values()
    assert len(kept) == 2
    in_full = RegisterUser(body).said_in_full()
    for receipt in kept:
        assert "horse" not in repr(receipt)
        digests = {RegisterUser(body).fingerprint(), hashlib.sha256(in_full).digest()}
        assert receipt.fingerprint not in digests, "whoever reads it could try passwords"


async def test_two_strangers_do_not_meet_in_one_key(scene: Scene) -> None:
    first = await scene.bus.execute(RegisterUser(new_user("ada")), asked("signup-1", ANYBODY))
    second = await scene.bus.execute(RegisterUser(new_user("bob")), asked("signup-1", ANYBODY))
    assert [outcome.body and outcome.body["username"] for outcome in (first, second)] == [
        "ada",
        "bob",
    ]
    again = await scene.bus.execute(RegisterUser(new_user("ada")), asked("signup-1", ANYBODY))
    assert again.body == first.body


async def test_a_stranger_with_another_password_is_another_stranger(scene: Scene) -> None:
    await scene.bus.execute(RegisterUser(new_user("ada")), asked("signup-1", ANYBODY))
    mallory = RegisterUser(new_user("ada", password="another password"))
    with pytest.raises(UsernameTaken):
        await scene.bus.execute(mallory, asked("signup-1", ANYBODY))


async def test_strangers_who_come_together_with_one_key_are_two(scene: Scene) -> None:
    asking = [RegisterUser(new_user(name)) for name in ("ada", "bob")]
    executed = [scene.bus.execute(command, asked("k", ANYBODY)) for command in asking]
    assert len({outcome.body and outcome.body["id"] for outcome in await gather(*executed)}) == 2


async def test_a_key_of_ones_own_tells_one_password_from_another(scene: Scene) -> None:
    await scene.bus.execute(RegisterUser(new_user("ada")), asked("k"))
    other = RegisterUser(new_user("ada", password="another password"))
    with pytest.raises(KeyReused):
        await scene.bus.execute(other, asked("k"))


async def test_a_receipt_of_an_earlier_release_is_answered_again(scene: Scene) -> None:
    """It knew no password, and not what the command had taken."""
    command = RegisterUser(new_user("ada"))
    outcome = {"body": {"id": 7}, "version": 1}
    key = ReceiptKey("rest:user-5", "k")
    receipt = Receipt(key, command.fingerprint(), outcome)
    await scene.ledger.append(Submission("c", "user-5", "c", [], {}, receipt=receipt))
    context = Context(Caller.user(5, Role.ADMIN), "scene", key=key)
    assert (await scene.bus.execute(command, context)).body == {"id": 7}


@pytest.mark.parametrize("role", Role)
async def test_a_receipt_is_for_whoever_could_ask_for_it_today(scene: Scene, role: Role) -> None:
    owner = await scene.user()
    body = client_body(user_id=owner.user_id, membership_id=await scene.membership())
    command, staffer = RegisterClient(body), Caller.user(50, Role.STAFFER)
    first = await scene.do(command, staffer, key="k")
    if role in {Role.STAFFER, Role.ADMIN}:
        assert (await scene.do(command, Caller.user(50, role), key="k")).body == first.body
        return
    with pytest.raises(Forbidden):
        await scene.do(command, Caller.user(50, role), key="k")


async def test_a_no_is_told_again_only_to_whoever_could_ask_today(scene: Scene) -> None:
    owner = await scene.user()
    await scene.client(owner)
    body = client_body(user_id=owner.user_id, membership_id=await scene.membership())
    with pytest.raises(UserHasClient):
        await scene.do(RegisterClient(body), Caller.user(50, Role.STAFFER), key="k")
    with pytest.raises(Forbidden):
        await scene.do(RegisterClient(body), Caller.user(50, Role.USER), key="k")


async def test_what_was_ones_own_is_answered_again_whatever_the_role(scene: Scene) -> None:
    owner = await scene.user()
    command = RegisterClient(
        client_body(user_id=owner.user_id, membership_id=await scene.membership())
    )
    first = await scene.do(command, owner, key="k")
    trainer = Caller.user(owner.user_id or 0, Role.TRAINER)
    assert (await scene.do(command, trainer, key="k")).body == first.body


def test_a_command_says_the_same_in_whatever_form_it_was_asked() -> None:
    def said(price: Any) -> bytes:
        return AddMembership(MembershipBody(price=price)).fingerprint()

    assert said("99") == said(99) == said("99.00") != said("98")
    assert DeleteUser(1).fingerprint() != DeleteClient(1).fingerprint()


# --- versions ----------------------------------------------------------------------------------

VERSIONED: Mapping[str, Callable[[Things], Command]] = {
    "user": lambda t: ChangeUser(t.user_id, user_changes(username="lovelace")),
    "user (delete)": lambda t: DeleteUser(t.user_id),
    "membership": lambda t: ChangeMembership(t.membership_id, {"price": "1.00"}),
    "client": lambda t: ChangeClient(t.client_id, {"first_name": "Al"}),
    "client (delete)": lambda t: DeleteClient(t.client_id),
    "training": lambda t: ChangeTraining(t.training_id, {"title": "Arms"}),
    "training (delete)": lambda t: DeleteTraining(t.training_id),
    "exercise in a training": lambda t: ChangeExerciseInTraining(
        t.training_id, t.exercise_id, {"reps": 1}
    ),
    "exercise in a training (delete)": lambda t: RemoveExerciseFromTraining(
        t.training_id, t.exercise_id
    ),
    "plan": lambda t: ChangePlan(t.plan_id, {"title": "Summer"}),
    "plan (delete)": lambda t: DeletePlan(t.plan_id),
    "training in a plan (delete)": lambda t: RemoveTrainingFromPlan(t.plan_id, t.training_id),
    "plan of a client (delete)": lambda t: UnpinPlan(t.client_id, t.plan_id),
    "payment": lambda t: ChangePayment(
        t.payment_id, payment_body(t.client_id, t.membership_id, payment_status="PAID")
    ),
    "payment (delete)": lambda t: DeletePayment(t.payment_id),
}


@pytest.mark.parametrize("what", VERSIONED)
async def test_a_change_is_refused_where_it_names_another_version(scene: Scene, what: str) -> None:
    things = await things_of(scene, await scene.user())
    command, head = VERSIONED[what](things), scene.head
    for versions in ({999}, set[int]()):
        with pytest.raises(PreconditionFailed):
            await scene.do(command, versions=versions)
    assert scene.head == head
    await scene.do(command, versions={1, 2, 3})
    assert scene.head > head


async def test_the_refusal_names_both_versions(scene: Scene) -> None:
    membership_id = await scene.membership()
    change = ChangeMembership(membership_id, {"price": "1.00"})
    changed = await scene.do(change, versions={1})
    assert changed.version == 2
    with pytest.raises(PreconditionFailed, match=r"named version 1, it is at version 2\.$"):
        await scene.do(ChangeMembership(membership_id, {"price": "2.00"}), versions={1})


async def test_of_two_changes_that_name_one_version_exactly_one_is_made() -> None:
    scene = pausing_scene()
    membership_id = await scene.membership()
    answers = await asyncio.gather(
        *(
            scene.do(ChangeMembership(membership_id, {"price": f"{n}.00"}), versions={1})
            for n in range(1, 9)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Outcome) for answer in answers) == 1
    assert sum(isinstance(answer, PreconditionFailed) for answer in answers) == 7


async def test_anothers_thing_is_not_there_whatever_version_is_named(scene: Scene) -> None:
    things, stranger = await things_of(scene, await scene.user()), await scene.user()
    with pytest.raises(NotFound):
        await scene.do(ChangeClient(things.client_id, {"first_name": "Al"}), stranger, versions={9})


# --- conflicts, and what is remembered ---------------------------------------------------------


async def test_of_registrations_of_one_name_at_the_same_instant_exactly_one_wins() -> None:
    scene = pausing_scene()
    buses = [Bus(scene.services) for _ in range(3)]
    names = ["ada", "Ada", "ADA"] * 3
    answers = await asyncio.gather(
        *(
            buses[n % 3].execute(
                RegisterUser(new_user(name, email=f"{n}@example.com")), Context(ANYBODY, "scene")
            )
            for n, name in enumerate(names)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Outcome) for answer in answers) == 1
    assert sum(isinstance(answer, UsernameTaken) for answer in answers) == 8
    assert len(scene.rows("users")) == 1


async def test_of_two_clients_for_one_membership_at_the_same_instant_exactly_one_wins() -> None:
    scene = pausing_scene()
    membership_id = await scene.membership()
    people = [await scene.user() for _ in range(4)]
    answers = await asyncio.gather(
        *(
            Bus(scene.services).execute(
                RegisterClient(client_body(user_id=p.user_id, membership_id=membership_id)),
                Context(p, "scene"),
            )
            for p in people
        ),
        return_exceptions=True,
    )
    (winner,) = [answer for answer in answers if isinstance(answer, Outcome)]
    refused = [answer for answer in answers if isinstance(answer, MembershipHeld)]
    assert winner.body is not None
    assert {refusal.detail for refusal in refused} == {
        "This membership is issued to somebody else."
    }
    assert len(refused) == 3


async def test_changes_at_the_same_instant_are_each_decided_on_what_the_others_did() -> None:
    scene = pausing_scene()
    training_id = await scene.training(await scene.client())
    numbers = [await scene.exercise(f"Exercise {n}") for n in range(5)]
    await asyncio.gather(
        *(
            Bus(scene.services).execute(
                AddExerciseToTraining(
                    TrainingExerciseBody(
                        training_id=training_id, exercise_id=number, order_in_training=number
                    )
                ),
                Context(THE_CLUB, "scene"),
            )
            for number in numbers
        )
    )
    assert sorted(r["exercise_id"] for r in scene.rows("trainings_exercises")) == sorted(numbers)


async def test_what_is_remembered_never_causes_a_wrong_refusal(scene: Scene) -> None:
    """One process remembers who had the name; another one has let go of it since."""
    here, elsewhere = scene.bus, Bus(scene.services)
    club = Context(THE_CLUB, "scene")
    await here.execute(RegisterUser(new_user("ada")), club)
    await elsewhere.execute(ChangeUser(1, user_changes(username="lovelace")), club)
    await here.execute(RegisterUser(new_user("ada", email="other@example.com")), club)
    with pytest.raises(UsernameTaken):
        await elsewhere.execute(RegisterUser(new_user("ada", email="third@example.com")), club)


async def test_what_is_remembered_never_hides_that_there_is_something_to_do(scene: Scene) -> None:
    here, elsewhere, club = scene.bus, Bus(scene.services), Context(THE_CLUB, "scene")
    membership_id = await scene.membership()
    await elsewhere.execute(ChangeMembership(membership_id, {"price": "1.00"}), club)
    back = await here.execute(ChangeMembership(membership_id, {"price": "49.90"}), club)
    assert back.version == 3
    assert scene.row("memberships", membership_id)["price"] == "49.90"


async def test_what_is_remembered_is_not_answered_with_where_nothing_changes(scene: Scene) -> None:
    here, elsewhere, club = scene.bus, Bus(scene.services), Context(THE_CLUB, "scene")
    membership_id = await scene.membership()
    await elsewhere.execute(ChangeMembership(membership_id, {"price": "1.00"}), club)
    same = await here.execute(ChangeMembership(membership_id, {"price": "1.00"}), club)
    assert (same.version, same.position) == (2, 0)
    assert same.body is not None
    assert same.body["price"] == "1.00"


async def test_what_was_deleted_elsewhere_is_not_there(scene: Scene) -> None:
    here, elsewhere, club = scene.bus, Bus(scene.services), Context(THE_CLUB, "scene")
    client_id = await scene.client()
    await elsewhere.execute(DeleteClient(client_id), club)
    with pytest.raises(NotFound):
        await here.execute(ChangeClient(client_id, {"first_name": "Al"}), club)


async def test_a_refused_command_leaves_nothing_behind(scene: Scene) -> None:
    await scene.exercise("Squat")
    other, head = await scene.exercise("Lunge"), scene.head
    with pytest.raises(ExerciseTitleTaken):
        await scene.do(ChangeExercise(other, {"title": "squat", "description": "x"}))
    assert scene.head == head
    changed = await scene.do(ChangeExercise(other, {"description": "x"}))
    assert changed.body is not None
    assert (changed.body["title"], changed.version) == ("Lunge", 2)


async def test_a_command_that_never_meets_firm_facts_gives_way(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.bus, "MOST_DECISIONS", 3)
    ledger = _AlwaysStale(scene.ledger)
    bus = Bus(replace(scene.services, ledger=ledger))
    with pytest.raises(Busy):
        await bus.execute(VIP, asked("k"))
    assert ledger.asked == 3
    assert scene.head == 0
    assert await scene.ledger.receipt(ReceiptKey("rest", "k")) is None


class _AlwaysStale(FakeLedger):
    """Another's log, in which everybody else is always faster."""

    def __init__(self, other: FakeLedger) -> None:
        self.__dict__ = other.__dict__
        self.asked = 0

    async def append(self, submission: Submission) -> int:
        self.asked += 1
        raise StaleDecision


async def test_what_a_decision_only_looked_at_must_hold_when_it_is_recorded() -> None:
    """A client may be made of a user who leaves in the same instant, or not at all."""
    scene = pausing_scene()
    user, membership_id = await scene.user(), await scene.membership()
    await asyncio.gather(
        scene.do(RegisterClient(client_body(user_id=user.user_id, membership_id=membership_id))),
        Bus(scene.services).execute(DeleteUser(user.user_id or 0), Context(THE_CLUB, "scene")),
        return_exceptions=True,
    )
    assert [row["status"] for row in scene.rows("clients")] in ([], ["INACTIVE"])


# --- what is told with it ----------------------------------------------------------------------


async def test_an_outcome_says_where_in_the_ledger_it_is_and_that_it_shows(scene: Scene) -> None:
    outcome = await scene.do(VIP)
    assert (outcome.position, outcome.visible, outcome.version) == (1, True, 1)


async def test_every_event_says_who_did_it_in_which_conversation_by_which_command(
    scene: Scene,
) -> None:
    admin = await scene.user(Role.ADMIN)
    await scene.do(VIP, admin, correlation_id="a conversation")
    recording, submission = scene.ledger.log[-1]
    assert recording.command == "add-membership"
    assert recording.causation_id == submission.command_id
    assert (submission.actor, submission.correlation_id) == ("user-1", "a conversation")


async def test_events_are_recorded_in_the_order_in_which_they_happened(scene: Scene) -> None:
    """Not in which their aggregates were loaded: the client was, before all reservations."""
    first, second = await scene.user(), await scene.user()
    client = await scene.client(first)
    before = len(scene.ledger.events)
    await scene.do(ChangeClient(client, {"user_id": second.user_id, "first_name": "Grace"}))
    assert [event.TOPIC for event in scene.ledger.events[before:]] == [
        "reservation.made",
        "reservation.released",
        "client.transferred",
        "client.details-changed",
    ]


def test_every_command_is_handled_and_has_a_name_of_its_own() -> None:
    # By name, as a dataclass with slots stands twice among the subclasses.
    assert {kind.NAME for kind in Command.__subclasses__()} == {kind.NAME for kind in HANDLERS}
    names = [command.NAME for command in HANDLERS]
    assert len(set(names)) == len(names)
    assert {"register-client", "delete-trainings-of"} <= set(names)
    assert all(is_dataclass(command) for command in HANDLERS)


async def test_forbidden_is_said_before_anything_is_looked_up(scene: Scene) -> None:
    with pytest.raises(Forbidden):
        await scene.do(ChangeMembership(999, {"price": "1.00"}), Caller.user(1, Role.USER))
