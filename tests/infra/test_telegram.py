"""The bot, before Telegram is asked, and where it cannot be."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from application.ports.chats import MaybeSent, NotSent
from infra.telegram import NotABotToken, TelegramChats, open_bot

TOKEN = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


@pytest.mark.parametrize("token", ["nonsense", "1234:", ":abc", "1234:a b", ""])
async def test_what_cannot_be_a_token_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(NotABotToken) as refused:
        async with open_bot(token, "http://127.0.0.1:1"):
            pass
    assert not token or token not in str(refused.value)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that answers no connection: as many as it lets wait are waiting."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        while True:
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.3)
            try:
                waiting.connect(server.getsockname())
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def test_where_no_connection_comes_about_it_was_not_sent_for_certain(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.telegram.LONGEST_CONNECTING", 0.5)
    monkeypatch.setattr("infra.telegram.LONGEST_CALL", 3.0)
    async with open_bot(TOKEN, silent) as bot:
        with pytest.raises(NotSent, match="cannot be reached") as lost:
            await TelegramChats(bot).send(1, "the figures")
    assert TOKEN not in "".join(traceback.format_exception(lost.value))


async def test_where_a_connection_is_not_answered_it_may_have_been_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.telegram.LONGEST_CALL", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with open_bot(TOKEN, f"http://127.0.0.1:{server.getsockname()[1]}") as bot:
            with pytest.raises(MaybeSent) as lost:
                await TelegramChats(bot).send(1, "the figures")
    assert TOKEN not in "".join(traceback.format_exception(lost.value))
