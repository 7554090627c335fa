"""A graph as a torch.export archive computes what the graph does, for any batch, and is the same bytes every time."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from edgekit.capture import Source, capture, load
from edgekit.errors import EdgekitError
from edgekit.lower import program
from edgekit.lower.program import to_program
from tests.models import feeds, graph, node, run, weights


def net(name="image", batch_outputs=("y",)):
    nodes = [
        node("Conv", [name, "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["y"]),
    ]
    return graph({name: (1, 3, 8, 8)}, nodes, {"w": weights(6, 3, 3, 3)}, batch_outputs)


def opened(made, tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(made.data)
    return load(Source(path=str(path), inputs={}), None)


@pytest.mark.parametrize("name", ["image", "input.1", "serving_default_x:0", "class", "self", "1x"])
def test_it_computes_what_the_graph_does(tmp_path, name):
    model = net(name)
    made = to_program(model)
    assert made.batched
    loaded = opened(made, tmp_path)
    (given,) = feeds(model, 5).values()
    (found,) = loaded.run({loaded.inputs[0]: given})
    np.testing.assert_allclose(found, run(model, {name: given})["y"], rtol=1e-5, atol=1e-6)
    assert capture(loaded).graph.graph.inputs[0].name == loaded.inputs[0]


def test_several_inputs_and_outputs_in_their_order(tmp_path):
    nodes = [node("Add", ["x.1", "x_1"], ["s"]), node("Sub", ["x.1", "x_1"], ["d"])]
    model = graph({"x.1": (1, 4), "x_1": (1, 4)}, nodes, {}, ("d", "s"))
    loaded = opened(to_program(model), tmp_path)
    given = feeds(model, 3)
    found = loaded.run(dict(zip(loaded.inputs, given.values(), strict=True)))
    np.testing.assert_allclose(found[0], given["x.1"] - given["x_1"], rtol=1e-6)
    np.testing.assert_allclose(found[1], given["x.1"] + given["x_1"], rtol=1e-6)


def test_the_same_graph_gives_the_same_bytes_in_another_process():
    code = (
        "import hashlib; from tests.lower.test_program import net, to_program;"
        "print(hashlib.sha256(to_program(net()).data).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    data = to_program(net()).data
    assert hashlib.sha256(data).hexdigest() == other
    assert b"edgekit/run" not in data  # nor where edgekit stands


def test_one_sample_at_a_time_where_an_open_batch_cannot_be_followed(monkeypatch, tmp_path):
    exported = program._exported

    def fixed(model, example, batched):
        if batched:
            raise RuntimeError("Constraints violated (batch)")
        return exported(model, example, batched)

    monkeypatch.setattr(program, "_exported", fixed)
    made = to_program(net())
    assert not made.batched
    loaded = opened(made, tmp_path)
    given = feeds(net(), 3)["image"]
    (found,) = loaded.run({"image": given})
    np.testing.assert_allclose(found, run(net(), {"image": given})["y"], rtol=1e-5, atol=1e-6)


def test_what_torch_cannot_follow_is_told(monkeypatch):
    def refusing(*_):
        raise RuntimeError("cannot follow\nmany lines")

    monkeypatch.setattr(program, "_exported", refusing)
    with pytest.raises(EdgekitError, match="EK507") as refused:
        to_program(net())
    assert refused.value.why == "cannot follow"
