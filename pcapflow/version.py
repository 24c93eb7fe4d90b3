"""The version of the package, where everything that shows it can import it from."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
