"""`club providers`: payment providers, whose signed messages settle payments."""

from __future__ import annotations

from typing import Annotated

import typer

from application.providers import AddProviderSecret, DisableProvider, RegisterProvider
from domain.values import PaymentStatus
from infra.bootstrap import Club
from infra.secrets.signatures import NAME
from interfaces.amqp.main import simulate_payment
from interfaces.cli.opening import ask, complain, settings_beside, with_club
from interfaces.cli.queue import NoRabbitMQ, reaching_rabbitmq

app = typer.Typer(help="Payment providers.", no_args_is_help=True)


def _name(given: str) -> str:
    if not NAME.fullmatch(given):
        raise typer.BadParameter("a name has 1 to 48 of a-z, 0-9 and -")
    return given


_SECRETS = ("disabled", "one secret", "two secrets")
"""How many of them are good, in words."""

Name = Annotated[str, typer.Argument(metavar="NAME", callback=_name, help="the provider's name")]


@app.callback()
def providers() -> None:
    """Payment providers."""


@app.command("add")
def add(name: Name) -> None:
    """Take messages from a provider, and print its secret: this once, as it is kept nowhere."""
    print(_secret(name, RegisterProvider(name)))


@app.command("rotate")
def rotate(name: Name) -> None:
    """Print another secret of a provider; the one before it stays good, those before end."""
    print(_secret(name, AddProviderSecret(name)))


@app.command("disable")
def disable(name: Name) -> None:
    """Take nothing from a provider any more."""

    async def disabled(club: Club) -> None:
        await ask(club, DisableProvider(name))

    with_club(disabled)
    print(f"Messages of {name} are not taken any more.")


@app.command("list")
def every() -> None:
    """List them, with how many of their secrets are good."""

    async def listed(club: Club) -> dict[str, int]:
        return await club.signatures.providers()

    for name, secrets in with_club(listed).items():
        print(f"{name}  {_SECRETS[secrets]}")


@app.command("simulate")
def simulate(
    name: Name,
    payment: Annotated[int, typer.Option(min=1, help="the number of the payment")],
    status: Annotated[PaymentStatus, typer.Option(help="the step it took")] = PaymentStatus.PAID,
    times: Annotated[int, typer.Option(min=1, help="how often to send the same message")] = 1,
) -> None:
    """Publish what the provider would: a signed message about a payment."""

    async def simulated(club: Club) -> str:
        if club.settings.amqp_url is None:
            raise NoRabbitMQ
        with reaching_rabbitmq():
            return await simulate_payment(club, name, payment, status, times)

    message_id = with_club(simulated, settings_beside(), signing=True)
    complain(f"Sent {message_id}: payment {payment} is {status.value}.")


def _secret(name: str, command: RegisterProvider | AddProviderSecret) -> str:
    async def added(club: Club) -> str:
        outcome = await ask(club, command)
        return club.provider_secrets.written(name, (outcome.body or {})["secret"])

    return with_club(added, signing=True)
