"""`club run --chain`: what is read of a chain of clubs, served in one process."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import uvloop

from infra.chain.reading import open_reading
from infra.parts import API, Plain
from infra.settings import Settings
from interfaces.cli.chain_opening import chain_settings
from interfaces.cli.opening import end_this_on_signal, on_signal
from interfaces.cli.serving import LAST_REQUESTS, Server, listen, spare_the_collector


def run_chain() -> None:
    """Serve the chain, until Ctrl-C."""
    with chain_settings() as found, suppress(asyncio.CancelledError):
        uvloop.run(_run(found))


async def _run(found: Settings) -> None:
    # It takes as long as all the rest, and no other command needs it.
    from interfaces.rest.chain.main import Outside, create_chain_app  # noqa: PLC0415
    from interfaces.rest.main import as_served  # noqa: PLC0415

    listening = listen(found)
    end_this_on_signal()
    spare_the_collector()
    async with open_reading(found, serving=True) as chain:
        port = listening.getsockname()[1]
        await chain.served_at(found.public_url or f"http://{found.http_host}:{port}")
        app = create_chain_app(chain, Outside(found.public_url, found.cors_origins))
        server = Server(as_served(app, LAST_REQUESTS, found.trusted_proxies))
        on_signal(server.stop)
        _banner(found, port)
        async with chain.parts.reporting(Plain(API)):
            await server.serve(sockets=[listening])


def _banner(found: Settings, port: int) -> None:
    url = f"http://{found.http_host}:{port}"
    print(
        f"\n  The chain can be read: {url}  (documentation: {url}/docs)\n\n"
        f"  Days of     {found.timezone} (CLUB_TIMEZONE)\n"
        f"  Computed    {found.chain_groups} (CLUB_CHAIN_GROUPS){_no_figures(found)}\n"
        f"  Keys        {found.home / 'keys'}\n\n"
        f"  First reader: .venv/bin/club chain users add NAME --role ADMIN\n"
        f"  A token:      .venv/bin/club chain users token NAME\n"
        f"  Ctrl-C ends this.\n",
        file=sys.stderr,
        flush=True,
    )


def _no_figures(found: Settings) -> str:
    """What is said where reports would have nothing to report."""
    if "figures" in found.chain_groups.split(","):
        return ""
    return ": no figures, and so every report is refused"
