"""Calibration and evaluation never share content, whatever the order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import EdgekitError
from edgekit.samples import Samples, choose, disjoint, load_samples, split


def made(contents: list[int], labels: list[int] | None = None) -> Samples:
    x = np.array(contents, np.int64).reshape(-1, 1)
    return load_samples(x if labels is None else (x, np.array(labels)))


def contents(samples: Samples) -> list[int]:
    return [int(v) for batch in samples.batches(4) for v in batch.inputs["inputs"][:, 0]]


labelled = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=2, max_size=60).filter(
    lambda pairs: len({content for content, _ in pairs}) > 1
)


@settings(max_examples=60, deadline=None)
@given(pairs=labelled, count=st.integers(1, 40), random=st.randoms(use_true_random=False))
def test_split(pairs: list[tuple[int, int]], count: int, random: object) -> None:
    samples = made([c for c, _ in pairs], [label for _, label in pairs])
    calibration, evaluation = split(samples, count)
    different = {c for c, _ in pairs}
    assert len(calibration) == min(count, len(different) // 2)
    assert len(set(calibration.ids)) == len(calibration)
    assert not set(calibration.ids) & set(evaluation.ids)
    assert {*contents(calibration), *contents(evaluation)} == different

    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's own Random
    again, rest = split(made([c for c, _ in shuffled], [label for _, label in shuffled]), count)
    assert again.ids == calibration.ids
    assert Counter(rest.ids) == Counter(evaluation.ids)


def test_every_class_has_its_share() -> None:
    labels = [0] * 60 + [1] * 30 + [2] * 10
    calibration, _ = split(made(list(range(100)), labels), 20)
    assert calibration.labels is not None
    assert np.bincount(calibration.labels).tolist() == [12, 6, 2]


def test_another_seed_chooses_others() -> None:
    samples = made(list(range(100)))
    assert set(split(samples, 20, seed=0)[0].ids) != set(split(samples, 20, seed=1)[0].ids)


def test_choose_takes_all_there_are_once() -> None:
    assert sorted(contents(choose(made([1, 1, 2, 3]), 10))) == [1, 2, 3]


def test_one_content_cannot_be_split() -> None:
    with pytest.raises(EdgekitError, match=r"(?s)EK134.*4 samples have 1 different"):
        split(made([7] * 4), 2)


def test_disjoint_drops_from_calibration() -> None:
    calibration, evaluation = made([1, 2, 3, 3]), made([3, 4])
    kept, dropped = disjoint(calibration, evaluation)
    assert contents(kept) == [1, 2]
    assert dropped == 2
    with pytest.raises(EdgekitError, match=r"EK134.*nothing is left"):
        disjoint(made([3, 4]), evaluation)


def test_real_samples(shared: Path) -> None:
    calibration, evaluation = split(load_samples(shared / "data" / "imagenet500"), 64)
    assert (len(calibration), len(evaluation)) == (64, 436)
    cifar, _ = split(load_samples(shared / "data" / "cifar10_calib.npz"), 256)
    assert cifar.labels is not None
    assert set(np.bincount(cifar.labels)) == {25, 26}
