"""What the routes of a chain need of it, and how they ask."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Protocol

from fastapi import Depends, Request

from application.access import Permission
from application.ports.chain import FiguresOfChain, PageLinks, Rows
from interfaces.rest.documented import Responses
from interfaces.rest.door import Asks, Opens


class Service(Protocol):
    """A chain that is open to be read."""

    @property
    def figures(self) -> FiguresOfChain: ...
    @property
    def clubs(self) -> Rows: ...
    @property
    def clubs_and_why(self) -> Rows: ...
    @property
    def links(self) -> PageLinks: ...
    @property
    def metrics(self) -> Any: ...
    @property
    def callers(self) -> Any: ...
    async def health(self) -> Any: ...


def chain_of(request: Request) -> Service:
    """The chain that is served."""
    service: Service = request.app.state.service
    return service


def reads(name: str) -> Any:
    """Let in whoever reads the reports of the chain."""
    return Depends(Asks(name, Permission.REPORTS_READ))


def opens(name: str, page: str) -> Any:
    """Let in whoever reads the reports of the chain, or has a link to this page."""
    return Depends(Opens(name, Permission.REPORTS_READ, page))


_OF_COMMANDS = {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.GATEWAY_TIMEOUT}


def of_chain(responses: Responses) -> Responses:
    """The answers of a route, without what only commands have: a version, a place in a ledger."""
    answers = {status: said for status, said in responses.items() if status not in _OF_COMMANDS}
    for answer in answers.values():
        if HTTPStatus.NOT_MODIFIED not in answers:
            answer.get("headers", {}).pop("ETag", None)
        answer.get("headers", {}).pop("Ledger-Position", None)
    answers[503]["description"] = "cannot be told just now, or is being built"
    return answers
