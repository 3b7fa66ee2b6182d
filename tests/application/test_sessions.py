"""Commands about sessions: who opens, goes on with and ends them, and what ends them all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from application.access import ANYBODY, Caller, Origin
from application.command import Command
from application.ports.services import Bounds
from application.sessions import (
    LONGEST_AGENT,
    EndSession,
    NoteFailedSignIn,
    OpenSession,
    Overtaken,
    RefreshSession,
    UnbindTelegram,
)
from application.users import ChangeUser, DeleteUser
from domain.aggregate import time_text
from domain.refusals import NotFound, PreconditionFailed
from domain.sessions import Opened
from domain.sign_ins import Failed, Failure
from domain.users import ForeignTelegram, NoTelegram
from domain.values import Role
from tests.application.fakes import A_MORNING, fake_services
from tests.application.scene import Scene, pausing_scene, user_changes

HERE = Origin("192.0.2.7", "curl/8.9")
ADMIN = Caller.user(99, Role.ADMIN)
NEW_PASSWORD = user_changes(password="another one")


def ended(scene: Scene) -> dict[int, str | None]:
    """Every session, and why it ended."""
    return {row["id"]: row.get("ended_because") for row in scene.rows("sessions")}


# --- opening -----------------------------------------------------------------------------------


async def test_a_session_says_whose_it_is_since_when_and_from_where(scene: Scene) -> None:
    ada = await scene.user()
    command = OpenSession(1, 5, scene.proof(1))
    outcome = await scene.do(command, ada, origin=HERE)
    end = A_MORNING + timedelta(days=30)
    assert outcome.body == {"id": 1, "generation": 1, "ends_at": end.timestamp()}
    assert scene.row("sessions", 1) == {
        "id": 1,
        "user_id": 1,
        "opened_at": time_text(A_MORNING),
        "last_used_at": time_text(A_MORNING),
        "ends_at": time_text(end),
        "origin": "192.0.2.7",
        "agent": "curl/8.9",
    }
    assert scene.row("users", 1)["last_login"] == time_text(A_MORNING)


async def test_a_session_lasts_as_long_as_the_club_has_set() -> None:
    scene = Scene(services=replace(fake_services(), bounds=Bounds(session_days=2)))
    await scene.session(await scene.user())
    assert scene.row("sessions", 1)["ends_at"] == time_text(A_MORNING + timedelta(days=2))


async def test_signing_in_binding_and_opening_are_one_transaction(scene: Scene) -> None:
    await scene.user()
    head = scene.head
    await scene.do(OpenSession(1, 5, scene.proof(1)), ANYBODY, origin=HERE)
    assert scene.since(head) == [
        ("user-1", "user.telegram-bound"),
        ("user-1", "user.signed-in"),
        ("session-1", "session.opened"),
    ]
    assert len({id(submission) for _, submission in scene.ledger.log[head:]}) == 1
    assert {vars(event)["origin"] for event in scene.ledger.events[head:]} == {"192.0.2.7"}


async def test_what_a_program_says_of_itself_is_kept_up_to_a_length(scene: Scene) -> None:
    await scene.user()
    wordy = Origin("192.0.2.7", "x" * 5000)
    await scene.do(OpenSession(1, None, scene.proof(1)), origin=wordy)
    await scene.do(NoteFailedSignIn(1, Failure.WRONG_CODE), origin=wordy)
    kept = [e.agent for e in scene.ledger.events if isinstance(e, Opened | Failed)]
    assert kept == ["x" * LONGEST_AGENT] * 2


async def test_no_session_is_opened_with_a_password_that_was_changed_since(scene: Scene) -> None:
    await scene.user()
    command = OpenSession(1, None, scene.proof(1))
    await scene.do(ChangeUser(1, NEW_PASSWORD))
    head = scene.head
    with pytest.raises(Overtaken):
        await scene.do(command)
    assert scene.head == head
    await scene.do(OpenSession(1, None, scene.proof(1)))


async def test_a_password_that_was_set_to_the_same_again_is_another(scene: Scene) -> None:
    """Whoever changes it wants those out who began with the old one."""
    await scene.user(password="one and the same")
    command = OpenSession(1, None, scene.proof(1))
    await scene.do(ChangeUser(1, user_changes(password="one and the same")))
    with pytest.raises(Overtaken):
        await scene.do(command)


async def test_no_session_is_opened_for_who_is_not_there_or_with_a_foreign_account(
    scene: Scene,
) -> None:
    ada, bob = await scene.user(), await scene.user()
    password = scene.proof(2)
    await scene.session(ada, telegram_id=5)
    await scene.do(DeleteUser(2), bob)
    head = scene.head
    for number in (2, 77):
        with pytest.raises(NotFound):
            await scene.do(OpenSession(number, 5, password))
    with pytest.raises(ForeignTelegram):
        await scene.do(OpenSession(1, 6, scene.proof(1)))
    assert scene.head == head


async def test_one_telegram_account_may_be_that_of_several_users(scene: Scene) -> None:
    for user in (await scene.user(), await scene.user()):
        await scene.session(user, telegram_id=5)
    assert ended(scene) == {1: None, 2: None}


# --- going on ----------------------------------------------------------------------------------


async def test_each_exchange_hands_out_the_next_number(scene: Scene) -> None:
    ada = await scene.user()
    await scene.session(ada)
    scene.services.clock.let_pass(timedelta(hours=1))
    for generation in (1, 2):
        outcome = await scene.do(RefreshSession(1, generation), ada, origin=Origin("192.0.2.9"))
        end = A_MORNING + timedelta(days=30)
        assert outcome.body == {"generation": generation + 1, "ends_at": end.timestamp()}
    row = scene.row("sessions", 1)
    later = time_text(A_MORNING + timedelta(hours=1))
    assert (row["last_used_at"], row["origin"]) == (later, "192.0.2.9")
    assert row["opened_at"] == time_text(A_MORNING)


async def test_a_number_that_comes_back_ends_the_session_and_no_other(scene: Scene) -> None:
    ada = await scene.user()
    for _ in range(2):
        await scene.session(ada)
    await scene.do(RefreshSession(1, 1), ada)
    head = scene.head
    assert (await scene.do(RefreshSession(1, 1), ada)).body is None
    assert scene.since(head) == [
        ("session-1", "session.token-reused"),
        ("session-1", "session.ended"),
    ]
    assert ended(scene) == {1: "token-reused", 2: None}
    head = scene.head
    for generation in (1, 2, 3):
        assert (await scene.do(RefreshSession(1, generation), ada)).body is None
    assert scene.head == head, "it is over, and stays as it was"


async def test_of_many_who_come_with_one_number_at_most_one_gets_the_next() -> None:
    scene = pausing_scene()
    ada = await scene.user()
    await scene.session(ada)
    outcomes = await asyncio.gather(*(scene.do(RefreshSession(1, 1), ada) for _ in range(5)))
    assert sum(outcome.body is not None for outcome in outcomes) == 1
    assert ended(scene) == {1: "token-reused"}


async def test_no_session_goes_on_that_is_over_or_never_was(scene: Scene) -> None:
    ada = await scene.user()
    await scene.session(ada)
    scene.services.clock.let_pass(timedelta(days=30))
    head = scene.head
    for session_id in (1, 77):
        assert (await scene.do(RefreshSession(session_id, 1), ada)).body is None
    assert scene.head == head


async def test_nobody_goes_on_with_anothers_session_nor_ends_it_so(scene: Scene) -> None:
    ada, bob = await scene.user(), await scene.user()
    await scene.session(ada)
    await scene.do(RefreshSession(1, 1), ada)
    head = scene.head
    for caller in (bob, ADMIN, ANYBODY):
        for generation in (1, 2):
            assert (await scene.do(RefreshSession(1, generation), caller)).body is None
    assert scene.head == head
    await scene.do(RefreshSession(1, 2), ada)


# --- ending ------------------------------------------------------------------------------------


async def test_who_logs_out_ends_one_session(scene: Scene) -> None:
    ada = await scene.user()
    for _ in range(2):
        await scene.session(ada)
    await scene.do(EndSession(2), ada, origin=HERE)
    assert ended(scene) == {1: None, 2: "logged-out"}
    assert vars(scene.ledger.events[-1])["origin"] == "192.0.2.7"


async def test_ending_what_is_over_changes_nothing(scene: Scene) -> None:
    ada = await scene.user()
    for _ in range(2):
        await scene.session(ada)
    await scene.do(EndSession(1), ada)
    scene.services.clock.let_pass(timedelta(days=30))
    head = scene.head
    for number in (1, 2):
        await scene.do(EndSession(number), ada)
    assert scene.head == head


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_nobody_but_an_admin_ends_anothers_session(scene: Scene, role: Role) -> None:
    number = await scene.session(await scene.user())
    stranger = await scene.user(role)
    said = []
    for asked in (number, 77):
        with pytest.raises(NotFound) as refused:
            await scene.do(EndSession(asked), stranger)
        said.append(refused.value.detail.replace(str(asked), "#"))
    assert said == ["There is no session #."] * 2
    assert ended(scene) == {number: None}
    await scene.do(EndSession(number), ADMIN)
    assert ended(scene) == {number: "logged-out"}


ALL_END = {
    "password-changed": ChangeUser(1, NEW_PASSWORD),
    "telegram-unbound": UnbindTelegram(1),
    "user-deleted": DeleteUser(1),
}
TOPICS = {
    "password-changed": "user.password-changed",
    "telegram-unbound": "user.telegram-unbound",
    "user-deleted": "user.deleted",
}


@pytest.mark.parametrize("why", ALL_END)
async def test_what_ends_all_sessions_of_a_user_ends_no_other(scene: Scene, why: str) -> None:
    ada, bob = await scene.user(), await scene.user()
    for owner in (ada, ada, bob, ada):
        await scene.session(owner, telegram_id=5)
    await scene.do(EndSession(2), ada)
    head = scene.head
    await scene.do(ALL_END[why], ada, origin=HERE)
    assert ended(scene) == {1: why, 2: "logged-out", 3: None, 4: why}
    assert len({id(submission) for _, submission in scene.ledger.log[head:]}) == 1
    by = {r.command for r, _ in scene.ledger.log[head:] if r.event.TOPIC == "session.ended"}
    assert by == {"end-sessions-of"}


@pytest.mark.parametrize("why", ALL_END)
async def test_a_session_that_is_opened_meanwhile_ends_too_or_is_not_opened(why: str) -> None:
    scene = pausing_scene()
    ada = await scene.user()
    await scene.session(ada, telegram_id=5)
    opening = OpenSession(1, 5, scene.proof(1))
    await asyncio.gather(
        *(scene.do(opening) for _ in range(3)),
        scene.do(ALL_END[why], ada),
        *(scene.do(opening) for _ in range(3)),
        return_exceptions=True,
    )
    topics = [event.TOPIC for event in scene.ledger.events]
    over = topics.index(TOPICS[why])
    since = topics[over:].count("session.opened")
    assert since == 0 or why == "telegram-unbound", "unbinding keeps nobody out"
    before = {row["id"]: row for row in scene.rows("sessions")[: len(ended(scene)) - since]}
    assert all(row.get("ended_because") == why for row in before.values())


async def test_a_new_role_name_or_address_ends_no_session(scene: Scene) -> None:
    ada = await scene.user()
    await scene.session(ada)
    changes = user_changes(role=Role.TRAINER, username="lovelace", email="al@example.com")
    await scene.do(ChangeUser(1, changes), ADMIN)
    assert ended(scene) == {1: None}


# --- unbinding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("by_admin", [False, True])
async def test_the_user_or_an_admin_unbinds(scene: Scene, by_admin: bool) -> None:
    ada = await scene.user()
    await scene.session(ada, telegram_id=5)
    head = scene.head
    await scene.do(UnbindTelegram(1), ADMIN if by_admin else ada, origin=HERE)
    assert scene.since(head) == [
        ("user-1", "user.telegram-unbound"),
        ("session-1", "session.ended"),
    ]
    assert scene.ledger.log[head][1].actor == ("user-99" if by_admin else "user-1")
    with pytest.raises(NoTelegram):
        await scene.do(UnbindTelegram(1), ada)
    await scene.session(ada, telegram_id=6)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_nobody_else_unbinds(scene: Scene, role: Role) -> None:
    await scene.session(await scene.user(), telegram_id=5)
    stranger = await scene.user(role)
    head = scene.head
    with pytest.raises(NotFound):
        await scene.do(UnbindTelegram(1), stranger)
    assert scene.head == head


async def test_who_unbinds_may_name_the_version_they_saw(scene: Scene) -> None:
    ada = await scene.user()
    await scene.session(ada, telegram_id=5)
    with pytest.raises(PreconditionFailed):
        await scene.do(UnbindTelegram(1), ada, versions={1})
    await scene.do(UnbindTelegram(1), ada, versions={3})


async def test_one_stolen_access_token_does_not_both_set_a_password_and_unbind() -> None:
    """Each ends the session, so that it is one or the other; together they are the account."""
    scene = pausing_scene()
    await scene.session(await scene.user(), telegram_id=5)
    thief = Caller.user(1, Role.USER, session_id=1)
    await asyncio.gather(
        scene.do(ChangeUser(1, NEW_PASSWORD), thief),
        scene.do(UnbindTelegram(1), thief),
        return_exceptions=True,
    )
    topics = [event.TOPIC for event in scene.ledger.events]
    assert not {"user.password-changed", "user.telegram-unbound"} <= set(topics)


# --- failing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", [1, None])
async def test_a_failure_is_kept_and_nobodys_version_changes(
    scene: Scene, user_id: int | None
) -> None:
    await scene.user()
    before = scene.rows("users"), scene.rows("aggregate_versions")
    await scene.do(NoteFailedSignIn(user_id, Failure.WRONG_PASSWORD), ANYBODY, origin=HERE)
    failed = scene.ledger.events[-1]
    assert isinstance(failed, Failed)
    assert (failed.user_id, failed.why) == (user_id, "wrong-password")
    assert (failed.origin, failed.agent) == ("192.0.2.7", "curl/8.9")
    assert scene.rows("users") == before[0]
    known = {row["aggregate_id"]: row["version"] for row in before[1]}
    assert (
        known.items()
        <= {row["aggregate_id"]: row["version"] for row in scene.rows("aggregate_versions")}.items()
    )


def commands_of_signing_in() -> list[Command]:
    return [RefreshSession(1, 1), OpenSession(1, None, "0" * 64), EndSession(1)]


@pytest.mark.parametrize("command", commands_of_signing_in(), ids=lambda command: command.NAME)
async def test_in_an_empty_club_nothing_of_it_leaves_a_trace(
    scene: Scene, command: Command
) -> None:
    try:
        outcome = await scene.do(command)
    except NotFound:
        outcome = None
    assert outcome is None or outcome.body is None
    assert scene.head == 0
