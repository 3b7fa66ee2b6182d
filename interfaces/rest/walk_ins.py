"""The route of those who walk in."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from pydantic import BaseModel

from application.walk_ins import WalkInBody
from interfaces.rest.asking import Asking
from interfaces.rest.clients import ClientShown
from interfaces.rest.documented import creates, group
from interfaces.rest.door import asks
from interfaces.rest.memberships import MembershipShown
from interfaces.rest.payments import PaymentShown
from interfaces.rest.users import FirstSignInShown, UserShown

routes = group("/clients/walk-ins", "Clients")


class WalkInShown(BaseModel):
    """All that somebody who walked in is and has."""

    user: UserShown
    client: ClientShown
    membership: MembershipShown
    payment: PaymentShown
    first_sign_in: FirstSignInShown


@routes.post("/", status_code=201, responses=creates(WalkInShown, secret=True))
async def register_walk_in(
    body: WalkInBody, asking: Annotated[Asking, asks("register-walk-in")]
) -> Response:
    """Take in somebody who walks in: user, client, membership and first payment, or nothing."""
    return await asking.create(body, location="/clients/{client[id]}/")
