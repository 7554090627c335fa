import numpy as np
import pytest

from edgekit.graph import files
from edgekit.graph.check import checked
from edgekit.quantize.blocks import cut
from edgekit.quantize.trial import relative_error, scale_inputs, with_scale_inputs
from edgekit.run.trial import Trial
from tests.models import graph, node, weights
from tests.quantize.steps import observed

CHANNELS = 4


def stack(depth):
    """Residual blocks: a skip crosses every place where one could cut."""
    nodes, constants, x = [], {}, "x"
    for i in range(depth):
        constants |= {f"w{i}": weights(CHANNELS, CHANNELS, 3, 3, seed=i)}
        nodes.append(node("Conv", [x, f"w{i}"], [f"c{i}"], pads=(1, 1, 1, 1)))
        nodes.append(node("Relu", [f"c{i}"], [f"r{i}"]))
        nodes.append(node("Add", [f"r{i}", x], [f"a{i}" if i < depth - 1 else "y"]))
        x = f"a{i}"
    return graph({"x": (1, CHANNELS, 6, 6)}, nodes, constants)


STEP = observed(stack(6))
QUANTIZED = STEP.quantized()


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_group_is_searched_in_one_block(count):
    blocks = cut(STEP.model, QUANTIZED, STEP.plan, count)
    assert len(blocks) == count
    assert [group for block in blocks for group in block.groups] == list(STEP.plan.groups)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_blocks_one_after_the_other_are_the_whole(count):
    groups = [group.name for group in STEP.plan.groups]
    trial, feeds = Trial(files.to_bytes(STEP.model), STEP.rows), scale_inputs(STEP.scales())
    trial.open(files.to_bytes(with_scale_inputs(QUANTIZED, groups)))
    for block in cut(STEP.model, QUANTIZED, STEP.plan, count):
        checked(block.floats)
        quantized = files.to_bytes(with_scale_inputs(block.quantized, groups))
        trial.enter(files.to_bytes(block.floats), quantized, block.seen)
        found = relative_error(trial.block_errors(feeds))
        assert 0 < found < 0.02
        trial.leave(feeds, block.needed)
    assert found == pytest.approx(relative_error(trial.errors(feeds)), rel=1e-3)


def test_a_block_sees_what_it_hands_on_in_integers():
    first, *_ = cut(STEP.model, QUANTIZED, STEP.plan, 3)
    handed_on = [value.name for value in first.floats.graph.outputs]
    assert list(first.seen) == handed_on
    assert all(name in [value.name for value in first.quantized.graph.outputs] for name in first.seen.values())


def test_another_scale_shows_in_its_own_block():
    groups = [group.name for group in STEP.plan.groups]
    trial, scales = Trial(files.to_bytes(STEP.model), STEP.rows), STEP.scales()
    trial.open(files.to_bytes(with_scale_inputs(QUANTIZED, groups)))
    for block in cut(STEP.model, QUANTIZED, STEP.plan, 3):
        trial.enter(
            files.to_bytes(block.floats), files.to_bytes(with_scale_inputs(block.quantized, groups)), block.seen
        )
        good = relative_error(trial.block_errors(scale_inputs(scales)))
        for group in block.groups:
            coarse = type(scales[group.name])(
                np.asarray(scales[group.name].scale * np.float32(8)), 0, np.dtype(np.int8)
            )
            assert relative_error(trial.block_errors(scale_inputs({**scales, group.name: coarse}))) > 2 * good
        trial.leave(scale_inputs(scales), block.needed)
