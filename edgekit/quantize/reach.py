"""How far a value goes beyond the few samples that were seen.

The largest value of one sample is the maximum of many numbers, whose distribution over samples is close to Gumbel's:
with mean m and deviation s over n samples, the next one exceeds

    m + K s sqrt(1 + 1/n)        K = -(sqrt(6) / pi) (gamma + ln(-ln(1 - p)))

with probability p, where the largest of n samples is exceeded with probability 1 / (n + 1): one time in five after four
samples. A deviation of few samples says little, so it is taken together with what the other values of the model have
relative to their means. An extreme that two samples share is a bound (a clip's, a pixel's), and nothing goes beyond it.

Sources: Gumbel 1958, "Statistics of Extremes", chapter 5; shrinking towards the common variance as in Smyth 2004,
"Linear models and empirical Bayes methods", equation 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

ENOUGH = 16
"""Samples: from here on their own extremes serve better, as they did on the networks that this was tried on."""
CHANCE = 0.01  # p
GUMBEL = -math.sqrt(6) / math.pi * (np.euler_gamma + math.log(-math.log(1 - CHANCE)))  # K
PRIOR = 4  # samples: what the other values' deviation counts for

Extremes = Mapping[str, NDArray[np.float32]]
"""Value -> (n, 2) the smallest and the largest number in each sample."""


def reaches(extremes: Extremes) -> dict[str, tuple[float, float]]:
    """Value -> the range that the next sample hardly leaves; it holds 0 and everything seen."""
    # In order, so that sums do not depend on how the samples came.
    ends = {
        name: [np.sort(np.maximum(end, 0.0)) for end in (-both[:, 0], both[:, 1])] for name, both in extremes.items()
    }
    free = [end for both in ends.values() for end in both if _is_free(end)]
    common = float(np.median([np.var(end, ddof=1) / np.mean(end) ** 2 for end in free])) if free else 0.0
    return {name: (-_reach(low, common), _reach(high, common)) for name, (low, high) in ends.items()}


def _is_free(end: NDArray[np.float32]) -> bool:
    """Not where one sample tells nothing of the next, or two of a bound."""
    return len(end) > 1 and np.count_nonzero(end == end.max()) == 1


def _reach(end: NDArray[np.float32], common: float) -> float:
    """end: (n,) how far each sample goes; common: squared relative deviation of the model's values."""
    seen, count = float(end.max()), len(end)
    if not _is_free(end) or count >= ENOUGH:
        return seen
    mean = float(np.mean(end, dtype=np.float64))
    own = float(np.var(end, ddof=1, dtype=np.float64))
    variance = ((count - 1) * own + PRIOR * common * mean**2) / (count - 1 + PRIOR)
    return max(seen, mean + GUMBEL * math.sqrt(variance * (1 + 1 / count)))
