# ruff: noqa: INP001 -- a script, not a package
"""Draws what the documents show of the code, into the pages themselves: ``python docs/make_diagram.py``.

The state diagram of docs/states.md is made from the table of transitions, the picture of docs/layers.md from the
imports of the package's modules.
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


PAGES: Final[Mapping[str, Callable[[], str]]] = {"states.md": states, "layers.md": layers}


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
