"""Calibration and evaluation, disjoint by content.

Samples are told apart by their ids. The choice depends on ids and labels alone, so that neither the order of the files
nor what a file is called changes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from edgekit import units
from edgekit.errors import EdgekitError
from edgekit.samples.view import Samples


def split(samples: Samples, calibration: int, seed: int = 0) -> tuple[Samples, Samples]:
    """Calibration and evaluation samples out of one source.

    calibration: how many to calibrate on; at most half of the different contents are taken. Content that stands in
    the source several times is calibrated on once and then never judged on.
    """
    different = len(set(samples.ids))
    if different < 2:
        raise EdgekitError(
            "EK134",
            f"cannot split '{samples.where}' into calibration and evaluation",
            f"its {units.plural(len(samples), 'sample')} have {different} different content; at least 2 are needed",
            "give more samples, or --calib and --eval",
        )
    calibrated = choose(samples, min(calibration, different // 2), seed)
    taken = set(calibrated.ids)
    return calibrated, samples.take([i for i, one in enumerate(samples.ids) if one not in taken])


def choose(samples: Samples, count: int, seed: int = 0) -> Samples:
    """`count` different samples (or all there are), every class in its share, in an order that only ids decide."""
    first = {one: i for i, one in reversed(list(enumerate(samples.ids)))}
    lots = {one: hashlib.blake2b(f"{seed}|{one}".encode(), digest_size=16).digest() for one in first}
    by_class: dict[int, list[str]] = {}
    for one, label in _labelled(samples).items():
        by_class.setdefault(label, []).append(one)
    shares = _shares({label: len(members) for label, members in by_class.items()}, count)
    chosen = [
        one for label, members in by_class.items() for one in sorted(members, key=lots.__getitem__)[: shares[label]]
    ]
    return samples.take([first[one] for one in sorted(chosen, key=lots.__getitem__)])


def disjoint(samples: Samples, evaluation: Samples, purpose: str = "calibrate on") -> tuple[Samples, int]:
    """Samples without what also stands in the evaluation, and how many that were. purpose: of what is left."""
    judged = set(evaluation.ids)
    kept = [i for i, one in enumerate(samples.ids) if one not in judged]
    if not kept:
        raise EdgekitError(
            "EK134",
            f"nothing is left to {purpose} in '{samples.where}'",
            f"all {len(samples)} of its samples also stand in '{evaluation.where}'",
            "give other samples, or the same path once as --data to have it split",
        )
    return samples.take(kept), len(samples) - len(kept)


def _labelled(samples: Samples) -> Mapping[str, int]:
    """id -> class; content with several labels counts to the lowest, whatever the order."""
    if samples.labels is None:
        return dict.fromkeys(samples.ids, 0)
    labels: dict[str, int] = {}
    for one, label in zip(samples.ids, samples.labels.tolist(), strict=True):
        labels[one] = min(label, labels.get(one, label))
    return labels


def _shares(sizes: Mapping[int, int], count: int) -> dict[int, int]:
    """How many of each class: its share of `count` rounded down, the rest to the largest remainders."""
    total = sum(sizes.values())
    count = min(count, total)
    shares = {label: count * size // total for label, size in sizes.items()}
    remainders: Sequence[int] = sorted(sizes, key=lambda label: (-(count * sizes[label] % total), label))
    for label in remainders[: count - sum(shares.values())]:
        shares[label] += 1
    return shares
