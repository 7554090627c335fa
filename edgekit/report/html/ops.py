"""The ops of a model, one row each, with all that the run found out about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.report.facts import OpFacts, OpSensitivity, Report
from edgekit.verify.result import LedgerRow

NOTHING_RAN = "none"


@dataclass(kw_only=True)
class OpRow:
    """number: its place in the graph, from 1 on; ran: file -> how it was executed; sqnr_db: file -> of its output;
    alone: what it loses when it alone is quantized; facts: None in a report that does not list the ops."""

    number: int
    node: str
    op: str
    macs: int
    share: float | None
    source: str | None
    facts: OpFacts | None = None
    ran: dict[str, LedgerRow] = field(default_factory=dict)
    sqnr_db: dict[str, float] = field(default_factory=dict)
    alone: OpSensitivity | None = None

    @property
    def precisions(self) -> list[str]:
        """What it ran in, in any file."""
        return sorted({row.precision for row in self.ran.values()})

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """Why it is not in INT8, and in which file; files that say the same together."""
        said: dict[str, list[str]] = {}
        for label, row in self.ran.items():
            if row.reason:
                said.setdefault(row.reason, []).append(label)
        return [(reason, ", ".join(labels)) for reason, labels in said.items()]


def op_rows(report: Report) -> list[OpRow]:
    """In the order they run."""
    ledgers = report.verification.ledgers if report.verification is not None else ()
    total = sum(one.macs for one in report.ops) or max((_macs(ledger.rows) for ledger in ledgers), default=0)
    found: dict[str, OpRow] = {}

    def row(node: str, op: str, macs: int, source: str | None) -> OpRow:
        share = macs / total if total else None
        new = OpRow(number=len(found) + 1, node=node, op=op, macs=macs, share=share, source=source)
        return found.setdefault(node, new)

    for one in report.ops:
        row(one.node, one.op, one.macs, one.source).facts = one
    for ledger in ledgers:
        for line in ledger.rows:
            row(line.node, line.op, line.macs, line.source).ran[ledger.label] = line
    for layer in report.verification.layers if report.verification is not None else ():
        if layer.node in found:
            found[layer.node].sqnr_db[layer.label] = layer.sqnr_db
    for alone in report.quantization.sensitivity if report.quantization is not None else ():
        if alone.node in found:
            found[alone.node].alone = alone
    return list(found.values())


def _macs(rows: tuple[LedgerRow, ...]) -> int:
    return sum(row.macs for row in rows)
