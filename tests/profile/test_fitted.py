"""Parameters of a runtime from nets whose costs are known: they price blocks that were not fitted, and say how well."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgekit.profile.fitted import Context, Measured, fitted, left_out, model_of, parted, priced
from edgekit.profile.kernels import Kernel, Precision

CONTEXT = Context(runtime="litert", version="2.3", threads=1, source="measured: in this test", noise=0.01)
OVERHEAD_S = 2e-5


def kernel(rows: int, channels: int, depth: int, precision: Precision = "float32") -> Kernel:
    return Kernel(
        name="k",
        op="CONV_2D",
        kind="conv",
        precision=precision,
        macs=rows * channels * depth,
        inputs=rows * depth,
        outputs=rows * channels,
        weights=channels * depth,
        depth=depth,
    )


def true_s(kernel: Kernel) -> float:
    """Twice as slow in few rows, and four times as fast in integers."""
    seconds = 2e-11 * kernel.macs + 1e-10 * kernel.outputs + 1e-6
    return seconds * (1 + (kernel.weights * 49 > kernel.macs)) / (4 if kernel.precision == "int8" else 1)


def nets(precision: Precision = "float32", island: Kernel | None = None) -> list[Measured]:
    """Chains, and blocks of three families; island: a kernel that each has besides."""
    rng, made = np.random.default_rng(0), []
    for index in range(48):
        rows, channels, depth = (int(2 ** rng.uniform(low, high)) for low, high in ((4, 13), (3, 9), (3, 9)))
        kernels = (kernel(rows, channels, depth, precision),) * 3 + ((island,) if island is not None else ())
        seconds = OVERHEAD_S + sum(map(true_s, kernels))
        family = ("", "", "residual", "inverted", "fire")[index % 5]
        made.append(Measured(name=f"net {index}", family=family, kernels=kernels, seconds=seconds))
    return made


def test_blocks_that_were_left_out_are_priced() -> None:
    model = model_of(nets(), "float32", CONTEXT)
    assert model.median_error < 0.03
    assert model.held_out_error is not None
    assert model.held_out_error < 0.1
    assert model.families == ("residual", "inverted", "fire")
    assert model.evidence == "A"
    assert model.half_width >= model.noise >= 0.01
    assert (model.runtime, model.precision, model.runs, model.status) == ("litert", "float32", 48, "measured")
    assert model.macs[0] < model.macs[1]


def test_residuals_are_of_blocks_only() -> None:
    residuals = left_out(parted(nets(), "float32", None))
    assert {run.family for run, _ in residuals} == {"residual", "inverted", "fire"}
    assert all(math.isfinite(residual) for _, residual in residuals)


def test_float_kernels_in_integers_are_priced_by_float_parameters() -> None:
    island = kernel(784, 64, 64)
    floats = model_of(nets(), "float32", CONTEXT)
    parts = parted(nets("int8", island), "int8", floats)
    costs = fitted(parts)
    errors = [abs(s / part.net.seconds - 1) for s, part in zip(priced(parts, costs), parts, strict=True)]
    assert float(np.median(errors)) < 0.05
    (alone,) = costs.of([[kernel(1600, 64, 64, "int8")]])
    assert alone == pytest.approx(true_s(kernel(1600, 64, 64, "int8")), rel=0.3)


def test_few_nets_are_little_evidence() -> None:
    few = [net for net in nets() if net.family in {"residual", "fire"}]
    assert model_of(few, "float32", CONTEXT).evidence == "B"
    assert model_of(few[:6], "float32", CONTEXT).evidence == "C"


def test_a_noisy_measurement_widens_the_interval() -> None:
    quiet = model_of(nets(), "float32", CONTEXT)
    noisy = model_of(nets(), "float32", replace(CONTEXT, noise=1.0))
    assert noisy.half_width == 1.0 > quiet.half_width
