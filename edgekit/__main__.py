"""`python -m edgekit`."""

from __future__ import annotations

from edgekit.cli import main

if __name__ == "__main__":
    main()
