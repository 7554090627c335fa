"""Samples: a lazy view of a source, with its preprocess, its order and its input names."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from threading import current_thread
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess, applied

Labels = NDArray[np.int64]
Signature = dict[str, tuple[tuple[int, ...], str]]
DECODER = "edgekit-decode"  # its name
DECODERS = 2  # threads; Pillow and numpy release the interpreter's lock
AHEAD = 8  # images decoded before they are asked for, whatever the batch
DIGEST_BYTES_AT_ONCE = 2**22


class Source(Protocol):
    """Where raw samples are. labels: (N,); title: how messages name a sample; digests: content hashes."""

    @property
    def where(self) -> str: ...
    @property
    def images(self) -> bool: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def target_names(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> Labels | None: ...
    @property
    def class_names(self) -> tuple[str, ...] | None: ...
    @property
    def ignored(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def __len__(self) -> int: ...
    def title(self, index: int) -> str: ...
    def read(self, indices: Sequence[int], names: Sequence[str]) -> tuple[Arrays, Arrays]: ...
    def digests(self, indices: Sequence[int]) -> list[str]: ...


@dataclass(frozen=True, eq=False)
class Batch:
    """inputs, targets: by name, batch axis first; ids, labels: one per sample."""

    inputs: Arrays
    ids: tuple[str, ...]
    labels: Labels | None
    targets: Arrays | None


@dataclass(frozen=True, eq=False)
class Samples:
    """What a model is calibrated and judged on.

    indices: which samples of the source, in order; inputs: the model's name -> the source's name. Every pass streams
    and gives the same samples in the same order.
    """

    source: Source
    preprocess: Preprocess
    indices: NDArray[np.int64]
    inputs: dict[str, str]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.inputs)

    @property
    def where(self) -> str:
        """The user's name for the source."""
        return self.source.where

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Content hashes of the raw samples, in order: equal content, equal id, wherever it stands."""
        at_once = max(1, DIGEST_BYTES_AT_ONCE // self._raw_bytes)
        chunks = range(0, len(self), at_once)
        return tuple(
            one for i in chunks for one in self.source.digests([int(k) for k in self.indices[i : i + at_once]])
        )

    @cached_property
    def labels(self) -> Labels | None:
        return None if self.source.labels is None else self.source.labels[self.indices]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self.source.class_names

    @property
    def has_targets(self) -> bool:
        return bool(self.source.target_names)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Arrays that are there but that nothing uses."""
        return (*self.source.ignored, *(name for name in self.source.names if name not in self.inputs.values()))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the source was read."""
        return self.source.notes

    @cached_property
    def signature(self) -> Signature:
        """Per input: shape without the batch and numpy's name of the type, after the preprocess."""
        first = self._prepared([int(self.indices[0])])[0]
        return {name: (x.shape[1:], x.dtype.name) for name, x in first.items()}

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, `size` at a time (the last batch may be smaller)."""
        assert size > 0
        read = self._decoded_ahead(size) if self.source.images else self._read(size)
        for first, (inputs, targets) in zip(range(0, len(self), size), read, strict=True):
            last = min(first + size, len(self))
            yield Batch(
                inputs,
                self.ids[first:last],
                None if self.labels is None else self.labels[first:last],
                targets or None,
            )

    def take(self, indices: Sequence[int] | range | NDArray[np.int64]) -> Samples:
        """These samples in this order; nothing is read."""
        chosen = np.asarray(indices, np.int64)
        taken = replace(self, indices=self.indices[chosen])
        if "ids" in self.__dict__:
            taken.__dict__["ids"] = tuple(self.ids[i] for i in chosen)  # hashed once, wherever they are taken
        return taken

    def renamed(self, names: Sequence[str]) -> Samples:
        """The same samples under the model's input names: a single input takes any name, several must be there."""
        if len(names) == 1 and len(self.inputs) == 1:
            return self._under({names[0]: next(iter(self.inputs.values()))})
        missing = [name for name in names if name not in self.inputs]
        if missing:
            raise EdgekitError(
                "EK135",
                f"'{self.where}' has no input '{missing[0]}'",
                f"the model takes {', '.join(names)}; the samples have {', '.join(self.inputs)}",
                "name each array after the model's input that it is for",
            )
        return self._under({name: self.inputs[name] for name in names})

    def _under(self, inputs: dict[str, str]) -> Samples:
        renamed = replace(self, inputs=inputs)
        if "ids" in self.__dict__:
            renamed.__dict__["ids"] = self.ids
        return renamed

    @cached_property
    def _raw_bytes(self) -> int:
        """Of one sample, roughly; image files are hashed one by one."""
        if self.source.images:
            return DIGEST_BYTES_AT_ONCE
        inputs, targets = self.source.read([int(self.indices[0])], self.source.names)
        return sum(x.nbytes for x in (*inputs.values(), *targets.values()))

    def _read(self, size: int) -> Iterator[tuple[Arrays, Arrays]]:
        for first in range(0, len(self), size):
            yield self._prepared([int(i) for i in self.indices[first : first + size]])

    def _decoded_ahead(self, size: int) -> Iterator[tuple[Arrays, Arrays]]:
        """Batches of images; at most AHEAD of them wait."""
        pending: deque[Future[tuple[Arrays, Arrays]]] = deque()
        gathered: list[Arrays] = []
        pool = ThreadPoolExecutor(DECODERS, thread_name_prefix=DECODER)
        try:
            for position in range(len(self) + AHEAD):
                if position < len(self):
                    pending.append(pool.submit(self._prepared, [int(self.indices[position])]))
                if position < AHEAD or not pending:
                    continue
                gathered.append(pending.popleft().result()[0])
                self._check_shapes(gathered, position - AHEAD)
                if len(gathered) == size or not pending:
                    yield {name: np.concatenate([one[name] for one in gathered]) for name in self.inputs}, {}
                    gathered = []
        finally:
            # Python may close what nobody reads on in a thread of the pool, which cannot wait for itself.
            pool.shutdown(wait=not current_thread().name.startswith(DECODER), cancel_futures=True)

    def _check_shapes(self, gathered: list[Arrays], position: int) -> None:
        """The first sample says the shape, and every other must have it."""
        for name, (shape, _) in self.signature.items():
            found = gathered[-1][name].shape[1:]
            if found != shape:
                raise EdgekitError(
                    "EK131",
                    f"the samples of '{self.where}' do not have one shape",
                    f"{self.source.title(int(self.indices[0]))} is {_shape(shape)},"
                    f" {self.source.title(int(self.indices[position]))} is {_shape(found)}",
                    "bring them to one size with --resize HxW, or with --resize N --crop N",
                )

    def _prepared(self, indices: list[int]) -> tuple[Arrays, Arrays]:
        """Inputs by the model's names after the preprocess, and targets."""
        raw, targets = self.source.read(indices, tuple(self.inputs.values()))
        inputs = {name: self._applied(raw[theirs]) for name, theirs in self.inputs.items()}
        targets = {name: applied(x, AS_IT_IS, channels_last=False, name=self.where) for name, x in targets.items()}
        for name, x in {**inputs, **targets}.items():
            self._check_finite(name, x, indices)
        return inputs, targets

    def _applied(self, x: NDArray[Any]) -> NDArray[Any]:
        if len(self.source.names) > 1 and x.ndim != 4:
            return applied(x, AS_IT_IS, channels_last=False, name=self.where)
        channels_last = self.source.images or self.preprocess.layout == "nhwc"
        return applied(x, self.preprocess, channels_last=channels_last, name=self.where)

    def _check_finite(self, name: str, x: NDArray[Any], indices: list[int]) -> None:
        if x.dtype.kind != "f" or np.isfinite(x).all():
            return
        bad = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(1))[0])
        raise EdgekitError(
            "EK130",
            f"{self.source.title(indices[bad])} is not finite",
            f"'{name}' holds NaN or an infinity as a float32",
            "leave the sample out, or mend what made it",
        )


AS_IT_IS = Preprocess()


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
