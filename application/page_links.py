"""Commands about links that open a page, as a browser has no token of its own.

The log says who may open what, and until when; the link itself has a signed token in it, is told
once, and is in no receipt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from application.access import RULES, Permission
from application.command import Command
from application.fields import Body
from application.ports.signing_in import PageClaims
from application.work import Result, Work
from domain.aggregate import time_text
from domain.page_links import PageLink
from domain.refusals import Conflict
from domain.users import User

GOOD_FOR = timedelta(hours=24)
"""How long a link is good."""

OVERVIEW = "overview"
"""The page that there are links to."""

PATH = "/reports/overview/"
"""Where it is."""

CHAIN_PATH = "/chain/reports/overview/"
"""Where that of a chain of clubs is."""

PARAMETER = "link"
"""What of a query the token is."""


class NoReader(Conflict):
    """{username} is {role}, and may not read this page."""


class NobodyReads(Conflict):
    """A link is for one reader, and nobody has asked."""


class PageLinkBody(Body):
    """Nothing needs to be said."""


@dataclass(frozen=True, slots=True)
class MakePageLink(Command):
    """Make a link with which whoever asks opens the overview in a browser."""

    body: PageLinkBody


@dataclass(frozen=True, slots=True)
class MakePageLinkFor(Command):
    """Make a link with which a user opens the overview in a browser."""

    user_id: int


@dataclass(frozen=True, slots=True)
class RevokePageLink(Command):
    """Let a link open nothing any more."""

    page_link_id: int


async def make_page_link(_: MakePageLink, work: Work) -> Result:
    """For themselves: nobody opens a page as somebody else."""
    work.must_reach_all(Permission.REPORTS_READ)
    if work.caller.user_id is None:
        raise NobodyReads
    return await _made(work.caller.user_id, work)


async def make_page_link_for(command: MakePageLinkFor, work: Work) -> Result:
    """At the machine: for a user who may read the page."""
    return await _made(command.user_id, work)


async def revoke_page_link(command: RevokePageLink, work: Work) -> Result:
    """The reader's own business, or an ADMIN's; revoking one that is over changes nothing."""
    work.must_reach_all(Permission.REPORTS_READ)
    link = await work.get(PageLink, command.page_link_id)
    work.allow(Permission.PAGE_LINKS_REVOKE, link, owner=link.user_id)
    work.must_match(link)
    link.revoke(work.at)
    return Result(None)


async def _made(user_id: int, work: Work) -> Result:
    user = await work.get(User, user_id)
    if user.role not in RULES[Permission.REPORTS_READ].roles:
        raise NoReader(username=user.username, role=user.role.value)
    number = await work.new_number(PageLink)
    until = work.at + GOOD_FOR
    link = PageLink.make(number, user_id=user_id, page=OVERVIEW, until=until, at=work.at)
    work.add(link)
    claims = PageClaims(user_id, link.page, number, int(until.timestamp()))
    token = work.services.page_tokens.page_token(claims)
    return Result(_told(link, None), link.version, once=_told(link, token))


def _told(link: PageLink, token: str | None) -> dict[str, Any]:
    """What the reader needs; the link is told once."""
    return {
        "id": link.number,
        "url": None if token is None else f"{PATH}?{PARAMETER}={token}",
        "expires_at": time_text(link.expires_at),
    }
