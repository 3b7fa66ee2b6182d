"""Commands about sessions: what a sign-in leaves in the log.

How somebody comes to be let in is `application.sign_in`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from application.access import Permission
from application.command import Cascade, Command
from application.work import Result, Work
from domain.refusals import Conflict, Unauthenticated
from domain.sessions import Ending, Session
from domain.sign_ins import Failure, SignIn
from domain.users import User

LONGEST_AGENT = 200
"""Characters kept of what a program says it is."""


class Overtaken(Conflict):
    """The password or the Telegram account was changed since it was shown."""


class SessionEnded(Unauthenticated):
    """This session has ended, or this refresh token was used before. Please sign in again."""


@dataclass(frozen=True, slots=True)
class NoteFailedSignIn(Command):
    """Keep it that somebody was not let in."""

    user_id: int | None
    why: Failure


@dataclass(frozen=True, slots=True)
class OpenSession(Command):
    """Let a user in, who has shown the code that went to this Telegram account."""

    user_id: int
    telegram_id: int | None
    proof: str
    """`proof_of` the user when the password was shown."""


@dataclass(frozen=True, slots=True)
class RefreshSession(Command):
    """Exchange the refresh token of this generation for the next one."""

    session_id: int
    generation: int


@dataclass(frozen=True, slots=True)
class EndSession(Command):
    """Log out."""

    session_id: int


@dataclass(frozen=True, slots=True)
class EndSessionsOf(Command, Cascade[Session]):
    """End all sessions of a user."""

    REFERENCE = "sessions of user"
    KIND = Session

    user_id: int
    why: Ending


@dataclass(frozen=True, slots=True)
class UnbindTelegram(Command):
    """Let the user's next sign-in bind a Telegram account anew."""

    user_id: int


def proof_of(user: User) -> str:
    """What a login rests on: another password, or an unbound account, and it is another."""
    return hashlib.sha256(f"{user.password_hash} {user.times_unbound}".encode()).hexdigest()


async def must_be_signed_in(work: Work) -> None:
    """Refuse what is asked with a token of a session that has ended; the decision rests on it.

    So whoever has a copy of a token cannot do two things at once that each end its session.
    """
    if work.caller.session_id is not None:
        session = await work.find(Session, work.caller.session_id)
        if session is None or not session.live(work.at):
            raise SessionEnded


async def note_failed_sign_in(command: NoteFailedSignIn, work: Work) -> Result:
    """Each is a record of its own, so that nobody adds to somebody else's history."""
    failed = SignIn.fail(
        await work.new_number(SignIn),
        user_id=command.user_id,
        why=command.why,
        origin=work.origin.address,
        agent=work.origin.agent[:LONGEST_AGENT],
        at=work.at,
    )
    work.add(failed)
    return Result(None)


async def open_session(command: OpenSession, work: Work) -> Result:
    """The first Telegram account is bound to the user with it."""
    user = await work.get(User, command.user_id)
    if proof_of(user) != command.proof:
        raise Overtaken
    number = await work.new_number(Session)
    user.sign_in(number, command.telegram_id, work.origin.address, work.at)
    ends_at = work.at + timedelta(days=work.services.bounds.session_days)
    session = Session.open(
        number,
        user_id=user.number,
        ends_at=ends_at,
        origin=work.origin.address,
        agent=work.origin.agent[:LONGEST_AGENT],
        at=work.at,
    )
    work.add(session)
    return Result({"id": number, "generation": session.generation, "ends_at": ends_at.timestamp()})


async def refresh_session(command: RefreshSession, work: Work) -> Result:
    """A body with the next generation; none where the session is over, now or before.

    That a token came back is a fact to keep, so it is no refusal.
    """
    session = await work.find(Session, command.session_id)
    mine = session is not None and session.user_id == work.caller.user_id
    if session is None or not mine or not session.live(work.at):
        return Result(None)
    if not session.refresh(command.generation, work.origin.address, work.at):
        return Result(None)
    return Result({"generation": session.generation, "ends_at": session.ends_at.timestamp()})


async def end_session(command: EndSession, work: Work) -> Result:
    """Ending one that is over changes nothing."""
    session = await work.get(Session, command.session_id)
    work.allow(Permission.SESSIONS_END, session, owner=session.user_id)
    session.end(Ending.LOGGED_OUT, work.origin.address, work.at)
    return Result(None)


async def end_sessions_of(command: EndSessionsOf, work: Work) -> Result:
    """Whatever the user's devices hold is good for nothing from here on."""
    async for session in work.each(command):
        session.end(command.why, work.origin.address, work.at)
    return Result(None)


async def unbind_telegram(command: UnbindTelegram, work: Work) -> Result:
    """The user's own business, or an ADMIN's."""
    user = await work.get(User, command.user_id)
    work.allow(Permission.USERS_UNBIND_TELEGRAM, user, owner=command.user_id)
    await must_be_signed_in(work)
    work.must_match(user)
    user.unbind_telegram(work.origin.address, work.at)
    return Result(None)
