"""From a device at hand to a file that estimates are made of."""

from __future__ import annotations

import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from edgekit import fitting, profiling
from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.profile import address, answer, design
from edgekit.profile.advice import Advice
from tests.profile.nets import onnx_file, tflite_file
from tests.profile.ssh_server import Server
from tests.profile.test_advice import device as probed

WANTED = {"inverted 40x6@28", "basic 96@28", "ghost 104@14", "depthwise 3 96@56", "pointwise 128-128@28", "row 256-10"}
FEW = tuple(net for net in design.nets() if net.name in WANTED)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "BURST_S", 0.01)
    monkeypatch.setattr(fitting, "EVICT_BYTES", 2**16)


@pytest.fixture(scope="module")
def fitted() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "BURST_S", 0.01)
        return fitting.fit_device("local", name="here", design=FEW)


def test_each_runtime_and_precision_has_parameters(fitted: Any) -> None:
    assert fitted.nets == 4 * len(FEW)
    assert not fitted.skipped
    kinds = {(model.runtime, model.precision) for model in fitted.device.latency}
    assert kinds == {(runtime, precision) for runtime in ("litert", "onnxruntime") for precision in ("float32", "int8")}
    assert set(fitted.device.formats) == {"tflite", "onnx"}
    for model in fitted.device.latency:
        assert model.factors
        assert model.version
        assert model.source.startswith("measured: ")


def test_its_file_estimates_models(fitted: Any, tmp_path: Path) -> None:
    place = fitting.place_of("local", None, tmp_path / "here.toml", overwrite=False)
    fitting.write(fitted.device, place, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["here.toml"]
    for make, runtime in ((onnx_file, "onnxruntime"), (tflite_file, "litert")):
        for integers in (False, True):
            (found,) = profiling.prospects([make(tmp_path, integers=integers)], str(place.path))
            (estimate,) = found.estimates
            assert estimate.runtime == runtime
            assert 0 < estimate.low_s < estimate.seconds < estimate.high_s
    with pytest.raises(EdgekitError, match="EK195"):
        fitting.write(fitted.device, place, overwrite=False)


def test_over_ssh_nothing_is_left_there(server: Server) -> None:
    found = fitting.fit_device(server.address, name="there", python=sys.executable, design=FEW[:1] + FEW[-2:])
    assert found.device.latency
    assert server.left_behind() == []
    assert Device.model_validate(found.device.model_dump()) == found.device


def test_no_runtime_nothing_to_fit(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(EdgekitError, match=r"(?s)EK739.*TFLite: .*ONNX: "):
        fitting.fit_device("local", name="here", python=str(tmp_path / "bare" / "bin" / "python"))


def test_a_format_that_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Advice(format="onnx", state="impossible", why="onnxruntime has no wheel for armv7l")
    works = Advice(format="tflite", state="works", runtime="ai-edge-litert")
    found = profiling.Condition("local", profiling.probe("local").found, (works, missing))
    monkeypatch.setattr(profiling, "probe", lambda *_, **__: found)
    fitted = fitting.fit_device("local", name="here", design=FEW)
    assert [(one.what, one.why) for one in fitted.skipped] == [("ONNX", "onnxruntime has no wheel for armv7l")]
    assert fitted.device.formats == ("tflite",)


def test_too_few_nets_ran() -> None:
    drawn, _ = fitting._draw(FEW[:1], ["onnx"], True, fitting.SILENT)
    nothing = answer.Net(seconds=(), failed="no kernel for Conv")
    state = probed("3.11.2")
    swept = answer.Swept.model_construct(
        system=state.system, before=state.before, after=state.before, runtimes={}, nets=(nothing,) * len(drawn)
    )
    with pytest.raises(EdgekitError, match=r"(?s)EK741.*0 of 1 nets in float32"):
        fitting._models(address.parsed("local"), drawn, swept, 1, lambda _: None)


@pytest.mark.parametrize(
    ("on", "name", "path", "found"),
    [
        ("local", None, None, ("this-machine", "this-machine.toml")),
        ("ssh://pi@raspberrypi.local", None, None, ("raspberrypi-local", "raspberrypi-local.toml")),
        ("adb://R58M_12", None, None, ("r58m-12", "r58m-12.toml")),
        ("local", "my-board", "a/b.toml", ("my-board", "a/b.toml")),
    ],
)
def test_what_it_is_called(on: str, name: str | None, path: str | None, found: tuple[str, str]) -> None:
    place = fitting.place_of(on, name, None if path is None else Path(path), overwrite=False)
    assert (place.name, str(place.path)) == found


@pytest.mark.parametrize(
    ("name", "path", "code", "fix"),
    [
        ("My Board", None, "EK740", "--name my-board"),
        ("-", None, "EK740", "--name my-board"),
        (None, "board.json", "EK742", "-o board.toml"),
    ],
)
def test_what_it_cannot_be_called(name: str | None, path: str | None, code: str, fix: str) -> None:
    with pytest.raises(EdgekitError, match=code) as raised:
        fitting.place_of("local", name, None if path is None else Path(path), overwrite=False)
    assert fix in raised.value.fix


def test_a_file_in_the_way_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("")
    with pytest.raises(EdgekitError, match="EK195"):
        fitting.place_of("local", None, tmp_path / "x.toml", overwrite=False)
    assert fitting.place_of("local", None, tmp_path / "x.toml", overwrite=True).path.name == "x.toml"
