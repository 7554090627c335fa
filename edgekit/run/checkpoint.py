"""Where a training stands, in a file that appears whole or not at all.

plain tensors and numbers under torch.save, read with weights_only=True
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError

State = dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """path: the file; identity: what is trained, on what and how: another's checkpoint is refused; resume: go on from
    it, else there must be none."""

    path: Path
    identity: str
    resume: bool

    def read(self) -> State | None:
        """Raises EK922 where there is none to go on from, EK923 where it is another's, EK924 where one is lost."""
        check_checkpoint(self.path, self.resume)
        if not self.resume:
            return None
        import torch  # not at the top: the street looks for checkpoints long before it needs torch

        try:
            found = torch.load(self.path, weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as broken:
            raise self._not_ours("it cannot be read as a checkpoint") from broken
        if not isinstance(found, dict) or set(found) != {"identity", "state"}:
            raise self._not_ours("it is no checkpoint of edgekit")
        if found["identity"] != self.identity:
            raise self._not_ours("it is of another model, other samples or other settings")
        return dict(found["state"])

    def write(self, state: State) -> None:
        """Beside the old one, then in its place."""
        import torch

        part = self.path.with_name(f"{self.path.name}.part")
        try:
            with part.open("wb") as file:
                torch.save({"identity": self.identity, "state": state}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as full:
            part.unlink(missing_ok=True)
            raise EdgekitError(
                "EK196", f"cannot write '{self.path}'", full.strerror or str(full), "make room, or choose another -o"
            ) from full

    def _not_ours(self, why: str) -> EdgekitError:
        return EdgekitError(
            "EK923",
            f"cannot resume from '{self.path}'",
            why,
            "repeat the command of the interrupted run with --resume, or delete the file and leave --resume out",
        )


def check_checkpoint(path: Path, resume: bool) -> None:
    """Before any work is done: EK922 where there is nothing to go on from, EK924 rather than lose what there is."""
    if resume and not path.is_file():
        raise EdgekitError("EK922", f"nothing to resume at '{path}'", "there is no checkpoint", "leave --resume out")
    if path.exists() and not resume:
        raise EdgekitError(
            "EK924",
            f"an interrupted training is kept in '{path}'",
            "starting anew would lose it",
            "go on with --resume, or delete the file",
        )
