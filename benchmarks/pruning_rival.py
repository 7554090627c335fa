"""ResNet-20 as Torch-Pruning prunes it, trained by the loop that trains edgekit's, on the same samples.

Its global magnitude pruner, widths rounded to 8, takes steps while as many MACs are left as asked for. Only the first
layer of each block is its to cut: what the shortcuts pad it cuts into a net that does not run (1.6.1). Batch norms are
its own: they take statistics of each half of a batch while they are trained, and those of 2048 samples in the end. What
is learned from and how long is what edgekit had.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator, Mapping
from itertools import islice, takewhile
from pathlib import Path

import torch
from shared_models import SHARED
from torch import Tensor, nn

from edgekit.capture import Source, capture, load
from edgekit.graph.check import checked
from edgekit.preprocess import Preprocess
from edgekit.progress import SILENT
from edgekit.run.objective import Objective, objective, remembering
from edgekit.run.teach import parted
from edgekit.run.torch_view import to_torch
from edgekit.run.train import SHARDS, Course, Learned, train
from edgekit.samples import Batch, Samples, choose, load_samples
from edgekit.simplify import simplify

FACTORY, WEIGHTS = "cifar_resnet20", SHARED / "weights" / "cifar_resnet20_jpegft.pt"
PREPROCESS = Preprocess(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), layout="nhwc")
DISTILLED, LR = 0.5, 0.01  # as `edgekit prune` does where nothing is said
STEPS = 100
MOST = 0.9  # share of a layer's channels that may go
WATCHED = 2048


def write(macs: int, epochs: int, batch: int, path: Path) -> None:
    """macs: no fewer are left; path: of the exported program."""
    torch.set_num_threads(1)
    small = _loaded()
    samples = load_samples(SHARED / "cifar10_train_jpeg.npz", PREPROCESS)
    example = torch.from_numpy(next(samples.take([0]).batches(1)).inputs["inputs"])
    _cut(small, example, macs)
    source = Source(path=str(WEIGHTS), factory=f"{SHARED / 'models.py'}:{FACTORY}", inputs={})
    graph = checked(simplify(capture(load(source, samples.signature)).graph))
    samples = samples.renamed([value.name or "" for value in graph.graph.inputs])
    told = remembering(objective(to_torch(graph), graph, samples, DISTILLED), graph, samples, SILENT)
    _, rest = parted(samples)
    trainee, course = Theirs(small, told), Course(epochs=epochs, batch=batch, lr=LR).fitting(len(rest))
    train(trainee, rest, course, SILENT)
    trainee.settle_norms(choose(rest, WATCHED), course.batch // SHARDS)
    batch_axis = torch.export.Dim("batch")
    torch.export.save(
        torch.export.export(small.eval(), (example.repeat(2, 1, 1, 1),), dynamic_shapes=({0: batch_axis},)), path
    )


class Theirs:
    """A module in training: a `Trainee`."""

    def __init__(self, module: nn.Module, told: Objective) -> None:
        self._module, self._told = module.train(), told
        (self._output,) = told.answered
        self._learned = {
            name: Learned(one, float(one.detach().square().mean().sqrt()) or 1.0)
            for name, one in module.named_parameters()
        }
        for norm in _norms(module):  # two halves of a batch would write to them at once
            norm.running_mean = norm.running_var = None

    @property
    def learned(self) -> Mapping[str, Learned]:
        return self._learned

    def loss(self, batch: Batch) -> Tensor:
        inputs = {name: torch.from_numpy(x) for name, x in batch.inputs.items()}
        (x,) = inputs.values()
        answer = self._module(x.contiguous(memory_format=torch.channels_last))
        return self._told.loss({self._output: answer}, inputs, batch)

    def settle(self, share: float) -> None:
        pass

    def settle_norms(self, samples: Samples, rows: int) -> None:
        for norm in _norms(self._module):
            norm.running_mean, norm.running_var = torch.zeros(norm.num_features), torch.ones(norm.num_features)
            norm.momentum = None  # the mean over all batches
            norm.num_batches_tracked.zero_()
        with torch.no_grad():
            for batch in samples.take(range(len(samples) // rows * rows)).batches(rows):
                self._module(*(torch.from_numpy(x) for x in batch.inputs.values()))


def _loaded() -> nn.Module:
    spec = importlib.util.spec_from_file_location("models", SHARED / "models.py")
    assert spec is not None and spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    module: nn.Module = getattr(models, FACTORY)()
    module.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return module.eval()


def _cut(module: nn.Module, example: Tensor, macs: int) -> None:
    """The last step that leaves as many MACs; found on a copy, as a step cannot be taken back."""
    import torch_pruning  # type: ignore[import-not-found]

    def steps(one: nn.Module) -> Iterator[nn.Module]:
        pruner = torch_pruning.pruner.MagnitudePruner(
            one,
            example,
            torch_pruning.importance.MagnitudeImportance(p=2),
            global_pruning=True,
            round_to=8,
            pruning_ratio=MOST,
            iterative_steps=STEPS,
            ignored_layers=_left_alone(one),
        )
        for _ in range(STEPS):
            pruner.step()
            yield one

    enough = sum(1 for _ in takewhile(lambda one: _macs(one, example) >= macs, steps(copy.deepcopy(module))))
    for _ in islice(steps(module), enough):
        pass


def _left_alone(module: nn.Module) -> list[nn.Module]:
    """All but the first layers of blocks."""
    layers = {name: one for name, one in module.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)}
    return [one for name, one in layers.items() if not name.endswith(".conv1")]


def _macs(module: nn.Module, example: Tensor) -> int:
    """Of convolutions and linear layers."""
    found = []

    def count(layer: nn.Module, _: object, made: Tensor) -> None:
        found.append(made[0].numel() * layer.weight[0].numel())

    hooks = [one.register_forward_hook(count) for one in module.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        module(example)
    for hook in hooks:
        hook.remove()
    return sum(found)


def _norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [one for one in module.modules() if isinstance(one, nn.BatchNorm2d)]
