"""The files of one run: their names, and their appearing together at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edgekit import staging
from edgekit.artifact import Format, Precision
from edgekit.recipe import Recipe
from edgekit.staging import ANEW, Placing

FileKey = tuple[Precision, Format]
REPORT_NAME = "report.json"
PAGE_NAME = "report.html"  # which `edgekit report` makes of it
CHECKPOINT_SUFFIX, FINETUNING_SUFFIX, MEASURED_SUFFIX = ".training", ".finetuning", ".measured"


def stem(recipe: Recipe) -> str:
    """What the files are called by: the model file's name without its suffix."""
    return Path(recipe.model.path.partition(".py:")[0]).stem


def default_directory(recipe: Recipe) -> str:
    """The name of the folder where the recipe names none."""
    return f"{stem(recipe)}-edgekit"


class Outputs:
    """Refuses at once what is in the way (EK195); inside `with`, `folder` is where to write.

    stem: the model file's name without its suffix; names: file name by key; unkept: a folder inside `folder` for files
    that are only measured; checkpoint, finetuning: where an interrupted training of integers and of a pruned model are
    kept, beside the files; measured: what a latency was found to take, so that a resumed run cuts alike; of both there
    is one per round of pruning (`of_round`); program: name of the pruned model's file in PyTorch.
    """

    def __init__(
        self, recipe: Recipe, keys: Sequence[FileKey], *, pruned: bool = False, placing: Placing = ANEW
    ) -> None:
        self.stem = stem(recipe)
        self.directory = recipe.output.directory or Path(default_directory(recipe))
        self.names = {key: f"{self.stem}{_infix(key[0])}.{key[1]}" for key in keys}
        self.program = f"{self.stem}.pt2"
        names = [*self.names.values(), *([self.program] if pruned else []), REPORT_NAME]
        staging.refuse_existing(self.directory, names, recipe.output.overwrite, placing)
        self.checkpoint = self.directory / f"{self.stem}{CHECKPOINT_SUFFIX}"
        self.finetuning = self.directory / f"{self.stem}{FINETUNING_SUFFIX}"
        self.measured = self.directory / f"{self.stem}{MEASURED_SUFFIX}"
        self.rounds = recipe.prune.rounds
        self._staged = staging.staged(self.directory, placing)

    def __enter__(self) -> Self:
        self.folder = self._staged.__enter__()
        self.unkept = self.folder / "unkept"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staged.__exit__(kind, error, trace)

    def forget(self, *, finetuning: bool = False, training: bool = False) -> None:
        """The checkpoints of trainings that are over."""
        of_rounds = [self.of_round(path, n) for path in (self.finetuning, self.measured) for n in self.counted_rounds]
        for path in of_rounds * finetuning + [self.checkpoint] * training:
            path.unlink(missing_ok=True)

    @property
    def counted_rounds(self) -> range:
        return range(1, self.rounds + 1)

    @staticmethod
    def of_round(path: Path, number: int) -> Path:
        """number: from 1 on, whose file has the plain name."""
        return path if number == 1 else path.with_name(f"{path.name}.{number}")

    def keep(self, report: str) -> None:
        """Write the report beside the files."""
        (self.folder / REPORT_NAME).write_text(report, encoding="utf-8")


def _infix(precision: Precision) -> str:
    return "" if precision == "float32" else f".{precision}"
