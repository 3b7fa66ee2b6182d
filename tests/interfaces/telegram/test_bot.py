"""What the bot answers to whatever people send it, over aiogram and a Bot API server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from application.sign_in import LoginEnded, WrongCode
from infra.bootstrap import open_club
from infra.settings import Settings
from interfaces.telegram import bot as words
from tests.interfaces.telegram.conftest import A_CODE, Scene, running
from tests.servers import private_redis
from tests.telegram_server import BOT, TelegramServer, Trouble, person, private_chat

GROUP = {"id": -100123, "type": "supergroup", "title": "Everybody"}
CHANNEL = {"id": -100456, "type": "channel", "title": "News"}
FILE = {"file_id": "f", "file_unique_id": "u"}


def codes(telegram: TelegramServer) -> list[str]:
    """Every code that the bot has sent."""
    return [code for message in telegram.sent for code in re.findall(A_CODE, message["text"])]


# --- links ---------------------------------------------------------------------------------------


async def test_the_link_of_a_login_is_answered_with_its_code(scene: Scene) -> None:
    begun, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}")
    (said,) = await scene.said()
    (code,) = re.findall(A_CODE, said)
    assert "ada" in said
    assert scene.telegram.sent[0]["chat_id"] == "1001"
    assert scene.telegram.sent[0]["protect_content"] == "true", "it cannot be forwarded"
    assert (await scene.verify(begun, code)).refresh_token


async def test_a_link_is_good_once(scene: Scene) -> None:
    _, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}")
    await scene.said()
    scene.telegram.write(f"/start {payload}")
    assert (await scene.said(2))[1] == words.ENDED
    assert len(codes(scene.telegram)) == 1


async def test_a_link_that_has_ended_gives_no_code(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.sign_in.LINK_SECONDS", 0)
    _, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}")
    assert await scene.said() == [words.ENDED]


NO_LINKS = {
    "never-given": words.ENDED,
    "a" * 64: words.ENDED,
    "a" * 65: words.UNREADABLE,
    "a b": words.UNREADABLE,
    "pay/load": words.UNREADABLE,
    "полезное": words.UNREADABLE,
    "a\x00b": words.UNREADABLE,
    "' OR 1=1 --": words.UNREADABLE,
    "{username}%s": words.UNREADABLE,
    "a" * 4000: words.UNREADABLE,
}


async def test_what_is_no_link_of_ours_is_refused_in_words(scene: Scene) -> None:
    for number, (payload, answer) in enumerate(NO_LINKS.items(), 1):
        scene.telegram.write(f"/start {payload}")
        assert (await scene.said(number))[-1] == answer, payload


async def test_one_update_that_comes_twice_at_once_gives_one_code(scene: Scene) -> None:
    _, payload = await scene.log_in()
    message = {
        "message_id": 1,
        "date": 1_790_000_000,
        "chat": private_chat(),
        "from": person(),
        "text": f"/start {payload}",
    }
    with scene.telegram.at_once():
        number = scene.telegram.deliver({"message": message})
        scene.telegram.deliver({"update_id": number, "message": message})
    said = await scene.said(2)
    assert min(said, key=len) == words.ENDED
    assert len(codes(scene.telegram)) == 1


async def test_a_login_without_its_link_opened_has_no_code(scene: Scene) -> None:
    begun, _ = await scene.log_in()
    with pytest.raises(WrongCode):
        await scene.verify(begun, "000000")


# --- whose codes ---------------------------------------------------------------------------------


async def test_the_first_sign_in_binds_and_later_another_account_gets_words_only(
    scene: Scene,
) -> None:
    begun, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}", by=1001)
    await scene.said()
    await scene.verify(begun, codes(scene.telegram)[0])
    assert "user.telegram-bound" in await scene.topics()

    foreign, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}", by=2002)
    assert (await scene.said(2))[1] == words.FOREIGN
    assert scene.telegram.sent[1]["chat_id"] == "2002"
    with pytest.raises(LoginEnded):
        await scene.verify(foreign, "000000")
    assert (await scene.topics())[-1] == "sign-in.failed"

    again, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}", by=1001)
    await scene.said(3)
    assert (await scene.verify(again, codes(scene.telegram)[1])).refresh_token
    assert (await scene.topics()).count("user.telegram-bound") == 1


async def test_a_code_alone_binds_nobody(scene: Scene) -> None:
    _, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}", by=2002)
    await scene.said()
    assert "user.telegram-bound" not in await scene.topics()


# --- whatever else people send -------------------------------------------------------------------


async def test_whoever_asks_is_told_what_the_bot_is_for(scene: Scene) -> None:
    for number, text in enumerate(("/start", "/help", "/start ", "/start@club_test_bot"), 1):
        scene.telegram.write(text)
        assert (await scene.said(number))[-1] == words.WELCOME, text


OTHER_MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "a text": {"text": "hello"},
    "a code": {"text": "123456"},
    "a text with braces": {"text": "{username} %s \\ <b>"},
    "emojis": {"text": "💪🏋️\u202e"},
    "another command": {"text": "/stop"},
    "a command to another bot": {"text": "/start@other_bot abc"},
    "a photo": {"photo": [{**FILE, "width": 1, "height": 1}]},
    "a photo with words": {"photo": [{**FILE, "width": 1, "height": 1}], "caption": "me"},
    "a sticker": {
        "sticker": {
            **FILE,
            "type": "regular",
            "width": 1,
            "height": 1,
            "is_animated": False,
            "is_video": False,
        }
    },
    "a voice": {"voice": {**FILE, "duration": 1}},
    "a video note": {"video_note": {**FILE, "length": 1, "duration": 1}},
    "a document": {"document": FILE},
    "a contact": {"contact": {"phone_number": "+44 20 7946 0000", "first_name": "Ada"}},
    "a location": {"location": {"latitude": 51.5, "longitude": -0.1}},
    "a dice": {"dice": {"emoji": "🎲", "value": 3}},
    "a poll": {
        "poll": {
            "id": "1",
            "question": "Legs?",
            "options": [{"persistent_id": "1", "text": "yes", "voter_count": 0}],
            "total_voter_count": 0,
            "is_closed": False,
            "is_anonymous": True,
            "type": "regular",
            "allows_multiple_answers": False,
            "allows_revoting": False,
            "members_only": False,
        }
    },
    "something forwarded": {
        "text": "hello",
        "forward_origin": {"type": "user", "date": 1_790_000_000, "sender_user": person(7)},
    },
    "something that came after this aiogram": {"hologram": {"depth": 3}},
    "nothing": {},
}


async def test_any_other_message_is_answered_in_words(scene: Scene) -> None:
    for answered, (what, facts) in enumerate(OTHER_MESSAGES.items(), 1):
        scene.telegram.write(facts=facts)
        assert (await scene.said(answered))[-1] == words.NOT_UNDERSTOOD, what


async def test_an_edited_message_is_answered_but_a_link_is_not_followed_by_it(
    scene: Scene,
) -> None:
    _, payload = await scene.log_in()
    scene.telegram.write(f"/start {payload}", kind="edited_message")
    assert await scene.said() == [words.NOT_UNDERSTOOD]


QUERY = {"id": "1", "from": person(), "chat_instance": "1"}
SILENT: Mapping[str, Mapping[str, Any]] = {
    "a channel post": {
        "channel_post": {"message_id": 1, "date": 1, "chat": CHANNEL, "text": "/start abc"}
    },
    "a button": {"callback_query": {**QUERY, "data": "x"}},
    "an inline query": {"inline_query": {**QUERY, "query": "x", "offset": ""}},
    "an answer to a poll": {"poll_answer": {"poll_id": "1", "option_ids": [0]}},
    "being blocked": {
        "my_chat_member": {
            "chat": private_chat(),
            "from": person(),
            "date": 1,
            "old_chat_member": {"status": "member", "user": BOT},
            "new_chat_member": {"status": "kicked", "user": BOT, "until_date": 0},
        }
    },
    "a kind that came after this aiogram": {"hologram": {"depth": 3}},
    "no kind at all": {},
}


async def test_what_is_no_message_is_passed_over(scene: Scene) -> None:
    for update in SILENT.values():
        scene.telegram.deliver(update, unasked=True)
    await scene.answers_still()


async def test_an_update_that_cannot_be_read_does_not_stop_the_others(scene: Scene) -> None:
    with capture_logs() as logged:
        number = scene.telegram.write("hello", facts={"forward_origin": {"type": "hologram"}})
        scene.telegram.deliver({"message": {"message_id": "many"}})
        await scene.answers_still()
    said = [line for line in logged if line["event"] == "telegram.unreadable"]
    assert len(said) == 2
    assert said[0]["update_id"] == number or said[1]["update_id"] == number
    assert "hologram" not in str(said)


async def test_nobody_and_other_bots_are_not_answered(scene: Scene) -> None:
    _, payload = await scene.log_in()
    for text in (f"/start {payload}", "/start", "hello"):
        scene.telegram.write(text, by=None)
        scene.telegram.write(text, facts={"from": BOT})
        scene.telegram.write(text, facts={"from": person(5, is_bot=True)})
    await scene.answers_still()
    scene.telegram.write(f"/start {payload}")
    await scene.said(2)
    assert len(codes(scene.telegram)) == 1, "the link is as good as before"


async def test_a_live_location_that_moves_is_answered_once(scene: Scene) -> None:
    place = {"latitude": 51.5, "longitude": -0.1, "live_period": 900}
    scene.telegram.write(facts={"location": place})
    await scene.said()
    for _ in range(3):
        scene.telegram.write(kind="edited_message", facts={"edit_date": 1, "location": place})
    await scene.answers_still()


# --- groups --------------------------------------------------------------------------------------


async def test_a_link_that_a_group_has_read_is_good_for_nothing(scene: Scene) -> None:
    begun, payload = await scene.log_in()
    scene.telegram.write(f"/start@club_test_bot {payload}", facts={"chat": GROUP})
    assert await scene.said() == [words.IN_PRIVATE]
    assert scene.telegram.sent[0]["chat_id"] == str(GROUP["id"])
    scene.telegram.write(f"/start {payload}")
    assert (await scene.said(2))[1] == words.ENDED
    with pytest.raises(WrongCode):
        await scene.verify(begun, "000000")


async def test_what_is_no_link_in_a_group_is_told_no_more(scene: Scene) -> None:
    scene.telegram.write(f"/start {'a' * 65}", facts={"chat": GROUP})
    assert await scene.said() == [words.IN_PRIVATE]


async def test_the_bot_is_silent_in_a_group(scene: Scene) -> None:
    _, payload = await scene.log_in()
    for text in ("hello", "/help", "/start", f"/start@other_bot {payload}"):
        scene.telegram.write(text, facts={"chat": GROUP})
    await scene.answers_still()
    scene.telegram.write(f"/start {payload}")
    await scene.said(2)
    assert len(codes(scene.telegram)) == 1, "a link for another bot is not ours to spoil"


# --- what Telegram does not take -----------------------------------------------------------------

NOT_SENT = {
    "blocked": Trouble(403, "Forbidden: bot was blocked by the user"),
    "flood control": Trouble(429, "Too Many Requests: retry after 7", {"retry_after": 7}),
    "no chat": Trouble(400, "Bad Request: chat not found"),
    "another chat": Trouble(400, "Bad Request", {"migrate_to_chat_id": -1}),
    "bad gateway": Trouble(502, "Bad Gateway"),
    "no answer": Trouble(0),
    "no JSON": Trouble(502, body="<html>$text</html>"),
    "no message": Trouble(200, body='{"ok": true, "result": {"text": "$text"}}'),
    "no object": Trouble(200, body="[]"),
    "no reason": Trouble(500, body='{"ok": false}'),
    "no text": Trouble(200, body="\xff\xfe$text"),
}


async def test_a_code_that_telegram_does_not_take_is_one_line_in_the_log_without_it(
    scene: Scene,
) -> None:
    for what, trouble in NOT_SENT.items():
        _, payload = await scene.log_in()
        with capture_logs() as logged:
            scene.telegram.trouble("sendMessage", trouble)
            scene.telegram.write(f"/start {payload}")
            await scene.taken()
            refused = scene.telegram.calls_of("sendMessage")
            await scene.answers_still()
        (line,) = [line for line in logged if line["event"].startswith("telegram.")]
        assert (line["event"], line["log_level"]) == ("telegram.not-sent", "warning"), what
        asked = [asked for method, asked in scene.telegram.calls if method == "sendMessage"]
        (code,) = re.findall(A_CODE, asked[refused - 1]["text"])
        assert code not in str(logged), what
        assert payload not in str(logged), what


async def test_while_redis_does_not_answer_the_link_stays_good(
    bot_settings: Settings, telegram: TelegramServer
) -> None:
    with private_redis() as redis:
        settings = bot_settings.model_copy(update={"redis_url": redis.url})
        async with open_club(settings) as club, running(club):
            scene = Scene(club, telegram)
            await scene.register("ada")
            begun, payload = await scene.log_in()
            redis.freeze()
            with capture_logs() as logged:
                telegram.write(f"/start {payload}")
                assert await scene.said() == [words.LATER]
                telegram.write(f"/start {payload}", facts={"chat": GROUP})
                await scene.met(
                    lambda: any(line["event"] == "telegram.postponed" for line in logged), "a line"
                )
            assert all("exc_info" not in line for line in logged)
            redis.thaw()
            telegram.write(f"/start {payload}")
            await scene.said(2)
            assert (await scene.verify(begun, codes(telegram)[0])).refresh_token
