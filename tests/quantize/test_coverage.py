import numpy as np

from edgekit.quantize.coverage import Coverage
from edgekit.run.observer import InputSeen


def test_values_beyond_the_calibrated_range_are_counted() -> None:
    seen = InputSeen(np.array([-1.0, 0.0], np.float32), np.array([1.0, 2.0], np.float32), whole=False)
    coverage = Coverage({"x": seen})
    assert coverage.of("x") is None
    coverage.update({"x": np.array([[-1.0, 2.0]], np.float32), "tokens": np.array([[7]])})
    coverage.update({"x": np.array([[-1.5, 2.5], [0.0, 9.0]], np.float32)})
    judged = coverage.of("x")
    assert judged is not None
    assert (judged.low, judged.high, judged.outside, judged.count) == (-1.5, 9.0, 3, 6)
