"""``python -m pcapflow``: the same as the command ``pcapflow``."""

from __future__ import annotations

from pcapflow.cli.main import main

if __name__ == "__main__":
    main()
