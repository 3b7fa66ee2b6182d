"""The AsyncAPI document: complete, and true to what the club reads and publishes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from jsonschema import Draft7Validator
from typer.testing import Result

from application.catalogue import COMMANDS
from application.command import Command
from application.payments import PaymentReport
from infra.bootstrap import Club
from interfaces.amqp.asyncapi.document import document
from interfaces.amqp.asyncapi.events import MEANING, events_of_the_domain
from interfaces.amqp.asyncapi.examples import EXAMPLES
from interfaces.amqp.asyncapi.markdown import rendered
from interfaces.amqp.cloudevents import read
from interfaces.amqp.commands import CommandMessage
from interfaces.amqp.outgoing import cloud_event, leaving
from interfaces.amqp.payments import TYPE, ReportedPayment
from interfaces.rest.main import create_app
from interfaces.rest.problems import Problem
from tests.conftest import Rest
from tests.projections.histories import rich

WRITTEN = Path(__file__).parents[3] / "docs/asyncapi.md"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The document, as others read it."""
    read_again: dict[str, Any] = orjson.loads(orjson.dumps(document()))
    return read_again


def references(node: object) -> Iterator[str]:
    """Everything that the document refers to."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def at(found: dict[str, Any], reference: str) -> Any:
    """What a reference leads to."""
    node: Any = found
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def validator(found: dict[str, Any], schema: dict[str, Any]) -> Draft7Validator:
    """Checks against one of the document's schemas, formats as well."""
    whole = {**schema, "components": found["components"]}
    Draft7Validator.check_schema(schema)
    return Draft7Validator(whole, format_checker=Draft7Validator.FORMAT_CHECKER)


def test_every_reference_leads_somewhere_and_everything_is_referred_to(
    found: dict[str, Any],
) -> None:
    referred = set(references(found))
    for reference in referred:
        assert at(found, reference), reference
    for kind in ("messages", "schemas", "securitySchemes"):
        for name in found["components"][kind]:
            assert f"#/components/{kind}/{name}" in referred, name


def test_every_example_fits_its_own_schema(found: dict[str, Any]) -> None:
    for name, message in found["components"]["messages"].items():
        assert message["description"], name
        assert message["examples"], name
        for example in message["examples"]:
            for part in ("headers", "payload"):
                if part in message:
                    wrong = list(validator(found, message[part]).iter_errors(example[part]))
                    assert wrong == [], name


def test_the_schemas_tell_right_from_wrong(found: dict[str, Any]) -> None:
    messages = found["components"]["messages"]

    def fits(name: str, **other: Any) -> bool:
        payload = {**messages[name]["examples"][0]["payload"], **other}
        return validator(found, messages[name]["payload"]).is_valid(payload)

    assert fits("change-client", subject="12")
    assert not fits("change-client", subject="client-12")
    assert not fits("unpin-plan", subject="12")
    assert not fits("change-client", type="delete-client")
    assert not fits("change-client", data={"shoe_size": 44})
    assert not fits(TYPE, data={"payment_id": 42, "payment_status": "LOST"})
    assert not fits("client.registered", data={})
    assert not fits("client.registered", sequence="7")


# --- what comes in --------------------------------------------------------------------------------


def test_it_has_every_command_with_the_model_that_reads_it(found: dict[str, Any]) -> None:
    schemas = found["components"]["schemas"]
    assert found["channels"]["commands"]["messages"].keys() == COMMANDS.keys()
    for kind, entry in COMMANDS.items():
        payload = found["components"]["messages"][kind]["payload"]
        assert payload["properties"]["type"]["const"] == kind
        assert ("data" in payload["required"]) == entry.needs_body
        assert ("subject" in payload["required"]) == (entry.numbers > 0)
        if entry.body is not None:
            name = payload["properties"]["data"]["$ref"].rpartition("/")[2]
            expected = entry.body.model_json_schema(ref_template="#/components/schemas/{model}")
            expected.pop("$defs", None)
            assert (name, schemas[name]) == (entry.body.__name__, expected)


def test_the_club_takes_every_example_of_a_command(found: dict[str, Any]) -> None:
    for kind, entry in COMMANDS.items():
        (example,) = found["components"]["messages"][kind]["examples"]
        asked = read(CommandMessage, orjson.dumps(example["payload"]))
        numbers = [int(number) for number in (asked.subject or "").split("/") if number]
        body = None if entry.body is None else entry.body.model_validate(asked.data)
        assert isinstance(entry.made(numbers, body), Command)


def test_a_command_needs_a_token_unless_anybody_may(found: dict[str, Any]) -> None:
    messages = found["components"]["messages"]
    free = {
        kind for kind in COMMANDS if "authorization" not in messages[kind]["headers"]["required"]
    }
    assert free == {"register-user"}


def test_the_club_takes_the_example_of_a_payment(found: dict[str, Any]) -> None:
    message = found["components"]["messages"][TYPE]
    (example,) = message["examples"]
    news = read(ReportedPayment, orjson.dumps(example["payload"]))
    assert news.data.payment_id == 42
    assert message["headers"]["required"] == [
        "provider",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]


def test_a_refusal_is_the_problem_document_of_rest(found: dict[str, Any]) -> None:
    rest, ours = Problem.model_json_schema(), found["components"]["schemas"]["Problem"]
    assert ours["properties"].keys() == rest["properties"].keys()
    assert ours["required"] == rest["required"]
    each = rest["$defs"]["ProblemError"]
    assert ours["properties"]["errors"]["items"]["required"] == each["required"]


# --- what goes out --------------------------------------------------------------------------------


def test_it_has_every_event_with_the_facts_that_go_out(found: dict[str, Any]) -> None:
    kinds = {kind.TOPIC: kind for kind in events_of_the_domain()}
    channel = found["channels"]["events"]
    assert channel["messages"].keys() == kinds.keys() == set(channel["parameters"]["type"]["enum"])
    for topic, kind in kinds.items():
        data = found["components"]["messages"][topic]["payload"]["properties"]["data"]
        assert tuple(data["properties"]) == leaving(kind)


def test_what_the_club_publishes_fits_the_document(found: dict[str, Any]) -> None:
    seen = set()
    checks = {
        topic: validator(found, found["components"]["messages"][topic]["payload"])
        for topic in found["channels"]["events"]["messages"]
    }
    for position, event in enumerate(rich(1500).events, start=1):
        out = orjson.loads(cloud_event(event, position, "http://club", "talk", "cause"))
        assert list(checks[event.TOPIC].iter_errors(out)) == [], event.TOPIC
        seen.add(event.TOPIC)
    unseen = {topic.partition(".")[0] for topic in checks.keys() - seen}
    assert unseen <= {
        "audit-reading",
        "client",
        "payment",
        "provider",
        "reservation",
        "session",
        "sign-in",
        "subscription",
        "user",
    }
    assert len(seen) > 40


def test_every_form_and_example_is_used() -> None:
    names = {name for kind in events_of_the_domain() for name in leaving(kind)}
    assert {meant.rpartition("/")[2] for meant in MEANING} <= names
    fields = {name for entry in COMMANDS.values() if entry.body for name in entry.body.model_fields}
    assert EXAMPLES.keys() <= names | fields | PaymentReport.model_fields.keys()


# --- where it is found ----------------------------------------------------------------------------


def test_its_addresses_are_those_of_rabbitmq(found: dict[str, Any]) -> None:
    addresses = {
        name: channel.get("bindings", {}).get("amqp", {})
        for name, channel in found["channels"].items()
    }
    assert found["asyncapi"] == "3.1.0"
    assert addresses["commands"]["queue"]["name"] == "club.commands"
    assert addresses["payments"]["exchange"]["name"] == "club.payments"
    assert addresses["events"]["exchange"]["name"] == "club.events"
    assert "payment_queue" in found["channels"]["payments"]["description"]
    assert found["operations"]["takeCommand"]["reply"]["channel"]["$ref"] == "#/channels/replies"


async def test_it_is_served_and_linked(club: Club, found: dict[str, Any]) -> None:
    transport = httpx.ASGITransport(app=create_app(club, document))
    async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
        index = (await http.get("/")).json()
        served = await http.get(index["links"]["asyncapi"])
    assert served.status_code == 200
    assert served.headers["content-type"] == "application/json"
    assert served.json() == found


async def test_an_app_that_is_given_none_serves_none(rest: Rest) -> None:
    assert "asyncapi" not in (await rest.http.get("/")).json()["links"]
    answer = await rest.http.get("/asyncapi.json")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


def test_what_people_read_is_current() -> None:
    assert WRITTEN.read_text("utf-8") == rendered(document()), "run `make docs`"


def test_what_people_read_has_every_message_and_field() -> None:
    text = rendered(document())
    headings = set(re.findall(r"^### `?([^`\n]+)`?$", text, re.MULTILINE))
    assert headings >= COMMANDS.keys() | {TYPE} | {kind.TOPIC for kind in events_of_the_domain()}
    for anchor in re.findall(r"\]\(#([a-z]+)\)", text):
        assert anchor in {heading.lower() for heading in headings}
    for entry in COMMANDS.values():
        for name in entry.body.model_fields if entry.body else ():
            assert f"| `{name}` |" in text, name


def test_club_docs_prints_it_or_writes_it(tmp_path: Path, command: Callable[..., Result]) -> None:
    printed = command("docs")
    assert (printed.exit_code, printed.stdout) == (0, rendered(document()))
    file = tmp_path / "asyncapi.md"
    assert command("docs", f"--write={file}").exit_code == 0
    assert file.read_text("utf-8") == printed.stdout
    refused = command("docs", f"--write={tmp_path / 'gone' / 'asyncapi.md'}")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "No such file or directory." in refused.stderr
