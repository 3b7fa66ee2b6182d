"""CloudEvents 1.0 in structured JSON: the form of everything on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from application.fields import Moment

MEDIA_TYPE = "application/cloudevents+json"

Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")]
Source = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x20]+$")]


class CloudEvent(BaseModel):
    """What every message has around its data; attributes that are not known are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: Name = Field(description="with `source`, the key by which a message is known again")
    source: Source = Field(description="who sends it, as a URI reference")
    type: Name
    subject: Name | None = None
    time: Moment | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    correlationid: Name | None = None
    data: Any = None


E = TypeVar("E", bound=CloudEvent)


class Unusable(Exception):
    """A message is not what it should be."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read(model: type[E], body: bytes) -> E:
    """The message that the bytes are; raises Unusable."""
    try:
        return model.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as broken:
        raise Unusable("broken-json", f"The body is not JSON: {broken}.") from broken
    except ValidationError as wrong:
        raise Unusable("invalid-message", said(wrong)) from wrong


def said(wrong: ValidationError) -> str:
    """What is wrong, field by field."""
    return "; ".join(
        f"{'/'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}"
        for error in wrong.errors(include_input=False, include_url=False)
    )
