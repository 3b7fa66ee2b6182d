"""The club's RSA keys: one that signs, and those that signed before it.

They are kept in `home/keys`: the pair that signs in `signing.pem`, readable by its owner only,
and the public halves of retired pairs in `retired.json`, each with the moment at which the last
token that it signed has ended. A rotation by another process is noticed within a second.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import orjson
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.faults import Fault
from infra.secrets.files import private_file

KEY_BITS = 2048

FRESH = 1.0
"""Seconds for which the files are believed not to have changed."""

logger = structlog.get_logger(__name__)


class UnreadableKey(Fault):
    """{path} is not as the club wrote it: restore a copy, or remove it, which ends its tokens."""


class KeysMissing(Fault):
    """The keys of the club are not in {home}: CLUB_HOME says where."""


def has_keys(home: Path) -> bool:
    """Whether the club's keys are in this home, or were: one that is lost is made anew."""
    return (home / "keys").is_dir()


class Key:
    """One pair, under the name of its RFC 7638 thumbprint."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self.private = private
        self.public = private.public_key()
        self.jwk = _jwk(self.public)
        self.kid: str = self.jwk["kid"]

    @classmethod
    def new(cls) -> Key:
        """A pair that nobody has had before."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))

    @classmethod
    def read(cls, path: Path) -> Key:
        """The pair in a file; raises UnreadableKey."""
        try:
            loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as garbage:
            raise UnreadableKey(path=path) from garbage
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise UnreadableKey(path=path)
        return cls(loaded)

    def write(self, path: Path, *, only_new: bool = False) -> None:
        """Keep it in a file, in place of the pair that was there, unless `only_new`."""
        pem = self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        private_file(path, pem, only_new=only_new)


class Keys:
    """The pair that signs, and the public keys that tokens are checked with."""

    def __init__(self, home: Path) -> None:
        """The keys of a club's home; the first pair is made where there is none."""
        self._signing_file = home / "keys" / "signing.pem"
        self._retired_file = home / "keys" / "retired.json"
        if not self._signing_file.exists():
            Key.new().write(self._signing_file, only_new=True)
        self._read_at: tuple[int, int] = (-1, -1)
        self._looked = time.monotonic()
        self._signing: Key
        self._retired: list[dict[str, Any]] = []
        self._public: dict[str, rsa.RSAPublicKey] = {}
        self._read()

    @property
    def signing(self) -> Key:
        """The pair that signs."""
        self._look()
        return self._signing

    def public(self, kid: str) -> rsa.RSAPublicKey | None:
        """The key of this name, while tokens of it are good."""
        self._look()
        if kid not in self._public:
            # Another process may have brought it in this moment, and signed with it.
            self._look(at_once=True)
        retired = next((k for k in self._retired if k["kid"] == kid), None)
        if retired is not None and retired["until"] <= time.time():
            return None
        return self._public.get(kid)

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The keys that tokens are checked with, as RFC 7517 writes them."""
        self._look()
        now = time.time()
        old = [_without_until(key) for key in self._retired if key["until"] > now]
        return {"keys": [self._signing.jwk, *old]}

    def rotate(self, until: float) -> Key:
        """Sign with a new pair; tokens of the old one are good `until` then (seconds since 1970).

        The old pair's private half is gone with it. With an `until` that has passed, no token
        of any old pair is good any more.
        """
        with self._alone():
            self._read()
            now = time.time()
            retired = [*self._retired, {**self._signing.jwk, "until": until}]
            kept = [key for key in retired if min(key["until"], until) > now]
            new = Key.new()
            # In this order, so that no token is without its key if the second step never comes.
            private_file(self._retired_file, orjson.dumps({"keys": kept}))
            new.write(self._signing_file)
            self._read()
        return new

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of two rotations at once, the second retires the key that the first brought in."""
        lock = self._signing_file.with_name("lock")
        lock.touch(mode=0o600)
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _look(self, *, at_once: bool = False) -> None:
        """Read the files, if they changed; while they cannot be read, what was read holds."""
        now = time.monotonic()
        if not at_once and now < self._looked + FRESH:
            return
        self._looked = now
        try:
            self._read()
        except (OSError, UnreadableKey) as fault:
            logger.warning("keys.unreadable", reason=str(fault))

    def _read(self) -> None:
        """Read the files, if they changed; raises OSError or UnreadableKey."""
        changed = _changed(self._signing_file), _changed(self._retired_file)
        if changed == self._read_at:
            return
        signing = Key.read(self._signing_file)
        # A rotation that was cut short has retired the key that still signs.
        retired = [k for k in _retired(self._retired_file) if k["kid"] != signing.kid]
        self._public = {
            **{key["kid"]: jwt.PyJWK(_without_until(key)).key for key in retired},
            signing.kid: signing.public,
        }
        self._signing, self._retired, self._read_at = signing, retired, changed


def _retired(path: Path) -> list[dict[str, Any]]:
    """The retired keys in a file; raises UnreadableKey."""
    if not path.exists():
        return []
    try:
        found = orjson.loads(path.read_bytes())["keys"]
        for key in found:
            _ = key["kid"], float(key["until"]), jwt.PyJWK(_without_until(key))
    except (KeyError, TypeError, ValueError, AttributeError, jwt.PyJWTError) as garbage:
        raise UnreadableKey(path=path) from garbage
    return list(found)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _without_until(key: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in key.items() if name != "until"}


def _jwk(public: rsa.RSAPublicKey) -> dict[str, Any]:
    numbers = public.public_numbers()
    n, e = _base64url(numbers.n), _base64url(numbers.e)
    canonical = f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'
    digest = hashlib.sha256(canonical.encode()).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "n": n, "e": e, "kid": kid}


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
