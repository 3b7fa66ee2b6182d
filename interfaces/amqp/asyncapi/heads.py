"""The signed heads of the ledger that go out."""

from __future__ import annotations

from interfaces.amqp.asyncapi.examples import AT, Json
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.commands import JSON
from interfaces.amqp.seals_out import SEALED

_TEXT: Json = {"type": "string"}
_POSITION: Json = {"type": "integer", "minimum": 1}
_DATA: Json = {
    "position": {**_POSITION, "description": "the last event that it covers"},
    "size": {**_POSITION, "description": "how many events it covers: the same number"},
    "root": {**_TEXT, "pattern": "^[0-9a-f]{64}$", "description": "the root of their tree"},
    "moment": {**_TEXT, "format": "date-time", "description": "when it was signed"},
    "key": {**_TEXT, "description": "which key signed it"},
    "signature": {**_TEXT, "description": "Ed25519, in base64"},
}
_ATTRIBUTES: Json = {
    "specversion": {**_TEXT, "const": "1.0"},
    "id": {**_TEXT, "description": "another one for another head of the same position"},
    "source": {**_TEXT, "description": "which club it is"},
    "type": {**_TEXT, "const": SEALED},
    "subject": {**_TEXT, "const": "ledger"},
    "time": {**_TEXT, "format": "date-time", "description": "when it was signed"},
    "datacontenttype": {**_TEXT, "const": JSON},
    "sequence": {**_TEXT, "pattern": "^[0-9]{20}$", "description": "the position, to sort by"},
    "data": {"type": "object", "required": [*_DATA], "properties": _DATA},
}
_EXAMPLE: Json = {
    "specversion": "1.0",
    "id": "head-1204-5f0c9a3e77d1b642",
    "source": "http://localhost:8000",
    "type": SEALED,
    "subject": "ledger",
    "time": AT,
    "datacontenttype": JSON,
    "sequence": f"{1204:020d}",
    "data": {
        "position": 1204,
        "size": 1204,
        "root": "17ed12787e6c67912e70d3042d56d30b1b9a98bf7f9b710ff77b9258cd67d4d1",
        "moment": AT,
        "key": "c2933c95620432b9",
        "signature": "X2ya…",
    },
}


def head() -> Json:
    """A head, as it goes out."""
    return {
        "name": SEALED,
        "title": SEALED,
        "description": "What the ledger was up to a position, signed: docs/proofs.md says how to "
        "check it. Heads come in the order of `sequence`, at least once.",
        "contentType": MEDIA_TYPE,
        "payload": {"type": "object", "required": [*_ATTRIBUTES], "properties": _ATTRIBUTES},
        "examples": [{"name": SEALED, "payload": _EXAMPLE}],
    }
