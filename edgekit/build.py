"""`edgekit build`: the street that a recipe names, where it would give other files than those that are there.

A build is up to date where the recipe means what it meant, every file that it is made of has the content that it had,
the versions are the same, and the files that came of it are unhurt. Else the street is walked again, and its files take
the place of the last build's. A build that was killed is simply run again: files are whole or not there, a training
goes on from its checkpoint, and the bytes are those of a build that nobody killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError
from edgekit.locking import lock as locks
from edgekit.locking.hashes import Hashes
from edgekit.locking.lock import Lock, Origin, Used
from edgekit.locking.state import NOTHING, State, read_state, state_path, write_state
from edgekit.locking.versions import distributions, versions
from edgekit.locking.watched import watched
from edgekit.outputs import CHECKPOINT_SUFFIX, FINETUNING_SUFFIX, MEASURED_SUFFIX, REPORT_NAME, default_directory, stem
from edgekit.progress import SILENT, Progress
from edgekit.recipe import Recipe, load_recipe
from edgekit.schema import read_toml
from edgekit.staging import PREFIX, Placing

if TYPE_CHECKING:  # torch and the runtimes, which a build that is up to date does not need
    from edgekit.report import Report

try:
    import fcntl
except ImportError:  # Windows, where nothing keeps two builds apart
    fcntl = None  # type: ignore[assignment]

FIX = "move it away, name another directory under [output], or set overwrite = true there"


@dataclass(frozen=True, kw_only=True)
class Built:
    """report: None where everything was up to date; directory: where the files are; lock: what they are; document: the
    text of report.json."""

    report: Report | None
    directory: Path
    lock: Lock
    document: str


def build(path: Path, progress: Progress = SILENT) -> Built:
    """Make the files of the recipe at `path`, or leave them as they are where they are what they should be."""
    job = _job(path)
    with _alone(job.directory):
        state = read_state(job.state)
        hashes = Hashes(state.hashes)
        origin, installed = _origin(job, hashes, state)
        known = locks.read_lock(job.lock)
        because = _because(job, known, state, origin, hashes)
        if because is None:
            assert known is not None
            _remember(job, replace(state, hashes=hashes.settled, distributions=installed), state)
            return _unchanged(job, known)
        progress.note(f"building: {because}")
        ours = {path: _may_be(path.name, known, state) for path in _ours(job, known, state, hashes)}
        state = replace(state, hashes=hashes.settled, distributions=installed)
        return _built(job, ours, state, origin, hashes, progress)


def build_locked(path: Path, progress: Progress = SILENT) -> Built:
    """Build aside what `recipe.lock` says, and hold it against it byte by byte; nothing is replaced.

    Raises EK970 to EK974 where it is not the same.
    """
    job = _job(path)
    known = locks.read_lock(job.lock)
    if known is None:
        raise EdgekitError(
            "EK970",
            f"nothing is locked for '{path}'",
            f"there is no '{job.lock}'",
            f"run edgekit build {path} once, and keep the lock with the recipe",
        )
    origin, _ = _origin(job, Hashes(), NOTHING)
    _refuse_others(job, known.origin, origin)
    from edgekit import pipeline  # not at the top: see Report

    with tempfile.TemporaryDirectory(prefix="edgekit-locked-") as aside:
        output = job.recipe.output.model_copy(update={"directory": Path(aside), "overwrite": False, "resume": False})
        report = pipeline.quantize(job.recipe.model_copy(update={"output": output}), progress)
        found = _lock_of(job, report, origin)
        document = (Path(aside) / REPORT_NAME).read_text(encoding="utf-8")
    if found.outputs != known.outputs:
        raise _other_bytes(job, known, found)
    return Built(report=report, directory=job.directory, lock=known, document=document)


# ---- what there is to do ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Job:
    """path: the recipe's; lock, state: files that may not be there yet."""

    path: Path
    recipe: Recipe
    directory: Path
    lock: Path
    state: Path

    @property
    def folder(self) -> Path:
        return self.path.resolve().parent


def _job(path: Path) -> _Job:
    """Without a directory in the recipe, files go beside it: a build is the same from wherever it is called."""
    recipe = load_recipe(path)
    directory = recipe.output.directory or path.parent / default_directory(recipe)
    return _Job(
        path=path,
        recipe=recipe,
        directory=directory,
        lock=locks.lock_path(path),
        state=state_path(path, directory),
    )


def _origin(job: _Job, hashes: Hashes, state: State) -> tuple[Origin, dict[str, list[str]]]:
    """What the files would be made of now, and which distributions the factories' modules are from."""
    found = watched(job.recipe, job.folder)
    installed = distributions(found.modules, state.distributions)
    try:
        inputs = {
            name: hashes.of_folder(path) if path.is_dir() else hashes.of(path)
            for name, path in sorted(found.paths.items())
        }
    except OSError as broken:
        raise EdgekitError(
            "EK121",
            f"cannot read '{broken.filename}'",
            broken.strerror or str(broken),
            "make sure that it can be read",
        ) from broken
    origin = Origin(
        recipe=locks.recipe_keys(Recipe.model_validate(read_toml(job.path))),
        inputs=inputs,
        versions=versions({name for names in installed.values() for name in names}, hashes),
    )
    return origin, installed


def _because(job: _Job, known: Lock | None, state: State, origin: Origin, hashes: Hashes) -> str | None:
    """Why there is something to do, None where there is not."""
    if known is None:
        return "nothing was built yet"
    changed = [*known.origin.changed(origin), *known.origin.upgraded(origin)]
    if changed:
        return f"changed: {', '.join(changed)}"
    for name, sha256 in known.outputs.items():
        path = job.directory / name
        if not path.is_file():
            return f"'{path}' is not there"
        if hashes.of(path) != sha256:
            return f"'{path}' is not what was built"
    report = job.directory / REPORT_NAME
    if not report.is_file():
        return f"'{report}' is not there"
    return None if _is_ours(report, known, state, hashes) else f"'{report}' is not what was built"


def _unchanged(job: _Job, known: Lock) -> Built:
    document = (job.directory / REPORT_NAME).read_text(encoding="utf-8")
    return Built(report=None, directory=job.directory, lock=known, document=document)


def _remember(job: _Job, state: State, before: State) -> None:
    if state != before:
        with suppress(EdgekitError):  # a folder that cannot be written to is no reason to refuse what is up to date
            write_state(job.state, state)


# ---- whose files they are --------------------------------------------------------------------------------------------


def _may_be(name: str, known: Lock | None, state: State) -> set[str]:
    """The hashes that a file has where a build of this recipe wrote it."""
    locked = {known.outputs[name]} if known is not None and name in known.outputs else set()
    return locked | set(state.outputs.get(name, ()))


def _is_ours(path: Path, known: Lock | None, state: State, hashes: Hashes) -> bool:
    """A report holds what was measured, which is no matter of a lock: without a state, it is known by what it is of."""
    may_be = _may_be(path.name, known, state)
    if may_be or path.name != REPORT_NAME or known is None:
        return hashes.of(path) in may_be
    with suppress(OSError, ValueError, KeyError, TypeError):
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {Path(file["path"]).name: file["sha256"] for file in files} == known.outputs
    return False


def _ours(job: _Job, known: Lock | None, state: State, hashes: Hashes) -> list[Path]:
    """The last build's files, as it wrote them. Raises EK975 for one that somebody changed."""
    names = {*state.outputs, *(known.outputs if known is not None else ()), *([REPORT_NAME] if known else ())}
    there = [path for name in sorted(names) if (path := job.directory / name).is_file()]
    ours = [path for path in there if _is_ours(path, known, state, hashes)]
    if ours != there and not job.recipe.output.overwrite:
        changed = next(path for path in there if path not in ours)
        raise EdgekitError(
            "EK975", f"will not replace '{changed}'", "somebody changed it since edgekit build wrote it", FIX
        )
    return ours


# ---- doing it --------------------------------------------------------------------------------------------------------


def _built(
    job: _Job, ours: Mapping[Path, set[str]], state: State, origin: Origin, hashes: Hashes, progress: Progress
) -> Built:
    """ours: files that may be replaced, and the hashes that they may have been written with."""
    owned = {path.name: sorted({*known, hashes.of(path)}) for path, known in ours.items()}
    running = _digest(origin)
    mine = state.running == running
    resume = _clear(job, state, running)
    state = replace(state, running=running, outputs=owned)

    def before(folder: Path) -> None:
        """The new files are the build's own from the moment on that the first of them can be there."""
        both = {name: [*owned.get(name, ()), sha256] for name, sha256 in _hashed(folder).items()}
        write_state(job.state, replace(state, outputs={**owned, **both}))

    placing = Placing(frozenset(owned), before, FIX)
    with _kept(job, state):
        try:
            report = _walked(job, placing, progress, resume=resume)
        except EdgekitError as refused:
            if refused.code != "EK923" or not mine:
                raise
            for path in _checkpoints(job):  # its own, which no longer fits: the samples are drawn anew each time
                path.unlink(missing_ok=True)
            report = _walked(job, placing, progress, resume=False)
    return _finished(job, list(ours), state, hashes, _lock_of(job, report, origin), report)


def _walked(job: _Job, placing: Placing, progress: Progress, *, resume: bool) -> Report:
    from edgekit import pipeline  # not at the top: see Report

    output = job.recipe.output.model_copy(update={"directory": job.directory, "resume": resume})
    return pipeline.quantize(job.recipe.model_copy(update={"output": output}), progress, placing=placing)


def _finished(job: _Job, ours: list[Path], state: State, hashes: Hashes, lock: Lock, report: Report) -> Built:
    """ours: files of the last build; those that are none of this one go."""
    for path in ours:
        if path.name not in (*lock.outputs, REPORT_NAME):
            path.unlink(missing_ok=True)
    locks.write_lock(job.lock, lock, job.path)
    document = (job.directory / REPORT_NAME).read_text(encoding="utf-8")
    outputs = {name: [hashes.of(job.directory / name)] for name in (*lock.outputs, REPORT_NAME)}
    write_state(job.state, replace(state, running=None, outputs=outputs, hashes=hashes.settled))
    return Built(report=report, directory=job.directory, lock=lock, document=document)


def _hashed(folder: Path) -> dict[str, str]:
    hashes = Hashes()
    return {path.name: hashes.of(path) for path in folder.iterdir() if path.is_file()}


def _clear(job: _Job, state: State, running: str) -> bool:
    """Take away what a killed build left, but for a checkpoint that fits this one: whether there is one."""
    checkpoints = _checkpoints(job)
    resume = checkpoints[1 if job.recipe.prune.wanted else 0].is_file()
    if state.running is not None:
        resume = resume and state.running == running
        for left in (*job.directory.glob(f"{PREFIX}*/"), *job.directory.glob(f"{job.state.name}.*.part")):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        for path in checkpoints:
            path.with_name(f"{path.name}.part").unlink(missing_ok=True)
            if not resume:
                path.unlink(missing_ok=True)
    return resume


def _checkpoints(job: _Job) -> list[Path]:
    suffixes = (CHECKPOINT_SUFFIX, FINETUNING_SUFFIX, MEASURED_SUFFIX)
    return [job.directory / f"{stem(job.recipe)}{suffix}" for suffix in suffixes]


@contextmanager
def _kept(job: _Job, state: State) -> Iterator[None]:
    """The state says that a build is under way; where it fails and leaves nothing to go on from, that is taken back."""
    there = job.directory.is_dir()
    write_state(job.state, state)
    try:
        yield
    except BaseException as stop:
        if not any(path.exists() for path in _checkpoints(job)):
            _take_back(job, there)
        elif isinstance(stop, KeyboardInterrupt):
            stop.add_note("so does the same edgekit build")  # as the training's own note says of --resume
        raise


def _take_back(job: _Job, there: bool) -> None:
    """there: the folder was there before."""
    state = read_state(job.state)
    if state.outputs:
        write_state(job.state, replace(state, running=None))
        return
    job.state.unlink(missing_ok=True)
    if not there and not any(job.directory.iterdir()):
        job.directory.rmdir()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One build at a time writes into a folder that is there."""
    if fcntl is None or not directory.is_dir():
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            raise EdgekitError(
                "EK976",
                f"another build is writing to '{directory}'",
                "two at once would take each other's files away",
                "wait until it has ended",
            ) from taken
        yield
    finally:
        os.close(handle)


# ---- what came of it -------------------------------------------------------------------------------------------------


def _lock_of(job: _Job, report: Report, origin: Origin) -> Lock:
    data, machine = report.data, report.machine
    used = {}
    if data is not None and data.calibration_ids is not None:
        used["calibration"] = Used(count=data.calibration_count, ids=data.calibration_ids)
    if data is not None and data.evaluation_ids is not None:
        used["evaluation"] = Used(count=data.evaluation_count, ids=data.evaluation_ids)
    return Lock(
        origin=origin,
        seed=job.recipe.data.seed,
        machine=f"{machine.architecture}, {machine.cpu}",
        samples=used,
        outputs={Path(file.path).name: file.sha256 for file in report.files},
        met=None if report.budget is None else report.budget.met,
    )


def _digest(origin: Origin) -> str:
    said = json.dumps([origin.recipe, origin.inputs, origin.versions], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


# ---- what is not as it was locked ------------------------------------------------------------------------------------


def _refuse_others(job: _Job, known: Origin, now: Origin) -> None:
    """Before any work is done."""
    if changed := known.changed(now):
        raise EdgekitError(
            "EK972",
            f"the inputs of '{job.path}' are not those of '{job.lock.name}'",
            f"changed: {', '.join(changed)}",
            f"restore them, or run edgekit build {job.path} and keep the new lock",
        )
    if upgraded := known.upgraded(now):
        raise EdgekitError(
            "EK973",
            f"the versions are not those of '{job.lock.name}'",
            "; ".join(upgraded),
            f"install those versions, or run edgekit build {job.path} and keep the new lock",
        )


def _other_bytes(job: _Job, known: Lock, found: Lock) -> EdgekitError:
    names = [
        name for name in sorted({*known.outputs, *found.outputs}) if known.outputs.get(name) != found.outputs.get(name)
    ]
    return EdgekitError(
        "EK974",
        f"built again, {', '.join(names)} {'is' if len(names) == 1 else 'are'} not as '{job.lock.name}' says",
        _suspect(job.recipe, known, found),
        f"mend what is not repeatable; edgekit build {job.path} locks what this machine makes",
    )


def _suspect(recipe: Recipe, known: Lock, found: Lock) -> str:
    """What is known to change bytes where inputs and versions are the same."""
    others: Mapping[str, Used] = found.samples
    purposes = [name for name, one in known.samples.items() if others.get(name) != one]
    if purposes:
        return (
            f"the {' and the '.join(purposes)} samples are others: their code draws them, or reads what is not watched"
        )
    if recipe.prune.latency is not None:
        return "it is pruned to a latency, which is measured anew each time and never quite the same"
    if known.machine != found.machine:
        return (
            f"it was locked on another machine ({known.machine}; this is {found.machine}), which may round differently"
        )
    return "inputs, versions and samples are the same, so what computes them does not repeat itself"
