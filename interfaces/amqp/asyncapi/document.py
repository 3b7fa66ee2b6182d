"""The AsyncAPI document, for machines.

Made of the models that read the messages, and of the domain's events with the facts that may go
out, so that it cannot say anything else than what happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import metadata

from application.catalogue import COMMANDS
from interfaces.amqp.asyncapi.events import event, events_of_the_domain
from interfaces.amqp.asyncapi.examples import Json
from interfaces.amqp.asyncapi.heads import head
from interfaces.amqp.asyncapi.incoming import PROBLEM, command, payment, replies_to_commands
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.payments import TYPE
from interfaces.amqp.seals_out import SEALED
from interfaces.amqp.topology import (
    COMMANDS_QUEUE,
    EVENTS_EXCHANGE,
    PAYMENTS_EXCHANGE,
    PAYMENTS_QUEUE,
)

ABOUT = """\
Every message is a CloudEvent 1.0 in structured JSON over AMQP 0-9-1. Whatever comes in is done \
once, however often it is delivered: `source` and `id` are the key by which it is known again. \
Whatever goes out is delivered at least once: events in the order of `sequence`, which has no \
holes, and the reply to a command with its `correlation_id`."""


@cache
def document() -> Json:
    """The AsyncAPI document, made when it is first asked for."""
    schemas: Json = {"Problem": PROBLEM}
    commands = {name: command(name, entry, schemas) for name, entry in COMMANDS.items()}
    payments = {TYPE: payment(schemas)}
    events = {kind.TOPIC: event(kind) for kind in events_of_the_domain()}
    heads = {SEALED: head()}
    replies = replies_to_commands()
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
        "channels": _channels(commands, payments, events, heads, replies),
        "operations": _operations(commands, payments, events, heads, replies),
        "components": {
            "messages": {**commands, **payments, **replies, **events, **heads},
            "schemas": schemas,
            "securitySchemes": _SECURITY,
        },
    }


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


def _channels(commands: Json, payments: Json, events: Json, heads: Json, replies: Json) -> Json:
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
        "heads": {
            "address": None,
            "title": "Signed heads out",
            "description": "Where CLUB_SEALS_ROUTE leads, if it is set: to an exchange (a topic "
            "exchange, where there is none yet) with a routing key, or to a queue. Bind a queue "
            "of your own before: a head that no queue takes is not out, and those after it wait.",
            "messages": _refs("components/messages", heads),
        },
        "replies": {
            "address": None,
            "title": "Replies",
            "description": "The queue that `reply_to` of the command names.",
            "messages": _refs("components/messages", replies),
        },
    }


def _operations(commands: Json, payments: Json, events: Json, heads: Json, replies: Json) -> Json:
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
        "tellOfHead": {
            "action": "send",
            "summary": "Put a signed head of the ledger where the club cannot change it.",
            **of("heads", heads),
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
