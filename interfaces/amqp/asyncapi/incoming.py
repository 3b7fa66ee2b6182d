"""The messages that come in, by the models that read them, and the replies."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel

from application.askable import AskableCommand
from interfaces import problems
from interfaces.amqp.asyncapi.examples import AT, EXAMPLES, Json
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.commands import JSON, STATUS, CommandMessage
from interfaces.amqp.payments import TYPE, ReportedPayment

SCHEMAS = "#/components/schemas/"
"""Where the document has the bodies' schemas."""

PROBLEM: Json = {
    "type": "object",
    "description": "An RFC 9457 problem document, the same that REST answers.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "description": "a stable path, one for each kind of problem"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "the type and the subject of the command"},
        "errors": {
            "type": "array",
            "description": "what is wrong with the data, field by field",
            "items": {
                "type": "object",
                "required": ["detail", "pointer"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {
                        "type": "string",
                        "description": "where, as a JSON pointer: `#/field`",
                    },
                },
            },
        },
    },
}


def command(name: str, entry: AskableCommand, schemas: Json) -> Json:
    """A command; the schema of its body is put among the others."""
    subject = "/".join(str(number) for number in (7, 4)[: entry.numbers])
    payload = _envelope(CommandMessage, name)
    properties, required = payload["properties"], payload["required"]
    example: Json = {"specversion": "1.0", "id": "0001", "source": "/crm", "type": name}
    if entry.numbers:
        number = "[1-9][0-9]{0,9}"
        properties["subject"] = {"type": "string", "pattern": f"^{number}(/{number})" + "{%d}$"}
        properties["subject"]["pattern"] %= entry.numbers - 1
        properties["subject"]["description"] = "the numbers that REST has in the path"
        required.append("subject")
        example["subject"] = subject
    else:
        del properties["subject"]
    if entry.body is None:
        del properties["data"]
    else:
        properties["data"] = _schema(entry.body, schemas)
        if entry.needs_body:
            required.append("data")
        example["data"] = _example(entry.body)
    headers: Json = {
        "type": "object",
        "required": [] if entry.permission is None else ["authorization"],
        "properties": {
            "authorization": {"type": "string", "description": "`Bearer` and an access token"},
            "reply_to": {
                "type": "string",
                "description": "the property of AMQP: the queue that the reply goes to",
            },
            "correlation_id": {
                "type": "string",
                "description": "the property of AMQP: what the reply is known by",
            },
        },
    }
    said = {"authorization": "Bearer eyJ…", "reply_to": "crm.replies", "correlation_id": "0001"}
    doc = inspect.cleandoc(entry.body.__doc__ or "") if entry.body else "No data."
    return {
        "name": name,
        "title": name.replace("-", " ").capitalize(),
        "description": f"{doc} The reply has the status {STATUS[entry.answer]}.",
        "contentType": MEDIA_TYPE,
        "correlationId": {"location": "$message.header#/correlation_id"},
        "headers": headers,
        "payload": payload,
        "examples": [{"name": name, "headers": said, "payload": example}],
    }


def payment(schemas: Json) -> Json:
    """The news of a payment."""
    payload = _envelope(ReportedPayment, TYPE)
    payload["properties"]["data"] = _schema(
        ReportedPayment.model_fields["data"].annotation, schemas
    )
    payload["properties"].pop("subject")
    payload["properties"]["time"]["description"] = "when the payment took the step"
    headers = {
        "provider": ("the name of the provider", "acme-pay"),
        "webhook-id": ("the id of the message, the same whenever it is sent again", "msg_0001"),
        "webhook-timestamp": ("when it was signed: seconds since 1970", "1772442000"),
        "webhook-signature": (
            "`v1,` and the signature in base64; several, parted by spaces, where secrets change",
            "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        ),
    }
    return {
        "name": TYPE,
        "title": "Payment reported",
        "description": "A step that a payment took, told and signed by its provider, in whatever "
        "order and however often.",
        "contentType": MEDIA_TYPE,
        "headers": {
            "type": "object",
            "required": [*headers],
            "properties": {
                name: {"type": "string", "description": said} for name, (said, _) in headers.items()
            },
        },
        "payload": payload,
        "examples": [
            {
                "name": TYPE,
                "headers": {name: example for name, (_, example) in headers.items()},
                "payload": {
                    "specversion": "1.0",
                    "id": "msg_0001",
                    "source": "/providers/acme-pay",
                    "type": TYPE,
                    "time": AT,
                    "data": {"payment_id": 42, "payment_status": "PAID"},
                },
            }
        ],
    }


def _envelope(model: type[BaseModel], kind: str) -> Json:
    """What a message has around its data, as the model that reads it has it."""
    schema = model.model_json_schema(ref_template=SCHEMAS + "{model}")
    properties: Json = {name: _without_title(said) for name, said in schema["properties"].items()}
    properties["type"] = {"type": "string", "const": kind}
    properties["specversion"] = {"type": "string", "const": "1.0"}
    return {"type": "object", "required": schema["required"], "properties": properties}


def _schema(model: Any, schemas: Json) -> Json:
    """A reference to the model's schema, which is put among the others."""
    schema = model.model_json_schema(ref_template=SCHEMAS + "{model}")
    schemas |= schema.pop("$defs", {})
    schemas[model.__name__] = schema
    return {"$ref": SCHEMAS + model.__name__}


def _example(body: type[BaseModel]) -> Json:
    """The fields that have to be there; where none has to, the first that one would name."""
    named = [name for name, field in body.model_fields.items() if field.is_required()]
    optional = [name for name in body.model_fields if not name.endswith("_id")]
    return {name: EXAMPLES[name] for name in named or optional[:2]}


def _without_title(schema: Json) -> Json:
    return {name: said for name, said in schema.items() if name != "title"}


def replies_to_commands() -> Json:
    """Done, and refused."""
    no = problems.document(404, "not-found", "There is no client 7.", "/change-client/7")
    status = {"type": "integer", "description": "the status that REST would answer"}
    correlation = {"correlationId": {"location": "$message.header#/correlation_id"}}
    known: Json = {"type": "string", "description": "the property of AMQP, as the command had it"}
    return {
        "done": {
            "name": "done",
            "title": "Done",
            "description": "What REST answers with its status; 204 has an empty body, and of "
            "more than 1 MB only the `id` is sent. The schema "
            "of each answer is in `/openapi.json`, under the operation of the same name.",
            "contentType": JSON,
            **correlation,
            "headers": {
                "type": "object",
                "required": ["status"],
                "properties": {
                    "status": {**status, "enum": [200, 201, 204]},
                    "etag": {"type": "string", "description": "the version, quoted"},
                    "correlation_id": known,
                },
            },
            "payload": {"type": "object"},
            "examples": [
                {
                    "name": "add-exercise",
                    "headers": {"status": 201, "etag": '"1"', "correlation_id": "0001"},
                    "payload": {
                        "id": 4,
                        "title": "Squat",
                        "description": None,
                        "muscle_group": "LEGS",
                        "equipment_required": False,
                        "complexity_lvl": "BEGINNER",
                    },
                }
            ],
        },
        "refused": {
            "name": "refused",
            "title": "Refused",
            "description": "Why the command was not done. A message that can never work as it is "
            "is parked as well, and so is one whose refusal reached nobody; replayed, it is "
            "decided anew.",
            "contentType": problems.MEDIA_TYPE,
            **correlation,
            "headers": {
                "type": "object",
                "required": ["status"],
                "properties": {"status": status, "correlation_id": known},
            },
            "payload": {"$ref": SCHEMAS + "Problem"},
            "examples": [
                {
                    "name": "not-found",
                    "headers": {"status": 404, "correlation_id": "0001"},
                    "payload": no,
                }
            ],
        },
    }
