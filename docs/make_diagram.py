# ruff: noqa: INP001 -- a script, not a package
"""Draws the state diagram of docs/states.md from the table of transitions: ``python docs/make_diagram.py``."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "states.md"
BEGIN: Final = "<!-- made by docs/make_diagram.py: do not edit -->\n"
END: Final = "<!-- end of what is made -->\n"


def diagram() -> str:
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


def updated(page: str) -> str:
    """The page with the diagram as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + diagram() + END + after


def main() -> None:
    """Writes the diagram into the page."""
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
