"""`club audit`: what happened, and proof of it."""

from __future__ import annotations

import typer

from interfaces.cli import exports, proofs

app = typer.Typer(help="What happened, and proof of it.", no_args_is_help=True)
app.command("seal")(proofs.seal)
app.command("verify")(proofs.verify)
app.command("prove")(proofs.prove)
app.command("check")(proofs.check)
app.command("key")(proofs.key)
app.command("export")(exports.export_ledger)
app.command("import")(exports.import_ledger)


@app.callback()
def audit() -> None:
    """What happened, and proof of it."""
