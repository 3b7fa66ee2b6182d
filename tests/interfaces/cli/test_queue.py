"""`club queue`, as whoever looks after the club meets it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aio_pika.abc import AbstractChannel

from infra.settings import Settings
from interfaces.amqp.topology import PARKING_QUEUE
from tests.interfaces.amqp.post import Post, consuming, opened_post, wait_for
from tests.interfaces.cli.conftest import CommandLine


@pytest.fixture
async def post(settings: Settings, amqp_url: str, channel: AbstractChannel) -> AsyncIterator[Post]:
    """An open club that has a RabbitMQ and the provider acme; nobody consumes yet."""
    async with opened_post(settings, amqp_url, channel) as opened:
        yield opened


async def club_queue(
    command_line: CommandLine, post: Post, *arguments: str
) -> tuple[int, str, str]:
    """Run `club queue` on the RabbitMQ of the club."""
    url = str(post.club.settings.amqp_url)
    ran = await asyncio.to_thread(command_line.run, "queue", *arguments, CLUB_AMQP_URL=url)
    return ran.returncode, ran.stdout, ran.stderr


async def test_a_person_looks_at_parked_messages_sends_one_again_and_drops_another(
    command_line: CommandLine, post: Post
) -> None:
    payment_id, _ = await post.payment()
    body = await post.send(post.news(payment_id), {})
    async with consuming(post.club):
        await wait_for(post.channel, PARKING_QUEUE, 1)
        await post.send(body, post.signed(body, ago=30 * 3600))
        await wait_for(post.channel, PARKING_QUEUE, 2)
        unsigned, stale = await post.parked()

        code, said, _ = await club_queue(command_line, post, "parked")
        assert code == 0
        assert [line.split("  ")[0] for line in said.splitlines()] == [unsigned.id, stale.id]
        assert said.splitlines()[0].split("  ")[2:] == [
            "payment_queue",
            ("unsigned: This message is not signed by a payment provider of the club."),
        ]
        code, said, _ = await club_queue(command_line, post, "parked", "--limit=1")
        assert (code, len(said.splitlines())) == (0, 1)

        code, said, _ = await club_queue(command_line, post, "show", stale.id)
        assert code == 0
        assert "reason: stale\n" in said
        assert f"header webhook-id: {stale.headers['webhook-id']}\n" in said
        assert said.endswith(f"\n\n{body.decode()}\n")

        answer = await club_queue(command_line, post, "replay", stale.id)
        assert answer == (0, f"Sent {stale.id} to payment_queue again.\n", "")
        await post.reaches(payment_id, "PAID")

        answer = await club_queue(command_line, post, "drop", unsigned.id)
        assert answer == (0, f"Dropped {unsigned.id} (unsigned).\n", "")
    assert await post.parked() == []


async def test_all_of_a_reason_go_at_once(command_line: CommandLine, post: Post) -> None:
    for _ in range(2):
        await post.send(b"x", {})
    async with consuming(post.club):
        await wait_for(post.channel, PARKING_QUEUE, 2)
    code, said, _ = await club_queue(command_line, post, "replay", "--reason=unsigned")
    assert (code, said.count("to payment_queue again.\n")) == (0, 2)
    async with consuming(post.club):
        await wait_for(post.channel, PARKING_QUEUE, 2)
    code, said, _ = await club_queue(command_line, post, "drop", "--reason=unsigned")
    assert (code, said.count("(unsigned).\n")) == (0, 2)
    assert await post.parked() == []
    code, _, said = await club_queue(command_line, post, "drop")
    assert (code, "name some by ID, or all of a --reason" in said) == (2, True)


async def test_a_message_that_is_not_parked_is_a_sentence(
    command_line: CommandLine, post: Post
) -> None:
    for action in ("show", "replay", "drop"):
        answer = await club_queue(command_line, post, action, "nothing")
        assert answer == (1, "", "There is no parked message nothing.\n")
        answer = await club_queue(command_line, post, action, "--reason=odd")
        if action != "show":
            said = "There is no parked message of the reason odd; there are: none.\n"
            assert answer == (1, "", said)
    assert await club_queue(command_line, post, "parked") == (0, "", "")


async def test_the_token_of_a_parked_command_is_not_shown(
    command_line: CommandLine, post: Post
) -> None:
    await post.send(b"\xff", {"authorization": "Bearer still-good"})
    async with consuming(post.club):
        parked = await post.is_parked()
    code, said, _ = await club_queue(command_line, post, "show", parked.id)
    assert (code, "still-good" in said) == (0, False)
    assert said.endswith("\n\n\\xff\n")


def test_without_rabbitmq_each_command_is_a_sentence(command_line: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = f"amqp://127.0.0.1:{taken.getsockname()[1]}/"
        for arguments in (("parked",), ("drop", "x")):
            gone = command_line.run("queue", *arguments, CLUB_AMQP_URL=away)
            assert (gone.returncode, gone.stdout) == (1, "")
            assert gone.stderr.startswith("RabbitMQ does not answer as it should: ")
            assert gone.stderr.count("\n") == 1
    nowhere = command_line.run("queue", "parked")
    assert nowhere.returncode == 1
    assert nowhere.stderr == "There is no RabbitMQ here: CLUB_AMQP_URL connects one.\n"


@pytest.mark.parametrize("command", ["queue parked", "providers simulate acme --payment=1"])
def test_a_home_that_is_none_is_a_sentence(
    command_line: CommandLine, tmp_path: Path, command: str
) -> None:
    home = tmp_path / "a-file"
    home.write_text("")
    ran = command_line.run(*command.split(), CLUB_HOME=str(home))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.count("\n") == 1
    assert "Traceback" not in ran.stderr
