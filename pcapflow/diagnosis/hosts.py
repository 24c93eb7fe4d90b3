"""Hosts as an explanation names them: a few by address, all of them by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pcapflow.text.phrases import listed, number


class Hosts(tuple[str, ...]):  # noqa: SLOT001  a tuple has no room for slots of its own
    """Addresses, each once, at most :data:`~pcapflow.diagnosis.model.MAX_HOSTS`, and how many there are in all."""

    total: int

    def __new__(cls, addresses: Sequence[str], total: int) -> Self:
        """The first few addresses of ``total``."""
        hosts = super().__new__(cls, addresses)
        hosts.total = total
        return hosts

    def without(self, addresses: Sequence[str]) -> Hosts:
        """These, but for some."""
        left = [address for address in self if address not in addresses]
        return Hosts(left, self.total - len(self) + len(left))

    def listed(self, most: int = 0) -> str:
        """``a``, ``a and b``, ``a, b and 4,998 more``: at most so many by address, or all that are kept."""
        shown = self[: most or len(self)]
        if self.total > len(shown):
            return f"{', '.join(shown)} and {number(self.total - len(shown))} more"
        return listed(shown)
