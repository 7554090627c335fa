"""Measurements -> Report -> terminal and JSON.

We keep one Report object for the terminal, `report.json` and the Python API, so that no number exists in one of them
only. What we gave up is a schema apart from the code: the JSON keys are the field names, and renaming one is a change
of `schema_version`.
"""

from __future__ import annotations

from edgekit.report.facts import (
    BudgetFacts,
    Candidate,
    DataFacts,
    FileFacts,
    KeptFloat,
    Machine,
    ModelFacts,
    OpFacts,
    OpSensitivity,
    QuantizationFacts,
    Report,
    TensorFacts,
)
from edgekit.report.json import to_json
from edgekit.report.machine import this_machine
from edgekit.report.terminal import show, show_verification

__all__ = [
    "BudgetFacts",
    "Candidate",
    "DataFacts",
    "FileFacts",
    "KeptFloat",
    "Machine",
    "ModelFacts",
    "OpFacts",
    "OpSensitivity",
    "QuantizationFacts",
    "Report",
    "TensorFacts",
    "show",
    "show_verification",
    "this_machine",
    "to_json",
]
