"""What each type of problem means, and what to do about it: as JSON, and as a page to read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from fastapi import Request

from domain.refusals import Refusal
from interfaces.problems import STATUS, code_of, title_of
from interfaces.rest.problems import HTTP_PROBLEMS

ADVICE: Mapping[int, str] = {
    400: "Send it as HTTP/1.1 (RFC 9112).",
    401: "Sign in (POST /jwt-auth/login/), or exchange the refresh token for another access token, "
    "and send it as `Authorization: Bearer …`.",
    403: "Ask somebody whose role allows it; /openapi.json says of every route who may.",
    404: "Look for it in the list of its kind. What is somebody else's is answered the same.",
    405: "Use one of the methods that `Allow` names.",
    406: "Name in `Accept` a form that there is, or say it with `?format=`.",
    408: "Send it again, all of it at once.",
    409: "Read what holds now (GET), and ask for something that it allows.",
    412: "Read it again (GET), and make the change to what it is now, with its `ETag`, "
    "quotes and all.",
    413: "Send less.",
    415: "Name the type of the body: `Content-Type: application/json`.",
    422: "Put right what `errors` points at; /openapi.json has the form of every request.",
    429: "Wait for as many seconds as `Retry-After` says, and then ask again.",
    431: "Send fewer headers, or shorter ones.",
    500: "Tell whoever keeps the service, with the `X-Request-Id` of the answer.",
    503: "Nothing has happened: ask again after as many seconds as `Retry-After` says.",
    504: "Do not simply ask again: look whether it happened (GET). With the same "
    "`Idempotency-Key` it may be asked again, and happens once.",
}
"""What to do, by the status of the answer."""

SPECIAL: Mapping[str, str] = {
    "membership-held": "A membership is one client's, so choose another one that is on offer "
    "(GET /memberships/offers/), or have an ADMIN add one at the same terms. At the front desk, "
    "POST /clients/walk-ins/ issues a new one at the terms of the one that it names. A club that "
    "sells one membership to many says so in its rules (`club rules --shared-memberships`): then "
    "it goes on being offered, and any number of clients hold it.",
    "user-has-client": "A user is one client: find it (GET /users/me/ has `client_id`; at the "
    "front desk GET /clients/?user_id=), and change that one.",
    "email-taken": "Whoever has this address signs in instead (POST /jwt-auth/login/), or takes "
    "another address.",
    "has-registered": "Name this user in POST /clients/, with a membership that is on offer.",
    "is-client": "Find the client (GET /clients/?user_id=), and change that one.",
    "username-taken": "Choose another username; a name stays taken when its user is deleted.",
    "still-in-flight": "Ask again with the same key after as many seconds as `Retry-After` says, "
    "and have the answer of the first.",
    "key-reused": "Choose another `Idempotency-Key` for another request.",
    "which-training": "Say which training, with `?training_id=`.",
    "read-only": "Leave the member out, or send it back as the GET answers it.",
    "position-not-reached": "Ask again after as many seconds as `Retry-After` says, or without "
    "`Ledger-Position`.",
}
"""What to do, where it is something else."""


class Meaning(NamedTuple):
    """What a type of problem means in general."""

    code: str
    status: int
    detail: str

    @property
    def title(self) -> str:
        """Its name."""
        return title_of(self.code)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return SPECIAL.get(self.code, ADVICE[self.status])


def meaning_of(code: str) -> Meaning | None:
    """What a type of problem means; None for one that there is not."""
    meanings = dict(HTTP_PROBLEMS)
    for base, status in STATUS.items():
        for kind in base.kinds() if issubclass(base, Refusal) else (base,):
            meanings.setdefault(code_of(kind), (status, inspect.cleandoc(kind.__doc__ or "")))
    return Meaning(code, *meanings[code]) if code in meanings else None


def prefers_html(accept: str) -> bool:
    """Whether whoever asks would rather have a page than JSON."""
    return _quality("text/html", accept) > _quality("application/json", accept)


def best(accept: str, offered: Sequence[str]) -> str | None:
    """What of this is wanted most, the first where it is all the same; None where nothing is."""
    wanted = max(offered, key=lambda kind: _quality(kind, accept))
    return wanted if _quality(wanted, accept) else None


def wants_page(request: Request) -> bool:
    """Whether whoever asks has a browser, and wants no other form."""
    form = request.query_params.get("format")
    accept = request.headers.get("accept", "")
    return form == "html" or (form is None and prefers_html(accept))


def _quality(kind: str, accept: str) -> float:
    """How much a kind is wanted, by the most special range that it is in (RFC 9110)."""
    ranges: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        given = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        ranges[name] = float(given) if re.fullmatch(r"[01](\.[0-9]{0,3})?", given) else 0.0
    family = f"{kind.partition('/')[0]}/*"
    return next((ranges[name] for name in (kind, family, "*/*") if name in ranges), 0.0)


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
  body {{ font: 1.05rem/1.6 system-ui, sans-serif; max-width: 38rem; margin: 12vh auto;
         padding: 0 1.5rem; color: CanvasText; background: Canvas; }}
  h1 {{ line-height: 1.2; margin: 0 0 1.5rem; }}
  h2 {{ font-size: 1rem; margin: 1.5rem 0 0; }}
  p {{ margin: .25rem 0; }}
  .status, code {{ font-family: ui-monospace, monospace; }}
  .status {{ opacity: .7; }}
</style>
<p class="status">{status} · {code}</p>
<h1>{title}</h1>
<h2>What it means</h2>
<p>{detail}</p>
<h2>What to do</h2>
<p>{advice}</p>
</html>
"""


def page_of(meaning: Meaning) -> str:
    """The meaning as a page: nothing in it is from elsewhere, and nothing in it runs."""
    return _PAGE.format(
        title=escape(meaning.title),
        status=meaning.status,
        code=escape(meaning.code),
        detail=_marked_up(meaning.detail),
        advice=_marked_up(meaning.advice),
    )


def _marked_up(text: str) -> str:
    """What is between backticks stands out; so does what another case fills in."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\{([a-z_]+)\}", r"<code>…</code>", marked)
