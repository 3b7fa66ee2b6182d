"""`club docs`: the messages that the club takes and sends, for people to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interfaces.amqp.asyncapi.document import document
from interfaces.amqp.asyncapi.markdown import rendered
from interfaces.cli.opening import in_plain_words


def docs(
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write it there, and print nothing")
    ] = None,
) -> None:
    """Print what the club takes from RabbitMQ and publishes to it, as Markdown."""
    text = rendered(document())
    if write is None:
        print(text, end="")
        return
    with in_plain_words():
        write.write_text(text, encoding="utf-8")
