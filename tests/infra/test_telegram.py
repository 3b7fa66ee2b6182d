"""The bot's token, before Telegram is asked."""

from __future__ import annotations

import pytest

from infra.telegram import NotABotToken, open_bot


@pytest.mark.parametrize("token", ["nonsense", "1234:", ":abc", "1234:a b", ""])
async def test_what_cannot_be_a_token_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(NotABotToken) as refused:
        async with open_bot(token, "http://127.0.0.1:1"):
            pass
    assert not token or token not in str(refused.value)
