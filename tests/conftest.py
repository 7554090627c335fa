"""What every room's tests may ask for."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


# The same examples in every run, however busy the machine.
hypothesis.settings.register_profile("edgekit", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("edgekit")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real models and samples, which lie beside the repository where there are any."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real models and samples in ../shared, which are not part of the repository")
    return SHARED
