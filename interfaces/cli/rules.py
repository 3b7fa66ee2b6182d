"""`club rules`: what the club has set for itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from application.rules import ChangeRules, RulesChanges
from infra.bootstrap import Club
from interfaces.cli.opening import ask, complain, with_club


def rules(
    paid_days: Annotated[int | None, typer.Option(help="days that a payment buys")] = None,
    payment_patience_hours: Annotated[
        int | None, typer.Option(help="hours until a PENDING payment expires")
    ] = None,
    shared_memberships: Annotated[
        bool | None,
        typer.Option(
            "--shared-memberships/--no-shared-memberships",
            help="several clients may hold one membership",
        ),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help='what "a day" is in reports: Europe/Berlin')
    ] = None,
    daily_report_at: Annotated[
        str | None, typer.Option(help="when the daily report is made: 08:00")
    ] = None,
) -> None:
    """Show the rules of the club, and set those that are named."""
    named: dict[str, Any] = {
        "paid_days": paid_days,
        "payment_patience_hours": payment_patience_hours,
        "shared_memberships": shared_memberships,
        "timezone": timezone,
        "daily_report_at": daily_report_at,
    }
    try:
        changes = RulesChanges(**{k: v for k, v in named.items() if v is not None}).named()
    except ValidationError as wrong:
        for error in wrong.errors():
            complain(f"--{str(error['loc'][0]).replace('_', '-')}: {error['msg']}")
        raise typer.Exit(2) from None

    async def ruled(club: Club) -> dict[str, object]:
        outcome = await ask(club, ChangeRules(changes))
        return dict(outcome.body or {})

    for name, value in with_club(ruled).items():
        print(f"{name.replace('_', '-'):24}{_said(value)}")


def _said(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
