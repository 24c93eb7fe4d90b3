"""What ``--fail-on`` asks for: which anomalies make a run fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pcapflow.anomalies.codes import is_about_capture
from pcapflow.outcome import SEVERITY_ORDER


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """A lowest severity, single rules, or both.

    Attributes:
        severity: anomalies this severe or worse fail, except for those of the capture itself; "" for none.
        codes: anomalies with these codes fail, however severe.
    """

    severity: str
    codes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Reads ``SEVERITY|CODE[,...]``; a rule may be given by its name, and letter case makes no difference.

        Raises:
            ValueError: a word is neither a severity nor a rule; says what there is.
        """
        severities, codes = set(), set()
        for word in (word.strip() for word in text.split(",")):
            if word.lower() in SEVERITY_ORDER:
                severities.add(word.lower())
            else:
                codes.add(_code(word))
        return cls(min(severities, key=SEVERITY_ORDER.index, default=""), frozenset(codes))

    def matches(self, code: str, severity: str) -> bool:
        """Whether an anomaly of this code and severity fails."""
        if code in self.codes:
            return True
        if not self.severity or is_about_capture(code):
            return False
        return SEVERITY_ORDER.index(severity) >= SEVERITY_ORDER.index(self.severity)

    def matches_any(self, anomalies: Iterable[tuple[str, str]]) -> bool:
        """Whether any of these anomalies, given by code and severity, fails."""
        return any(self.matches(code, severity) for code, severity in anomalies)


def _code(word: str) -> str:
    # It brings numpy: only who names a rule waits for that here.
    from pcapflow.anomalies.catalogue import catalogue, rule_of

    try:
        return rule_of(word).code
    except KeyError:
        codes = ", ".join(rule.code for rule in catalogue())
        raise ValueError(
            f"{word!r} is neither a severity nor a rule; severities are {', '.join(SEVERITY_ORDER)}; rules are "
            f"{codes}, or their names (`pcapflow rules` lists them)"
        ) from None
