"""Tokens that are almost valid, of either kind."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

from infra.secrets.keys import Key
from infra.secrets.tokens import AUDIENCE, REFRESH_AUDIENCE, REFRESH_TYPE, TOKEN_TYPE
from tests.conftest import Rest

Claims = dict[str, Any]
OTHER_KEY = Key.new()


class Forge:
    """Makes tokens of one kind, which are valid but for what is asked to be wrong."""

    def __init__(self, rest: Rest, kind: str, **claims: Any) -> None:
        self.key = rest.club.keys.signing
        self.issuer = rest.club.settings.issuer
        self.kind = kind
        self.other_kind = TOKEN_TYPE if kind == REFRESH_TYPE else REFRESH_TYPE
        self._claims = claims

    @classmethod
    def of_access(cls, rest: Rest, user_id: int, **claims: Any) -> Forge:
        """Access tokens of a user."""
        return cls(rest, TOKEN_TYPE, aud=AUDIENCE, sub=str(user_id), **claims)

    @classmethod
    def of_refresh(cls, rest: Rest, user_id: int, session_id: int, **claims: Any) -> Forge:
        """The first refresh tokens of a session."""
        named = {"sid": str(session_id), "generation": 1, **claims}
        return cls(rest, REFRESH_TYPE, aud=REFRESH_AUDIENCE, sub=str(user_id), **named)

    def claims(self, **changes: Any) -> Claims:
        """Those of a valid token, but for what changes; None takes a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "jti": "one",
            "iat": now,
            "exp": now + 600,
            **self._claims,
            **changes,
        }
        return {name: claim for name, claim in claims.items() if claim is not None}

    def header(self, **changes: Any) -> Claims:
        """That of a valid token, but for what changes; None takes a name out."""
        header = {"alg": "RS256", "typ": self.kind, "kid": self.key.kid, **changes}
        return {name: part for name, part in header.items() if part is not None}

    def token(self, claims: Claims | None = None, **header: Any) -> str:
        """Signed with the club's own key, whatever the parts say."""
        return self.signed_as(self.header(**header), claims or self.claims())

    def signed_as(self, header: Claims, claims: Any) -> str:
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        signed = unsigned(header, claims)
        return f"{signed}.{part(algorithm.sign(signed.encode(), self.key.private))}"

    def public_pem(self) -> bytes:
        return self.key.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def part(data: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: Claims, claims: Any) -> str:
    """The two parts of a token that are signed."""
    return f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"


def _hs256_with_the_public_key(forge: Forge) -> str:
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signed = unsigned(forge.header(alg="HS256"), forge.claims())
    return f"{signed}.{part(algorithm.sign(signed.encode(), forge.public_pem()))}"


def _with_its_key_along(forge: Forge) -> str:
    """Signed with a key of the forger's own, which the token itself names as the right one."""
    header = forge.header(jwk=OTHER_KEY.jwk, alg=None)
    return jwt.encode(forge.claims(), OTHER_KEY.private, "RS256", headers=header)


def _tampered(forge: Forge) -> str:
    header, _, signature = forge.token().split(".")
    return f"{header}.{part(json.dumps(forge.claims(jti='two')).encode())}.{signature}"


def _of_another_key(forge: Forge, kid: str) -> str:
    header = {"typ": forge.kind, "kid": kid}
    return jwt.encode(forge.claims(), OTHER_KEY.private, "RS256", headers=header)


def _ago(seconds: int) -> int:
    return int(time.time()) - seconds


OF_ANOTHER_CLOCK: dict[str, Callable[[Forge], str]] = {
    "expired by this clock": lambda f: f.token(f.claims(exp=_ago(5))),
    "not valid yet by this clock": lambda f: f.token(f.claims(nbf=_ago(-9))),
    "issued in the future by this clock": lambda f: f.token(f.claims(iat=_ago(-9))),
    "issued by a clock behind": lambda f: f.token(f.claims(iat=_ago(9), nbf=_ago(9))),
}
"""Tokens of machines whose clocks are some seconds away from this one's, which it bears."""

INVALID: dict[str, Callable[[Forge], str]] = {
    "expired": lambda f: f.token(f.claims(exp=_ago(11))),
    "not valid yet": lambda f: f.token(f.claims(nbf=_ago(-15))),
    "issued in the future": lambda f: f.token(f.claims(iat=_ago(-15))),
    "of another key": lambda f: _of_another_key(f, f.key.kid),
    "of another club": lambda f: _of_another_key(f, OTHER_KEY.kid),
    "that brings its key along": _with_its_key_along,
    "of another issuer": lambda f: f.token(f.claims(iss="https://elsewhere.example")),
    "for another audience": lambda f: f.token(f.claims(aud="another-api")),
    "for the audience of the other kind": lambda f: f.token(
        f.claims(aud=AUDIENCE if f.kind == REFRESH_TYPE else REFRESH_AUDIENCE)
    ),
    "unsigned": lambda f: unsigned(f.header(alg="none"), f.claims()) + ".",
    "unsigned, spelled otherwise": lambda f: unsigned(f.header(alg="nOnE"), f.claims()) + ".",
    "HS256 signed with the public key": _hs256_with_the_public_key,
    "RS512": lambda f: jwt.encode(
        f.claims(), f.key.private, "RS512", headers={"typ": f.kind, "kid": f.key.kid}
    ),
    "another type of token": lambda f: f.token(typ="JWT"),
    "the other kind of token": lambda f: f.token(typ=f.other_kind),
    "without a type": lambda f: f.token(typ=None),
    "without a key id": lambda f: f.token(kid=None),
    "with another key id": lambda f: f.token(kid="another"),
    "with a key id that is no text": lambda f: f.token(kid=7),
    "with a key id that is a list": lambda f: f.token(kid=[f.key.kid]),
    **{
        f"without {claim}": lambda f, claim=claim: f.token(f.claims(**{claim: None}))  # type: ignore[misc]
        for claim in ("iss", "aud", "sub", "jti", "iat", "exp")
    },
    "a subject that is no number": lambda f: f.token(f.claims(sub="ada")),
    "a subject in other digits": lambda f: f.token(f.claims(sub="\u0661")),
    "a subject with a space": lambda f: f.token(f.claims(sub=f" {f.claims()['sub']}")),
    "a negative subject": lambda f: f.token(f.claims(sub="-1")),
    "subject zero": lambda f: f.token(f.claims(sub="0")),
    "a subject beyond bigint": lambda f: f.token(f.claims(sub=str(2**70))),
    "a subject of a thousand digits": lambda f: f.token(f.claims(sub="9" * 1000)),
    "a subject that is a JSON number": lambda f: f.token(f.claims(sub=int(f.claims()["sub"]))),
    **{
        f"a session {what}": lambda f, sid=sid: f.token(f.claims(sid=sid))  # type: ignore[misc]
        for what, sid in {
            "that is no number": "mine",
            "in other digits": "\u0661",
            "with a space": " 1",
            "that is negative": "-1",
            "zero": "0",
            "of no text": "",
            "beyond bigint": str(2**70),
            "that is a JSON number": 1,
            "that is true": True,
            "that is a list": ["1"],
        }.items()
    },
    "that ends never": lambda f: f.token(f.claims(exp=float("inf"))),
    "that ends at no time": lambda f: f.token(f.claims(exp="tomorrow")),
    "whose claims are a list": lambda f: f.signed_as(f.header(), []),
    "tampered with": _tampered,
    "cut short": lambda f: f.token()[:-10],
    "with one part more": lambda f: f.token() + ".more",
    "huge": lambda f: f.token(f.claims(more="x" * 20_000)),
    "of brackets in brackets": lambda _: f"{part(b'[' * 2900)}.e30.AAAA",
    "garbage": lambda _: "garbage",
    "garbage in three parts": lambda _: "%%%.###.!!!",
    "not ASCII": lambda _: "\u00e9\u00e8.\u00fc.\u00f1",
    "only dots": lambda _: "..",
}
"""What may be wrong with a token of either kind."""
