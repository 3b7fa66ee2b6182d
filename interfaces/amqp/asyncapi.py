"""AsyncAPI 3.1: what the club takes from RabbitMQ and publishes to it, for machines and people.

Made of the models that read the messages, and of the domain's events with the facts that may go
out, so that it cannot say anything else than what happens.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib.metadata import metadata
from types import NoneType
from typing import Any, get_args, get_type_hints

import orjson
from pydantic import BaseModel

from domain.aggregate import Event
from domain.sessions import Ending
from domain.values import (
    AccessLevel,
    ClientStatus,
    Complexity,
    Intensity,
    MuscleGroup,
    PlanStatus,
    Role,
)
from interfaces import problems
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.commands import JSON, WIRE, CommandMessage, Wire
from interfaces.amqp.outgoing import FACTS, UNNAMED
from interfaces.amqp.payments import TYPE, ReportedPayment
from interfaces.amqp.topology import (
    COMMANDS_QUEUE,
    EVENTS_EXCHANGE,
    PAYMENTS_EXCHANGE,
    PAYMENTS_QUEUE,
)

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
AT = "2026-03-02T09:00:00.000000Z"

EXAMPLES: Mapping[str, Any] = {
    "access_level": "PREMIUM",
    "client_id": 7,
    "complexity_lvl": "BEGINNER",
    "date": "2026-03-02",
    "date_of_birth": "1990-12-10",
    "days": 30,
    "description": "Slowly down, and up again.",
    "duration_min": 45,
    "email": "ada@example.com",
    "equipment_required": False,
    "exercise_id": 4,
    "exercise_ids": [4, 5],
    "first_name": "Ada",
    "intensity": "MEDIUM",
    "last_name": "Lovelace",
    "membership_id": 2,
    "muscle_group": "LEGS",
    "occurred_at": AT,
    "order_in_training": 1,
    "paid_at": AT,
    "password": "correct horse battery",
    "payment_id": 42,
    "payment_status": "PAID",
    "phone_number": "+44 20 7946 0000",
    "price": "49.90",
    "report_date_end": "2026-03-31",
    "report_date_start": "2026-03-01",
    "reps": 10,
    "role": "USER",
    "sets": 3,
    "status": "ACTIVE",
    "timestamp": AT,
    "timezone": "Europe/Madrid",
    "title": "Squat",
    "training_id": 3,
    "training_plan_id": 5,
    "training_type": "STRENGTH",
    "until": "2026-04-01T09:00:00.000000Z",
    "user_id": 1,
    "username": "ada",
    "why": "logged-out",
}
"""A value for each field of the examples, by its name."""

MEANING: Mapping[str, type[StrEnum] | str] = {
    "access_level": AccessLevel,
    "complexity_lvl": Complexity,
    "date": "date",
    "intensity": Intensity,
    "muscle_group": MuscleGroup,
    "occurred_at": "date-time",
    "paid_at": "date-time",
    "report_date_end": "date",
    "report_date_start": "date",
    "role": Role,
    "client.registered/status": ClientStatus,
    "training-plan.drawn-up/status": PlanStatus,
    "timestamp": "date-time",
    "until": "date-time",
    "why": Ending,
}
"""What a fact that is text says, more closely than the type of the event's field does."""

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

ABOUT = """\
Every message is a CloudEvent 1.0 in structured JSON over AMQP 0-9-1. Whatever comes in is done \
once, however often it is delivered: `source` and `id` are the key by which it is known again. \
Whatever goes out is delivered at least once, in the order of `sequence`, which has no holes."""


def document() -> Json:
    """The AsyncAPI document."""
    schemas: Json = {"Problem": PROBLEM}
    commands = {kind: _command(kind, wire, schemas) for kind, wire in WIRE.items()}
    payments = {TYPE: _payment(schemas)}
    events = {kind.TOPIC: _event(kind) for kind in events_of_the_domain()}
    replies = _replies()
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Training API Service over RabbitMQ",
            "version": metadata("training-api-service")["Version"],
            "description": ABOUT,
        },
        "defaultContentType": MEDIA_TYPE,
        "servers": {
            "rabbitmq": {
                "host": "localhost:5672",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "The RabbitMQ of CLUB_AMQP_URL.",
            }
        },
        "channels": _channels(commands, payments, events, replies),
        "operations": _operations(commands, payments, events, replies),
        "components": {
            "messages": {**commands, **payments, **replies, **events},
            "schemas": schemas,
            "securitySchemes": _SECURITY,
        },
    }


def events_of_the_domain() -> list[type[Event]]:
    """Every event that there can be, by its name."""

    def below(kind: type[Event]) -> Iterator[type[Event]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    ours = {one for one in below(Event) if one.__module__.startswith("domain.")}
    return sorted((one for one in ours if "TOPIC" in vars(one)), key=lambda one: one.TOPIC)


# --- channels and operations ---------------------------------------------------------------------

_SECURITY: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of REST, as `Bearer …` in the header `authorization`.",
    },
    "signature": {
        "type": "httpApiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks 1.0: HMAC-SHA256, with the provider's secret, of "
        "`webhook-id.webhook-timestamp.` and the bytes of the body.",
    },
}


def _channels(commands: Json, payments: Json, events: Json, replies: Json) -> Json:
    return {
        "commands": {
            "address": COMMANDS_QUEUE,
            "title": "Commands in",
            "description": "A queue; publish to the default exchange with its name as routing key.",
            "messages": _refs("components/messages", commands),
            "bindings": {"amqp": _queue(COMMANDS_QUEUE)},
        },
        "payments": {
            "address": TYPE,
            "title": "Payments in",
            "description": f"A topic exchange; all that comes to it goes to `{PAYMENTS_QUEUE}`.",
            "messages": _refs("components/messages", payments),
            "bindings": {"amqp": _exchange(PAYMENTS_EXCHANGE)},
        },
        "events": {
            "address": "{type}",
            "title": "Events out",
            "description": "A topic exchange; bind a queue of your own, with `#` for everything, "
            "`client.*` for all about clients.",
            "parameters": {"type": {"description": "the type of the event", "enum": [*events]}},
            "messages": _refs("components/messages", events),
            "bindings": {"amqp": _exchange(EVENTS_EXCHANGE)},
        },
        "replies": {
            "address": None,
            "title": "Replies",
            "description": "The queue that `reply_to` of the command names.",
            "messages": _refs("components/messages", replies),
        },
    }


def _operations(commands: Json, payments: Json, events: Json, replies: Json) -> Json:
    def of(channel: str, messages: Iterable[str]) -> Json:
        return {
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{m}"} for m in messages],
        }

    reply = {"address": {"location": "$message.header#/reply_to"}, **of("replies", replies)}
    return {
        "takeCommand": {
            "action": "receive",
            "summary": "Have a command done, and answer.",
            "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            **of("commands", commands),
            "reply": reply,
        },
        "takeReportOfPayment": {
            "action": "receive",
            "summary": "Take up what a provider reports of a payment.",
            "security": [{"$ref": "#/components/securitySchemes/signature"}],
            **of("payments", payments),
        },
        "tellOfEvent": {
            "action": "send",
            "summary": "Tell what happened in the club.",
            **of("events", events),
        },
    }


def _refs(where: str, names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/{where}/{name}"} for name in names}


def _queue(name: str) -> Json:
    queue = {"name": name, "durable": True, "exclusive": False, "autoDelete": False}
    return {"is": "queue", "queue": queue, "bindingVersion": "0.3.0"}


def _exchange(name: str) -> Json:
    exchange = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
    return {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}


# --- messages that come in -----------------------------------------------------------------------


def _command(kind: str, wire: Wire, schemas: Json) -> Json:
    subject = "/".join(str(number) for number in (7, 4)[: wire.numbers])
    payload = _envelope(CommandMessage, kind)
    properties, required = payload["properties"], payload["required"]
    example: Json = {"specversion": "1.0", "id": "0001", "source": "/crm", "type": kind}
    if wire.numbers:
        number = "[1-9][0-9]{0,9}"
        properties["subject"] = {"type": "string", "pattern": f"^{number}(/{number})" + "{%d}$"}
        properties["subject"]["pattern"] %= wire.numbers - 1
        properties["subject"]["description"] = "the numbers that REST has in the path"
        required.append("subject")
        example["subject"] = subject
    else:
        del properties["subject"]
    if wire.body is None:
        del properties["data"]
    else:
        properties["data"] = _schema(wire.body, schemas)
        required.append("data")
        example["data"] = _example(wire.body)
    headers: Json = {
        "type": "object",
        "required": [] if wire.action is None else ["authorization"],
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
    doc = inspect.cleandoc(wire.body.__doc__ or "") if wire.body else "No data."
    return {
        "name": kind,
        "title": kind.replace("-", " ").capitalize(),
        "description": f"{doc} The reply has the status {wire.status}.",
        "contentType": MEDIA_TYPE,
        "correlationId": {"location": "$message.header#/correlation_id"},
        "headers": headers,
        "payload": payload,
        "examples": [{"name": kind, "headers": said, "payload": example}],
    }


def _payment(schemas: Json) -> Json:
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


def _replies() -> Json:
    no = problems.document(404, "not-found", "There is no client 7.", "/change-client/7")
    status = {"type": "integer", "description": "the status that REST would answer"}
    correlation = {"correlationId": {"location": "$message.header#/correlation_id"}}
    known: Json = {"type": "string", "description": "the property of AMQP, as the command had it"}
    return {
        "done": {
            "name": "done",
            "title": "Done",
            "description": "What REST answers with its status; 204 has an empty body. The schema "
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
            "description": "Why the command was not done.",
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


# --- events that go out --------------------------------------------------------------------------


def _event(kind: type[Event]) -> Json:
    named = kind.TOPIC.partition(".")[0] not in UNNAMED
    text: Json = {"type": "string"}
    properties: Json = {
        "specversion": {**text, "const": "1.0"},
        "id": {**text, "description": "the position in the ledger"},
        "source": {**text, "description": "which club it is"},
        "type": {**text, "const": kind.TOPIC},
        "time": {**text, "format": "date-time", "description": "when it happened"},
        "datacontenttype": {**text, "const": JSON},
        "sequence": {**text, "pattern": "^[0-9]{20}$", "description": "the position, to sort by"},
        "correlationid": {**text, "description": "the conversation that it belongs to"},
        "causationid": {**text, "description": "the command or the event that led to it"},
        "subject": {**text, "description": "whom it happened to: kind and number"},
        "data": _facts(kind),
    }
    example: Json = {
        "specversion": "1.0",
        "id": "1204",
        "source": "http://localhost:8000",
        "type": kind.TOPIC,
        "time": AT,
        "datacontenttype": JSON,
        "sequence": f"{1204:020d}",
        "correlationid": "b7a1",
        "causationid": "5f0c",
        "data": _facts_example(kind),
        "subject": f"{kind.TOPIC.partition('.')[0]}-7",
    }
    if not named:
        del properties["subject"], example["subject"]
    return {
        "name": kind.TOPIC,
        "title": kind.TOPIC,
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "contentType": MEDIA_TYPE,
        "payload": {"type": "object", "required": [*properties], "properties": properties},
        "examples": [{"name": kind.TOPIC, "payload": example}],
    }


def _facts(kind: type[Event]) -> Json:
    """The facts that go out; of a change, those that changed."""
    names = FACTS.get(kind.TOPIC, ())
    fields = get_type_hints(kind)
    return {
        "type": "object",
        "required": [name for name in names if name in fields and name != "timestamp"],
        "properties": {name: _fact(kind, name) for name in names},
    }


def _fact(kind: type[Event], name: str) -> Json:
    """The form of a fact, by the type of the event's field and by what it means."""
    hint = _hint(kind, name)
    kinds = [one for one in get_args(hint) or (hint,) if one is not NoneType]
    optional = len(kinds) < len(get_args(hint) or (hint,))
    form: Json = {"type": _JSON_TYPES[kinds[0]]}
    meaning = MEANING.get(f"{kind.TOPIC}/{name}", MEANING.get(name))
    if isinstance(meaning, str):
        form["format"] = meaning
    elif meaning is not None:
        form["enum"] = [*(one.value for one in meaning), *([None] if optional else [])]
    if optional:
        form["type"] = [form["type"], "null"]
    return form


_JSON_TYPES = {str: "string", int: "integer", bool: "boolean"}


def _hint(kind: type[Event], name: str) -> Any:
    """The type of a fact: of the event's own field, or, of a change, as the kind began with it."""
    own = kind.TOPIC.partition(".")[0]
    siblings = [one for one in events_of_the_domain() if one.TOPIC.partition(".")[0] == own]
    for one in (kind, *siblings):
        hints = get_type_hints(one)
        if name in hints and name != "timestamp":
            return hints[name]
    return str  # the moment of a payment's status, which its events call `occurred_at`


def _facts_example(kind: type[Event]) -> Json:
    special = {"training-plan.drawn-up": {"status": "PREPARED"}}
    facts = {name: EXAMPLES[name] for name in FACTS.get(kind.TOPIC, ())}
    return facts | special.get(kind.TOPIC, {})


# --- for people ----------------------------------------------------------------------------------


def rendered(found: Json) -> str:
    """The document as Markdown."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Json) -> Iterator[str]:
    yield f"# {found['info']['title']}"
    yield "\nMade by `make docs` of what the service serves at `/asyncapi.json`.\n"
    yield found["info"]["description"]
    for name, channel in found["channels"].items():
        binding = channel.get("bindings", {}).get("amqp", {})
        where = binding.get("queue", binding.get("exchange", {})).get("name", "reply_to")
        messages = [found["components"]["messages"][message] for message in channel["messages"]]
        yield f"\n## {channel['title']}: `{where}`\n"
        yield channel["description"]
        yield from _around(messages[0], found)
        for message in messages:
            yield from _message(message, found)
        if name == "payments":
            yield from _models(found)


def _around(message: Json, found: Json) -> Iterator[str]:
    """What all messages of a channel have, with a message in full as an example."""
    if "headers" in message:
        yield "\nHeaders and properties:"
        yield from _table(message["headers"], found)
    properties = dict(message["payload"].get("properties", {}))
    if properties:
        properties.pop("data", None)
        yield "\nAttributes:"
        yield from _table({**message["payload"], "properties": properties}, found)
    yield f"\nFor example, `{message['name']}`:"
    example = {k: v for k, v in message["examples"][0].items() if k != "name"}
    yield f"\n```json\n{orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()}\n```"


def _message(message: Json, found: Json) -> Iterator[str]:
    yield f"\n### `{message['name']}`\n"
    yield message["description"]
    payload = _followed(message["payload"], found)
    properties = payload.get("properties", {})
    data = properties.get("data", {})
    example = message["examples"][0]["payload"]
    if message["name"] in WIRE and "subject" in properties:
        yield f"\nSubject: for example `{example['subject']}`"
    if "$ref" in data:
        name = data["$ref"].removeprefix(SCHEMAS)
        yield f"\nData: [{name}](#{name.lower()})"
    yield from _table(data if "specversion" in properties else payload, found)
    shown = example.get("data") if "specversion" in properties else example
    if shown:
        yield f"\n```json\n{orjson.dumps(shown).decode()}\n```"


def _models(found: Json) -> Iterator[str]:
    """The bodies of the commands and reports."""
    yield "\n## Data of messages that come in"
    for name, schema in found["components"]["schemas"].items():
        if schema["type"] == "object" and name != "Problem":
            yield f"\n### {name}\n"
            yield inspect.cleandoc(schema.get("description", ""))
            yield from _table(schema, found)


def _table(schema: Json, found: Json) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not properties:
        return
    yield "\n| field | form | |"
    yield "| --- | --- | --- |"
    for name, field in properties.items():
        needed = "" if name in schema.get("required", ()) else "optional"
        said = "; ".join(part for part in (needed, field.get("description", "")) if part)
        yield f"| `{name}` | {_form(field, found)} | {said.replace('|', '&#124;')} |"


def _form(field: Json, found: Json) -> str:
    """The form of a field in a few words."""
    field = _followed(field, found)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_form(one, found) for one in field["anyOf"]))
    kinds = field.get("type", "anything")
    words: Sequence[str] = [kinds] if isinstance(kinds, str) else kinds
    words = [field["format"] if w == "string" and "format" in field else w for w in words]
    if field.get("enum"):
        words = [f"`{value}`" for value in field["enum"] if value is not None]
        return " ".join(words) + (" or null" if None in field["enum"] else "")
    limits = [f"{sign} {field[limit]}" for limit, sign in _LIMITS.items() if limit in field]
    return " or ".join(words) + (f" ({', '.join(limits)})" if limits else "")


_LIMITS = {"minimum": "≥", "maximum": "≤", "minLength": "at least", "maxLength": "at most"}


def _followed(schema: Json, found: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    followed: Json = found["components"]["schemas"][reference.removeprefix(SCHEMAS)]
    return followed
