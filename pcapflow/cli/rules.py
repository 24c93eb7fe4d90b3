"""``pcapflow rules``: what is looked for."""

from __future__ import annotations

import click

from pcapflow.cli.console import show


@click.command()
@click.argument("code", required=False)
def rules(code: str | None) -> int:
    """List what is looked for; with a CODE (PF201, PI105) or a name, all about that rule or pattern."""
    from pcapflow.diagnosis.catalogue import entry_of
    from pcapflow.export.rules import print_rule, print_rules

    if code is None:
        show(print_rules)
        return 0
    try:
        entry = entry_of(code)
    except KeyError as error:
        message = f"there is no rule or pattern {code!r}; `pcapflow rules` lists them"
        raise click.BadParameter(message, param_hint="CODE") from error
    show(lambda out: print_rule(entry, out))
    return 0
