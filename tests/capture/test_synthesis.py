import numpy as np
import pytest
import torch
from torch import nn

from edgekit.capture.noise import noise
from edgekit.capture.shapes import Input
from edgekit.capture.synthesis import synthesized
from edgekit.errors import EdgekitError

IMAGE = [Input("image", (3, 16, 16), "float32")]
SIZE = 20.0  # of the training data's values


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.deep, self.deeper = nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(image)))
        return self.head(torch.relu(self.deeper(self.deep(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """Trained on smooth noise of SIZE, as far as its batch norms are concerned."""
    torch.manual_seed(0)
    net = Net()
    for norm in (net.norm, net.deeper):
        norm.momentum = None
    with torch.no_grad():
        for seed in range(4):
            net(torch.from_numpy(SIZE * noise(IMAGE, 32, 100 + seed)["image"]))
    return net.eval()


def synthesis(net: nn.Module, count: int = 20) -> np.ndarray:
    told: list[int] = []
    made = synthesized(net, IMAGE, count, told.append)["image"]
    assert sum(told) == count
    return made


def test_the_norms_take_it_for_their_training_data(net: nn.Module) -> None:
    made = synthesis(net)
    assert made.shape == (20, 3, 16, 16)
    assert made.dtype == np.float32
    assert 0.5 * SIZE < made.std() < 2 * SIZE
    with torch.no_grad():
        seen = net.conv(torch.from_numpy(made))
    mean, spread = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
    deviation = net.norm.running_var.sqrt()
    assert ((mean - net.norm.running_mean).abs() < 0.3 * deviation).all()
    assert torch.allclose(spread.sqrt(), deviation, rtol=0.3)


def test_the_same_every_time_and_the_model_stays(net: nn.Module) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    np.testing.assert_array_equal(synthesis(net, 3), synthesis(net, 3))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("kind", ["no norms", "a batch of one"])
def test_plain_noise_where_norms_cannot_say_more(kind: str) -> None:
    class One(Net):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image.reshape(1, 3, 16, 16))

    made = synthesis(One().eval() if kind == "a batch of one" else nn.Conv2d(3, 4, 1))
    np.testing.assert_array_equal(made[:16], noise(IMAGE, 16, 0)["image"])


def test_noise_is_smooth_and_of_deviation_one() -> None:
    x = noise([Input("x", (3, 20, 33), "float32")], 8, 0)["x"]
    assert x.shape == (8, 3, 20, 33)
    assert x.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(x, axis=3)).mean() < 0.5
    assert noise([Input("frames", (98, 40), "float32")], 2, 0)["frames"].std() == pytest.approx(1, abs=0.1)


def test_integers_are_not_made_up() -> None:
    with pytest.raises(EdgekitError, match=r"EK413.*token"):
        noise([*IMAGE, Input("token", (7,), "int64")], 2, 0)
