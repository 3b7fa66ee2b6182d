"""Routes of payments."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.fields import Id, Moment, Price, SentBack
from application.payments import PaymentBody
from domain.payments import Payment
from domain.values import PaymentStatus
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.history import HistoryQuery, HistoryShown
from interfaces.rest.lists import ListQuery, Number, PathNumber, Truth, sorting, words

routes = group("/payments", "Payments")


class PaymentShown(PaymentBody):
    """A payment."""

    id: Id
    timestamp: Moment
    amount: Price | None = Field(
        description="the price of the membership when the payment was asked for, where it is known"
    )
    refund_announced_at: Moment | None = Field(
        description="when the refund was that is known, and waits for the payment to be settled"
    )


class PaymentSentBack(PaymentBody):
    """A complete update of a payment, as a GET answered it."""

    id: SentBack[Id] = None
    amount: SentBack[Price] = None
    refund_announced_at: SentBack[Moment] = None


class SecondCollectionShown(BaseModel):
    """Money that came for a payment that was PAID: it has to go back."""

    payment_id: Id
    number: int = Field(description="which one it is of its payment, from 1 on")
    client_id: Id
    amount: Price | None
    collector: str | None = Field(description="`provider-NAME`, or `club` where it was by hand")
    reference: str | None = Field(description="the provider's own")
    collected_at: Moment
    returned_at: Moment | None = Field(description="when it went back, if it has")


class SecondCollectionsQuery(ListQuery):
    """Which second collections."""

    payment_id: Number | None = None
    client_id: Number | None = None
    collector: str | None = words(100)
    returned: Truth | None = None
    sort: str | None = sorting("list-second-collections")


class PaymentsOfClientQuery(ListQuery):
    """Which payments of a client."""

    membership_id: Number | None = None
    payment_status: PaymentStatus | None = None
    sort: str | None = sorting("list-payments-of-client")


class PaymentsQuery(PaymentsOfClientQuery):
    """Which payments."""

    client_id: Number | None = None
    sort: str | None = sorting("list-payments")


@routes.get("/", responses=lists(PaymentShown))
async def list_payments(
    asking: Annotated[Asking, asks("list-payments")], query: Annotated[PaymentsQuery, Query()]
) -> Response:
    """Retrieve the list of payments; a SYSTEM account is shown those to be settled."""
    return await asking.page(query)


@routes.get("/second-collections/", responses=lists(SecondCollectionShown))
async def list_second_collections(
    asking: Annotated[Asking, asks("list-second-collections")],
    query: Annotated[SecondCollectionsQuery, Query()],
) -> Response:
    """Retrieve the money that came a second time, for payments that were PAID."""
    return await asking.page(query)


@routes.get("/{payment_id}/", responses=shows(PaymentShown))
async def read_payment(
    payment_id: PathNumber, asking: Annotated[Asking, asks("read-payment")]
) -> Response:
    """Retrieve the payment by ID."""
    return await asking.one(payment_id)


@routes.get("/{payment_id}/history/", tags=["History"], responses=lists(HistoryShown))
async def list_history_of_payment(
    payment_id: PathNumber,
    asking: Annotated[Asking, asks("list-history-of-payment")],
    query: Annotated[HistoryQuery, Query()],
) -> Response:
    """Retrieve what happened to the payment, without saying who others are."""
    return await asking.history_of(Payment, payment_id, query.pages())


@routes.post("/", status_code=201, responses=creates(PaymentShown))
async def request_payment(
    body: PaymentBody, asking: Annotated[Asking, asks("request-payment")]
) -> Response:
    """Create the payment record."""
    return await asking.create(body, location="/payments/{id}/")


@routes.put("/{payment_id}/", responses=changes(PaymentShown))
async def change_payment(
    payment_id: PathNumber, body: PaymentSentBack, asking: Annotated[Asking, asks("change-payment")]
) -> Response:
    """Complete update of the payment record."""
    return await asking.change(body, payment_id)


@routes.delete("/{payment_id}/", status_code=204, responses=deletes())
async def delete_payment(
    payment_id: PathNumber, asking: Annotated[Asking, asks("delete-payment")]
) -> Response:
    """Delete the payment record; not once money has moved."""
    return await asking.delete(payment_id)
