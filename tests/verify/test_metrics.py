from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.samples import Batch
from edgekit.verify import metrics
from edgekit.verify.metrics import CEILING_DB, METRICS, choose, per_sample, psnr, sqnr

SCORES = np.array([[0.1, 0.7, 0.7, 0.0, -1, -2, -3], [0.9, 0.0, 0.0, 0.0, 0.0, 0.5, 0.4]], np.float32)


def batch(labels: Any = None, targets: Arrays | None = None) -> Batch:
    count = 2
    return Batch(
        inputs={"x": np.zeros((count, 1), np.float32)},
        ids=tuple(map(str, range(count))),
        labels=None if labels is None else np.asarray(labels, np.int64),
        targets=targets,
    )


def values(name: str, outputs: NDArray[Any], given: Batch, reference: Arrays | None = None) -> list[float]:
    return list(per_sample(METRICS[name], {"y": outputs}, given, reference or {}))


class TestChoice:
    def test_suits_the_samples(self) -> None:
        assert choose(None, labels=True, target_rank=None).name == "top1"
        assert choose(None, labels=False, target_rank=4).name == "psnr"
        assert choose(None, labels=False, target_rank=2).name == "mse"
        assert choose(None, labels=False, target_rank=None).name == "sqnr"
        assert choose("mae", labels=False, target_rank=2).name == "mae"

    def test_unknown(self) -> None:
        with pytest.raises(EdgekitError, match=r"did you mean `--metric top1`") as caught:
            choose("topp1", labels=True, target_rank=None)
        assert caught.value.code == "EK601"
        with pytest.raises(EdgekitError, match="leave --metric out"):
            choose("zzz", labels=True, target_rank=None)

    @pytest.mark.parametrize(("name", "needs"), [("top5", "labels"), ("cosine", "targets")])
    def test_needs_what_is_not_there(self, name: str, needs: str) -> None:
        with pytest.raises(EdgekitError, match=f"needs {needs}") as caught:
            choose(name, labels=False, target_rank=None)
        assert caught.value.code == "EK602"


class TestClasses:
    def test_of_equal_columns_the_first_counts(self) -> None:
        assert values("top1", SCORES, batch([1, 0])) == [1, 1]
        assert values("top1", SCORES, batch([2, 5])) == [0, 0]

    def test_top5_keeps_the_order_of_equals(self) -> None:
        assert values("top5", SCORES, batch([4, 3])) == [1, 0]
        assert values("top5", SCORES, batch([5, 2])) == [0, 1]

    def test_the_first_output_with_columns_gives_the_classes(self) -> None:
        outputs = {"boxes": np.zeros((2, 3, 4)), "score": np.zeros((2, 1)), "classes": SCORES}
        assert metrics.class_scores(outputs) is SCORES
        assert metrics.top1({"boxes": np.zeros((2, 3, 4))}) is None

    def test_no_classes(self) -> None:
        with pytest.raises(EdgekitError) as caught:
            values("top1", np.zeros((2, 1)), batch([0, 0]))
        assert caught.value.code == "EK603"

    @pytest.mark.parametrize("labels", [[0, 7], [-1, 0]])
    def test_labels_outside(self, labels: list[int]) -> None:
        with pytest.raises(EdgekitError, match="has 7 classes") as caught:
            values("top1", SCORES, batch(labels))
        assert caught.value.code == "EK606"


class TestDistances:
    def test_mse_mae_and_cosine(self) -> None:
        y, t = np.array([[1.0, 2.0], [0.0, 0.0]]), {"targets": np.array([[1.0, 4.0], [0.0, 0.0]])}
        assert values("mse", y, batch(targets=t)) == [2, 0]
        assert values("mae", y, batch(targets=t)) == [1, 0]
        assert values("cosine", y, batch(targets=t)) == [pytest.approx(9 / np.sqrt(5 * 17)), 1]
        assert values("cosine", y, batch(targets={"t": np.array([[0.0, 0.0], [1.0, 0.0]])})) == [0, 0]

    @pytest.mark.parametrize(
        ("low", "high", "peak"), [(0, 1, 1), (0, 0.5, 1), (0, 1.5, 255), (-1, 1, 2), (0, 300, 300)]
    )
    def test_psnr_takes_its_peak_from_the_targets(self, low: float, high: float, peak: float) -> None:
        assert psnr(np.array([0.01, 0.0]), low, high) == pytest.approx([20 * np.log10(peak) + 20, CEILING_DB])

    def test_sqnr(self) -> None:
        exact, y = {"y": np.array([[3.0, 4.0], [0, 0], [0, 0]])}, {"y": np.array([[3.0, 4.5], [0, 0], [1, 0]])}
        assert sqnr(y, exact)["y"] == pytest.approx([20, CEILING_DB, -CEILING_DB])
        assert per_sample(METRICS["sqnr"], y, batch(), exact) == pytest.approx([20, CEILING_DB, -CEILING_DB])

    def test_targets_find_their_outputs(self) -> None:
        outputs = {"a": np.zeros((2, 1)), "b": np.ones((2, 1))}
        assert list(metrics.targets_of(batch(targets={"targets": SCORES}), outputs)) == ["a"]
        assert list(metrics.targets_of(batch(targets={"b": SCORES}), outputs)) == ["b"]
        with pytest.raises(EdgekitError, match="no output for the target 'c'") as caught:
            metrics.targets_of(batch(targets={"a": SCORES, "c": SCORES}), outputs)
        assert caught.value.code == "EK604"

    def test_targets_of_the_wrong_size(self) -> None:
        with pytest.raises(EdgekitError) as caught:
            values("mse", np.zeros((2, 3)), batch(targets={"t": np.zeros((2, 4))}))
        assert caught.value.code == "EK605"


def test_the_autoencoders_published_score(shared: Path) -> None:
    torch = pytest.importorskip("torch")
    data = np.load(shared / "data" / "ad01_windows.npz")
    weights = torch.load(shared / "data" / "weights" / "mlperf_ad_autoencoder.pt", weights_only=True)
    assert {tuple(t.shape) for t in weights.values()}  # a plain dict of tensors
    module = _factory(shared / "data" / "models.py", "FCAutoEncoder")()
    module.load_state_dict(weights)
    with torch.inference_mode():
        y = module.eval()(torch.from_numpy(data["inputs"])).numpy()
    given = Batch(inputs={"x": data["inputs"]}, ids=("",) * len(y), labels=None, targets={"targets": data["targets"]})
    assert np.mean(values("mse", y, given)) == pytest.approx(9.4913, abs=5e-5)


def _factory(path: Path, name: str) -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("shared_models", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


class TestInfinities:
    EXACT = np.array([[1.0, -np.inf, 2.0, np.inf]] * 2, np.float32)

    def test_the_same_ones_are_neither_noise_nor_signal(self) -> None:
        y = self.EXACT.copy()
        y[1, 0] += 0.5
        found = sqnr({"y": y}, {"y": self.EXACT})["y"]
        assert found == pytest.approx([CEILING_DB, 10 * np.log10(5 / 0.25)])

    @pytest.mark.parametrize(("place", "number"), [(1, -3e38), (1, np.inf), (0, np.inf), (3, 3e38)])
    def test_one_that_is_missed_or_made_up_is_all_noise(self, place: int, number: float) -> None:
        y = self.EXACT.copy()
        y[0, place] = number
        assert list(sqnr({"y": y}, {"y": self.EXACT})["y"]) == [-CEILING_DB, CEILING_DB]

    def test_nothing_but_infinities(self) -> None:
        y = np.full((2, 3), -np.inf, np.float32)
        assert list(sqnr({"y": y}, {"y": y})["y"]) == [CEILING_DB] * 2


@given(arrays(np.float32, (5, 3), elements=st.floats(-9, 9, width=32)), st.integers(1, 20))
def test_large_outputs_are_judged_part_by_part(x, part):
    y = np.flip(x, 0)
    whole = metrics.sqnr({"y": y}, {"y": x})["y"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "PART", part)
        assert len(list(metrics.parts(x))) == -(-5 // max(1, part // 3))
        np.testing.assert_array_equal(metrics.sqnr({"y": y}, {"y": x})["y"], whole)
