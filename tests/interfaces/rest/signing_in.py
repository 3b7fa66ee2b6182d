"""Somebody at the club's door: signs in over HTTP, and reads the code from the console."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest

from domain.sessions import Opened
from tests.conftest import Rest

PASSWORD = "correct horse battery"
AGENT = "a test's program"

Headers = dict[str, str]


def bearing(token: str) -> Headers:
    """The header of whoever holds this token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass
class Inside:
    """Somebody who has signed in."""

    user_id: int
    session_id: int
    refresh_token: str
    access_token: str

    @property
    def signed_in(self) -> Headers:
        return bearing(self.access_token)


class Door:
    """The routes of signing in, of a club that shows its codes on the console."""

    def __init__(self, rest: Rest, console: pytest.CaptureFixture[str]) -> None:
        self.rest = rest
        self._console = console
        self.http = rest.http
        self.logged = ""
        """What was logged until the last look at the console."""

    async def post(self, step: str, body: Any = None, **asked: Any) -> httpx.Response:
        """What the club says to this body."""
        return await self.http.post(f"/jwt-auth/{step}/", json=body, **asked)

    async def register(self, username: str = "ada") -> int:
        """Become a user, as anybody may; the number."""
        body = {
            "username": username,
            "email": f"{username}@example.com",
            "password": PASSWORD,
        }
        answer = await self.http.post("/users/", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def log_in(self, username: str = "ada") -> str:
        """Show the password; the login token."""
        answer = await self.post("login", {"username": username, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["login_token"])

    def code(self) -> str:
        """The last code on the console."""
        said = self._console.readouterr()
        self.logged += said.out
        shown = re.findall(r"The code of \S+: ([0-9]{6})\n", said.err)
        assert shown, "no code was shown"
        return str(shown[-1])

    async def verify(self, username: str = "ada") -> dict[str, Any]:
        """Show the password and the code; what opens the session."""
        login_token = await self.log_in(username)
        answer = await self.post("verification", {"login_token": login_token, "code": self.code()})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def enter(self, user_id: int, username: str = "ada") -> Inside:
        """Sign in, up to an access token."""
        opened = await self.verify(username)
        tokens = (await self.refresh(opened["refresh_token"])).json()
        return Inside(
            user_id, opened["session_id"], tokens["refresh_token"], tokens["access_token"]
        )

    async def refresh(self, refresh_token: str) -> httpx.Response:
        return await self.post("get-access-token", {"refresh_token": refresh_token})

    # --- what is in the log --------------------------------------------------------------------

    async def log(self, *kinds: str) -> list[dict[str, Any]]:
        """What happened of these kinds, in order: the facts, and who did it."""
        rows = await self.rest.club.postgres.rows(
            "SELECT topic, originator_id, actor, correlation_id, state FROM ledger_events "
            "WHERE topic = ANY(%s) ORDER BY notification_id",
            [list(kinds)],
        )
        return [
            orjson.loads(bytes(state))
            | {"topic": topic, "stream": stream, "actor": actor, "correlation_id": conversation}
            for topic, stream, actor, conversation, state in rows
        ]

    async def opened(self) -> int:
        """How many sessions were ever opened."""
        return len(await self.log(Opened.TOPIC))


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that the answer is; a 401 says how one shows who one is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["type"]) == (status, f"/problems/{code}")
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    return body
