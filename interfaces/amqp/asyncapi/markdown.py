"""The AsyncAPI document as Markdown, for people."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

import orjson

from application.catalogue import COMMANDS
from interfaces.amqp.asyncapi.examples import Json
from interfaces.amqp.asyncapi.incoming import SCHEMAS


def rendered(found: Json) -> str:
    """The document as Markdown."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Json) -> Iterator[str]:
    yield f"# {found['info']['title']}"
    yield "\nMade by `make docs` of what the service serves at `/asyncapi.json`.\n"
    yield found["info"]["description"]
    for name, channel in found["channels"].items():
        binding = channel.get("bindings", {}).get("amqp", {})
        where = binding.get("queue", binding.get("exchange", {})).get("name", _ELSEWHERE.get(name))
        messages = [found["components"]["messages"][message] for message in channel["messages"]]
        yield f"\n## {channel['title']}: `{where}`\n"
        yield channel["description"]
        yield from _around(messages[0], found)
        for message in messages:
            yield from _message(message, found)
        if name == "payments":
            yield from _models(found)


_ELSEWHERE = {"heads": "CLUB_SEALS_ROUTE", "replies": "reply_to"}
"""What says where the messages of a channel are, of those that have no name of their own."""


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
    if message["name"] in COMMANDS and "subject" in properties:
        yield f"\nSubject: for example `{example['subject']}`"
    if "$ref" in data:
        name = data["$ref"].removeprefix(SCHEMAS)
        yield f"\nData: [{name}](#{name.lower()})"
    yield from _table(data if "specversion" in properties else payload, found)
    data = example.get("data") if "specversion" in properties else example
    if data:
        yield f"\n```json\n{orjson.dumps(data).decode()}\n```"


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
