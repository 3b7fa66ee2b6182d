"""Routes of clients, and of the plans they follow."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.clients import ClientBody, ClientChanges, GrantBody
from application.fields import Day, Id, Moment, SentBack
from application.searching import LONGEST_SEARCH, terms_of
from application.training_plans import PinBody
from domain.clients import Client
from domain.values import ClientStatus, Gender, PlanStatus
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.history import HistoryQuery, HistoryShown
from interfaces.rest.lists import Digits, ListQuery, Number, PageQuery, PathNumber, sorting, words
from interfaces.rest.memberships import MembershipShown
from interfaces.rest.payments import PaymentShown, PaymentsOfClientQuery
from interfaces.rest.trainings import TrainingShown, TrainingsOfClientQuery
from interfaces.rest.users import UserShown

routes = group("/clients", "Clients")


class ClientShown(ClientBody):
    """A client."""

    id: int


class ClientSentBack(ClientBody):
    """A complete update of a client, as a GET answered it."""

    id: SentBack[Id] = None


class AdmissionShown(BaseModel):
    """Until when a client is let in."""

    client_id: Id
    status: ClientStatus
    until: Moment | None = Field(
        description="when the time of the client ends; null without an end, and in a pause"
    )
    kept_seconds: int | None = Field(
        description="in a pause (ON_HOLD, CANCELLED): what is kept of the time until it is over"
    )
    provisional: bool = Field(description="whether that is only to leave time for a first payment")


class PinShown(PinBody):
    """A plan that a client follows."""

    client_id: Id
    pinned_at: Moment


class ClientsQuery(ListQuery):
    """Which clients."""

    user_id: Number | None = None
    membership_id: Number | None = None
    first_name: str | None = words(50)
    last_name: str | None = words(80)
    phone_number: str | None = words(20)
    gender: Gender | None = None
    date_of_birth: Day | None = None
    status: ClientStatus | None = None
    sort: str | None = sorting("list-clients")


class PinnedPlanShown(PinShown):
    """A plan that a client follows, in full."""

    user_id: Id = Field(description="whose plan it is")
    title: str
    description: str | None
    created_at: Moment
    status: PlanStatus


class GrantShown(GrantBody):
    """Days for which the club let a client in without a payment."""

    client_id: Id
    granted_at: Moment


class SearchQuery(PageQuery):
    """Who is looked for."""

    limit: Annotated[int, Digits] = Field(
        default=20, ge=1, le=500, description="the most rows to answer"
    )
    q: str = Field(
        min_length=1,
        max_length=LONGEST_SEARCH,
        pattern=r"^[^\x00]*$",
        description="how names, a username or an address begin, whatever the case or accents; "
        "or digits of a phone number",
    )

    def filters(self) -> dict[str, Any]:
        """It is searched for, by terms."""
        return {}


class GrantsQuery(ListQuery):
    """Which grants."""

    sort: str | None = sorting("list-grants")


class PinsQuery(ListQuery):
    """Which plans of the client."""

    training_plan_id: Number | None = None
    title: str | None = words(200)
    title_contains: str | None = words(200)
    status: PlanStatus | None = None
    sort: str | None = sorting("list-plans-of-client")


@routes.get("/", responses=lists(ClientShown))
async def list_clients(
    asking: Annotated[Asking, asks("list-clients")], query: Annotated[ClientsQuery, Query()]
) -> Response:
    """Retrieve the list of clients."""
    return await asking.page(query)


@routes.get("/search/", responses=lists(ClientShown))
async def search_clients(
    asking: Annotated[Asking, asks("search-clients")], query: Annotated[SearchQuery, Query()]
) -> Response:
    """Find clients by the beginning of a name, digits of a phone number, username or address.

    One word finds the 500 next names at most, usernames and addresses; `total` counts those.
    """
    return await asking.page(query, terms=terms_of(query.q))


@routes.get("/{client_id}/", responses=shows(ClientShown))
async def read_client(
    client_id: PathNumber, asking: Annotated[Asking, asks("read-client")]
) -> Response:
    """Retrieve the client by ID."""
    return await asking.one(client_id)


@routes.post("/", status_code=201, responses=creates(ClientShown))
async def register_client(
    body: ClientBody, asking: Annotated[Asking, asks("register-client")]
) -> Response:
    """Create the client."""
    return await asking.create(body, location="/clients/{id}/")


@routes.put("/{client_id}/", responses=changes(ClientShown))
async def replace_client(
    client_id: PathNumber, body: ClientSentBack, asking: Annotated[Asking, asks("replace-client")]
) -> Response:
    """Complete update of the client record."""
    return await asking.change(body, client_id)


@routes.patch("/{client_id}/", responses=changes(ClientShown))
async def change_client(
    client_id: PathNumber, body: ClientChanges, asking: Annotated[Asking, asks("change-client")]
) -> Response:
    """Partial update of the client record."""
    return await asking.change(body, client_id)


@routes.delete("/{client_id}/", status_code=204, responses=deletes())
async def delete_client(
    client_id: PathNumber, asking: Annotated[Asking, asks("delete-client")]
) -> Response:
    """Delete the client, with its trainings."""
    return await asking.delete(client_id)


@routes.get("/{client_id}/admission/", responses=shows(AdmissionShown))
async def read_admission(
    client_id: PathNumber, asking: Annotated[Asking, asks("read-admission")]
) -> Response:
    """Retrieve until when the client is let in, or what is kept of the time in a pause."""
    return await asking.one(client_id)


@routes.get("/{client_id}/history/", tags=["History"], responses=lists(HistoryShown))
async def list_history_of_client(
    client_id: PathNumber,
    asking: Annotated[Asking, asks("list-history-of-client")],
    query: Annotated[HistoryQuery, Query()],
) -> Response:
    """Retrieve what happened to the client, without saying who others are."""
    return await asking.history_of(Client, client_id, query.pages())


@routes.get("/{client_id}/membership/", responses=shows(MembershipShown))
async def read_membership_of_client(
    client_id: PathNumber, asking: Annotated[Asking, asks("read-membership-of-client")]
) -> Response:
    """Retrieve the membership that the client holds."""
    return await asking.one(client_id)


@routes.get("/{client_id}/user/", responses=shows(UserShown))
async def read_user_of_client(
    client_id: PathNumber, asking: Annotated[Asking, asks("read-user-of-client")]
) -> Response:
    """Retrieve the user that the client is."""
    return await asking.one(client_id)


@routes.get("/{client_id}/trainings/", tags=["Trainings"], responses=lists(TrainingShown))
async def list_trainings_of_client(
    client_id: PathNumber,
    asking: Annotated[Asking, asks("list-trainings-of-client")],
    query: Annotated[TrainingsOfClientQuery, Query()],
) -> Response:
    """Retrieve the trainings of the client."""
    return await asking.page(query, client_id)


@routes.get("/{client_id}/payments/", tags=["Payments"], responses=lists(PaymentShown))
async def list_payments_of_client(
    client_id: PathNumber,
    asking: Annotated[Asking, asks("list-payments-of-client")],
    query: Annotated[PaymentsOfClientQuery, Query()],
) -> Response:
    """Retrieve the payments of the client."""
    return await asking.page(query, client_id)


@routes.get("/{client_id}/grants/", responses=lists(GrantShown))
async def list_grants(
    client_id: PathNumber,
    asking: Annotated[Asking, asks("list-grants")],
    query: Annotated[GrantsQuery, Query()],
) -> Response:
    """Retrieve the days that were granted to the client, with the reasons."""
    return await asking.page(query, client_id)


@routes.post("/{client_id}/grants/", status_code=201, responses=creates(AdmissionShown))
async def grant_days(
    client_id: PathNumber, body: GrantBody, asking: Annotated[Asking, asks("grant-days")]
) -> Response:
    """Let the client in for days that nobody pays for."""
    return await asking.create(body, client_id, location="/clients/{client_id}/admission/")


@routes.get(
    "/{client_id}/training-plans/", tags=["Training plans"], responses=lists(PinnedPlanShown)
)
async def list_plans_of_client(
    client_id: PathNumber,
    asking: Annotated[Asking, asks("list-plans-of-client")],
    query: Annotated[PinsQuery, Query()],
) -> Response:
    """Retrieve the plans that the client follows."""
    return await asking.page(query, client_id)


@routes.post(
    "/{client_id}/training-plans/",
    status_code=201,
    tags=["Training plans"],
    responses=creates(PinShown),
)
async def pin_plan(
    client_id: PathNumber, body: PinBody, asking: Annotated[Asking, asks("pin-plan")]
) -> Response:
    """Let the client follow a plan."""
    return await asking.create(
        body, client_id, location="/clients/{client_id}/training-plans/{training_plan_id}/"
    )


@routes.delete(
    "/{client_id}/training-plans/{training_plan_id}/",
    status_code=204,
    tags=["Training plans"],
    responses=deletes(),
)
async def unpin_plan(
    client_id: PathNumber,
    training_plan_id: PathNumber,
    asking: Annotated[Asking, asks("unpin-plan")],
) -> Response:
    """Let the client go their own way."""
    return await asking.delete(client_id, training_plan_id)
