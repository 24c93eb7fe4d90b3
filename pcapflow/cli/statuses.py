"""Exit statuses. Each says one thing, and 1 is the gate's alone."""

from __future__ import annotations

from typing import Final

EXIT_ANOMALIES: Final = 1
"""There are anomalies that ``--fail-on`` asks for."""
EXIT_USAGE: Final = 2
EXIT_UNREADABLE: Final = 3
EXIT_OUTPUT: Final = 4
EXIT_NOT_FOUND: Final = 5
"""``show --find``: the text passes in no connection. grep says 1, which here would be the gate's word on anomalies."""
EXIT_FAULT: Final = 70
"""As EX_SOFTWARE of sysexits.h."""
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143
