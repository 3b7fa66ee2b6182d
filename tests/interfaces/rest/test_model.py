"""Any history over REST: what is shown, and what is in the tables, equals a simple model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, ClassVar

import httpx
import psycopg
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
from psycopg.rows import dict_row

from application.access import THE_CLUB, Caller
from domain.aggregate import Event
from infra.bootstrap import Club, open_club
from infra.settings import Settings
from interfaces.rest.main import create_app

Row = dict[str, Any]
BEARER = {"Authorization": "Bearer any"}


class AnAdmin:
    """Lets everybody in as the club itself."""

    async def of(self, token: str) -> Caller:
        return THE_CLUB

    async def witness(self, events: Sequence[Event]) -> None:
        """Nothing that happens changes who it is."""


class QuickHasher:
    """A hash that takes no time."""

    async def hash(self, password: str) -> str:
        return f"hash of {password}"


class Service:
    """An open club with its loop, called from code that is not asynchronous."""

    def __init__(self, given: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("infra.bootstrap.Argon2Hasher", QuickHasher)
        monkeypatch.setattr("infra.bootstrap.Callers", lambda *_: AnAdmin())
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.club: Club = self.run(self._stack.enter_async_context(open_club(given)))
        transport = httpx.ASGITransport(app=create_app(self.club))
        client = httpx.AsyncClient(transport=transport, base_url="http://club", headers=BEARER)
        self.http = self.run(self._stack.enter_async_context(client))
        self.tables = psycopg.connect(given.database_url or "", autocommit=True)

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await awaitable

        return self._loop.run(awaited())

    def ask(self, method: str, path: str, body: Row | None = None) -> httpx.Response:
        answer: httpx.Response = self.run(self.http.request(method, path, json=body))
        return answer

    def rows(self, table: str, columns: str) -> list[Row]:
        with self.tables.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(f"SELECT {columns} FROM {table}".encode()).fetchall()

    def close(self) -> None:
        self.tables.close()
        self.run(self._stack.aclose())
        self._loop.close()


class Model:
    """What the club holds, by the numbers of things, as plain rows."""

    def __init__(self) -> None:
        self.users: dict[int, Row] = {}
        self.memberships: dict[int, Row] = {}
        self.clients: dict[int, Row] = {}
        self.trainings: dict[int, Row] = {}
        self.plans: dict[int, Row] = {}
        self.payments: dict[int, Row] = {}
        self.in_plans: set[tuple[int, int]] = set()
        self.endless: set[int] = set()
        """The clients who are in without an end: nothing of theirs was counted yet."""
        self.names: set[str] = set()
        """Every username ever taken by somebody who has not given it back."""


COLUMNS = {
    "users": "id, username, email, role",
    "memberships": "id, access_level::text, price::text",
    "clients": "id, user_id, membership_id, first_name, status::text",
    "trainings": "id, client_id, title, duration_min",
    "plans": "id, user_id, title, status::text",
    "payments": "id, client_id, membership_id, payment_status::text",
}
TABLES = {"plans": "training_plans", "users": "users WHERE deleted_at IS NULL"}
PATHS = {"plans": "training-plans"}
STEPS = {
    "PENDING": {"PAID", "FAILED", "CANCELLED", "EXPIRED"},
    "FAILED": {"PAID", "CANCELLED"},
    "EXPIRED": {"PAID"},
    "PAID": {"REFUNDED"},
    "CANCELLED": set(),
    "REFUNDED": set(),
}
ANY = st.integers(0, 1000)
"""Chooses one of what there is, by the remainder."""
NAME = st.sampled_from(["ada", "bob", "Ada", "cyd"])


def one_of(things: dict[int, Row], choice: int) -> int:
    """The number of one of the things; one time in ten, one that nothing has."""
    numbers = sorted(things)
    return numbers[choice % len(numbers)] if numbers and choice % 10 else 2_000_000


class Histories(RuleBasedStateMachine):
    """Whatever anybody may do, in any order."""

    service: ClassVar[Service]
    _names: ClassVar[Iterator[int]] = count(1)

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.era = next(self._names)
        self.first = {
            kind: max((r["id"] for r in self.stored(kind)), default=0) for kind in COLUMNS
        }
        for name in ("eve", "fay", "gus"):
            self.register_user(name)
            self.add_membership("49.90", "VIP")
            self.register_client(-1, -1)

    def stored(self, kind: str) -> list[Row]:
        return self.service.rows(TABLES.get(kind, kind), COLUMNS[kind])

    def ask(self, method: str, kind: str, number: int | str = "", body: Row | None = None) -> Any:
        slash = "" if number == "" else "/"
        return self.service.ask(method, f"/{PATHS.get(kind, kind)}/{number}{slash}", body)

    def made(self, kind: str, body: Row, expected: int) -> None:
        """Post; keep what was made."""
        answer = self.ask("POST", kind, body=body)
        assert answer.status_code == expected, answer.text
        if expected == 201:
            shown = answer.json()
            rows: dict[int, Row] = getattr(self.model, kind)
            rows[shown["id"]] = self.cut(kind, shown)
            assert shown.items() >= {k: v for k, v in body.items() if k != "password"}.items()

    def cut(self, kind: str, row: Row) -> Row:
        return {c.split("::")[0]: row[c.split("::")[0]] for c in COLUMNS[kind].split(", ")}

    # --- users ---

    def person(self, name: str) -> Row:
        # Every history has names of its own, as the names of the deleted stay taken.
        name = f"{name}{self.era}"
        return {"username": name, "email": f"{name}@example.com"}

    @rule(name=NAME)
    def register_user(self, name: str) -> None:
        person = self.person(name)
        taken = person["username"].lower() in self.model.names
        self.made("users", {**person, "password": "long enough"}, 409 if taken else 201)
        self.model.names.add(person["username"].lower())

    @rule(choice=ANY, name=NAME)
    def rename_user(self, choice: int, name: str) -> None:
        number = one_of(self.model.users, choice)
        person = self.person(name)
        answer = self.ask("PATCH", "users", number, person)
        row = self.model.users.get(number)
        if row is None:
            assert answer.status_code == 404
            return
        others = self.model.names - {row["username"].lower()}
        if person["username"].lower() in others:
            assert answer.status_code == 409
            return
        assert answer.status_code == 200
        self.model.names = others | {person["username"].lower()}
        row |= person

    @rule(choice=ANY)
    def delete_user(self, choice: int) -> None:
        number = one_of(self.model.users, choice)
        answer = self.ask("DELETE", "users", number)
        row = self.model.users.pop(number, None)
        assert answer.status_code == (404 if row is None else 204)
        for client in self.model.clients.values():
            if row is not None and client["user_id"] == number:
                client["status"] = "INACTIVE"
                self.model.endless.discard(client["id"])

    # --- memberships ---

    @rule(price=st.sampled_from(["0.00", "49.90"]), level=st.sampled_from([None, "VIP"]))
    def add_membership(self, price: str, level: str | None) -> None:
        self.made("memberships", {"price": price, "access_level": level}, 201)

    @rule(choice=ANY, price=st.sampled_from(["1.00", "2.50"]))
    def change_membership(self, choice: int, price: str) -> None:
        number = one_of(self.model.memberships, choice)
        answer = self.ask("PUT", "memberships", number, {"price": price})
        row = self.model.memberships.get(number)
        assert answer.status_code == (404 if row is None else 200)
        if row is not None:
            row |= {"price": price, "access_level": None}

    @rule(choice=ANY)
    def delete_membership(self, choice: int) -> None:
        number = one_of(self.model.memberships, choice)
        answer = self.ask("DELETE", "memberships", number)
        held = any(c["membership_id"] == number for c in self.model.clients.values())
        known = number in self.model.memberships
        assert answer.status_code == (404 if not known else 409 if held else 204)
        if known and not held:
            del self.model.memberships[number]

    # --- clients ---

    @rule(user=ANY, membership=ANY)
    def register_client(self, user: int, membership: int) -> None:
        user_id = one_of(self.model.users, user)
        membership_id = one_of(self.model.memberships, membership)
        before = set(self.model.clients)
        body = {
            "user_id": user_id,
            "membership_id": membership_id,
            "first_name": "Ada",
            "last_name": "Lovelace",
            "phone_number": "1",
            "date_of_birth": "1990-12-10",
        }
        self.made("clients", body, self.fit(user_id, membership_id, None))
        self.model.endless |= {n for n in self.model.clients if n not in before}

    def fit(self, user_id: int, membership_id: int, client: int | None) -> int:
        """What a client that is this user on this membership is answered."""
        others = [row for number, row in self.model.clients.items() if number != client]
        ours = self.model.clients.get(client or 0, {})
        if user_id != ours.get("user_id") and user_id not in self.model.users:
            return 422
        if membership_id not in self.model.memberships:
            return 422
        if any(row["user_id"] == user_id for row in others):
            return 409
        if any(row["membership_id"] == membership_id for row in others):
            return 409
        return 201 if client is None else 200

    @rule(choice=ANY, membership=ANY, status=st.sampled_from(["ACTIVE", "ON_HOLD", "CANCELLED"]))
    def change_client(self, choice: int, membership: int, status: str) -> None:
        number = one_of(self.model.clients, choice)
        membership_id = one_of(self.model.memberships, membership)
        body = {"membership_id": membership_id, "status": status, "first_name": "Grace"}
        answer = self.ask("PATCH", "clients", number, body)
        row = self.model.clients.get(number)
        if row is None:
            assert answer.status_code == 404
            return
        expected = self.fit(row["user_id"], membership_id, number)
        if expected == 200 and status == "ACTIVE" != row["status"] and not self.has_time(row):
            expected = 409
        assert answer.status_code == expected, answer.text
        if expected == 200:
            row |= body
            if status == "CANCELLED":
                self.model.endless.discard(number)

    def has_time(self, client: Row) -> bool:
        """Whether the client may be let in."""
        paid = any(
            p["client_id"] == client["id"] and p["payment_status"] == "PAID"
            for p in self.model.payments.values()
        )
        there = client["user_id"] in self.model.users
        return there and (paid or client["id"] in self.model.endless)

    @rule(choice=ANY)
    def delete_client(self, choice: int) -> None:
        number = one_of(self.model.clients, choice)
        answer = self.ask("DELETE", "clients", number)
        known = self.model.clients.pop(number, None) is not None
        assert answer.status_code == (204 if known else 404)
        for training, row in list(self.model.trainings.items()):
            if row["client_id"] == number:
                self.forget_training(training)

    # --- trainings and plans ---

    @rule(client=ANY, minutes=st.integers(1, 90))
    def plan_training(self, client: int, minutes: int) -> None:
        client_id = one_of(self.model.clients, client)
        row = self.model.clients.get(client_id)
        welcome = row is not None and row["status"] not in {"ON_HOLD", "CANCELLED"}
        body = {"client_id": client_id, "title": "Legs", "duration_min": minutes}
        self.made("trainings", body, 422 if row is None else 201 if welcome else 409)

    @rule(choice=ANY)
    def delete_training(self, choice: int) -> None:
        number = one_of(self.model.trainings, choice)
        answer = self.ask("DELETE", "trainings", number)
        assert answer.status_code == (204 if number in self.model.trainings else 404)
        self.forget_training(number)

    def forget_training(self, number: int) -> None:
        self.model.trainings.pop(number, None)
        self.model.in_plans = {pair for pair in self.model.in_plans if pair[1] != number}

    @rule(user=ANY, title=st.sampled_from(["Spring", "Autumn"]))
    def draw_up_plan(self, user: int, title: str) -> None:
        user_id = one_of(self.model.users, user)
        known = user_id in self.model.users
        self.made("plans", {"user_id": user_id, "title": title}, 201 if known else 422)

    @rule(plan=ANY, training=ANY)
    def add_training_to_plan(self, plan: int, training: int) -> None:
        plan_id = one_of(self.model.plans, plan)
        training_id = one_of(self.model.trainings, training)
        path = f"/training-plans/{plan_id}/trainings/"
        answer = self.service.ask("POST", path, {"training_id": training_id})
        pair = (plan_id, training_id)
        if plan_id not in self.model.plans:
            assert answer.status_code == 404
        elif training_id not in self.model.trainings:
            assert answer.status_code == 422
        elif pair in self.model.in_plans:
            assert answer.status_code == 409
        else:
            assert answer.status_code == 201
            self.model.in_plans.add(pair)

    @rule(choice=ANY)
    def delete_plan(self, choice: int) -> None:
        number = one_of(self.model.plans, choice)
        answer = self.ask("DELETE", "plans", number)
        assert answer.status_code == (204 if number in self.model.plans else 404)
        self.model.plans.pop(number, None)
        self.model.in_plans = {pair for pair in self.model.in_plans if pair[0] != number}

    # --- payments ---

    @rule(client=ANY, membership=ANY)
    def request_payment(self, client: int, membership: int) -> None:
        client_id = one_of(self.model.clients, client)
        membership_id = one_of(self.model.memberships, membership)
        row = self.model.clients.get(client_id)
        known = row is not None and membership_id in self.model.memberships
        held = row is not None and row["membership_id"] == membership_id
        body = {"client_id": client_id, "membership_id": membership_id}
        self.made("payments", body, 422 if not known else 201 if held else 409)

    @rule(client=ANY)
    def request_payment_for_what_is_held(self, client: int) -> None:
        row = self.model.clients.get(one_of(self.model.clients, client))
        if row is not None:
            body = {"client_id": row["id"], "membership_id": row["membership_id"]}
            self.made("payments", body, 201)

    @precondition(lambda self: self.model.payments)
    @rule(choice=ANY, status=st.sampled_from(sorted(STEPS)))
    def step_payment(self, choice: int, status: str) -> None:
        number = sorted(self.model.payments)[choice % len(self.model.payments)]
        row = self.model.payments[number]
        body = {k: row[k] for k in ("client_id", "membership_id")} | {"payment_status": status}
        answer = self.ask("PUT", "payments", number, body)
        now = row["payment_status"]
        possible = status == now or status in STEPS[now]
        assert answer.status_code == (200 if possible else 409), answer.text
        if status == now or not possible:
            return
        row["payment_status"] = status
        client = self.model.clients.get(row["client_id"])
        if client is not None and status == "PAID":
            self.model.endless.discard(client["id"])
            stopped = client["status"] in {"ON_HOLD", "CANCELLED"}
            if client["user_id"] in self.model.users and not stopped:
                client["status"] = "ACTIVE"
        if client is not None and status == "REFUNDED" and client["status"] == "ACTIVE":
            paid = [
                p["payment_status"]
                for p in self.model.payments.values()
                if p["client_id"] == row["client_id"]
            ]
            if "PAID" not in paid:
                client["status"] = "EXPIRED"

    @rule(choice=ANY)
    def delete_payment(self, choice: int) -> None:
        number = one_of(self.model.payments, choice)
        answer = self.ask("DELETE", "payments", number)
        row = self.model.payments.get(number)
        accounted = row is not None and row["payment_status"] in {"PAID", "REFUNDED"}
        assert answer.status_code == (404 if row is None else 409 if accounted else 204)
        if not accounted:
            self.model.payments.pop(number, None)

    # --- after each step ---

    @invariant()
    def the_tables_hold_what_the_model_holds(self) -> None:
        for kind in COLUMNS:
            stored = {r["id"]: r for r in self.stored(kind) if r["id"] > self.first[kind]}
            assert stored == getattr(self.model, kind), kind
        pairs = self.service.rows("training_plan_trainings", "training_plan_id, training_id")
        ours = {tuple(p.values()) for p in pairs if p["training_plan_id"] > self.first["plans"]}
        assert ours == self.model.in_plans

    @invariant()
    def what_is_shown_is_what_the_model_holds(self) -> None:
        for kind in COLUMNS:
            path = f"/{PATHS.get(kind, kind)}/?limit=500&sort=-id"
            shown = self.service.ask("GET", path).json()
            ours = {r["id"]: self.cut(kind, r) for r in shown if r["id"] > self.first[kind]}
            assert ours == getattr(self.model, kind), kind

    def teardown(self) -> None:
        """Each row by itself, too; then leave an empty club."""
        for kind in COLUMNS:
            for number, row in getattr(self.model, kind).items():
                assert self.cut(kind, self.ask("GET", kind, number).json()) == row
        for kind in ("payments", "plans", "clients", "memberships", "users"):
            for number in getattr(self.model, kind):
                self.ask("DELETE", kind, number)


def test_any_history_shows_what_a_simple_model_of_it_shows(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Histories.service = Service(settings, monkeypatch)
    try:
        run_state_machine_as_test(Histories, settings=BOUNDED)
        head = Histories.service.run(Histories.service.club.ledger.head())
        assert head > 500, "little has happened"
    finally:
        Histories.service.close()


BOUNDED = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
