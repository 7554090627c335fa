"""SI numbers into words, and nowhere else: inside edgekit a size is in bytes, a time in seconds, a share in 0..1."""

from __future__ import annotations

import math

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_JOULES = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"))
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def size(n_bytes: int) -> str:
    """82344 -> '80.4 KiB'."""
    value, unit = float(n_bytes), _BYTES[0]
    for unit in _BYTES:
        if value < 1024 or unit == _BYTES[-1]:
            break
        value /= 1024
    return f"{n_bytes} B" if unit == "B" else f"{_three(value)} {unit}"


def time(seconds: float) -> str:
    """0.00123 -> '1.23 ms'."""
    factor, unit = _time_unit(seconds)
    return f"{_three(seconds / factor)} {unit}"


def times(*seconds: float) -> tuple[list[str], str]:
    """Several times in the unit that suits the first: (['1.23', '1.20', '1.31'], 'ms')."""
    factor, unit = _time_unit(seconds[0])
    return [_three(second / factor) for second in seconds], unit


def energies(*joules: float) -> tuple[list[str], str]:
    """Several energies in the unit that suits the first: (['152', '136'], 'mJ')."""
    factor, unit = next((pair for pair in _JOULES if joules[0] >= pair[0]), _JOULES[-1])
    return [_three(joule / factor) for joule in joules], unit


def energy(joules: float) -> str:
    """0.152 -> '152 mJ'."""
    (value,), unit = energies(joules)
    return f"{value} {unit}"


def power(watts: float) -> str:
    """6.392 -> '6.39 W'."""
    return f"{_three(watts)} W" if watts >= 1 or not watts else f"{_three(1e3 * watts)} mW"


def price(usd: float) -> str:
    """35.0 -> '35 USD'."""
    return f"{usd:g} USD"


def count(n: int) -> str:
    """41_012_345 -> '41.0 M'."""
    for factor, letter in _COUNTS:
        if n >= factor:
            return f"{_three(n / factor)} {letter}"
    return str(n)


def whole(n: int) -> str:
    """10000 -> '10 000'."""
    return f"{n:,}".replace(",", " ")


def percent(share: float, digits: int = 1) -> str:
    """0.99812 -> '99.8 %'; a share short of 1 never reads '100 %', one above 0 never '0 %'."""
    if not math.isfinite(share):
        return "-"
    if share == 1:
        return "100 %"
    text = f"{100 * share:.{digits}f}"
    step = 10.0**-digits
    if share < 1 and float(text) >= 100:
        text = f"{100 - step:.{digits}f}"
    if share > 0 and float(text) == 0:
        return f"<{step:.{digits}f} %"
    return f"{text} %"


def shape(dims: tuple[int | None, ...]) -> str:
    """(None, 3, 32, 32) -> 'Nx3x32x32'."""
    return "x".join("N" if dim is None else str(dim) for dim in dims) or "scalar"


def plural(n: int, noun: str) -> str:
    """3, 'op' -> '3 ops'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _time_unit(seconds: float) -> tuple[float, str]:
    for factor, unit in _SECONDS:
        if seconds >= factor:
            return factor, unit
    return _SECONDS[-1]


def _three(value: float) -> str:
    """About three digits: 1.23, 12.3, 123."""
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}"
