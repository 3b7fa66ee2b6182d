"""Routes of payments."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from application.access import Permission
from application.fields import Id, Moment
from application.payments import ChangePayment, DeletePayment, PaymentBody, RequestPayment
from application.ports.queries import View
from domain.payments import Payment
from domain.values import PaymentStatus
from interfaces.rest.asking import Asking, may
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.lists import ListQuery, Number, PathNumber, sorting
from projections.payments import LISTING

routes = group("/payments", "Payments")


class PaymentShown(PaymentBody):
    """A payment."""

    id: Id
    timestamp: Moment


class PaymentsQuery(ListQuery):
    """Which payments."""

    client_id: Number | None = None
    membership_id: Number | None = None
    payment_status: PaymentStatus | None = None
    sort: str | None = sorting(LISTING)


@routes.get("/", responses=lists(PaymentShown))
async def list_payments(
    asking: Annotated[Asking, may(Permission.PAYMENTS_LIST)],
    query: Annotated[PaymentsQuery, Query()],
) -> Response:
    """Retrieve the list of payments."""
    return await asking.page(View.PAYMENTS, query)


@routes.get("/{payment_id}/", responses=shows(PaymentShown))
async def read_payment(
    payment_id: PathNumber, asking: Annotated[Asking, may(Permission.PAYMENTS_READ)]
) -> Response:
    """Retrieve the payment by ID."""
    return await asking.one(Payment, View.PAYMENTS, payment_id)


@routes.post("/", status_code=201, responses=creates(PaymentShown))
async def request_payment(
    body: PaymentBody, asking: Annotated[Asking, may(Permission.PAYMENTS_KEEP)]
) -> Response:
    """Create the payment record."""
    return await asking.create(RequestPayment(body), "/payments/{id}/")


@routes.put("/{payment_id}/", responses=changes(PaymentShown))
async def change_payment(
    payment_id: PathNumber,
    body: PaymentBody,
    asking: Annotated[Asking, may(Permission.PAYMENTS_KEEP)],
) -> Response:
    """Complete update of the payment record."""
    return await asking.change(ChangePayment(payment_id, body))


@routes.delete("/{payment_id}/", status_code=204, responses=deletes())
async def delete_payment(
    payment_id: PathNumber, asking: Annotated[Asking, may(Permission.PAYMENTS_KEEP)]
) -> Response:
    """Delete the payment record; not once money has moved."""
    return await asking.delete(DeletePayment(payment_id))
