"""The REST channel of a chain, put together."""

from __future__ import annotations

from fastapi import FastAPI

from interfaces.rest import documents
from interfaces.rest.assembly import Outside, assembled
from interfaces.rest.chain import clubs, figures, health, index, links
from interfaces.rest.chain.service import Service
from interfaces.rest.problems import TO_READERS

__all__ = ["GROUPS", "Outside", "create_chain_app"]

GROUPS = (index, health, documents, clubs, figures, links)
"""Every group of routes, in the order of the documentation."""

ABOUT = """What is read of a chain of clubs: how far each club is, and its figures, added up over
all clubs or those that are named (`?club=`).

**A token** is for a person of the chain, and good here alone: whoever runs the chain prints one
with `club chain users token NAME`. It goes into *Authorize* above, or into
`Authorization: Bearer …`. An ADMIN of the chain may do all that an ANALYST may.
"""

ADVICE = {
    **TO_READERS,
    401: "Ask for another link: whoever reads the chain's reports makes one with "
    "POST /chain/reports/overview/links/, and at the machine `club chain users link NAME` prints "
    "one. Each is good for a day, and for one reader.",
    404: "Ask whoever runs the chain.",
}
"""What to do about a no that is told on a page."""


def create_chain_app(chain: Service, outside: Outside) -> FastAPI:
    """The app that serves this chain."""
    return assembled(chain, GROUPS, index.NAME, ABOUT, outside, commands=False, to_readers=ADVICE)
