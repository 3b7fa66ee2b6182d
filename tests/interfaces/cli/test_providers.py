"""`club providers`, as whoever sits at the machine meets it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractChannel

from infra.settings import Settings
from interfaces.amqp.topology import PAYMENTS_QUEUE
from tests.interfaces.amqp.post import Post, consuming, opened_post, wait_for
from tests.interfaces.cli.conftest import CommandLine

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=\n")


@pytest.fixture
async def post(settings: Settings, amqp_url: str, channel: AbstractChannel) -> AsyncIterator[Post]:
    """An open club that has a RabbitMQ and the provider acme; nobody consumes yet."""
    async with opened_post(settings, amqp_url, channel) as opened:
        yield opened


def test_a_secret_is_shown_once_and_kept_nowhere(command_line: CommandLine) -> None:
    added = command_line.run("providers", "add", "acme")
    assert (added.returncode, added.stderr) == (0, "")
    assert SECRET.fullmatch(added.stdout)
    rotated = command_line.run("providers", "rotate", "acme")
    assert SECRET.fullmatch(rotated.stdout)
    assert rotated.stdout != added.stdout
    again = command_line.run("providers", "add", "acme")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "There is a provider of this name already.\n"
    disabled = command_line.run("providers", "disable", "acme")
    assert disabled.stdout == "Messages of acme are not taken any more.\n"
    assert command_line.run("providers", "disable", "acme").stderr == (
        "This provider was disabled.\n"
    )
    assert command_line.run("providers", "rotate", "acme").stderr == "This provider was disabled.\n"
    assert SECRET.fullmatch(command_line.run("providers", "add", "acme").stdout)
    kept = command_line.rows("SELECT topic, convert_from(state, 'UTF8') FROM ledger_events")
    assert [topic for topic, _ in kept] == [
        "provider.registered",
        "provider.secret-added",
        "provider.disabled",
        "provider.secret-added",
    ]
    assert "whsec" not in str(kept)


def test_they_are_listed_with_how_many_secrets_are_good(command_line: CommandLine) -> None:
    listed = command_line.run("providers", "list")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "")
    steps = ("add zeta", "add acme-pay", "add acme", "rotate acme", "rotate acme", "disable zeta")
    for step in steps:
        assert command_line.run("providers", *step.split()).returncode == 0
    listed = command_line.run("providers", "list")
    assert listed.stdout == "acme  two secrets\nacme-pay  one secret\nzeta  disabled\n"


@pytest.mark.parametrize("name", ["", "Acme", "x" * 49])
def test_a_name_that_cannot_be_is_refused(command_line: CommandLine, name: str) -> None:
    added = command_line.run("providers", "add", "--", name)
    assert (added.returncode, added.stdout) == (2, "")
    assert "1 to 48 of a-z, 0-9 and -" in added.stderr


@pytest.mark.parametrize("action", ["rotate", "disable"])
def test_a_provider_that_is_not_there_is_a_sentence(command_line: CommandLine, action: str) -> None:
    refused = command_line.run("providers", action, "acme")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "There is no provider of this name.\n"


def test_what_stops_a_simulation_is_a_sentence(command_line: CommandLine, amqp_url: str) -> None:
    simulate = ("providers", "simulate", "acme", "--payment=1")
    nowhere = command_line.run(*simulate)
    assert nowhere.stderr == "There is no RabbitMQ here: CLUB_AMQP_URL connects one.\n"
    nobody = command_line.run(*simulate, CLUB_AMQP_URL=amqp_url)
    assert nobody.stderr == "There is no provider of this name.\n"
    assert command_line.run("providers", "add", "acme").returncode == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = f"amqp://127.0.0.1:{taken.getsockname()[1]}/"
        gone = command_line.run(*simulate, CLUB_AMQP_URL=away)
    assert gone.stderr.startswith("RabbitMQ does not answer as it should: ")
    assert [r.returncode for r in (nowhere, nobody, gone)] == [1, 1, 1]
    assert gone.stderr.count("\n") == 1


async def test_a_simulated_message_settles_its_payment_however_often_it_is_sent(
    command_line: CommandLine, post: Post
) -> None:
    payment_id, client_id = await post.payment()
    simulate = ("providers", "simulate", "acme", f"--payment={payment_id}", "--times=5")
    url = str(post.club.settings.amqp_url)
    sent = await asyncio.to_thread(command_line.run, *simulate, CLUB_AMQP_URL=url)
    assert (sent.returncode, sent.stdout) == (0, "")
    assert sent.stderr.endswith(f": payment {payment_id} is PAID.\n")
    await wait_for(post.channel, PAYMENTS_QUEUE, 5)
    async with consuming(post.club):
        await post.reaches(payment_id, "PAID")
        await wait_for(post.channel, PAYMENTS_QUEUE, 0)
    assert await post.standing(client_id) == "ACTIVE"
    assert await post.happened("payment.settled") == 1
    assert await post.parked() == []
