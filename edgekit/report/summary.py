"""What the numbers of a report say in words: decided here once, shown by the terminal and by JSON alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit import units
from edgekit.artifact import INTEGERS
from edgekit.report.facts import BudgetFacts, FileFacts, Report
from edgekit.report.pruned import UNPRUNED, goal_name

if TYPE_CHECKING:  # types only: the stages take a second to load, which `edgekit inspect` should not
    from edgekit.profile.measure import Latency
    from edgekit.profile.memory import Memory
    from edgekit.run.trained import Training
    from edgekit.verify.result import Score, Verification

FAITHFUL_DB = 60.0  # float files of one graph that differ by more do not compute the same
METRIC_NAMES = {"top1": "top-1", "top5": "top-5", "psnr": "PSNR", "mse": "MSE", "mae": "MAE", "sqnr": "SQNR"}


def is_integer(label: str) -> bool:
    """Of a file in which integers stand for real numbers."""
    return label.partition(" ")[0] in INTEGERS.values()


def metric_name(verification: Verification) -> str:
    return METRIC_NAMES.get(verification.metric, verification.metric)


def speed_ups(latencies: Sequence[Latency], base: str = "float32") -> dict[str, float]:
    """Label -> how many times as fast as the float file in the same runtime (median over median). base: "unpruned"
    where that is the file of the unpruned model."""
    medians = {latency.label: latency.median_s for latency in latencies}
    ups = {}
    for label, median_s in medians.items():
        precision, _, kind = label.partition(" ")
        base_s = medians.get(f"{base} {kind}")
        if precision not in (base, UNPRUNED) and base_s is not None and median_s > 0:
            ups[label] = base_s / median_s
    return ups


def base_of(report: Report) -> str:
    """What files are held against: those of the unpruned model, where it was pruned."""
    return "float32" if report.pruning is None else UNPRUNED


def ups_of(report: Report, base: str) -> dict[str, float]:
    """As `speed_ups`; without float files that differ from the unpruned ones by zeros alone, which no runtime skips."""
    ups = speed_ups(report.latencies, base)
    return {label: up for label, up in ups.items() if is_integer(label) or not _only_sparse(report)}


def _only_sparse(report: Report) -> bool:
    return report.pruning is not None and report.pruning.goal is None


def headline(report: Report) -> str:
    """The result in one sentence; empty where nothing was pruned or quantized."""
    made = [file for file in report.files if file.precision in INTEGERS] or _pruned_files(report)
    if not made:
        return ""
    floats = "sparse" if _only_sparse(report) else "pruned"
    name = made[0].precision.replace("int", "INT") if made[0].precision in INTEGERS else floats
    noun = f"the {name} file is" if len(made) == 1 else f"the {name} files are"
    costs = [part for part in (_smaller(report, made), _faster(report, made)) if part]
    if name == "sparse":
        costs = [f"{_deflated(report, made)}, and no faster"]
    said = [f"{noun} {', '.join(costs)}"] if costs else []
    labels = [file.label for file in made]
    worse = _worse(report.verification, labels) or _away(report, labels)
    broken = "the budget is not kept" if report.budget is not None and not report.budget.met else ""
    return "; ".join([*said, *filter(None, (worse, broken))])


def warnings(report: Report) -> tuple[str, ...]:
    """What a reader must not miss, most important first: ours, then the stages' own notes."""
    said: list[str] = []
    if report.quantization is not None and not report.quantization.calibrated:
        judged = report.data is not None and report.data.evaluation != report.data.calibration
        unknown = "" if judged else " and accuracy is unknown"
        said.append(f"uncalibrated: no samples were given to calibrate on, so inputs were synthesised{unknown}")
    said += _of_pruning(report)
    for base in dict.fromkeys(("float32", base_of(report))):
        for label, up in ups_of(report, base).items():
            if round(up, 2) < 1:
                kind = label.partition(" ")[2]
                said.append(f"{label} is slower than {base} {kind} on this machine: {up:.2f} times its speed")
    said += _grown(report.files)
    if report.data is not None and report.data.overlap:
        samples = units.plural(report.data.overlap, "sample")
        said.append(f"{samples} stood in both the calibration and the evaluation, and served for one of them only")
    if report.model.trusted_pickle:
        said.append("the model was loaded with --trust-pickle: code inside the file was allowed to run")
    if report.budget is not None and len(report.budget.candidates) > 1:
        looks = len(report.budget.candidates)
        said.append(f"{looks} candidates were judged on the same samples, which the budget's interval does not count")
    said += report.notes
    said += report.verification.notes if report.verification is not None else ()
    return tuple(dict.fromkeys(said))


def budget_in_words(report: Report) -> str:
    """'the drop is 0.23 points and may be 0.92, allowed is 1; ...'; empty without a budget."""
    budget = report.budget
    if budget is None:
        return ""
    drop, upper, allowed = (f"{value:.3g}" for value in (budget.drop, budget.upper, budget.max_drop))
    said = [f"the drop is {drop}{_unit(budget)} and may be {upper} (95 %); {allowed} allowed"]
    if not budget.met and budget.samples_needed is not None:
        said.append(f"a drop like this takes about {units.whole(budget.samples_needed)} samples to show")
    if budget.least > 0.5 * budget.max_drop and budget.shares.get("int8") != 1:
        said.append(f"{units.whole(budget.samples)} samples leave {budget.least:.3g} even where no answer changes")
    return "; ".join(said)


def memory_in_words(memory: Memory) -> str:
    """'at most 64.0 KiB of activations, at op 3 of 31 (CONV_2D); TFLite Micro needs an arena of 79.4 KiB'."""
    if memory.without_kernel:
        return f"{peak_in_words(memory)}; TFLite Micro has no kernel for {', '.join(memory.without_kernel)}"
    about = "about " if memory.guessed or memory.several_graphs else ""
    return f"{peak_in_words(memory)}; TFLite Micro needs an arena of {about}{units.size(memory.needed_bytes)}"


def peak_in_words(memory: Memory) -> str:
    peak = f"at most {units.size(memory.peak_bytes)} of activations"
    return (
        f"{peak}, at op {memory.peak_number} of {len(memory.timeline)} ({memory.peak_op})" if memory.timeline else peak
    )


def _unit(budget: BudgetFacts) -> str:
    return f" {budget.unit}" if budget.unit else ""


def precision_shares(report: Report) -> str:
    """'84.3 % of the MACs in INT8, 15.7 % in int16'; empty where that is not known."""
    shares = report.budget.shares if report.budget is not None else {}
    if not shares:
        return ""
    names = {"int8": "INT8", "int16": "int16", "float32": "float"}
    parts = [f"{units.percent(shares[key])} in {name}" for key, name in names.items() if shares[key] > 0]
    return ", ".join(parts).replace(" in ", " of the MACs in ", 1)


def latency_doubts(latencies: Sequence[Latency]) -> str:
    """Why not to believe the times, in a line: the first doubt about each file, and how many more there are."""
    doubted = []
    for latency in latencies:
        if latency.doubts:
            more = f" (and {len(latency.doubts) - 1} more)" if len(latency.doubts) > 1 else ""
            doubted.append(f"{latency.label}: {latency.doubts[0]}{more}")
    return "; ".join(doubted)


def calibration_doubts(report: Report) -> tuple[str, ...]:
    """Why not to believe the scales: a sentence each, with the way out."""
    if report.calibration is None:
        return ()
    return tuple(f"calibration: {doubt.why}: {doubt.fix}" for doubt in report.calibration.doubts)


def _of_pruning(report: Report) -> list[str]:
    """What a pruned model does not do as it should."""
    facts = report.pruning
    said: list[str] = []
    if facts is None:
        return said
    if facts.training is None:
        said.append("nothing was fine-tuned, which would win back accuracy; give samples to learn from with --train")
    elif not facts.training.kept:
        said.append("accuracy was not restored: fine-tuning made it no better, so it was not kept; give a smaller --lr")
    if facts.goal is not None and facts.asked is not None and (facts.reached or 0.0) > facts.asked:
        got, how = units.percent(facts.reached or 0.0), "estimated" if facts.estimates else "measured"
        asked = f"{units.percent(facts.asked)} was asked for"
        said.append(f"{got} of the {goal_name(facts)} is left, {how} in the end; {asked}")
    if _over_in_float(report):
        said.append("the pruned model is over the budget in float already: prune less, or fine-tune it for longer")
    if report.verification is not None and report.verification.sqnr_against is not None:
        for score in report.verification.scores:
            if not is_integer(score.label) and min(score.sqnr_db.values(), default=FAITHFUL_DB) < FAITHFUL_DB:
                against, db = report.verification.sqnr_against, min(score.sqnr_db.values())
                said.append(f"{score.label} does not compute what {against} does: they are {db:.0f} dB apart")
    return said


def _over_in_float(report: Report) -> bool:
    """Before any integer, which no op that leaves INT8 can mend."""
    from edgekit.verify import limits  # not at the top: the stages take a second to load

    found, budget = report.verification, report.budget
    if found is None or budget is None or budget.met or report.quantization is None:
        return False
    drop = limits.largest(found, [score for score in found.scores if score.label.startswith("float32")])
    return drop is not None and drop.upper > budget.max_drop and len(budget.candidates) == 1


def _pruned_files(report: Report) -> list[FileFacts]:
    """Of a pruned model in float, as runtimes take it."""
    return [file for file in report.files if report.pruning is not None and file.format != "pt2"]


def training_line(training: Training) -> str:
    """What training came to."""
    told = [name for name, used in _teachers(training).items() if used]
    epochs = units.plural(training.epochs, "epoch")
    if training.best is not None:
        epochs = f"{len(training.losses)} of {epochs}, number {training.best} kept,"
    said = f"{epochs} on {units.whole(training.samples)} samples of {training.where} ({' and '.join(told)})"
    before, after = training.before, training.after
    moved = [f"loss {before.loss:.4g} -> {after.loss:.4g}"]
    if before.top1 is not None and after.top1 is not None:
        moved.append(f"top-1 {units.percent(before.top1, 2)} -> {units.percent(after.top1, 2)}")
    judged = f"on {units.whole(training.held_out)} others: {', '.join(moved)}"
    return f"{said}; {judged}" + ("" if training.kept else "; not better, so not kept")


def _teachers(training: Training) -> dict[str, bool]:
    return {
        "labels": training.labels and training.distilled < 1,
        "targets": not training.labels and training.distilled < 1,
        "the float model": training.distilled > 0,
    }


def scale_spread(report: Report) -> str:
    """By how much the scales would move with other samples; empty where that is not known."""
    spread = report.calibration.spread if report.calibration is not None else None
    if spread is None:
        return ""
    typical, worst = units.percent(spread.median), units.percent(spread.worst)
    return f"other samples would move a range by {typical}, at most by {worst} ({spread.tensor})"


def _smaller(report: Report, made: Sequence[FileFacts]) -> str:
    if report.pruning is None:
        whole, floats = "float", [file.size_bytes for file in report.files if file.precision == "float32"]
        ratios = [max(floats) / file.size_bytes for file in made if floats]
    else:
        whole, known = UNPRUNED, report.pruning.unpruned_bytes
        bases = [known.get(f"{UNPRUNED} {file.label.rpartition(' ')[2]}") for file in made]
        ratios = [base / file.size_bytes for base, file in zip(bases, made, strict=True) if base is not None]
    if not ratios:
        return ""
    if min(ratios) >= 1:
        return f"{_span(ratios, 1)} smaller"
    return f"{_span([1 / ratio for ratio in ratios], 2)} the size of the {whole} one"


def _deflated(report: Report, made: Sequence[FileFacts]) -> str:
    """As much smaller as sparse files are once they are compressed."""
    sparsity = report.pruning.sparsity if report.pruning is not None else None
    sizes = sparsity.deflated_bytes if sparsity is not None else {}
    bases = {file.label: sizes.get(f"{UNPRUNED} {file.label.rpartition(' ')[2]}") for file in made}
    ratios = [base / sizes[label] for label, base in bases.items() if base is not None and label in sizes]
    return f"{_span(ratios, 1)} smaller once deflated" if ratios else "as large as they were"


def _grown(files: Sequence[FileFacts]) -> list[str]:
    """The integer files that are larger than the float one."""
    whole = max((file.size_bytes for file in files if file.precision == "float32"), default=0)
    grown = [file for file in files if file.precision in INTEGERS and whole and file.size_bytes > whole]
    return [
        f"{file.label} is larger than the float file: {file.size_bytes / whole:.1f} times its size" for file in grown
    ]


def _faster(report: Report, made: Sequence[FileFacts]) -> str:
    known = ups_of(report, base_of(report))
    ups = [known[file.label] for file in made if file.label in known]
    whole = "float" if report.pruning is None else "the unpruned model"
    if not ups:
        return ""
    if max(ups) < 1:
        return f"slower than {whole} here ({_span(ups, 2)})"
    return f"{_span(ups, 1)} as fast as {whole} here"


def _worse(verification: Verification | None, labels: Sequence[str]) -> str:
    """The largest drop, and how large it may be: what the user risks. labels: of the files that are spoken of."""
    if verification is None:
        return ""
    scores = [score for score in verification.scores if score.label in labels and score.drop is not None]
    if not scores:
        return ""
    drop = max(score.drop or 0.0 for score in scores)
    uppers = [score.drop_interval.high for score in scores if score.drop_interval is not None]
    said = f"{drop_in_words(verification, abs(drop))} {'worse' if drop > 0 else 'better'}" if drop else "as before"
    may_be = f" (95 %: at worst {drop_in_words(verification, max(0.0, *uppers))})" if uppers else ""
    return f"{metric_name(verification)} is {said}{may_be}"


def _away(report: Report, labels: Sequence[str]) -> str:
    """How far a pruned model is from what it was, where nothing says which of them is right."""
    found = report.verification
    values = [score for score in found.scores if score.label in labels] if found is not None else []
    if report.pruning is None or found is None or not values:
        return ""
    worst = min(values, key=lambda score: score.value)
    return f"{metric_name(found)} against the unpruned model is {value_in_words(found, worst)}"


def distances_in_words(verification: Verification) -> str:
    """'INT8 ONNX 31.2 dB, INT8 TFLite 31.2 dB against torch', output by output where there are several."""
    against = verification.sqnr_against or verification.reference.label
    pruned = verification.sqnr_against is not None
    scores = [score for score in verification.scores if (pruned or is_integer(score.label)) and score.sqnr_db]
    said_in_table = not pruned and verification.metric == "sqnr" and scores and len(scores[0].sqnr_db) == 1
    if not scores or said_in_table:
        return ""
    said = []
    for score in scores:
        several = len(score.sqnr_db) > 1
        parts = [f"{name} {db:.1f} dB" if several else f"{db:.1f} dB" for name, db in score.sqnr_db.items()]
        said.append(f"{score.label}{':' if several else ''} {', '.join(parts)}")
    between = "; " if len(scores[0].sqnr_db) > 1 else ", "
    return f"{between.join(said)} against {against}"


def drop_in_words(verification: Verification, drop: float) -> str:
    """0.0005 -> '0.05 points' for shares; '0.12 dB'; '0.0031' in the samples' own unit."""
    match verification.unit:
        case "share":
            return f"{100 * drop:.2f} points"
        case "":
            return f"{drop:.3g}"
        case unit:
            return f"{drop:.2f} {unit}"


def value_in_words(verification: Verification, score: Score) -> str:
    match verification.unit:
        case "share":
            return units.percent(score.value, 2)
        case "":
            return f"{score.value:.4g}"
        case unit:
            return f"{score.value:.2f} {unit}"


def _span(values: Sequence[float], digits: int) -> str:
    """'2.1x' or '2.1x to 2.6x'."""
    low, high = f"{min(values):.{digits}f}x", f"{max(values):.{digits}f}x"
    return low if low == high else f"{low} to {high}"
