"""How much an anomaly matters: the one list of severities, in their order, under the names that users see."""

from __future__ import annotations

import enum


class Severity(enum.IntEnum):
    """How much it matters; ``info`` is ordinary behaviour worth knowing, never an alarm."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def label(self) -> str:
        """The name as the tables and the command line spell it."""
        return self.name.lower()

    @classmethod
    def named(cls, label: str) -> Severity:
        """The severity that users call by this name.

        Raises:
            KeyError: there is none.
        """
        return {severity.label: severity for severity in cls}[label]
