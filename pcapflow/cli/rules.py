"""``pcapflow rules``: what is looked for."""

from __future__ import annotations

import click

from pcapflow.cli.console import show


@click.command()
@click.argument("code", required=False)
def rules(code: str | None) -> int:
    """List what is looked for; with a CODE (PF201, PI105) or a name, all about that rule or pattern."""
    from pcapflow.diagnosis.catalogue import entries_of
    from pcapflow.export.rules import print_entries, print_rules

    if code is None:
        show(print_rules)
        return 0
    entries = entries_of(code)
    if not entries:
        message = f"there is no rule or pattern {code!r}; `pcapflow rules` lists them"
        raise click.BadParameter(message, param_hint="CODE")
    show(lambda out: print_entries(entries, out))
    return 0
