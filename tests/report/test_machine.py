from __future__ import annotations

from edgekit.report.machine import this_machine, versions


def test_this_machine() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_bytes
    assert machine.cpu
    assert machine.python.startswith("3.")
    assert "numpy" in machine.versions


def test_what_is_not_installed_has_no_version() -> None:
    assert versions(("numpy", "no-such-library")).keys() == {"numpy"}
