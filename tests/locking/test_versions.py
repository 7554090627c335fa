from __future__ import annotations

import importlib.metadata
import platform

import pytest

from edgekit.locking.hashes import Hashes
from edgekit.locking.versions import distributions, versions


def test_what_computes_counts() -> None:
    found = versions(["scikit-learn", "no-such-distribution"], Hashes())
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["scikit-learn"] == importlib.metadata.version("scikit-learn")
    assert platform.python_version().startswith(f"{found['python']}.")
    assert ", source " in found["edgekit"]
    assert "no-such-distribution" not in found


def test_modules_by_what_they_are_installed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    found = distributions(["sklearn", "no_such_module"], {})
    assert found == {"no_such_module": [], "sklearn": ["scikit-learn"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: pytest.fail("looked anew"))
    assert distributions(["sklearn"], found) == {"sklearn": ["scikit-learn"]}
