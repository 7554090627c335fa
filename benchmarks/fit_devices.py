"""Fit what kernels cost on published devices, say how well, and write the parameters into devices/*.toml.

    python benchmarks/fit_devices.py [--write] [DEVICE ...]

Needs ../shared/devices. Every error is of families that were not fitted, beside two simpler predictors held to that:
six features by non-negative least squares (MACs of 1x1, larger, depthwise and dense kernels, elements, kernels), and
MACs alone. An interval for a family is made of the residuals of the other families.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from device_runs import KIB, Profile, Source, load, ram_rows
from device_sources import sources
from device_toml import write
from kernel_instructions import COUNTED

from edgekit.device import Evidence, LatencyModel, RuntimeRam
from edgekit.profile.fit import Run, fit, half_width, held_out, nonnegative, predict, seen
from edgekit.profile.kernels import Kernel
from edgekit.profile.terms import Term

FEWEST_RUNS = 3
MICRO = "stm32h743"  # the one whose published rows give RAM
RAM_NOISE = 0.02  # in log space: one model's totals differ so between tables of one version
SIBLINGS = {
    "raspberry-pi-4": "rk3588",
    "rk3588": "raspberry-pi-4",
    "jetson-agx-xavier-cpu": "jetson-agx-orin-cpu",
    "jetson-agx-orin-cpu": "jetson-agx-xavier-cpu",
    "raspberry-pi-3b-plus": "raspberry-pi-zero-2w",
    "raspberry-pi-zero-2w": "raspberry-pi-3b-plus",
    "raspberry-pi-5": "raspberry-pi-4",
    "pixel-3": "rk3588",
    "stm32l4r5": "stm32h743",
    "rb3-gen2": "snapdragon-8-gen3",
    "snapdragon-8-gen3": "rb3-gen2",
}
SPREAD_ALONE = math.log(3.0)
"""Of an interval where all runs are of one family, and none can be left out."""

Residuals = tuple[tuple[Run, float], ...]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """residuals: log(measured / predicted) of families left out; naive, macs: of the two simpler predictors."""

    profile: Profile
    model: LatencyModel
    residuals: Residuals
    naive: Residuals
    macs: Residuals


def main(arguments: Sequence[str]) -> None:
    wanted = [argument for argument in arguments if not argument.startswith("--")]
    profiles = [load(source) for source in sources() if not wanted or source.device in wanted]
    for profile in profiles:
        if len(profile.runs) < FEWEST_RUNS:
            print(f"left out: {profile.title}: {len(profile.runs)} runs of known architectures")
    found = [fitted(profile) for profile in profiles if len(profile.runs) >= FEWEST_RUNS]
    found = [with_counted(entry, found) for entry in found]
    found = [with_sibling(entry, found) for entry in found]
    print_errors(found)
    print_coverage(found)
    print_signs(found)
    rams = [(profile, ram_of(profile)) for profile in profiles if profile.source.device == MICRO]
    print_memory(rams)
    print_unknown(profiles)
    if "--write" in arguments:
        for device in dict.fromkeys(entry.profile.source.device for entry in found):
            write(
                device,
                [entry.model for entry in found if entry.profile.source.device == device],
                [ram for _, ram in rams] if device == MICRO else None,
            )


def fitted(profile: Profile) -> Fitted:
    source, runs = profile.source, profile.runs
    seconds = fit(runs, source.prior)
    families = tuple(sorted({run.family for run in runs}))
    residuals = held_out(runs, source.prior) if len(families) > 1 else ()
    errors = [abs(predict(seconds, run.amounts) / run.seconds - 1) for run in runs]
    left_out = median_error(residuals) if residuals else None
    macs = [run_macs(profile, run) for run in runs]
    visible = known_terms(seen(runs, seconds), source)
    model = LatencyModel(
        processor=source.processor,
        runtime=source.runtime,
        version=source.version,
        threads=source.threads,
        precision=source.precision,
        evidence=evidence(len(runs), len(families), left_out),
        families=families,
        runs=len(runs),
        median_error=rounded(float(np.median(errors))),
        held_out_error=None if left_out is None else rounded(left_out),
        half_width=rounded(half_width(residuals, source.noise) if residuals else SPREAD_ALONE),
        noise=source.noise,
        macs=(float(min(macs)), float(max(macs))),
        cache_bytes=source.cache_bytes,
        seconds_per_mac=rounded(float(np.median([run.seconds / count for run, count in zip(runs, macs, strict=True)]))),
        power_w=None if profile.power_w is None else rounded(profile.power_w),
        seconds={term: rounded(value) for term, value in seconds.items() if value > 0},
        unseen=tuple(term for term, value in seconds.items() if value > 0 and term not in visible),
        source="; ".join(["fitted: " + ", ".join(profile.paths), *filter(None, [source.threads_note])]),
    )
    return Fitted(
        profile=profile,
        model=model,
        residuals=residuals,
        naive=baseline(profile, naive_features),
        macs=baseline(profile, lambda kernels: [float(sum(kernel.macs for kernel in kernels))]),
    )


def known_terms(visible: Sequence[Term], source: Source) -> set[Term]:
    """Those that runs show, and products that are the same work as one that they show."""
    same = {term for term, (like, _) in source.prior.tied.items() if like in visible and term == "window_mac"}
    return {*visible, *same}


def with_counted(entry: Fitted, others: Sequence[Fitted]) -> Fitted:
    """Terms that no run shows, by instructions counted in the same kernels (`kernel_instructions.py`).

    An instruction takes what it was fitted to take in the 3x3 depthwise kernel; in that of float32, where the larger
    INT8 kernel is the same kind of loop as that one, and the 3x3 one of INT8 is not.
    """
    model = entry.model
    key = (model.runtime, model.precision)
    loops = next(
        (other.model for other in others if same_board(entry, other) and other.model.precision == "float32"), None
    )
    if key not in COUNTED:
        return entry
    counted, per_instruction = COUNTED[key], instruction_s(model)
    around = model.seconds["depthwise_input"] + model.seconds["depthwise_output"]
    large = counted["depthwise 5x5"] * (instruction_s(loops) if loops is not None else per_instruction)
    told = {
        "large_depthwise_mac": max(0.0, large - around) / 25,
        "curve": counted["hard swish"] * per_instruction,
        "elementwise": counted["add"] * per_instruction / 3,
        "pool": counted["mean"] * per_instruction,
    }
    unseen = {term: rounded(value) for term, value in told.items() if term in model.unseen and value > 0}
    return replace(entry, model=model.model_copy(update={"seconds": model.seconds | unseen}))


def instruction_s(model: LatencyModel) -> float:
    """Of the 3x3 depthwise kernel, as fitted."""
    element = 9 * model.seconds["depthwise_mac"] + model.seconds["depthwise_input"] + model.seconds["depthwise_output"]
    return element / COUNTED[model.runtime, model.precision]["depthwise 3x3"]


def same_board(entry: Fitted, other: Fitted) -> bool:
    def key(fitted: Fitted) -> tuple[str, str, str, int]:
        return fitted.profile.source.device, fitted.model.runtime, fitted.model.version, fitted.model.threads

    return key(entry) == key(other)


def evidence(runs: int, families: int, left_out: float | None) -> Evidence:
    """As `edgekit.device.Evidence` says."""
    if runs >= 30 and families >= 2 and left_out is not None and left_out <= 0.15:
        return "A"
    return "B" if runs >= 10 and left_out is not None else "C"


def naive_features(kernels: Sequence[Kernel]) -> list[float]:
    """MACs of 1x1, larger, depthwise and dense kernels; elements in and out; kernels."""

    def macs(keep: Callable[[Kernel], bool]) -> float:
        return float(sum(kernel.macs for kernel in kernels if keep(kernel)))

    return [
        macs(lambda k: k.kind == "conv" and k.taps == (1, 1)),
        macs(lambda k: k.kind == "conv" and k.taps != (1, 1)),
        macs(lambda k: k.kind == "depthwise"),
        macs(lambda k: k.kind in {"dense", "matmul"}),
        float(sum(kernel.inputs + kernel.outputs for kernel in kernels)),
        float(len(kernels)),
    ]


def baseline(profile: Profile, features: Callable[[Sequence[Kernel]], list[float]]) -> Residuals:
    """Each family from the others, by non-negative least squares on relative errors."""
    table = {run.model: np.array(features(profile.kernels[run.model])) for run in profile.runs}
    found: list[tuple[Run, float]] = []
    for family in dict.fromkeys(run.family for run in profile.runs):
        rest = [run for run in profile.runs if run.family != family]
        if not rest:
            return ()
        relative = np.array([table[run.model] / run.seconds for run in rest])
        scale = relative.max(axis=0) + 1e-300
        weights = nonnegative(np.vstack([relative / scale, 1e-9 * np.eye(len(scale))]), ones(len(rest), len(scale)))
        found += [
            (run, math.log(run.seconds / max(float(table[run.model] @ (weights / scale)), 1e-9)))
            for run in profile.runs
            if run.family == family
        ]
    return tuple(found)


def ones(rows: int, columns: int) -> np.ndarray:
    return np.concatenate([np.ones(rows), np.zeros(columns)])


def with_sibling(entry: Fitted, others: Sequence[Fitted]) -> Fitted:
    source = entry.profile.source
    near = [
        other.model
        for other in others
        if other.profile.source.device == SIBLINGS.get(source.device)
        and (other.model.runtime, other.model.precision) == (entry.model.runtime, entry.model.precision)
    ]
    if not near:
        return entry
    best = min(near, key=lambda model: (model.version != entry.model.version, model.threads != entry.model.threads))
    ratios = [run.seconds / predict(best.seconds, run.amounts) for run in entry.profile.runs]  # type: ignore[arg-type]
    told = {"sibling": SIBLINGS[source.device], "sibling_factor": rounded(float(np.median(ratios)))}
    return replace(entry, model=entry.model.model_copy(update=told))


def print_errors(found: Sequence[Fitted]) -> None:
    print("\nmedian error in %, of all runs where they were fitted, and by family where it was left out")
    print(f"{'profile':<58} runs  fitted   left out   six features   MACs alone")
    for entry in found:
        families = dict.fromkeys(run.family for run, _ in entry.residuals)
        print(
            f"{entry.profile.title:<58} {len(entry.profile.runs):>4} {100 * entry.model.median_error:>7.1f}"
            f" {percent(entry.residuals):>10} {percent(entry.naive):>14} {percent(entry.macs):>12}"
        )
        for family in families:
            rows = [percent(_of(family, residuals)) for residuals in (entry.residuals, entry.naive, entry.macs)]
            count = len(_of(family, entry.residuals))
            print(f"    {family:<54} {count:>4} {'':>7} {rows[0]:>10} {rows[1]:>14} {rows[2]:>12}")


def print_coverage(found: Sequence[Fitted]) -> None:
    print("\n90 % intervals: share of left-out runs inside, where the interval is made of the other families")
    print(f"{'profile':<58} inside  runs   width of the interval written down")
    for entry in found:
        inside = covered(entry)
        if inside:
            width = f"/{math.exp(entry.model.half_width):.2f} .. *{math.exp(entry.model.half_width):.2f}"
            print(f"{entry.profile.title:<58} {100 * np.mean(inside):>5.0f}% {len(inside):>5}   {width}")


def covered(entry: Fitted) -> list[bool]:
    found = []
    for family in dict.fromkeys(run.family for run, _ in entry.residuals):
        others = [pair for pair in entry.residuals if pair[0].family != family]
        width = half_width(others, entry.profile.source.noise)
        found += [abs(residual) <= width for _, residual in _of(family, entry.residuals)]
    return found


def print_signs(found: Sequence[Fitted]) -> None:
    print("\nINT8 against float32: pairs whose order is predicted as measured, each model's family left out")
    for entry in found:
        if entry.model.precision != "int8":
            continue
        pairs = [
            pair
            for other in found
            if other.model.precision == "float32" and same_board(entry, other)
            for pair in paired(entry, other)
        ]
        if pairs:
            right = [(measured > 1) == (predicted > 1) for measured, predicted in pairs]
            gain = float(np.median([measured for measured, _ in pairs]))
            print(
                f"{entry.profile.title.removesuffix(', int8'):<48} {sum(right):>3} of {len(right)} right; "
                f"measured gain x{gain:.2f}, predicted x{float(np.median([p for _, p in pairs])):.2f}"
            )


def paired(integers: Fitted, floats: Fitted) -> list[tuple[float, float]]:
    """Measured and predicted float32 / int8 of the models that both ran."""
    float_runs = {_bare(run.model): (run.seconds, run.seconds / math.exp(r)) for run, r in floats.residuals}
    return [
        (
            float_runs[_bare(run.model)][0] / run.seconds,
            float_runs[_bare(run.model)][1] / (run.seconds / math.exp(residual)),
        )
        for run, residual in integers.residuals
        if _bare(run.model) in float_runs
    ]


def ram_of(profile: Profile) -> RuntimeRam:
    """A share of the activations that are planned in place, and a constant; each family predicted from the others."""
    rows = ram_rows(profile.source)
    residuals = ram_residuals(rows, ram_line)
    share, constant = ram_line(rows)
    return RuntimeRam(
        runtime=profile.source.runtime,
        version=profile.source.version,
        share=rounded(share),
        constant_bytes=round(constant),
        families=tuple(sorted({family for family, _, _ in rows})),
        runs=len(rows),
        held_out_error=rounded(median_error(residuals)),
        half_width=rounded(half_width(residuals, RAM_NOISE)),
        source="fitted: " + ", ".join(profile.paths),
    )


Line = tuple[float, float]
RamRows = Sequence[tuple[str, float, float]]
"""Family, planned and measured bytes."""


def ram_line(rows: RamRows) -> Line:
    """By non-negative least squares on relative errors, as the simpler predictors of time."""
    table = np.array([[planned / measured, 1 / measured] for _, planned, measured in rows])
    scale = table.max(axis=0)
    found = nonnegative(np.vstack([table / scale, 1e-9 * np.eye(2)]), ones(len(rows), 2)) / scale
    return float(found[0]), float(found[1])


def constant_alone(rows: RamRows) -> Line:
    return 1.0, float(np.median([measured - planned for _, planned, measured in rows]))


def ram_residuals(rows: RamRows, line: Callable[[RamRows], Line]) -> Residuals:
    """log(measured / predicted) of each row from the rows of other families."""
    found = []
    for held_family in dict.fromkeys(family for family, _, _ in rows):
        share, constant = line([row for row in rows if row[0] != held_family])
        for family, planned, measured in rows:
            if family == held_family:
                run = Run(model=family, family=family, amounts={}, seconds=measured)
                found.append((run, math.log(measured / (share * planned + constant))))
    return tuple(found)


def print_memory(rams: Sequence[tuple[Profile, RuntimeRam]]) -> None:
    """Each row counts; and each architecture once, since a published table may have it on two data sets."""
    print("\nRAM of a microcontroller: median error in % where families were left out")
    print(f"{'profile':<48} rows  this  a constant alone  this, architectures once   share  constant")
    for profile, ram in rams:
        rows = ram_rows(profile.source)
        once = list(dict.fromkeys(rows))
        errors = [ram_residuals(rows, ram_line), ram_residuals(rows, constant_alone), ram_residuals(once, ram_line)]
        told = [percent(error) for error in errors]
        print(
            f"{profile.title:<48} {len(rows):>4} {told[0]:>5} {told[1]:>17} {told[2]:>24} {ram.share:>7.2f}"
            f" {ram.constant_bytes / KIB:>5.0f} KiB"
        )


def print_unknown(profiles: Sequence[Profile]) -> None:
    print("\nrows whose architecture is not known well enough")
    for profile in profiles:
        if profile.unknown:
            print(f"{profile.title}: {sum(profile.unknown.values())}: {', '.join(sorted(profile.unknown))[:300]}")


def run_macs(profile: Profile, run: Run) -> int:
    return sum(kernel.macs for kernel in profile.kernels[run.model])


def median_error(residuals: Residuals) -> float:
    return float(np.median([abs(math.expm1(-residual)) for _, residual in residuals]))


def percent(residuals: Residuals) -> str:
    return f"{100 * median_error(residuals):.1f}" if residuals else "-"


def rounded(value: float) -> float:
    """Four digits: a fitted figure carries no more."""
    return float(f"{value:.4g}")


def _of(family: str, residuals: Residuals) -> Residuals:
    return tuple(pair for pair in residuals if pair[0].family == family)


def _bare(model: str) -> str:
    """A model's name without its precision."""
    return model.replace("-non-quantized", "").replace("-quantized", "")


if __name__ == "__main__":
    main(sys.argv[1:])
