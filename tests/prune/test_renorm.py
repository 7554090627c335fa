import numpy as np
import pytest
import torch

from edgekit.graph.check import checked
from edgekit.prune.choose import Goal, choose
from edgekit.prune.cut import cut, survivors
from edgekit.prune.groups import channel_groups
from edgekit.prune.renorm import Moments, folded, moments, norm, normed
from edgekit.prune.score import norms as weight_norms
from edgekit.run.torch_view import to_torch
from tests.models import run
from tests.prune import nets

X = np.random.default_rng(0).normal(0, 1, (16, *nets.Image[1:])).astype(np.float32)
INPUT = {"x": torch.from_numpy(X)}
EQUAL = 1e-5  # of sums in another order


def transposed():
    net = nets.image()
    a = net.op("Relu", net.op("ConvTranspose", "x", net.w(3, 6, 2, 2), name="a", strides=[2, 2]))
    net.head(net.op("Relu", net.conv(a, 6, 8, name="b")), 8)
    return net.graph()


def untouched(graph):
    """Norms that leave the graph what it is on the batch."""
    found = moments(to_torch(graph), [INPUT], normed(graph))
    return {name: norm(one) for name, one in found.items()}, found


@pytest.mark.parametrize(
    "build", [nets.chain, nets.residual, nets.depthwise, nets.grouped, transposed], ids=lambda build: build.__name__
)
def test_norms_are_folded_exactly(build) -> None:
    graph = build()
    norms, _ = untouched(graph)
    assert norms
    view = to_torch(graph)
    plain = view(INPUT)["y"].detach()
    torch.testing.assert_close(view(INPUT, None, norms)["y"], plain, rtol=EQUAL, atol=EQUAL)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in norms.values():
            one.gain.mul_(torch.rand(one.gain.shape, generator=rng) + 0.5)
            one.shift.add_(torch.rand(one.shift.shape, generator=rng))
    wanted = view(INPUT, None, norms)["y"].detach()
    found = folded(graph, norms, moments(view, [INPUT], list(norms), norms))
    np.testing.assert_allclose(run(checked(found), {"x": X})["y"], wanted.numpy(), rtol=EQUAL, atol=EQUAL)
    assert float((wanted - plain).abs().max()) > 0.01
    assert len(found.graph) == len(graph.graph)


def test_a_cut_graph_gets_the_statistics_back_that_it_had() -> None:
    graph = nets.chain()
    channels = channel_groups(graph)
    gone = choose(graph, channels, weight_norms(graph, channels), Goal(share=0.5, multiple=1)).gone
    small, left = cut(graph, channels, gone), survivors(channels, gone)
    before = moments(to_torch(graph), [INPUT], normed(small))
    assert not all(mask.all() for mask in left.values())
    norms = {name: norm(one.of(left[name])) for name, one in before.items()}
    mended = folded(small, norms, moments(to_torch(small), [INPUT], list(norms), norms))
    for name, one in moments(to_torch(mended), [INPUT], list(norms)).items():
        wanted = before[name].of(left[name])
        torch.testing.assert_close(one.mean, wanted.mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.variance, wanted.variance, rtol=1e-4, atol=1e-5)


def test_moments_are_of_all_batches() -> None:
    graph = nets.chain()
    halves = [{"x": INPUT["x"][:8]}, {"x": INPUT["x"][8:]}]
    (name, whole), *_ = moments(to_torch(graph), [INPUT], normed(graph)).items()
    found = moments(to_torch(graph), halves, [name])[name]
    torch.testing.assert_close(found.mean, whole.mean)
    torch.testing.assert_close(found.variance, whole.variance)


def test_a_channel_that_never_moves_has_no_norm_that_blows_it_up() -> None:
    still = norm(Moments(torch.tensor([1.0, 2.0]).double(), torch.tensor([0.0, 4.0]).double()))
    assert float(still.gain[0].detach()) == pytest.approx(np.sqrt(2e-5), rel=1e-3)
    assert float(norm(Moments(torch.zeros(1).double(), torch.zeros(1).double())).gain.detach()) > 0


def test_where_there_may_be_norms() -> None:
    """Not behind weights that two ops share, nor at one place, nor in front of the output."""
    found = {build.__name__: len(normed(build())) for build in (nets.residual, nets.shared, nets.squeeze_excite)}
    assert found == {"residual": 3, "shared": 0, "squeeze_excite": 1}
    net = nets.image()
    head = net.conv(net.op("Relu", net.conv("x", 3, 4, name="a")), 4, 2, name="y")
    assert normed(net.graph(head)) == ["a"]
