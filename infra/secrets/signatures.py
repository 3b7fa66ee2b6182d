"""Signed messages of payment providers: Standard Webhooks 1.0, over the exact bytes of the body.

A provider's secret is derived from a key of the club's own (`home/keys/providers.key`), its name
and a number, so that no secret is kept anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from application.ports.ledger import Ledger
from application.ports.signatures import Stale, Unsigned
from application.repository import replay
from domain.aggregate import Event
from domain.providers import NoSuchProvider, Provider
from infra.secrets.clocks import APART
from infra.secrets.files import private_file

PREFIX = "whsec_"
"""In front of a secret, as Standard Webhooks writes it."""

SECRET_BYTES = 32
FRESH = 2.0
"""Seconds for which a provider is believed: so soon a new secret, or none, counts."""

AHEAD = timedelta(minutes=5)
"""How far another machine's clock may run ahead of ours."""

REMEMBERED = 1000
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")

_ID = re.compile(r"[\x21-\x7e]{1,255}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class ProviderSecrets:
    """The secrets of all providers, from one key."""

    def __init__(self, home: Path) -> None:
        path = home / "keys" / "providers.key"
        if not path.exists():
            private_file(path, secrets.token_bytes(SECRET_BYTES), only_new=True)
        self._key = path.read_bytes()

    def secret(self, name: str, number: int) -> bytes:
        """The bytes of one of a provider's secrets."""
        return hmac.digest(self._key, f"provider:{name}:{number}".encode(), hashlib.sha256)

    def written(self, name: str, number: int) -> str:
        """The secret as the provider gets it."""
        return PREFIX + base64.b64encode(self.secret(name, number)).decode()

    def pass_for(self, message_id: str, signature: str) -> str:
        """What lets a message by that a person of the club sends again, however old it is."""
        what = f"replay:{message_id}:{signature}".encode()
        return hmac.new(self._key, what, hashlib.sha256).hexdigest()


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message, in the form of its header."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class StandardWebhooks:
    """Checks who signed a message."""

    def __init__(
        self, ledger: Ledger, provider_secrets: ProviderSecrets, tolerance: timedelta
    ) -> None:
        """`tolerance` is how old a signature may be, where clocks are not apart."""
        self._ledger = ledger
        self._secrets = provider_secrets
        self._tolerance = tolerance.total_seconds()
        self._known: OrderedDict[str, tuple[tuple[bytes, ...], float]] = OrderedDict()

    async def provider(self, headers: Mapping[str, Any], body: bytes) -> str:
        """The name of the provider who signed it; raises Unsigned."""
        name, message_id, timestamp, given = (
            _text(headers.get(header))
            for header in ("provider", "webhook-id", "webhook-timestamp", "webhook-signature")
        )
        readable = NAME.fullmatch(name) and _ID.fullmatch(message_id)
        if not readable or not _TIMESTAMP.fullmatch(timestamp):
            raise Unsigned
        at = int(timestamp)
        expected = [sign(one, message_id, at, body) for one in await self._live(name)]
        # Every pair is compared, so that the time says nothing.
        matches = [
            hmac.compare_digest(one.encode(), other.encode())
            for one in expected
            for other in given.split(" ")[:8]
        ]
        if not any(matches):
            raise Unsigned
        age = time.time() - at
        if not -AHEAD.total_seconds() <= age <= self._tolerance + APART.total_seconds():
            allowed = self._secrets.pass_for(message_id, given)
            if not hmac.compare_digest(allowed, _text(headers.get("club-replayed"))):
                raise Stale
        return name

    async def newest_secret(self, name: str) -> bytes:
        """What the provider signs with; raises NoSuchProvider where none of its secrets is good."""
        live = await self._live(name)
        if not live:
            raise NoSuchProvider
        return live[-1]

    async def providers(self) -> dict[str, int]:
        """How many good secrets each provider has, by its name; a disabled one has none."""
        ids = await self._ledger.ids(Provider.TOPIC)
        streams = await self._ledger.streams(ids)
        names = {stream.removeprefix(Provider.stream("")): stream for stream in ids}
        return {name: len(_numbers(streams[stream])) for name, stream in names.items()}

    async def _live(self, name: str) -> tuple[bytes, ...]:
        known = self._known.get(name)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        stream = Provider.stream(name)
        numbers = _numbers((await self._ledger.streams([stream]))[stream])
        found = tuple(self._secrets.secret(name, number) for number in numbers)
        self._known[name] = found, time.monotonic() + FRESH
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def _text(value: object) -> str:
    """A header as text; anything that is none is as good as missing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value) if str(value).isascii() else ""


def _numbers(events: Sequence[Event]) -> tuple[int, ...]:
    """The numbers of the secrets that are good after these events of a provider."""
    provider = replay(events) if events else None
    return provider.secrets if isinstance(provider, Provider) else ()
