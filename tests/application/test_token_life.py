"""Any life of logins, sessions and tokens: what is good for something equals a simple model."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from application.access import Caller
from application.bus import Bus
from application.ports.services import Bounds
from application.ports.signing_in import CodeChannel, InvalidToken, RefreshClaims
from application.repository import replay
from application.sessions import SessionEnded, UnbindTelegram
from application.sign_in import (
    LinkEnded,
    LoginEnded,
    Refreshed,
    SignedIn,
    WrongCode,
    WrongCredentials,
)
from application.users import ChangeUser, DeleteUser
from domain import sessions, users
from domain.refusals import NotFound
from domain.sessions import Ending, Session
from domain.users import ForeignTelegram, NoTelegram, User, UserDeleted
from domain.values import Role
from infra.ledger.mapper import to_stored
from infra.secrets.callers import Callers
from infra.secrets.keys import Key, Keys
from infra.secrets.tokens import SignedTokens
from tests.application.scene import Door, user_changes, visit

T = TypeVar("T")
NAMES = ("user1", "user2", "user3")
PHONES = (5, 6)
"""Telegram accounts."""

LINK, CODE, LOGIN = timedelta(minutes=5), timedelta(minutes=5), timedelta(minutes=10)
ACCESS, SESSION = timedelta(minutes=15), timedelta(days=30)
UNLIMITED = Bounds(attempts_per_account=10**9, attempts_per_address=10**9)
WHAT = ("role", "password", "phone")
"""What changes about people."""

MEANWHILE = ("", "", "", "", "password", "another login", 4, 6)
"""What changes, or how many minutes pass, between two steps of signing in."""

ANY = st.integers(0, 1000)
"""Chooses one of what there is, by the remainder."""


# --- the model, in the words of the issue --------------------------------------------------------


@dataclass
class Person:
    """Somebody who may sign in."""

    role: Role = Role.USER
    password: int = 0
    telegram: int | None = None
    times_unbound: int = 0
    gone: bool = False


@dataclass
class Login:
    """From a password that was right to a code."""

    who: str
    password: int
    times_unbound: int
    begun: datetime
    token: str
    payload: str
    opened: bool = False
    over: bool = False
    wrong: int = 0
    code: str | None = None
    code_ends: datetime | None = None
    phone: int | None = None


@dataclass
class Life:
    """A session: its refresh tokens, the newest last, and its access tokens."""

    number: int
    who: str
    ends: datetime
    over: bool = False
    refresh: list[Signed] = field(default_factory=list)
    access: list[Signed] = field(default_factory=list)


@dataclass
class Signed:
    """A token, by which of the keys it was signed, and when it ends."""

    token: str
    era: int
    issued: datetime
    ends: datetime


class Model:
    """Who is there, who is on the way in, and who is in."""

    def __init__(self) -> None:
        self.people = {name: Person() for name in NAMES}
        self.logins: list[Login] = []
        self.lives: list[Life] = []
        self.failures: Counter[str] = Counter()
        self.era = 0
        """How often all keys that there were became worthless."""

    def end_all(self, who: str, now: datetime) -> None:
        """What every device of a person holds is good for nothing."""
        for life in self.lives:
            if life.who == who:
                self.end(life, now)

    def end(self, life: Life, now: datetime) -> None:
        """End a session, unless its time is over anyway."""
        life.over = life.over or now < life.ends

    def goes_on(self, life: Life, now: datetime) -> bool:
        return not life.over and now < life.ends

    def good(self, life: Life, signed: Signed, now: datetime) -> bool:
        """Whether a token of a session is good, as far as its key, its end and the session say."""
        return self.goes_on(life, now) and signed.era == self.era and now < signed.ends


# --- the club in memory --------------------------------------------------------------------------


class TimedTokens(SignedTokens):
    """Signed at the machine's time, which goes on slower than the club's: knows of both."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys, "the-club")
        self.last: dict[str, int] = {}
        """Each access token, and for how many seconds it is good."""

    def access_token(self, user_id: int, session_id: int | None, seconds: int) -> str:
        token = super().access_token(user_id, session_id, seconds)
        self.last[token] = seconds
        return token


class Club(Door):
    """The way in, and who the tokens of those who came in stand for."""

    def __init__(self, keys: Keys) -> None:
        signed = TimedTokens(keys)
        super().__init__(signed, UNLIMITED)
        self.keys, self.signed = keys, signed
        self.callers = Callers(signed, self._rows, ACCESS.total_seconds())
        self.bus = Bus(self.services, self.callers.witness)
        self.sign_in = self.through(CodeChannel(link=self.telegram.link))

    async def _rows(self, sql: str, asked: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What the query of callers finds in the ledger."""
        assert "ledger_events" in sql
        deleted = {e.originator_id for e in self.ledger.events if isinstance(e, users.Deleted)}
        over = {e.originator_id for e in self.ledger.events if isinstance(e, sessions.Ended)}
        roles = {
            event.number: to_stored(event)
            for event in self.ledger.events
            if isinstance(event, users.Registered | users.RoleChanged)
        }
        return [
            (user_id, session_id, roles[user_id].topic, roles[user_id].state, None)
            for user_id, session_id in zip(*asked, strict=True)
            if user_id in roles
            and f"user-{user_id}" not in deleted
            and f"session-{session_id}" not in over
        ]

    async def caller(self, signed: Signed) -> Caller | None:
        """Whom the token stands for, at the club's own time."""
        ends = signed.issued + timedelta(seconds=self.signed.last[signed.token])
        try:
            return await self.callers.of(signed.token) if self.clock.at < ends else None
        except InvalidToken:
            return None

    async def aggregate(self, stream: str) -> Any:
        return replay((await self.ledger.streams([stream]))[stream])


class Lives(RuleBasedStateMachine):
    """Whatever anybody may do with what they hold, in any order."""

    homes: ClassVar[Path]
    keys: ClassVar[list[Key]]
    stranger: ClassVar[SignedTokens]
    """The tokens of another club."""
    made: ClassVar[Counter[str]]
    """How often what came of it, so that the test shows something."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.spare = list(self.keys)
        home = self.homes / str(self.made.total())
        self.made["club"] += 1
        self.club = Club(Keys(self._with_key(home)))
        self.model = Model()
        for _ in NAMES:
            self.run(self.club.user(password="password 0"))
        self.run(self.club.user(role=Role.ADMIN))  # one stays, whatever the others become

    def _with_key(self, home: Path) -> Path:
        self.spare.pop().write(home / "keys" / "signing.pem")
        return home

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()
            rows = self.club.rows("sessions")
            self.made.update(row["ended_because"] for row in rows if "ended_because" in row)

    def run(self, awaitable: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await awaitable

        return self.loop.run(awaited())

    def answer(self, awaitable: Awaitable[T], *no: type[Exception]) -> T | type[Exception]:
        """What comes of it, or which of these refusals."""
        try:
            found: T | type[Exception] = self.run(awaitable)
        except no as refused:
            found = type(refused)
        self.made[found.__name__ if isinstance(found, type) else type(found).__name__] += 1
        return found

    @property
    def now(self) -> datetime:
        return self.club.clock.at

    # --- the way in ---

    @rule(who=st.sampled_from(NAMES), right=st.integers(0, 5))
    def log_in(self, who: str, right: int) -> None:
        person = self.model.people[who]
        password = f"password {person.password}" if right else "password"
        begun = self.answer(self.club.begin(who, password), WrongCredentials)
        if right and not person.gone:
            assert not isinstance(begun, type)
            login = Login(who, person.password, person.times_unbound, self.now, *begun)
            self.model.logins.append(login)
            return
        assert begun is WrongCredentials
        self.model.failures["unknown-user" if person.gone else "wrong-password"] += 1

    @precondition(lambda self: self.model.logins)
    @rule(choice=ANY, phone=st.sampled_from(PHONES))
    def open_link(self, choice: int, phone: int) -> None:
        self.open(self.one_of_logins(choice), phone)

    def open(self, login: Login, phone: int) -> None:
        person = self.model.people[login.who]
        answer = self.answer(self.club.code(login.payload, phone), LinkEnded, ForeignTelegram)
        good = not login.opened and not login.over and self.now < login.begun + LINK
        if not good or person.gone:
            assert answer is LinkEnded
        elif person.telegram not in {None, phone}:
            assert answer is ForeignTelegram
            login.over = True
            self.model.failures["foreign-telegram"] += 1
        else:
            assert isinstance(answer, str)
            login.code, login.code_ends, login.phone = answer, self.now + CODE, phone
        if good:
            login.opened = True

    @precondition(lambda self: self.model.logins)
    @rule(choice=ANY, other=ANY, right=st.integers(0, 3))
    def verify(self, choice: int, other: int, right: int) -> None:
        """With the login's own code, good or not any more; or with another."""
        login = self.one_of_logins(choice)
        self.type_code(login, (login.code if right else self.one_of_logins(other).code) or "123456")

    def type_code(self, login: Login, typed: str) -> None:
        answer = self.answer(self.club.verify(login.token, typed), LoginEnded, WrongCode)
        if login.over or self.now >= login.begun + LOGIN:
            assert answer is LoginEnded
            return
        if login.code_ends is None or login.code != typed or self.now >= login.code_ends:
            assert answer is WrongCode
            login.wrong += 1
            login.over = login.wrong == 5
            self.model.failures["too-many-codes" if login.over else "wrong-code"] += 1
            return
        login.over = True
        person = self.model.people[login.who]
        foreign = person.telegram not in {None, login.phone}
        unbound = person.times_unbound != login.times_unbound
        if person.gone or person.password != login.password or foreign or unbound:
            assert answer is LoginEnded
            self.model.failures["overtaken"] += 1
            return
        assert isinstance(answer, SignedIn)
        person.telegram = login.phone
        life = Life(answer.session_id, login.who, self.now + SESSION)
        life.refresh.append(self.kept(answer.refresh_token, life.ends))
        self.model.lives.append(life)

    @rule(
        who=st.sampled_from(NAMES),
        phone=st.sampled_from([None, None, *PHONES]),
        before_link=st.sampled_from(MEANWHILE),
        before_code=st.sampled_from(MEANWHILE),
    )
    def enter(
        self, who: str, phone: int | None, before_link: str | int, before_code: str | int
    ) -> None:
        """All steps, one after the other; mostly with the account that is bound."""
        self.log_in(who, 1)
        if not self.model.logins:
            return
        login, lives = self.model.logins[-1], len(self.model.lives)
        self.meanwhile(login.who, before_link)
        self.open(login, phone or self.model.people[login.who].telegram or PHONES[0])
        self.meanwhile(login.who, before_code)
        self.type_code(login, login.code or "123456")
        if len(self.model.lives) > lives:
            self.exchange(self.model.lives[-1], self.model.lives[-1].refresh[-1])

    def meanwhile(self, who: str, what: str | int) -> None:
        if isinstance(what, int):
            self.let_pass(what)
        elif what == "another login":
            self.enter(who, self.model.people[who].telegram or PHONES[1], "", "")
        elif what:
            self.change_somebody(who, what)

    def one_of_logins(self, choice: int) -> Login:
        """Mostly one of the last."""
        return self.model.logins[-3:][choice % len(self.model.logins[-3:])]

    def kept(self, token: str, ends: datetime) -> Signed:
        return Signed(token, self.model.era, self.now, ends)

    # --- those who are in ---

    @precondition(lambda self: self.model.lives)
    @rule(choice=ANY)
    def refresh(self, choice: int) -> None:
        """With the newest token."""
        life = self.one_of_lives(choice)
        self.exchange(life, life.refresh[-1])

    @precondition(lambda self: any(len(life.refresh) > 1 for life in self.model.lives))
    @rule(choice=ANY, age=st.integers(2, 3))
    def refresh_with_an_older_one(self, choice: int, age: int) -> None:
        """Which was exchanged before."""
        lives = [life for life in self.model.lives if len(life.refresh) > 1][-3:]
        life = lives[choice % len(lives)]
        self.exchange(life, life.refresh[-min(age, len(life.refresh))])

    def exchange(self, life: Life, signed: Signed) -> None:
        answer = self.answer(
            self.club.sign_in.refresh(signed.token, visit()), SessionEnded, InvalidToken
        )
        if signed.era != self.model.era:
            assert answer is InvalidToken
        elif not self.model.goes_on(life, self.now):
            assert answer is SessionEnded
        elif signed is not life.refresh[-1]:
            assert answer is SessionEnded
            life.over = True
        else:
            assert isinstance(answer, Refreshed)
            life.refresh.append(self.kept(answer.refresh_token, life.ends))
            ends = min(self.now + ACCESS, life.ends)
            life.access.append(self.kept(answer.access_token, ends))

    @precondition(lambda self: self.model.lives)
    @rule(choice=ANY, how=st.sampled_from(["tampered", "access", "foreign", "cut"]))
    def refresh_with_what_is_none(self, choice: int, how: str) -> None:
        life = self.one_of_lives(choice)
        newest, claims = life.refresh[-1].token, RefreshClaims(1, 1, len(life.refresh))
        head, _, rest = newest.partition(".")
        forged = {
            "tampered": f"{head}.e{rest[:-20]}{rest[-20:].swapcase()}",
            "access": life.access[-1].token if life.access else "access",
            "foreign": self.stranger.refresh_token(claims, int(time.time()) + 600),
            "cut": newest[:-9],
        }[how]
        answer = self.answer(self.club.sign_in.refresh(forged, visit()), InvalidToken)
        assert answer is InvalidToken

    @precondition(lambda self: any(life.access for life in self.model.lives))
    @rule(choice=ANY, which=st.sampled_from(["this", "own", "another's", "another's"]))
    def log_out(self, choice: int, which: str) -> None:
        """With an access token, mostly a good one: its own session, or another by its number."""
        holders = [life for life in self.model.lives if life.access]
        good = [life for life in holders if self.model.good(life, life.access[-1], self.now)]
        life = (good or holders)[choice % len(good or holders)]
        caller = self.run(self.club.caller(life.access[-1]))
        assert (caller is not None) == bool(good)
        others = [
            other for other in self.model.lives if (other.who == life.who) == (which == "own")
        ]
        if caller is None or (which != "this" and not others):
            return
        ending = life if which == "this" else others[-1]
        number = None if which == "this" else ending.number
        answer = self.answer(self.club.sign_in.log_out(caller, number, visit()), NotFound)
        if ending.who != life.who and self.model.people[life.who].role is not Role.ADMIN:
            assert answer is NotFound
            self.made["nobody else is logged out"] += 1
        else:
            assert answer is None
            self.model.end(ending, self.now)

    def one_of_lives(self, choice: int) -> Life:
        """Mostly one of the last."""
        return self.model.lives[-4:][choice % len(self.model.lives[-4:])]

    # --- what happens to people ---

    @rule(who=st.sampled_from(NAMES), what=st.sampled_from(WHAT))
    def change_somebody(self, who: str, what: str) -> None:
        number, person = NAMES.index(who) + 1, self.model.people[who]
        role = [*Role][([*Role].index(person.role) + 1) % 3]
        if what == "role":
            if self.change(who, ChangeUser(number, user_changes(role=role))):
                person.role = role
        elif what == "password":
            changes = user_changes(password=f"password {person.password + 1}")
            if self.change(who, ChangeUser(number, changes)):
                person.password += 1
                self.model.end_all(who, self.now)
        elif self.change(who, UnbindTelegram(number)):
            person.telegram = None
            person.times_unbound += 1
            self.model.end_all(who, self.now)

    @precondition(lambda self: self.model.lives)
    @rule(choice=ANY, what=st.sampled_from(["role", "role", "phone"]))
    def change_who_is_in(self, choice: int, what: str) -> None:
        self.change_somebody(self.one_of_lives(choice).who, what)

    @precondition(lambda self: len(self.model.lives) > 3)
    @rule(choice=ANY)
    def delete_who_is_in(self, choice: int) -> None:
        """But somebody stays."""
        who = self.one_of_lives(choice).who
        if who != NAMES[0] and self.change(who, DeleteUser(NAMES.index(who) + 1)):
            self.model.people[who].gone = True
            self.model.end_all(who, self.now)

    def change(self, who: str, command: Any) -> bool:
        """Whether it happened."""
        answer = self.answer(self.club.do(command), NotFound, UserDeleted, NoTelegram)
        person = self.model.people[who]
        if person.gone:
            assert answer is NotFound
        elif isinstance(command, UnbindTelegram) and person.telegram is None:
            assert answer is NoTelegram
        else:
            assert not isinstance(answer, type)
            return True
        return False

    # --- time and keys ---

    @rule(minutes=st.sampled_from([1, 2, 4, 6, 16, 60 * 24 * 13]))
    def let_pass(self, minutes: int) -> None:
        self.club.let_pass(minutes=minutes, seconds=1)

    @precondition(lambda self: self.spare and any(life.access for life in self.model.lives))
    @rule(compromised=st.booleans())
    def rotate(self, compromised: bool) -> None:
        in_use = [life.access[-1] for life in self.model.lives if life.access]
        in_use = [signed for signed in in_use if self.run(self.club.caller(signed))]
        until = time.time() + (0 if compromised else SESSION.total_seconds())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Key, "new", self.spare.pop)
            self.club.keys.rotate(until)
        self.model.era += compromised
        self.made["compromised" if compromised else "rotated"] += len(in_use)

    # --- what must hold after each step ---

    @invariant()
    def sessions_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = self.club.rows("sessions")
        assert [row["id"] for row in rows] == [life.number for life in self.model.lives]
        for life, row in zip(self.model.lives, rows, strict=True):
            session = self.run(self.club.aggregate(f"session-{row['id']}"))
            assert isinstance(session, Session)
            assert NAMES[session.user_id - 1] == life.who
            assert session.live(self.now) == self.model.goes_on(life, self.now)
            assert (row.get("ended_at") is not None) == session.ended == life.over
            for number, signed in enumerate(life.refresh, start=1):
                good = self.model.good(life, signed, self.now) and signed is life.refresh[-1]
                assert self.exchangeable(signed.token, session) == (good and number)

    def exchangeable(self, token: str, session: Session) -> int:
        """Which of the session's tokens it is, if it could be exchanged now; nobody does."""
        try:
            claims = self.club.signed.read_refresh_token(token)
        except InvalidToken:
            return 0
        assert claims.session_id == session.number
        good = session.live(self.now) and claims.generation == session.generation
        return claims.generation if good else 0

    @invariant()
    def access_tokens_stand_for_those_who_are_in(self) -> None:
        if not hasattr(self, "model"):
            return
        for life in self.model.lives:
            person = self.model.people[life.who]
            user_id = NAMES.index(life.who) + 1
            for signed in life.access:
                caller = self.run(self.club.caller(signed))
                good = self.model.good(life, signed, self.now)
                assert caller == (Caller.user(user_id, person.role, life.number) if good else None)

    @invariant()
    def users_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        for number, person in enumerate(self.model.people.values(), start=1):
            user = self.run(self.club.aggregate(f"user-{number}"))
            assert isinstance(user, User)
            assert user.telegram_id == person.telegram
            assert (user.role, user.deleted) == (person.role, person.gone)
        assert Counter(why for _, why in self.club.failures()) == self.model.failures


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where clubs may keep keys that are made, and read, only once: that takes a while."""
    known: dict[bytes, Key] = {}
    for number in range(4):
        file, key = tmp_path / str(number), Key.new()
        key.write(file)
        known[file.read_bytes()] = key
    monkeypatch.setattr(Key, "read", lambda path: known[path.read_bytes()])
    Lives.homes = tmp_path / "homes"
    strangers, *Lives.keys = known.values()
    strangers.write(tmp_path / "stranger" / "keys" / "signing.pem")
    Lives.stranger = SignedTokens(Keys(tmp_path / "stranger"), "the-club")
    return Lives.homes


def test_any_life_of_tokens_is_that_of_a_simple_model(homes: Path) -> None:
    Lives.made = Counter()
    run_state_machine_as_test(Lives, settings=BOUNDED)
    for what in (*WORTH_SEEING, *Ending):
        assert Lives.made[what], f"{what} is never seen"


WORTH_SEEING = (
    "SignedIn",
    "WrongCode",
    "LoginEnded",
    "LinkEnded",
    "ForeignTelegram",
    "WrongCredentials",
    "Refreshed",
    "SessionEnded",
    "InvalidToken",
    "NoTelegram",
    "nobody else is logged out",
    "rotated",
    "compromised",
)
BOUNDED = settings(
    max_examples=50,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
