# ruff: noqa: INP001 -- a script, not a package
"""Draws what the documents show of the code, into the pages themselves: ``python docs/make_diagram.py``.

The state diagram of docs/states.md is made from the table of transitions, the picture of docs/layers.md from the
imports of the package's modules, the tables of docs/hosts.md from the known stacks and their SYNs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
BEGIN: Final = "<!-- made by docs/make_diagram.py: do not edit -->\n"
END: Final = "<!-- end of what is made -->\n"


def states() -> str:
    """The table as a Mermaid state diagram. Resets, which lead from everywhere to CLOSED, are one note."""
    from pcapflow.tcp.states import CLOSED, EVENT_NAMES, LISTEN, RST_RX, RST_TX, STATE_NAMES, TRANSITIONS, UNKNOWN

    events: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    aborted = set()
    for (state, event), new in TRANSITIONS.items():
        if event in (RST_TX, RST_RX):
            aborted.add(state)
        else:
            events[state, new].append(EVENT_NAMES[event])
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {STATE_NAMES[state]}" for state in (CLOSED, LISTEN, UNKNOWN)]
    for (old, new), names in events.items():
        label = ", ".join(names)
        lines.append(f"    {STATE_NAMES[old]} --> {STATE_NAMES[new]}: {label}")
    spared = ", ".join(name for state, name in enumerate(STATE_NAMES) if state not in aborted)
    lines += [f"    note right of CLOSED: RST sent or received, from every state but {spared}", "```"]
    return "\n".join(lines) + "\n"


def layers() -> str:
    """The layers as a Mermaid flowchart: who imports whom, without the arrows that follow from others."""
    from tests.layers import LAYERS, imports_between

    used = imports_between()
    lines = ["```mermaid", "flowchart TD"]
    for number, names in enumerate(LAYERS):
        lines += [f"    subgraph layer{number}[ ]", *(f"        {name}" for name in names), "    end"]
    for name in (name for names in LAYERS for name in names):
        behind = set().union(*(_reached(used, other) for other in used[name]))
        lines += [f"    {other} --> {name}" for other in sorted(used[name] - behind)]
    return "\n".join([*lines, "```"]) + "\n"


def stacks() -> str:
    """The known stacks, and after them the SYNs by which they are guessed."""
    from pcapflow.stacks import SIGNATURES, STACKS
    from pcapflow.tcp.syn_options import ORDERS, order_text

    lines = [
        "| name | stack | TIME_WAIT | ports of a client | first repeat of a SYN | source |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {stack.title} | {stack.time_wait_s:g} s | {stack.first_port} to {stack.last_port} "
        f"| {stack.initial_rto_s:g} s | {stack.source} |"
        for name, stack in STACKS.items()
    ]
    lines += ["", "SYNs:", "", "| stack | options of its SYN | TTL | window | source |", "|---|---|---|---|---|"]
    for each in SIGNATURES:
        windows = ", ".join(map(str, each.windows)) or "any of whole segments"
        scale = f", scale {each.scale}" if each.scale >= 0 else ""
        options = order_text(ORDERS.index(each.order)).replace(",", ", ")
        lines.append(f"| {each.stack} | {options} | {each.ttl} | {windows}{scale} | {each.source} |")
    return "\n".join(lines) + "\n"


PAGES: Final[Mapping[str, Callable[[], str]]] = {"states.md": states, "layers.md": layers, "hosts.md": stacks}


def updated(name: str) -> str:
    """A page with its diagram as it is now."""
    before, _, rest = (DOCS / name).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + PAGES[name]() + END + after


def _reached(used: Mapping[str, set[str]], name: str) -> set[str]:
    """All that a name imports, directly or not."""
    return used[name].union(*(_reached(used, other) for other in used[name]))


def main() -> None:
    """Writes the diagrams into their pages."""
    sys.path.insert(0, str(ROOT))
    for name in PAGES:
        (DOCS / name).write_text(updated(name), encoding="utf-8")


if __name__ == "__main__":
    main()
