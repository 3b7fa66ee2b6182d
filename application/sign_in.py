"""Signing in: a password, then a code over Telegram, then tokens.

What it takes in between is short-lived and is kept under digests of the secrets that the person
holds, so that nobody who reads the store can go on with it. What it leads to is in the log.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from application.access import ANYBODY, Caller, Origin
from application.bus import Bus, Outcome
from application.command import Command, Context
from application.first_passwords import ChooseFirstPassword, seal_of
from application.limits import REGISTRATION, Allowance, Limits
from application.ports.services import Services
from application.ports.signing_in import (
    CodeChannel,
    Counting,
    NoCodeChannel,
    RefreshClaims,
    ShortLivedStore,
    Tokens,
)
from application.repository import replay
from application.sessions import (
    EndSession,
    NoteFailedSignIn,
    OpenSession,
    RefreshSession,
    SessionEnded,
    proof_of,
)
from application.users import RehashPassword, username_of
from domain.refusals import Conflict, Invalid, NotFound, Unauthenticated
from domain.reservations import Reservation
from domain.sign_ins import Failure
from domain.text import composed, forms
from domain.users import FirstCodeVoid, ForeignTelegram, User

if TYPE_CHECKING:
    from domain.aggregate import Aggregate

LINK_SECONDS = 300
"""How long the link of a login is good."""

CODE_SECONDS = 300
"""How long a code is good."""

LOGIN_SECONDS = LINK_SECONDS + CODE_SECONDS
"""How long a login may take from the password to the code."""

MOST_WRONG_CODES = 5
"""Wrong codes that end a login."""

PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What Telegram hands on from a link."""


class WrongCredentials(Unauthenticated):
    """The username or the password is wrong."""


class LoginEnded(Unauthenticated):
    """This login has ended, was used, or never was. Please sign in again."""


class WrongCode(Unauthenticated):
    """This is not the code of this login."""


class NoSession(Conflict):
    """This access token belongs to no session that could be ended."""


class LinkEnded(NotFound):
    """This link has ended or was used."""


class LinkUnreadable(Invalid):
    """This is no link of a login."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who wants to sign in: in which conversation, and from where."""

    correlation_id: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class LoginBegun:
    """The password was right; the next step is the link."""

    login_token: str
    login_ends_at: datetime
    link: str | None
    """None where the code is shown on the machine itself."""
    link_ends_at: datetime
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The code was right."""

    session_id: int
    refresh_token: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The tokens of a session."""

    access_token: str
    seconds: int
    refresh_token: str
    ends_at: datetime


class SignIn:
    """Everything that a person goes through to be let in, and out again."""

    def __init__(
        self,
        bus: Bus,
        services: Services,
        store: ShortLivedStore,
        channel: CodeChannel,
        tokens: Tokens,
        marks: Counting,
    ) -> None:
        """`marks` counts what goes on uncounted while the store cannot be reached."""
        self._bus = bus
        self._services = services
        self._bounds = services.bounds
        self._store = store
        self._channel = channel
        self._tokens = tokens
        self._limits = Limits(store, services.bounds)
        self._limits_if_known = Limits(marks, services.bounds)

    # --- becoming a user -------------------------------------------------------------------

    async def register(self, command: Command, context: Context) -> Outcome:
        """What anybody may ask, and from one address only so often: to become a user."""
        async with self._limits_if_known.trying(REGISTRATION, None, context.origin):
            return await self._bus.execute(command, context)

    # --- the first password ----------------------------------------------------------------

    async def choose_first_password(
        self, username: str, code: str, password: str, visit: Visit
    ) -> None:
        """Let whoever has the code of a user choose the password; raises FirstCodeVoid.

        An unknown user, one who has a password and a wrong, used or late code are not told apart.
        """
        async with self._limits.trying("first-password", username, visit.origin):
            user = await self._named(username)
        number = 0 if user is None else user.number
        seal = seal_of(code, number, self._services.seal)
        if user is None or not user.is_first_code(seal, self._services.clock.now()):
            why = Failure.UNKNOWN_USER if user is None else Failure.WRONG_FIRST_CODE
            await self._note(None if user is None else number, why, visit)
            raise FirstCodeVoid
        anew = await self._services.passwords.hash(password, at_the_door=True)
        await self._do(ChooseFirstPassword(number, seal, anew), _as_user(number), visit)

    # --- the password ----------------------------------------------------------------------

    async def log_in(self, username: str, password: str, visit: Visit) -> LoginBegun:
        """Check the password and hand out the link; raises WrongCredentials.

        An unknown user takes the same steps as a wrong password, so that neither the answer nor
        the time it takes tells which of the two it was.
        """
        payload = secrets.token_urlsafe(24)
        async with self._limits.trying("login", username, visit.origin) as allowance:
            link = await self._link(payload)
            user = await self._named(username)
            known_hash = None if user is None else user.password_hash or None
            shown = await self._form_of(password, known_hash)
        if shown is None or user is None:
            why = Failure.UNKNOWN_USER if user is None else Failure.WRONG_PASSWORD
            await self._note(None if user is None else user.number, why, visit)
            raise WrongCredentials
        if shown != composed(password):
            user = await self._rehashed(user, password, visit)
        login_token = secrets.token_urlsafe(32)
        login = _digest(login_token)
        now = self._services.clock.now()
        kept = _packed(user_id=user.number, proof=proof_of(user))
        await self._store.put(f"login:{login}", kept, LOGIN_SECONDS)
        await self._store.put(f"link:{_digest(payload)}", login.encode(), LINK_SECONDS)
        if self._channel.show is not None:
            self._channel.show(*await self.open_link(payload, None, visit))
        return LoginBegun(
            login_token,
            now + timedelta(seconds=LOGIN_SECONDS),
            link,
            now + timedelta(seconds=LINK_SECONDS),
            allowance,
        )

    async def _form_of(self, password: str, known_hash: str | None) -> str | None:
        """The form in which it is the password of this hash.

        Up to release 0.1.0 a password was hashed in the form in which some device sent it.
        """
        for form in forms(password):
            if await self._services.passwords.verify(form, known_hash):
                return form
        return None

    async def _rehashed(self, user: User, password: str, visit: Visit) -> User:
        """The user, whose password is known from here on in the form of today."""
        anew = await self._services.passwords.hash(composed(password), at_the_door=True)
        command = RehashPassword(user.number, user.password_hash, anew)
        await self._do(command, _as_user(user.number), visit)
        known = await self._read(user.id)
        if not isinstance(known, User) or known.deleted:
            raise WrongCredentials
        return known

    async def _link(self, payload: str) -> str | None:
        if self._channel.link is not None:
            return await self._channel.link(payload)
        if self._channel.show is None:
            raise NoCodeChannel
        return None

    async def _named(self, username: str) -> User | None:
        reservation = await self._read(Reservation.stream(username_of(username).name))
        holder = reservation.holder if isinstance(reservation, Reservation) else None
        # Asked for even where nobody has the name, since it takes a while.
        user = await self._read(holder or User.stream(0))
        return user if isinstance(user, User) and not user.deleted else None

    async def _read(self, stream: str) -> Aggregate | None:
        events = (await self._services.ledger.streams([stream]))[stream]
        return replay(events) if events else None

    # --- the link --------------------------------------------------------------------------

    async def open_link(
        self, payload: str, telegram_id: int | None, visit: Visit
    ) -> tuple[str, str]:
        """The username and the code for whoever opened the link of a login.

        Raises LinkUnreadable or LinkEnded, and ForeignTelegram where the user's codes go to
        another account; then the login ends. A link is good once. No account stands for the
        machine itself.
        """
        if not PAYLOAD.fullmatch(payload):
            raise LinkUnreadable
        link = f"link:{_digest(payload)}"
        (waiting,) = await self._store.get(link)
        if waiting is None:
            raise LinkEnded
        login = waiting.decode()
        (kept,) = await self._store.get(f"login:{login}")
        user = None if kept is None else await self._read(User.stream(_unpacked(kept)["user_id"]))
        # Taken last, so that a link is not used up while the club cannot answer.
        if await self._store.take(link) is None or not isinstance(user, User) or user.deleted:
            raise LinkEnded
        if telegram_id is not None and user.telegram_id not in {None, telegram_id}:
            await self._store.drop(f"login:{login}")
            await self._note(user.number, Failure.FOREIGN_TELEGRAM, visit)
            raise ForeignTelegram
        return user.username, await self._new_code(login, telegram_id)

    async def spoil_link(self, payload: str) -> None:
        """Let a link that others have seen be good for nothing."""
        if PAYLOAD.fullmatch(payload):
            await self._store.drop(f"link:{_digest(payload)}")

    async def _new_code(self, login: str, telegram_id: int | None) -> str:
        code = f"{secrets.randbelow(10**6):06d}"
        kept = _packed(code=code, telegram_id=telegram_id)
        await self._store.put(f"code:{login}", kept, CODE_SECONDS)
        return code

    # --- the code --------------------------------------------------------------------------

    async def verify(self, login_token: str, code: str, visit: Visit) -> SignedIn:
        """Open a session for whoever has the code; raises LoginEnded or WrongCode.

        However many come with the right code at once, one session is opened.
        """
        await self._limits.attempt("verification", None, visit.origin)
        login = _digest(login_token)
        entries = f"login:{login}", f"code:{login}", f"tries:{login}"
        kept, sent = await self._store.get(*entries[:2])
        if kept is None:
            raise LoginEnded
        begun = _unpacked(kept)
        tries = (await self._store.count(entries[2], LOGIN_SECONDS)).number
        expected = None if sent is None else _unpacked(sent)
        if tries > MOST_WRONG_CODES:
            raise LoginEnded
        if expected is None or not hmac.compare_digest(expected["code"].encode(), code.encode()):
            await self._note_wrong_code(begun["user_id"], tries, entries, visit)
            raise WrongCode
        if await self._store.take(entries[0]) is None:
            raise LoginEnded
        # The tries stay, for whoever is still on the way with another code.
        await self._store.drop(entries[1])
        command = OpenSession(begun["user_id"], expected["telegram_id"], begun["proof"])
        return await self._open(command, visit)

    async def _note_wrong_code(
        self, user_id: int, tries: int, entries: tuple[str, ...], visit: Visit
    ) -> None:
        why = Failure.WRONG_CODE
        if tries == MOST_WRONG_CODES:
            why = Failure.TOO_MANY_CODES
            await self._store.drop(*entries[:2])
        await self._note(user_id, why, visit)

    async def _open(self, command: OpenSession, visit: Visit) -> SignedIn:
        try:
            opened = await self._do(command, _as_user(command.user_id), visit)
        except (NotFound, Conflict) as changed:
            # The user was deleted, bound to another account or given another password since.
            await self._note(command.user_id, Failure.OVERTAKEN, visit)
            raise LoginEnded from changed
        claims = RefreshClaims(command.user_id, opened["id"], opened["generation"])
        return SignedIn(
            opened["id"],
            self._tokens.refresh_token(claims, int(opened["ends_at"])),
            _moment(opened["ends_at"]),
        )

    # --- the tokens ------------------------------------------------------------------------

    async def refresh(self, refresh_token: str, visit: Visit) -> Refreshed:
        """Exchange a refresh token for an access token and the next refresh token.

        Raises InvalidToken, or SessionEnded. A token that was exchanged before ends its session.
        """
        async with self._limits_if_known.trying("refresh", None, visit.origin):
            claims = self._tokens.read_refresh_token(refresh_token)
            command = RefreshSession(claims.session_id, claims.generation)
            refreshed = await self._do(command, _as_user(claims.user_id), visit)
        if not refreshed:
            raise SessionEnded
        left = int(refreshed["ends_at"] - self._services.clock.now().timestamp())
        seconds = min(self._bounds.access_token_minutes * 60, left)
        next_one = RefreshClaims(claims.user_id, claims.session_id, refreshed["generation"])
        return Refreshed(
            self._tokens.access_token(claims.user_id, claims.session_id, seconds),
            seconds,
            self._tokens.refresh_token(next_one, int(refreshed["ends_at"])),
            _moment(refreshed["ends_at"]),
        )

    async def log_out(self, caller: Caller, session_id: int | None, visit: Visit) -> None:
        """End one of the caller's sessions: the one named, else the one that asks."""
        ending = caller.session_id if session_id is None else session_id
        if ending is None:
            raise NoSession
        await self._do(EndSession(ending), caller, visit)

    # --- the log ---------------------------------------------------------------------------

    async def _note(self, user_id: int | None, why: Failure, visit: Visit) -> None:
        await self._do(NoteFailedSignIn(user_id, why), ANYBODY, visit)

    async def _do(self, command: Any, caller: Caller, visit: Visit) -> dict[str, Any]:
        context = Context(caller, visit.correlation_id, origin=visit.origin)
        return dict((await self._bus.execute(command, context)).body or {})


def _as_user(user_id: int) -> Caller:
    """Whoever a secret stands for; what they may do does not matter where it is shown."""
    return Caller.user(user_id, ANYBODY.role)


def _digest(secret: str) -> str:
    """What the store knows of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _packed(**facts: Any) -> bytes:
    return orjson.dumps(facts)


def _unpacked(kept: bytes) -> Any:
    return orjson.loads(kept)


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
