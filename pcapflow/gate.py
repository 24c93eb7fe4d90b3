"""What ``--fail-on`` asks for: which incidents and anomalies make a run fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pcapflow.anomalies.codes import is_about_capture
from pcapflow.outcome import SEVERITY_ORDER


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """A lowest severity, single patterns and rules, or both.

    Attributes:
        severity: incidents and anomalies this severe or worse fail, except for those of the capture itself; "" for
            none.
        codes: incidents and anomalies with these codes fail, however severe.
    """

    severity: str
    codes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Reads ``SEVERITY|CODE[,...]``; patterns and rules may be given by their names, in any case.

        Raises:
            ValueError: a word is no severity, pattern or rule; says what there is.
        """
        severities, codes = set(), set()
        for word in (word.strip() for word in text.split(",")):
            if word.lower() in SEVERITY_ORDER:
                severities.add(word.lower())
            else:
                codes.update(_codes(word))
        return cls(min(severities, key=SEVERITY_ORDER.index, default=""), frozenset(codes))

    def matches(self, code: str, severity: str) -> bool:
        """Whether an incident or anomaly of this code and severity fails."""
        if code in self.codes:
            return True
        if not self.severity or is_about_capture(code):
            return False
        return SEVERITY_ORDER.index(severity) >= SEVERITY_ORDER.index(self.severity)

    def matches_any(self, found: Iterable[tuple[str, str]]) -> bool:
        """Whether any of these incidents and anomalies, given by code and severity, fails."""
        return any(self.matches(code, severity) for code, severity in found)


def _codes(word: str) -> list[str]:
    # It brings numpy: only who names a pattern or a rule waits for that here.
    from pcapflow.diagnosis.catalogue import entries_of, everything

    if entries := entries_of(word):
        return [entry.code for entry in entries]
    raise ValueError(
        f"{word!r} is no severity, pattern or rule; severities are {', '.join(SEVERITY_ORDER)}; "
        f"codes are {', '.join(entry.code for entry in everything())}, or their names (`pcapflow rules` lists them)"
    )
