import numpy as np
import pytest

from edgekit.quantize.evidence import fit_of, spread_of
from edgekit.quantize.norms import Norm


def test_a_batch_norm_that_sees_what_it_remembers_fits_perfectly() -> None:
    norm = Norm(np.array([1.0, -1.0, 5.0]), np.array([2.0, 0.5, 0.0]), "nets.py:1")  # the last channel is dead
    fit = fit_of(norm, norm.mean, np.square(norm.mean) + np.square(norm.deviation))
    assert (fit.norm, fit.offset) == ("nets.py:1", 0.0)
    assert fit.size == pytest.approx(1.0)


def test_by_how_much_a_scale_moves_is_what_the_bootstrap_says() -> None:
    rng = np.random.default_rng(1)
    steady = np.tile(np.array([[-1.0, 1.0]], np.float32), (50, 1))
    shaky = np.stack([np.zeros(50), rng.exponential(1, 50)], axis=1).astype(np.float32)
    found = spread_of({"steady": steady, "shaky": shaky})
    assert found is not None
    assert (found.tensor, found.median) == ("shaky", found.worst / 2)
    draws = [shaky[rng.integers(0, 50, 50), 1].max() for _ in range(2000)]
    assert found.worst == pytest.approx(np.std(draws) / np.mean(draws), rel=0.25)


def test_nothing_to_draw_from() -> None:
    assert spread_of({}) is None
    still = spread_of({"zero": np.zeros((9, 2), np.float32)})
    assert still is not None
    assert still.worst == 0.0
