"""Routes of the rules of the club."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from application.rules import RulesBody, RulesChanges
from domain.rules import THE_ONE
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, group, shows
from interfaces.rest.door import asks

routes = group("/rules", "Rules")


class RulesShown(RulesBody):
    """What the club has set for itself."""


@routes.get("/", responses=shows(RulesShown))
async def read_rules(asking: Annotated[Asking, asks("read-rules")]) -> Response:
    """Retrieve what the club has set for itself."""
    return await asking.one(THE_ONE)


@routes.patch("/", responses=changes(RulesShown))
async def change_rules(
    body: RulesChanges, asking: Annotated[Asking, asks("change-rules")]
) -> Response:
    """Partial update of the rules; what was decided before stays as it is."""
    return await asking.change(body)
