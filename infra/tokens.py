"""Access tokens: RS256 JWTs after RFC 9068, signed and checked with the club's own key pair."""

from __future__ import annotations

import base64
import hashlib
import re
import time
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from application.ports import InvalidToken
from infra.settings import private_file

AUDIENCE = "training-api"
KEY_BITS = 2048
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the media type of RFC 9068
LONGEST_TOKEN = 4096
"""Characters; a longer one is not ours."""
REMEMBERED = 10_000
"""Checked tokens that need not be checked again."""


class Claims(NamedTuple):
    """What a valid access token says."""

    user_id: int
    expires: int
    """Seconds since 1970."""


class Keys:
    """The club's RSA key pair."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self.private = private
        self.public = private.public_key()
        numbers = self.public.public_numbers()
        self.jwk = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "n": _base64url(numbers.n),
            "e": _base64url(numbers.e),
        }
        # The thumbprint of RFC 7638.
        canonical = f'{{"e":"{self.jwk["e"]}","kty":"RSA","n":"{self.jwk["n"]}"}}'
        digest = hashlib.sha256(canonical.encode()).digest()
        self.kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self.jwk["kid"] = self.kid

    @classmethod
    def kept_in(cls, home: Path) -> Keys:
        """The pair in `home/keys`, made on first use, readable by its owner only."""
        path = home / "keys" / "signing.pem"
        if not path.exists():
            private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
            pem = private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            private_file(path, pem)
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise TypeError(f"{path} holds no RSA key")
        return cls(loaded)


class AccessTokens:
    """Issues access tokens, and checks them; one seen before is not checked again."""

    def __init__(self, keys: Keys, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._seen: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, user_id: int, lifetime: int) -> str:
        """A token that says who the bearer is, for `lifetime` seconds."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "client_id": AUDIENCE,
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + lifetime,
        }
        headers = {"typ": TOKEN_TYPE, "kid": self._keys.kid}
        return jwt.encode(claims, self._keys.private, algorithm="RS256", headers=headers)

    def check(self, token: str) -> Claims:
        """What the token says; raises InvalidToken for any but a valid one of ours."""
        claims = self._seen.get(token)
        if claims is None:
            claims = self._checked(token)
            self._seen[token] = claims
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        if claims.expires <= time.time():
            self._seen.pop(token, None)
            raise InvalidToken
        return claims

    def _checked(self, token: str) -> Claims:
        if len(token) > LONGEST_TOKEN:
            raise InvalidToken
        try:
            decoded = jwt.decode_complete(
                token,
                self._keys.public,
                algorithms=["RS256"],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": ["exp", "iat", "sub", "jti", "iss", "aud"]},
            )
            return self._claims(decoded["header"], decoded["payload"])
        except (jwt.PyJWTError, ValueError) as invalid:
            raise InvalidToken from invalid

    def _claims(self, header: dict[str, Any], payload: dict[str, Any]) -> Claims:
        if header.get("typ") != TOKEN_TYPE or header.get("kid") != self._keys.kid:
            raise InvalidToken
        if not re.fullmatch(r"[1-9][0-9]{0,9}", payload["sub"]):
            raise InvalidToken
        return Claims(int(payload["sub"]), int(payload["exp"]))


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
