"""The service's own OpenAPI document: valid, complete, and true."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from application.access import THE_CLUB, Caller, level_of
from application.catalogue import AT_THE_DOOR, COMMANDS, FIGURES, LISTS, PAST, ROWS, permission_for
from domain.values import Role
from infra.settings import Settings
from interfaces.rest import documents, health, index, messages
from interfaces.rest.door import asked_by
from interfaces.rest.headers import ANSWERED, READ
from interfaces.rest.main import GROUPS
from tests.conftest import Rest
from tests.interfaces.rest.scenes import furnished
from tests.interfaces.rest.serving import served
from tests.interfaces.rest.test_access import EVERYBODY, TABLE

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
)
"""Not `positive_data_acceptance`, as what fits the document may still name who is not there; nor
`ignored_auth`, as the tests of tokens and of access say more in less time."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a club that shows codes on its console, so that one may sign in."""
    return settings.model_copy(update={"console_codes": True})


BEARER: dict[str, list[str]] = {"bearer": []}


class AlwaysAnAdmin:
    """Lets everybody in as somebody who cannot be deleted on the way."""

    async def of(self, token: str) -> Caller:
        return THE_CLUB

    async def reader(self, token: str, page: str) -> Caller:
        return THE_CLUB


async def test_schemathesis_finds_no_fault_and_no_undocumented_answer(
    rest: Rest, tmp_path: Path
) -> None:
    await furnished(rest)
    club = replace(rest.club, callers=AlwaysAnAdmin())  # type: ignore[arg-type]
    async with served(club) as url:
        command = [
            *("-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--header", "Authorization: Bearer any"),
            *("--checks", ",".join(CHECKS)),
            *("--max-examples", "10", "--generation-deterministic", "--seed", "1"),
            *("--continue-on-failure", "--no-color"),
            *("--suppress-health-check", "all", "--warnings", "off"),
        ]
        run = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await run.communicate()
    assert run.returncode == 0, said.decode()


async def test_the_document_is_valid_to_the_last_field(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if f'"#/components/schemas/{name}"' not in text] == []


async def test_every_answer_of_the_document_says_what_it_is(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            for status, answer in operation["responses"].items():
                kinds = set(answer.get("content", {}))
                problem = int(status) >= 400 and path != "/health/"
                empty = status in {"204", "303", "304"}
                expected = "application/problem+json" if problem else "application/json"
                if path == "/reports/overview/":
                    other = {"text/html"}
                elif status == "200" and operation["operationId"].replace("_", "-") in FIGURES:
                    other = {"text/csv", "image/svg+xml"}
                else:
                    other = set()
                assert kinds == (set() if empty else {expected, *other}), (method, path, status)


async def test_the_document_says_where_a_token_is_needed(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    said = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            security = operation.get("security", [])
            assert security in ([], [BEARER], [BEARER, {}]), (method, path)
            said[f"{method.upper()} {path}"] = security != [BEARER]
            challenge = "WWW-Authenticate" in operation["responses"].get("401", {}).get(
                "headers", {}
            )
            assert challenge == ("401" in operation["responses"]), (method, path)
    assert said == {route: TABLE[route] == EVERYBODY for route in said}


TWINS = {
    "replace-training-exercise": "replace-exercise-of-training",
    "change-training-exercise": "change-exercise-of-training",
    "remove-training-exercise": "remove-exercise-of-training",
}
"""Operations that ask for the same as another; one of their numbers is not in the path."""

UNASKED = (index, health, documents, messages)
SERVICE = {"index", "health", "jwks"}
"""What is about the service itself, and no business of the club."""


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The name, the path and the content of each operation."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield operation["operationId"].replace("_", "-"), path, operation


def schema_of_the_body(operation: dict[str, Any]) -> str | None:
    """The name of the model that is sent as JSON."""
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = schema.get("anyOf", [schema])[0]  # that may also be left out
    return str(schema["$ref"].rpartition("/")[2])


SENT_BACK = {
    "Doing": "DoingSentBack",
    "SubscriptionBody": "SubscriptionSentBack",
    "UserReplacement": "UserSentBack",
    **{
        f"{kind}Body": f"{kind}SentBack"
        for kind in ("Membership", "Client", "Exercise", "Training", "TrainingPlan", "Payment")
    },
}
"""What a PUT takes in place of what its command does: all that a GET answers."""


async def test_every_operation_is_an_entry_of_the_catalogue(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    found = {name for name, _, _ in operations(document)}
    assert found == SERVICE | TWINS.keys() | {
        *COMMANDS,
        *ROWS,
        *LISTS,
        *FIGURES,
        *PAST,
        *AT_THE_DOOR,
    }
    for name, path, operation in operations(document):
        asked = TWINS.get(name, name)
        numbers = path.count("{") + (name in TWINS)
        if asked in COMMANDS:
            command = COMMANDS[asked]
            body = None if command.body is None else command.body.__name__
            if operation is document["paths"][path].get("put"):
                body = SENT_BACK[str(body)]
            assert (schema_of_the_body(operation), numbers) == (body, command.numbers), name
        elif asked in ROWS:
            assert (schema_of_the_body(operation), numbers) == (None, ROWS[asked].numbers), name
        elif asked in LISTS:
            assert (schema_of_the_body(operation), numbers) == (None, bool(LISTS[asked].of)), name
        elif asked in FIGURES:
            assert (schema_of_the_body(operation), numbers) == (None, 0), name


async def test_every_operation_says_who_may_ask_as_the_catalogue_has_it(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    said = {}
    for name, _, operation in operations(document):
        permission = None if name in SERVICE else permission_for(TWINS.get(name, name))
        level = level_of(permission)
        said[name] = operation["description"].rpartition("\n\n")[2]
        assert said[name] == f"**{level.name}**: {level.who}.", name
        assert (operation["security"] == [BEARER]) == (permission is not None), name
    assert said["list-trainings"] == "**Restricted**: ADMIN."
    assert said["list-clients"] == "**Authenticated**: STAFFER."
    assert said["read-client"] == "**Authenticated**: own, TRAINER, STAFFER."
    assert said["list-exercises"] == "**Authenticated**: whoever is signed in."
    assert said["register-user"] == "**Unauthenticated**: anybody."


async def test_every_row_list_and_report_may_be_asked_for_if_it_is_another(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    reads = ROWS.keys() | LISTS.keys() | FIGURES.keys() | PAST.keys()
    asked = [one for name, _, one in operations(document) if name in reads]
    assert len(asked) > 20
    for operation in asked:
        parameters = {parameter["name"] for parameter in operation["parameters"]}
        assert "If-None-Match" in parameters
        assert "ETag" in operation["responses"]["200"]["headers"]
        assert "ETag" in operation["responses"]["304"]["headers"]


def test_every_route_asks_for_what_it_is_called() -> None:
    for group in GROUPS:
        for route in group.routes.routes:
            assert isinstance(route, APIRoute)
            name = route.name.replace("_", "-")
            asked = asked_by(route.dependant)
            assert asked == (None if group in UNASKED else TWINS.get(name, name)), route.path


async def test_the_document_says_what_a_sign_in_takes_and_answers(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    login = document["paths"]["/jwt-auth/login/"]["post"]
    bodies = {kind: body["schema"] for kind, body in login["requestBody"]["content"].items()}
    assert bodies.keys() == {"application/json", "application/x-www-form-urlencoded"}
    as_json, as_form = bodies.values()
    assert as_json["properties"].keys() == {"username", "password"}
    assert as_json["additionalProperties"] is False
    assert as_form["properties"].keys() == {"username", "password", "grant_type"}
    assert "additionalProperties" not in as_form
    for body in (as_json, as_form):
        assert body["required"] == ["username", "password"]

    headers = {
        status: answer["headers"].keys() - {"X-Request-Id"}
        for status, answer in login["responses"].items()
    }
    limits = {"RateLimit", "RateLimit-Policy"}
    assert headers["200"] == {"Cache-Control", *limits}
    assert headers["429"] == {"Retry-After", *limits}
    assert headers["503"] == {"Retry-After"}
    for step in ("verification", "get-access-token"):
        answers = document["paths"][f"/jwt-auth/{step}/"]["post"]["responses"]
        assert answers["200"]["headers"].keys() == {"Cache-Control", "X-Request-Id"}
        assert answers["429"]["headers"].keys() == {"Retry-After", "X-Request-Id", *limits}


async def test_every_example_is_what_a_person_would_send_and_is_taken(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    for name, _, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            example = content["example"]
            command = COMMANDS.get(TWINS.get(name, name))
            if command is not None and command.body is not None:
                command.body.model_validate(example)
            valid = validator_of(document, content["schema"])
            valid.validate(example)
            assert example or name in {"draw-up-report", "issue-first-code", "make-page-link"}, name
    for name, schema in document["components"]["schemas"].items():
        for member in schema.get("properties", {}).values():
            for shown in member.get("examples", ()):
                validator_of(document, member).validate(shown)
        bodies = ("Body", "Changes", "NewUser", "SentBack", "WithExercises")
        if name.endswith(bodies):
            assert [
                member
                for member, said in schema["properties"].items()
                if "examples" not in said and member != "status"
            ] == [], name


def validator_of(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """A common validator of a part of the document."""
    return Draft202012Validator({**schema, "components": document["components"]})


@pytest.mark.parametrize("price", [19.99, 0.07, 49.9, 0, 1234567.89, "0.29"])
async def test_a_common_validator_takes_a_price_that_the_service_takes(
    rest: Rest, price: float | str
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    document = (await rest.http.get("/openapi.json")).json()
    body = {"price": price}
    operation = document["paths"]["/memberships/"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    validator_of(document, schema).validate(body)
    made = await rest.http.post("/memberships/", json=body, headers=admin)
    assert made.status_code == 201


async def test_every_header_that_is_read_or_answered_is_named(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    answered: set[str] = set()
    read = {"Authorization", "Content-Type"}  # as `security` and `requestBody` have it
    for _, _, operation in operations(document):
        read |= {p["name"] for p in operation["parameters"] if p["in"] == "header"}
        for answer in operation["responses"].values():
            assert "X-Request-Id" in answer["headers"]
            answered |= answer["headers"].keys()
    about = document["info"]["description"]
    assert "`Ledger-Position`" in about  # of any position but those answered, it would be 503
    assert {*read, "Ledger-Position"} == set(READ)
    assert answered == {*ANSWERED, "Cache-Control", "Set-Cookie"}
    assert "Authorization: Bearer" in about


async def test_only_the_documented_spelling_is_documented(rest: Rest) -> None:
    paths = (await rest.http.get("/openapi.json")).json()["paths"]
    assert {"/trainings/exercice-ids/", "/trainings/exercice-ids/{train_id}/"} <= paths.keys()
    assert [path for path in paths if "exercise-ids" in path] == []


async def test_no_answer_of_the_document_has_a_password(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    for name, schema in document["components"]["schemas"].items():
        assert "password_hash" not in schema.get("properties", {}), name
        if name.endswith("Shown"):
            assert "password" not in schema["properties"], name


async def test_the_pages_of_the_documentation_need_no_other_host(rest: Rest) -> None:
    for page in ("/docs", "/redoc"):
        shown = await rest.http.get(page)
        assert shown.status_code == 200
        assert re.findall(r"(?:https?:)?//[^\s\"']+", shown.text) == []
        assets = re.findall(r"(?:src|href)=\"([^\"]+)\"", shown.text)
        assert len(assets) >= 2
        for asset in assets:
            found = await rest.http.get(asset)
            assert found.status_code == 200, asset
            assert found.content
