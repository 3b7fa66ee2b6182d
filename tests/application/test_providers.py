"""Commands about payment providers."""

from __future__ import annotations

import pytest

from application.access import Caller
from application.command import Command
from application.providers import AddProviderSecret, DisableProvider, RegisterProvider
from domain.providers import NoSuchProvider, ProviderDisabled, ProviderThere
from domain.refusals import Forbidden
from domain.values import Role
from tests.application.scene import Scene

EVERY_COMMAND = [RegisterProvider("acme"), AddProviderSecret("acme"), DisableProvider("acme")]


async def test_each_secret_has_the_next_number(scene: Scene) -> None:
    commands = [EVERY_COMMAND[0], EVERY_COMMAND[1], EVERY_COMMAND[1]]
    assert [await scene.body(c) for c in commands] == [{"secret": n} for n in (1, 2, 3)]


async def test_a_name_is_registered_once(scene: Scene) -> None:
    await scene.do(RegisterProvider("acme"))
    with pytest.raises(ProviderThere):
        await scene.do(RegisterProvider("acme"))


async def test_a_provider_that_was_disabled_comes_back_only_by_being_registered(
    scene: Scene,
) -> None:
    await scene.do(RegisterProvider("acme"))
    await scene.do(DisableProvider("acme"))
    with pytest.raises(ProviderDisabled):
        await scene.do(AddProviderSecret("acme"))
    assert await scene.body(RegisterProvider("acme")) == {"secret": 2}


async def test_a_provider_is_disabled_once(scene: Scene) -> None:
    await scene.do(RegisterProvider("acme"))
    await scene.do(DisableProvider("acme"))
    with pytest.raises(ProviderDisabled):
        await scene.do(DisableProvider("acme"))


@pytest.mark.parametrize("command", EVERY_COMMAND[1:], ids=lambda c: str(c.NAME))
async def test_a_provider_that_nobody_registered_is_not_there(
    scene: Scene, command: Command
) -> None:
    with pytest.raises(NoSuchProvider):
        await scene.do(command)


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda c: str(c.NAME))
async def test_only_an_admin_keeps_providers(scene: Scene, command: Command, role: Role) -> None:
    await scene.do(RegisterProvider("acme"))
    head = scene.head
    with pytest.raises(Forbidden):
        await scene.do(command, Caller.user(7, role))
    assert scene.head == head
