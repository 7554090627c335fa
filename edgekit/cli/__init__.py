"""The door of the command line."""

from __future__ import annotations

from edgekit.cli.main import main

__all__ = ["main"]
