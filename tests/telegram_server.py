"""A small server that speaks Telegram's Bot API, with whoever writes to the bot behind it.

It runs in a thread of its own, so that a test may wait for it whichever way the test runs. It
keeps to what Telegram documents: updates are kept until a higher offset is asked for, a webhook
and polling exclude each other, of two that poll at once the older one is sent away, and what a
webhook does not take with 2xx is sent again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import aiohttp
import orjson
from aiohttp import web

from infra.servers.local_servers import free_port
from tests.acceptance.service import PATIENCE

TOKEN = "4242:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
BOT = {"id": 4242, "is_bot": True, "first_name": "The club", "username": "club_test_bot"}
SECRET = "X-Telegram-Bot-Api-Secret-Token"
AGAIN = 0.05
"""Seconds until a webhook that did not take an update is sent it again."""

T = TypeVar("T")


@dataclass(frozen=True)
class Trouble:
    """What becomes of calls in place of what was asked."""

    status: int
    """0 closes the connection without an answer."""
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    body: str | None = None
    """What is answered word for word, `$text` standing for the text of the message."""


WAITS = Trouble(-1)
"""Lets a call wait while it lasts, and then does what was asked, if whoever asked is there."""


@dataclass(frozen=True)
class Push:
    """An update that was sent to the webhook, and the status of the answer; 0 for none."""

    update_id: int
    status: int


def person(number: int = 1001, **facts: Any) -> dict[str, Any]:
    """A Telegram user."""
    return {"id": number, "is_bot": False, "first_name": f"Person {number}", **facts}


def private_chat(number: int = 1001) -> dict[str, Any]:
    """The chat of this user with the bot."""
    return {"id": number, "type": "private", "first_name": f"Person {number}"}


class TelegramServer:
    """The server, as a test sees it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.calls: list[tuple[str, dict[str, str]]] = []
        """Every call of a method, whatever became of it."""
        self.sent: list[dict[str, str]] = []
        """Every message that the bot sent, and Telegram took."""
        self.pushes: list[Push] = []
        self.webhook: dict[str, str] = {}
        self._troubles: dict[str, deque[Trouble]] = {}
        self._lasting: dict[str, Trouble] = {}
        self._pending: list[dict[str, Any]] = []
        self._unasked: set[int] = set()
        self._allowed: list[str] = []
        self._numbers = count(700_001)
        self._polls = count(1)
        self._poll = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._news = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._pusher: asyncio.Task[None] | None = None

    # --- the server ------------------------------------------------------------------------

    def start(self) -> None:
        """Be there, with a thread."""
        self._thread.start()
        self.up()

    def close(self) -> None:
        """Be gone for good."""
        self.down()
        self._do(self._stop_pushing())
        self._do(self._end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def up(self) -> None:
        """Listen."""
        self._do(self._up())

    def down(self) -> None:
        """Go away; what was not delivered is kept."""
        self._do(self._down())

    async def _up(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        # Whoever goes without waiting for the answer has not been answered.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=AGAIN, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def _down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _stop_pushing(self) -> None:
        if self._pusher is not None:
            self._pusher.cancel()
            with suppress(asyncio.CancelledError):
                await self._pusher

    async def _end_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    # --- what a test does ------------------------------------------------------------------

    def deliver(self, update: Mapping[str, Any], *, unasked: bool = False) -> int:
        """An update for the bot; `unasked`, even if it is of a kind that the bot did not ask for.

        Gives its number.
        """
        numbered = {"update_id": next(self._numbers), **update}
        number = int(numbered["update_id"])
        with self._changed:
            self._pending.append(numbered)
            if unasked:
                self._unasked.add(number)
        self._tell()
        return number

    def write(
        self,
        text: str | None = None,
        *,
        by: int | None = 1001,
        kind: str = "message",
        facts: Mapping[str, Any] | None = None,
    ) -> int:
        """Somebody writes to the bot, in the private chat where the facts say nothing else."""
        message = {
            "message_id": next(self._numbers),
            "date": 1_790_000_000,
            "chat": private_chat(by or 1001),
            **({} if by is None else {"from": person(by)}),
            **({} if text is None else {"text": text}),
            **(facts or {}),
        }
        return self.deliver({kind: message})

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is delivered in this block comes in one piece."""
        with self._changed:
            yield

    def trouble(self, method: str, *troubles: Trouble) -> None:
        """The next calls of this method meet these, one each."""
        with self._changed:
            self._troubles.setdefault(method, deque()).extend(troubles)

    def lasting(self, method: str, trouble: Trouble | None) -> None:
        """All calls of this method (`*` for all methods) meet this, until it is None."""
        with self._changed:
            if trouble is None:
                self._lasting.pop(method, None)
            else:
                self._lasting[method] = trouble
        self._tell()

    def wait(self, condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
        """What the condition gives as soon as it gives something."""
        deadline = time.monotonic() + patience
        with self._changed:
            while not (found := condition()):
                if time.monotonic() > deadline:
                    raise AssertionError(f"not within {patience:.0f} s: {what}")
                # It may rest on more than this server, so look now and then.
                self._changed.wait(AGAIN)
        return found

    def said(self, number: int = 1, patience: float = PATIENCE) -> list[str]:
        """The first so many messages that the bot sent."""
        self.wait(lambda: len(self.sent) >= number, f"the bot says {number} things", patience)
        return [message["text"] for message in self.sent[:number]]

    def all_confirmed(self) -> None:
        """Wait until the bot has taken every update."""
        self.wait(lambda: not self._pending, "every update is taken")

    def called(self, method: str, times: int = 1) -> None:
        """Wait until the bot has called this method so often."""
        self.wait(lambda: self.calls_of(method) >= times, f"{times} calls of {method}")

    def calls_of(self, method: str) -> int:
        """How often the bot has called this method."""
        return sum(called == method for called, _ in self.calls)

    def _tell(self) -> None:
        self._loop.call_soon_threadsafe(self._news.set)

    # --- what the bot does -----------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        asked = {name: str(value) for name, value in (await request.post()).items()}
        with self._changed:
            self.calls.append((method, asked))
            self._changed.notify_all()
        trouble = self._met(method)
        if request.match_info["token"] != TOKEN:
            trouble = Trouble(401, "Unauthorized")
        if trouble is WAITS:
            await self._wait_out()
            if request.transport is None or request.transport.is_closing():
                return web.Response()  # Nobody hears it: whoever asked was killed meanwhile.
        elif trouble is not None:
            return _troubled(request, trouble, asked)
        if method == "getUpdates":
            return await self._get_updates(request, asked)
        return await self._do_at_once(method, asked)

    async def _do_at_once(self, method: str, asked: dict[str, str]) -> web.Response:
        match method:
            case "getMe":
                return _answer(BOT)
            case "sendMessage":
                return self._send_message(asked)
            case "setWebhook":
                return await self._set_webhook(asked)
            case "deleteWebhook":
                return await self._set_webhook({})
            case "getWebhookInfo":
                info = {"has_custom_certificate": False, "pending_update_count": len(self._pending)}
                return _answer({"url": self.webhook.get("url", ""), **info})
            case _:
                return _refused(Trouble(404, "Not Found"))

    def _met(self, method: str) -> Trouble | None:
        with self._changed:
            waiting = self._troubles.get(method)
            if waiting:
                return waiting.popleft()
            return self._lasting.get(method) or self._lasting.get("*")

    async def _wait_out(self) -> None:
        while WAITS in self._lasting.values():
            self._news.clear()
            await self._news.wait()

    async def _get_updates(
        self, request: web.Request, asked: Mapping[str, str]
    ) -> web.StreamResponse:
        if self.webhook:
            can_not = "Conflict: can't use getUpdates method while webhook is active"
            return _refused(Trouble(409, can_not))
        self._poll = number = next(self._polls)
        self._news.set()
        with self._changed:
            offset = int(asked.get("offset", 0))
            self._pending = [u for u in self._pending if u["update_id"] >= offset]
            self._allowed = orjson.loads(asked.get("allowed_updates", "[]"))
            self._changed.notify_all()
        ends = self._loop.time() + int(asked.get("timeout", 0))
        while True:
            self._news.clear()
            if self._poll != number:
                other = "Conflict: terminated by other getUpdates request"
                return _refused(Trouble(409, other))
            trouble = self._lasting.get("getUpdates") or self._lasting.get("*")
            if trouble is not None and trouble is not WAITS:
                return _troubled(request, trouble, asked)
            with self._changed:
                ready = self._ready()[: int(asked.get("limit", 100))]
            left = ends - self._loop.time()
            if ready or left <= 0:
                return _answer(ready)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)

    def _ready(self) -> list[dict[str, Any]]:
        """Pending updates that the bot wants; others are forgotten."""
        self._pending = [
            update
            for update in self._pending
            if update["update_id"] in self._unasked
            or not self._allowed
            or any(kind in self._allowed for kind in update)
        ]
        return list(self._pending)

    def _send_message(self, asked: dict[str, str]) -> web.Response:
        with self._changed:
            self.sent.append(asked)
            self._changed.notify_all()
        chat = private_chat(int(asked["chat_id"]))
        number = next(self._numbers)
        sent = {"message_id": number, "date": 1_790_000_000, "chat": chat, "from": BOT}
        return _answer({**sent, "text": asked["text"]})

    # --- the webhook -----------------------------------------------------------------------

    async def _set_webhook(self, asked: dict[str, str]) -> web.Response:
        await self._stop_pushing()
        with self._changed:
            self.webhook = dict(asked) if asked.get("url") else {}
            self._allowed = orjson.loads(asked.get("allowed_updates", "[]"))
            self._changed.notify_all()
        self._pusher = self._loop.create_task(self._push()) if self.webhook else None
        return _answer(True)

    async def _push(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                self._news.clear()
                with self._changed:
                    ready = self._ready()
                if not ready:
                    await self._news.wait()
                    continue
                update = ready[0]
                status = await self._pushed(http, update)
                with self._changed:
                    self.pushes.append(Push(update["update_id"], status))
                    if 200 <= status < 300:
                        self._pending.remove(update)
                    self._changed.notify_all()
                if not 200 <= status < 300:
                    await asyncio.sleep(AGAIN)

    async def _pushed(self, http: aiohttp.ClientSession, update: Mapping[str, Any]) -> int:
        secret = {SECRET: self.webhook["secret_token"]} if "secret_token" in self.webhook else {}
        try:
            async with http.post(self.webhook["url"], json=update, headers=secret) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


def _answer(result: object) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _troubled(request: web.Request, trouble: Trouble, asked: Mapping[str, str]) -> web.Response:
    if trouble.body is not None:
        body = trouble.body.replace("$text", asked.get("text", ""))
        return web.Response(body=body.encode("latin-1"), status=trouble.status)
    if trouble.status == 0 and request.transport is not None:
        request.transport.close()
    return _refused(trouble)


def _refused(trouble: Trouble) -> web.Response:
    refusal: dict[str, Any] = {"ok": False, "error_code": trouble.status}
    refusal["description"] = trouble.description
    if trouble.parameters:
        refusal["parameters"] = trouble.parameters
    return web.json_response(refusal, status=trouble.status or 500)


@contextmanager
def telegram_server() -> Iterator[TelegramServer]:
    """A Telegram of the test's own."""
    server = TelegramServer()
    server.start()
    try:
        yield server
    finally:
        server.close()
