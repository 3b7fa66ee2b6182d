"""Tokens of a club, or of a chain: RS256 JWTs, of kinds that cannot stand in for each other.

Access tokens follow RFC 9068. Checking them follows RFC 8725: one algorithm, an explicit type,
and each claim looked at.
"""

from __future__ import annotations

import re
import time
import uuid
from collections import OrderedDict
from typing import Any, NamedTuple

import jwt

from application.ports.signing_in import (
    ExpiredLink,
    ExpiredToken,
    InvalidLink,
    InvalidToken,
    PageClaims,
    RefreshClaims,
)
from infra.secrets.clocks import APART
from infra.secrets.keys import Keys

AUDIENCE = "training-api"
"""Who access tokens are for: the club's API."""

REFRESH_AUDIENCE = "training-api/jwt-auth"
"""Who refresh tokens are for: whoever hands out access tokens."""

PAGE_AUDIENCE = "training-api/pages"
"""Who tokens of links are for: the pages that a browser opens."""

TOKEN_TYPE = "at+jwt"  # noqa: S105 - the media type of RFC 9068
REFRESH_TYPE = "rt+jwt"
PAGE_TYPE = "pt+jwt"


class Kind(NamedTuple):
    """What tells tokens of one kind from all others: their type, and who they are for."""

    type: str
    audience: str


class Kinds(NamedTuple):
    """The kinds of tokens that one service has."""

    access: Kind
    refresh: Kind
    page: Kind


OF_CLUB = Kinds(
    Kind(TOKEN_TYPE, AUDIENCE), Kind(REFRESH_TYPE, REFRESH_AUDIENCE), Kind(PAGE_TYPE, PAGE_AUDIENCE)
)

LONGEST_TOKEN = 4096
"""Characters; a longer one is not ours."""
REMEMBERED = 10_000
"""Checked tokens that need not be checked again."""

_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


def of_chain(identity: str) -> Kinds:
    """Good for one chain alone, also where the same keys sign those of a club or another chain."""
    audience = f"training-api/chain/{identity}"
    return Kinds(
        Kind("chain-at+jwt", audience),
        Kind("chain-rt+jwt", f"{audience}/jwt-auth"),
        Kind("chain-pt+jwt", f"{audience}/pages"),
    )


class Claims(NamedTuple):
    """What a valid access token says."""

    user_id: int
    expires: int
    """Seconds since 1970."""
    session_id: int
    """0 where the token belongs to no session."""
    kid: str


class SignedTokens:
    """Issues tokens, and checks them; an access token seen before is not checked again.

    Each is good for those seconds longer, and earlier, that clocks may be apart.
    """

    def __init__(self, keys: Keys, issuer: str, kinds: Kinds = OF_CLUB) -> None:
        self._keys = keys
        self._issuer = issuer
        self._kinds = kinds
        self._seen: OrderedDict[str, Claims] = OrderedDict()

    def access_token(self, user_id: int, session_id: int | None, seconds: int) -> str:
        """A token that says who the bearer is, for so long."""
        session = {} if session_id is None else {"sid": str(session_id)}
        kind = self._kinds.access
        claims = {"client_id": kind.audience, **session}
        return self._signed(kind, user_id, int(time.time()) + seconds, claims)

    def refresh_token(self, claims: RefreshClaims, ends_at: int) -> str:
        """A token that is good for one exchange."""
        more = {"sid": str(claims.session_id), "generation": claims.generation}
        return self._signed(self._kinds.refresh, claims.user_id, ends_at, more)

    def page_token(self, claims: PageClaims) -> str:
        """A token that opens one page for one reader."""
        more = {"page": claims.page, "link": str(claims.link_id)}
        return self._signed(self._kinds.page, claims.user_id, claims.ends_at, more)

    def read_page_token(self, token: str, page: str) -> PageClaims:
        """What the token of a link to this page says; raises InvalidLink or ExpiredLink."""
        try:
            _, payload = self._checked(token, self._kinds.page)
            user_id, link_id = _number(payload["sub"]), _number(payload.get("link"))
        except ExpiredToken as expired:
            raise ExpiredLink from expired
        except InvalidToken as invalid:
            raise InvalidLink from invalid
        if payload.get("page") != page:
            raise InvalidLink
        return PageClaims(user_id, page, link_id, int(payload["exp"]))

    def _signed(self, kind: Kind, user_id: int, ends_at: int, more: dict[str, Any]) -> str:
        claims = {
            "iss": self._issuer,
            "aud": kind.audience,
            "sub": str(user_id),
            "jti": uuid.uuid4().hex,
            "iat": int(time.time()),
            "exp": ends_at,
            **more,
        }
        key = self._keys.signing
        headers = {"typ": kind.type, "kid": key.kid}
        return jwt.encode(claims, key.private, algorithm="RS256", headers=headers)

    def check(self, token: str) -> Claims:
        """What an access token says; raises InvalidToken for any but a valid one of ours."""
        claims = self._seen.get(token)
        if claims is None:
            claims = self._access_claims(*self._checked(token, self._kinds.access))
            self._seen[token] = claims
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        if claims.expires <= time.time() - APART.total_seconds():
            self._seen.pop(token, None)
            raise ExpiredToken
        if self._keys.public(claims.kid) is None:
            self._seen.pop(token, None)
            raise InvalidToken
        return claims

    def bearer(self, token: str) -> int | None:
        """The number of the user that an access token is of; None where it is not valid."""
        try:
            return self.check(token).user_id
        except InvalidToken:
            return None

    def renewed(self, token: str, seconds: int) -> str:
        """An access token of ours, however old, to be good again for so long; else as it is."""
        try:
            checked = self._checked(token, self._kinds.access, expired=True)
            claims = self._access_claims(*checked)
        except InvalidToken:
            return token
        return self.access_token(claims.user_id, claims.session_id or None, seconds)

    def read_refresh_token(self, token: str) -> RefreshClaims:
        """What a refresh token says; raises InvalidToken for any but a valid one of ours."""
        _, payload = self._checked(token, self._kinds.refresh)
        generation = payload.get("generation")
        if type(generation) is not int or generation < 1:
            raise InvalidToken
        return RefreshClaims(_number(payload["sub"]), _number(payload.get("sid")), generation)

    def _checked(
        self, token: str, kind: Kind, *, expired: bool = False
    ) -> tuple[str, dict[str, Any]]:
        """The name of the key, and the claims, of a token of this kind; it may be `expired`."""
        if len(token) > LONGEST_TOKEN:
            raise InvalidToken
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            public = self._keys.public(kid) if isinstance(kid, str) else None
            if public is None or header.get("typ") != kind.type:
                raise InvalidToken
            payload: dict[str, Any] = jwt.decode(
                token,
                public,
                algorithms=["RS256"],
                audience=kind.audience,
                issuer=self._issuer,
                leeway=APART,
                options={
                    "require": ["exp", "iat", "sub", "jti", "iss", "aud"],
                    "verify_exp": not expired,
                },
            )
        except jwt.ExpiredSignatureError as expired_by_now:
            raise ExpiredToken from expired_by_now
        except (jwt.PyJWTError, ValueError) as invalid:
            raise InvalidToken from invalid
        return str(kid), payload

    @staticmethod
    def _access_claims(kid: str, payload: dict[str, Any]) -> Claims:
        session_id = _number(payload["sid"]) if "sid" in payload else 0
        return Claims(_number(payload["sub"]), int(payload["exp"]), session_id, kid)


def _number(text: object) -> int:
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise InvalidToken
    return int(text)
