"""The command line of the club."""

from __future__ import annotations

import typer

from interfaces.cli import (
    audit,
    bot,
    chain,
    demo,
    docs,
    exercises,
    keys,
    parts,
    projections,
    providers,
    queue,
    replay,
    report_links,
    reports,
    rules,
    run,
    stack,
    status,
    stream,
    stream_compare,
    tokens,
    users,
)

app = typer.Typer(
    name="club",
    help="The training API service of a fitness club.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("bot")(bot.bot)
app.command("consumer")(parts.consumer)
app.command("relay")(parts.relay)
app.command("publish")(parts.publish)
app.command("projector")(parts.projector)
app.command("stack")(stack.stack)
app.command("status")(status.status)
app.command("rules")(rules.rules)
app.command("replay")(replay.replay)
app.command("demo")(demo.demo)
app.command("docs")(docs.docs)
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")
app.add_typer(keys.app, name="keys")
app.add_typer(providers.app, name="providers")
app.add_typer(queue.app, name="queue")
app.add_typer(reports.app, name="reports")
reports.app.command("link")(report_links.link)
app.add_typer(exercises.app, name="exercises")
app.add_typer(projections.app, name="projections")
app.add_typer(stream.app, name="stream")
stream.app.command("compare")(stream_compare.compare_clubs)
app.add_typer(audit.app, name="audit")
app.add_typer(chain.app, name="chain")

if __name__ == "__main__":
    app()
