"""Who may do what, over HTTP: every route with every kind of caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from application.clients import ClientBody, DeleteClient, RegisterClient
from application.page_links import MakePageLinkFor
from application.ports.signing_in import RefreshClaims
from application.reports import DrawUpReport, ReportBody
from application.training_plans import AddTrainingToPlan, PinBody, PinPlan, TrainingInPlanBody
from domain.values import Role
from infra.settings import Settings
from interfaces.rest.main import GROUPS
from tests.conftest import Rest
from tests.interfaces.rest.scenes import (
    Headers,
    client_body,
    made,
    new_exercise,
    new_membership,
    new_payment,
    new_plan,
    new_session,
    new_training,
    new_walk_in,
    walk_in_body,
)
from tests.interfaces.rest.signing_in import PASSWORD, Door

TELEGRAM = 4711

ROLES = (Role.TRAINER, Role.STAFFER, Role.ANALYST, Role.SYSTEM, Role.OTHER, Role.ADMIN)
CALLERS = ("nobody", "owner", "stranger", *ROLES)
"""`owner` is the USER to whom the things of the scene belong, `stranger` another USER."""

# What each caller of CALLERS is answered, in their order.
EVERYBODY = "200 200 200  200 200 200 200 200 200"
SIGNED_IN = "401 200 200  200 200 200 200 200 200"
ADMIN = "401 403 403  403 403 403 403 403 200"
OWN = "401 200 404  404 404 404 404 404 200"
OWN_OR_TRAINER = "401 200 404  200 404 404 404 404 200"
OWN_OR_STAFFER = "401 200 404  404 200 404 404 404 200"
OWN_OR_TRAINER_OR_STAFFER = "401 200 404  200 200 404 404 404 200"
OWN_OR_CASHIER = "401 200 404  404 200 404 200 404 200"
# Of what a client or a payment has, a role that is shown the thing is told that it may not.
OWN_OF_A_CLIENT = "401 200 404  403 403 404 404 404 200"
OWN_OF_A_PAYMENT = "401 200 404  404 403 404 403 404 200"
OWN_OR_TRAINER_OF_A_CLIENT = "401 200 404  200 403 404 404 404 200"
OWN_OR_STAFFER_OF_A_CLIENT = "401 200 404  403 200 404 404 404 200"
OWN_OR_CASHIER_OF_A_CLIENT = "401 200 404  403 200 404 200 404 200"
STAFFER = "401 403 403  403 200 403 403 403 200"
STAFFER_OR_SYSTEM = "401 403 403  403 200 403 200 403 200"
TRAINER_OR_STAFFER = "401 403 403  200 200 403 403 403 200"
TRAINER = "401 403 403  200 403 403 403 403 200"
ANALYST = "401 403 403  403 403 200 403 403 200"
ANALYST_OR_SYSTEM = "401 403 403  403 403 200 200 403 200"
# To create something for somebody else is to refer to somebody who is not there.
FOR_ONESELF_OR_TRAINER = "401 200 422  200 422 422 422 422 200"
FOR_ONESELF_OR_STAFFER = "401 200 422  422 200 422 422 422 200"
FOR_ONESELF_OR_CASHIER = "401 200 422  422 200 422 200 422 200"

TABLE: dict[str, str] = {
    "GET /": EVERYBODY,
    "GET /health/": EVERYBODY,
    "GET /.well-known/jwks.json": EVERYBODY,
    "GET /asyncapi.json": "404 404 404  404 404 404 404 404 404",  # only `club run` has it
    "GET /openapi.json": EVERYBODY,
    "GET /docs": EVERYBODY,
    "GET /redoc": EVERYBODY,
    "GET /metrics": EVERYBODY,
    "GET /problems/{code}": EVERYBODY,
    "POST /jwt-auth/first-password/": EVERYBODY,
    "POST /jwt-auth/login/": EVERYBODY,
    "POST /jwt-auth/verification/": EVERYBODY,
    "POST /jwt-auth/get-access-token/": EVERYBODY,
    "POST /jwt-auth/logout/": OWN,
    "GET /jwt-auth/sessions/": SIGNED_IN,
    "GET /users/": STAFFER,
    "GET /users/me/": SIGNED_IN,
    "GET /users/for-report/": ANALYST,
    "GET /users/{user_id}/": OWN,
    "GET /users/{user_id}/sessions/": OWN,
    "GET /users/{user_id}/training-plans/": OWN_OR_TRAINER,
    "POST /users/": EVERYBODY,
    "PUT /users/{user_id}/": OWN,
    "PATCH /users/{user_id}/": OWN,
    "DELETE /users/{user_id}/": OWN,
    "POST /users/{user_id}/first-password-codes/": STAFFER,
    "DELETE /users/{user_id}/telegram/": OWN,
    "GET /memberships/": STAFFER,
    "GET /memberships/offers/": EVERYBODY,
    "GET /memberships/{membership_id}/": STAFFER,
    "POST /memberships/": ADMIN,
    "PUT /memberships/{membership_id}/": ADMIN,
    "PATCH /memberships/{membership_id}/": ADMIN,
    "DELETE /memberships/{membership_id}/": ADMIN,
    "GET /clients/": STAFFER,
    "GET /clients/search/": TRAINER_OR_STAFFER,
    "GET /clients/{client_id}/": OWN_OR_TRAINER_OR_STAFFER,
    "POST /clients/": FOR_ONESELF_OR_STAFFER,
    "POST /clients/walk-ins/": STAFFER,
    "PUT /clients/{client_id}/": OWN_OR_STAFFER,
    "PATCH /clients/{client_id}/": OWN_OR_STAFFER,
    "DELETE /clients/{client_id}/": OWN_OR_STAFFER,
    "GET /clients/{client_id}/admission/": OWN_OR_TRAINER_OR_STAFFER,
    "GET /clients/{client_id}/history/": OWN_OF_A_CLIENT,
    "GET /clients/{client_id}/membership/": OWN_OR_TRAINER_OR_STAFFER,
    "GET /clients/{client_id}/user/": OWN_OR_STAFFER_OF_A_CLIENT,
    "GET /clients/{client_id}/trainings/": OWN_OR_TRAINER_OF_A_CLIENT,
    "GET /clients/{client_id}/payments/": OWN_OR_CASHIER_OF_A_CLIENT,
    "GET /clients/{client_id}/grants/": STAFFER,
    "POST /clients/{client_id}/grants/": STAFFER,
    "GET /clients/{client_id}/training-plans/": OWN_OR_TRAINER_OR_STAFFER,
    "POST /clients/{client_id}/training-plans/": OWN_OR_TRAINER,
    "DELETE /clients/{client_id}/training-plans/{training_plan_id}/": OWN_OR_TRAINER,
    "GET /exercises/": SIGNED_IN,
    "GET /exercises/{exercise_id}/": SIGNED_IN,
    "POST /exercises/": TRAINER,
    "PUT /exercises/{exercise_id}/": TRAINER,
    "PATCH /exercises/{exercise_id}/": TRAINER,
    "DELETE /exercises/{exercise_id}/": ADMIN,
    "GET /trainings/": ADMIN,
    "GET /trainings/{train_id}/": OWN_OR_TRAINER,
    "GET /trainings/exercice-ids/{train_id}/": OWN_OR_TRAINER,
    "GET /trainings/exercise-ids/{train_id}/": OWN_OR_TRAINER,
    "POST /trainings/": FOR_ONESELF_OR_TRAINER,
    "POST /trainings/exercice-ids/": FOR_ONESELF_OR_TRAINER,
    "POST /trainings/exercise-ids/": FOR_ONESELF_OR_TRAINER,
    "PUT /trainings/{train_id}/": OWN_OR_TRAINER,
    "PATCH /trainings/{train_id}/": OWN_OR_TRAINER,
    "DELETE /trainings/{train_id}/": OWN_OR_TRAINER,
    "GET /trainings/{training_id}/exercises/": OWN_OR_TRAINER,
    "POST /trainings/{training_id}/copies/": OWN_OR_TRAINER,
    "GET /trainings-exercises/": ADMIN,
    "GET /trainings-exercises/{training_id}/{exercise_id}/": OWN_OR_TRAINER,
    "POST /trainings-exercises/": FOR_ONESELF_OR_TRAINER,
    "PUT /trainings-exercises/{exercise_id}/": OWN_OR_TRAINER,
    "PUT /trainings-exercises/{training_id}/{exercise_id}/": OWN_OR_TRAINER,
    "PATCH /trainings-exercises/{exercise_id}/": OWN_OR_TRAINER,
    "PATCH /trainings-exercises/{training_id}/{exercise_id}/": OWN_OR_TRAINER,
    "DELETE /trainings-exercises/{exercise_id}/": OWN_OR_TRAINER,
    "DELETE /trainings-exercises/{training_id}/{exercise_id}/": OWN_OR_TRAINER,
    "GET /training-plans/": ADMIN,
    "GET /training-plans/{training_plan_id}/": OWN_OR_TRAINER,
    "POST /training-plans/": FOR_ONESELF_OR_TRAINER,
    "PUT /training-plans/{training_plan_id}/": OWN_OR_TRAINER,
    "PATCH /training-plans/{training_plan_id}/": OWN_OR_TRAINER,
    "DELETE /training-plans/{training_plan_id}/": OWN_OR_TRAINER,
    "GET /training-plans/{training_plan_id}/trainings/": OWN_OR_TRAINER,
    "POST /training-plans/{training_plan_id}/trainings/": OWN_OR_TRAINER,
    "POST /training-plans/{training_plan_id}/schedules/": OWN_OR_TRAINER,
    "DELETE /training-plans/{training_plan_id}/trainings/{training_id}/": OWN_OR_TRAINER,
    "PATCH /rules/": ADMIN,
    "GET /rules/": ADMIN,
    "GET /payments/": STAFFER_OR_SYSTEM,
    "GET /payments/second-collections/": STAFFER,
    "GET /payments/{payment_id}/": OWN_OR_CASHIER,
    "GET /payments/{payment_id}/history/": OWN_OF_A_PAYMENT,
    "POST /payments/": FOR_ONESELF_OR_CASHIER,
    "PUT /payments/{payment_id}/": OWN_OR_CASHIER,
    "DELETE /payments/{payment_id}/": OWN_OR_CASHIER,
    "GET /reports/": ANALYST,
    "GET /reports/subscriptions/": ANALYST,
    "PUT /reports/subscriptions/": ANALYST,
    "GET /reports/clients/": ANALYST,
    "GET /reports/cohorts/": ANALYST,
    "GET /reports/money/": ANALYST,
    "GET /reports/trainings/": ANALYST,
    "GET /reports/plans/": ANALYST,
    "GET /reports/overview/": ANALYST,
    "GET /reports/overview/links/": ANALYST,
    "POST /reports/overview/links/": ANALYST,
    "DELETE /reports/overview/links/{page_link_id}/": ANALYST,
    "GET /reports/{report_id}/": ANALYST,
    "POST /reports/": ANALYST_OR_SYSTEM,
    "GET /history/": ADMIN,
    "GET /history/events/{position}/why/": ADMIN,
    "GET /history/{resource}/{number}/": ADMIN,
}
"""Every route, and who may use it on what is the owner's; 200 stands for 201 and 204 too."""

UNDONE = {
    "POST /clients/{client_id}/training-plans/",
    "POST /trainings-exercises/",
    "POST /training-plans/{training_plan_id}/trainings/",
}
"""Routes for which what the scene has is to be missing."""


@dataclass
class World:
    """Things that all belong to one owner, made anew whenever somebody has changed them."""

    rest: Rest
    door: Door
    signed_in: dict[str, Headers] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """What the owner holds at the door."""
    names: Any = field(default_factory=count)

    async def new_owner(self) -> None:
        name = f"ada{next(self.names)}"
        self.ids["user_id"], self.signed_in["owner"] = await self.rest.user(
            username=name, password=PASSWORD
        )
        self.secrets["username"] = name

    async def furnish(self, *, undone: bool) -> None:
        """Make one of everything; `undone` leaves out what links one thing with another."""
        if "client_id" in self.ids:
            await self.rest.do(DeleteClient(self.ids.pop("client_id")))
        user = self.ids["user_id"]
        membership = await new_membership(self.rest)
        exercise = await new_exercise(self.rest, f"Exercise {next(self.names)}")
        facts = ClientBody.model_validate(client_body(user, membership))
        client = await made(self.rest, RegisterClient(facts))
        training = await new_training(self.rest, client, *([] if undone else [exercise]))
        plan = await new_plan(self.rest, user)
        if not undone:
            await self.rest.do(AddTrainingToPlan(plan, TrainingInPlanBody(training_id=training)))
            await self.rest.do(PinPlan(client, PinBody(training_plan_id=plan)))
        self.ids |= {
            "membership_id": membership,
            "exercise_id": exercise,
            "client_id": client,
            "training_id": training,
            "train_id": training,
            "training_plan_id": plan,
            "payment_id": await new_payment(self.rest, client, membership),
            "report_id": await made(self.rest, DrawUpReport(ReportBody())),
            "page_link_id": await made(self.rest, MakePageLinkFor(self.ids["analyst_id"])),
        }

    def body(self, method: str, path: str) -> Any:
        """What a sensible caller would send."""
        if method in {"GET", "DELETE"}:
            return None
        if path == "/users/":
            name = f"new{next(self.names)}"
            return {"username": name, "email": f"{name}@example.com", "password": "long enough"}
        if method == "PATCH":
            return {}
        ids = self.ids
        client = {"client_id": ids["client_id"]}
        doing = {"order_in_training": 1}
        by_path: dict[str, Callable[[], dict[str, Any]]] = {
            "/users/{user_id}/": lambda: {
                "username": f"owner{ids['user_id']}",
                "email": f"owner{ids['user_id']}@example.com",
            },
            "/jwt-auth/login/": lambda: self.shown("username", password=PASSWORD),
            "/jwt-auth/verification/": lambda: self.shown("login_token", "code"),
            "/jwt-auth/get-access-token/": lambda: self.shown("refresh_token"),
            "/jwt-auth/logout/": lambda: {"session_id": ids["session_id"]},
            "/jwt-auth/first-password/": lambda: {
                "username": self.secrets["taken_in"],
                "code": self.secrets["first_code"],
                "password": PASSWORD,
            },
            "/users/{user_id}/first-password-codes/": dict,
            "/memberships/": lambda: {"price": "1.00"},
            "/clients/walk-ins/": lambda: walk_in_body(
                ids["membership_id"], email=f"new{next(self.names)}@example.com"
            ),
            "/clients/": lambda: client_body(ids["user_id"], ids["membership_id"]),
            "/clients/{client_id}/grants/": lambda: {"days": 10, "reason": "The pool was closed."},
            "/clients/{client_id}/training-plans/": lambda: {
                "training_plan_id": ids["training_plan_id"]
            },
            "/exercises/": lambda: {"title": f"Another {next(self.names)}"},
            "/trainings/": lambda: {**client, "title": "Legs"},
            "/trainings/exerci": lambda: {**client, "title": "Legs", "exercise_ids": []},
            "/trainings/{training_id}/copies/": lambda: {"date": "2026-04-01"},
            "/trainings-exercises/": lambda: {
                "training_id": ids["training_id"],
                "exercise_id": ids["exercise_id"],
                **doing,
            },
            "/trainings-exercises/{": lambda: doing,
            "/training-plans/": lambda: {"user_id": ids["user_id"], "title": "Spring"},
            "/training-plans/{training_plan_id}/trainings/": lambda: {
                "training_id": ids["training_id"]
            },
            "/training-plans/{training_plan_id}/schedules/": lambda: {
                **client,
                "trainings": [{"training_id": ids["training_id"], "date": "2026-04-01"}],
            },
            "/payments/": lambda: {**client, "membership_id": ids["membership_id"]},
            "/reports/": dict,
            "/reports/subscriptions/": lambda: {"daily": True},
            "/reports/overview/links/": dict,
        }
        longest = max((start for start in by_path if path.startswith(start)), key=len)
        return by_path[longest]()

    def shown(self, *names: str, **more: str) -> dict[str, Any]:
        return {name: self.secrets[name] for name in names} | more

    async def come_to_the_door(self, route: str) -> None:
        """Let the owner hold what the route takes or ends."""
        user = self.ids["user_id"]
        match route:
            case "POST /jwt-auth/first-password/" | "POST /users/{user_id}/first-password-codes/":
                email = f"new{next(self.names)}@example.com"
                taken_in = await new_walk_in(self.rest, self.ids["membership_id"], email=email)
                self.ids["taken_in_id"], told = taken_in
                self.secrets |= {"taken_in": told["username"], "first_code": told["code"]}
            case "POST /jwt-auth/verification/":
                self.secrets["login_token"] = await self.door.log_in(self.secrets["username"])
                self.secrets["code"] = self.door.code()
            case "POST /jwt-auth/get-access-token/":
                claims = RefreshClaims(user, await new_session(self.rest, user), 1)
                until = int(time.time()) + 600
                self.secrets["refresh_token"] = self.rest.club.tokens.refresh_token(claims, until)
            case "POST /jwt-auth/logout/":
                self.ids["session_id"] = await new_session(self.rest, user)
            case "DELETE /users/{user_id}/telegram/":
                await new_session(self.rest, user, TELEGRAM)

    async def ask(self, route: str, caller: str) -> int:
        """The status that the caller is answered; 200 for any success."""
        method, path = route.split(" ")
        if route == "DELETE /memberships/{membership_id}/":
            self.ids["membership_id"] = await new_membership(self.rest)  # that nobody holds
        if route == "POST /clients/":
            await self.new_owner()  # who never was a client
            self.ids["membership_id"] = await new_membership(self.rest)
        await self.come_to_the_door(route)
        body = self.body(method, path)
        ids: dict[str, Any] = {**self.ids, "position": 1, "resource": "clients"}
        ids["number"] = ids["client_id"]
        if route == "POST /users/{user_id}/first-password-codes/":
            ids = ids | {"user_id": ids["taken_in_id"]}
        answer = await self.rest.http.request(
            method,
            path.format(**ids, code="not-found"),
            params={"q": "lovelace"} if path == "/clients/search/" else None,
            json=body,
            headers=self.signed_in.get(caller, {}),
        )
        if answer.is_success and method != "GET" and not path.startswith("/jwt-auth/"):
            if route == "DELETE /users/{user_id}/":
                await self.new_owner()
                self.ids.pop("client_id")
            if route == "DELETE /clients/{client_id}/":
                self.ids.pop("client_id")
            if route == "POST /clients/":
                await self.rest.do(DeleteClient(self.ids["client_id"]))
                self.ids["client_id"] = answer.json()["id"]
            if route != "POST /users/":
                await self.furnish(undone=route in UNDONE)
        return 200 if answer.is_success else answer.status_code


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a club that shows codes on its console, and has patience."""
    return settings.model_copy(update={"console_codes": True, "attempts_per_account": 100})


async def test_every_caller_reaches_what_the_table_says_and_nothing_else(
    rest: Rest, door: Door
) -> None:
    world = World(rest, door)
    await world.new_owner()
    _, world.signed_in["stranger"] = await rest.user()
    for role in ROLES:
        number, world.signed_in[role] = await rest.user(role)
        world.ids[f"{role.value.lower()}_id"] = number
    wrong = {}
    for route, expected in TABLE.items():
        await world.furnish(undone=route in UNDONE)
        answers = {caller: await world.ask(route, caller) for caller in CALLERS}
        told = dict(zip(CALLERS, map(int, expected.split()), strict=True))
        if answers != told:
            wrong[route] = {c: (answers[c], told[c]) for c in CALLERS if answers[c] != told[c]}
    assert wrong == {}


def test_no_route_exists_without_an_entry_in_the_table() -> None:
    routes = {
        f"{method} {route.path}"
        for group in GROUPS
        for route in group.routes.routes
        for method in route.methods
    }
    assert routes == TABLE.keys()
