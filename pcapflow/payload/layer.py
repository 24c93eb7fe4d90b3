"""What tshark says of one layer of a frame, without what asks tshark: that takes long to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Layer(NamedTuple):
    """A layer of a frame: its name in Wireshark's words, and its fields, ``_`` for ``.`` in their names."""

    name: str
    fields: Mapping[str, list[str]]

    def first(self, field: str) -> str:
        """The first value of a field, "" without."""
        return next(iter(self.all(field)), "")

    def all(self, field: str) -> list[str]:
        """All values of a field; ``field`` is its name in Wireshark."""
        return self.fields.get(f"{self.name}_{field.replace('.', '_')}", [])
