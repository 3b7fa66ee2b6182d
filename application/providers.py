"""Commands about payment providers."""

from __future__ import annotations

from dataclasses import dataclass

from application.access import Permission
from application.command import Command
from application.work import Result, Work
from domain.providers import NoSuchProvider, Provider, ProviderDisabled, ProviderThere


@dataclass(frozen=True, slots=True)
class RegisterProvider(Command):
    """Take messages from a payment provider, or again from one that was disabled."""

    name: str


@dataclass(frozen=True, slots=True)
class AddProviderSecret(Command):
    """Let a provider change to another secret."""

    name: str


@dataclass(frozen=True, slots=True)
class DisableProvider(Command):
    """Take nothing from a provider any more."""

    name: str


async def register_provider(command: RegisterProvider, work: Work) -> Result:
    """The number of the secret that is good from here on."""
    work.must_reach_all(Permission.PROVIDERS_KEEP)
    provider = await work.find(Provider, command.name)
    if provider is None:
        provider = work.add(Provider.register(command.name, work.at))
    elif provider.secrets:
        raise ProviderThere
    else:
        provider.add_secret(work.at)
    return Result({"secret": provider.last_secret})


async def add_provider_secret(command: AddProviderSecret, work: Work) -> Result:
    """The number of the new secret; the one before it stays good."""
    provider = await _provider(command.name, work)
    if not provider.secrets:
        raise ProviderDisabled
    return Result({"secret": provider.add_secret(work.at)})


async def disable_provider(command: DisableProvider, work: Work) -> Result:
    """At once, for all its secrets."""
    provider = await _provider(command.name, work)
    provider.disable(work.at)
    return Result(None)


async def _provider(name: str, work: Work) -> Provider:
    work.must_reach_all(Permission.PROVIDERS_KEEP)
    provider = await work.find(Provider, name)
    if provider is None:
        raise NoSuchProvider
    return provider
