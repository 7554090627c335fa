from __future__ import annotations

import pytest

from edgekit.profile import micro_kernels
from edgekit.profile.flow import Op
from tests.profile.flows import flow, tensor


def op(kind: str, *shapes: tuple[int, ...], dtype: str = "int8") -> tuple[Op, object]:
    """An op of int8 tensors of these shapes, the last of which it makes."""
    made = flow(
        [tensor(str(i), *shape, dtype=dtype) for i, shape in enumerate(shapes)],
        [(kind, range(len(shapes) - 1), (len(shapes) - 1,))],
    )
    return made.ops[0], made


def test_measured_and_others_are_apart() -> None:
    assert not micro_kernels.OTHERS & micro_kernels.SETTINGS_DATA.keys()
    assert micro_kernels.is_measured("CONV_2D")
    assert not micro_kernels.is_measured("SVDF")


@pytest.mark.parametrize(("kind", "dtypes", "rank", "expected"), [
    ("CONV_2D", ("int8", "int8"), 4, ""),
    ("SVDF", ("int8",), 2, ""),
    ("POW", ("float32",), 2, "POW"),
    ("custom mine", ("int8",), 2, "custom mine"),
    ("DEQUANTIZE", ("int8",), 2, ""),
    ("DEQUANTIZE", ("float16",), 2, "DEQUANTIZE of float16"),
    ("GATHER", ("int8", "int32"), 2, ""),
    ("GATHER", ("int16", "int32"), 2, "GATHER of int16"),
    ("GATHER", ("int8", "int64"), 2, "GATHER at int64"),
    ("CONV_2D", ("float32", "int8"), 4, "CONV_2D of float32 by int8"),
    ("FULLY_CONNECTED", ("float32", "int4"), 2, "FULLY_CONNECTED of float32 by int4"),
    ("L2_POOL_2D", ("float32",), 4, ""),
    ("L2_POOL_2D", ("int8",), 4, "L2_POOL_2D of int8"),
    ("STRIDED_SLICE", ("int8",), 4, ""),
    ("STRIDED_SLICE", ("int8",), 5, "STRIDED_SLICE of 5 axes"),
])  # fmt: skip
def test_what_has_no_kernel(kind: str, dtypes: tuple[str, ...], rank: int, expected: str) -> None:
    shape = (1,) * rank
    tensors = [tensor(str(i), *shape, dtype=dtype) for i, dtype in enumerate((*dtypes, "int8"))]
    made = flow(tensors, [(kind, range(len(dtypes)), (len(dtypes),))])
    assert micro_kernels.missing(made.ops[0], made) == expected


@pytest.mark.parametrize(("kind", "shapes", "dtype", "expected"), [
    ("MEAN", ((1, 8, 8, 5), (2,), (1, 5)), "int8", (16, 8, 20)),
    ("SUM", ((1, 8, 8, 5), (2,), (1, 5)), "float32", (16, 8)),
    ("REDUCE_MAX", ((1, 8, 8, 5), (2,), (1, 5)), "int8", (16, 8)),
    ("REDUCE_MAX", ((8,), (8,)), "int8", ()),  # without axes: no such file is valid
    ("ADD_N", ((1, 8), (1, 8), (1, 8), (1, 8)), "int8", (24,)),
    ("MIRROR_PAD", ((1, 8), (2, 2), (1, 10)), "int8", (8, 8)),
    ("TRANSPOSE_CONV", ((4,), (7, 3, 3, 5), (1, 4, 4, 5), (1, 8, 8, 7)), "int8", (4 * 8 * 8 * 7,)),
    ("TRANSPOSE_CONV", ((4,), (7, 3, 3, 5), (1, 4, 4, 5), (1, 8, 8, 7)), "int16", (8 * 8 * 8 * 7,)),
    ("TRANSPOSE_CONV", ((4,), (7, 3, 3, 5), (1, 4, 4, 5), (1, 8, 8, 7)), "float32", ()),
    ("CONV_2D", ((1, 8, 8, 5), (7, 3, 3, 5), (1, 8, 8, 7)), "int8", ()),
])  # fmt: skip
def test_scratch(kind: str, shapes: tuple[tuple[int, ...], ...], dtype: str, expected: tuple[int, ...]) -> None:
    assert micro_kernels.scratch(*op(kind, *shapes, dtype=dtype)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "shapes", "expected"), [
    ("CONV_2D", ((1, 8, 8, 5), (7, 3, 3, 5), (1, 8, 8, 7)), (28, 28)),
    ("DEPTHWISE_CONV_2D", ((1, 8, 8, 5), (1, 3, 3, 5), (1, 8, 8, 5)), (20, 20)),
    ("TRANSPOSE_CONV", ((4,), (7, 3, 3, 5), (1, 4, 4, 5), (1, 8, 8, 7)), (28, 28)),
    ("FULLY_CONNECTED", ((1, 5), (7, 5), (1, 7)), ()),  # one scale for all weights
    ("GATHER", ((5, 8), (3,), (3, 8)), (12,)),
    ("GATHER_ND", ((5, 8), (3, 1), (3, 8)), (12,)),
    ("ADD_N", ((1, 8), (1, 8), (1, 8)), (40,)),
    ("BATCH_MATMUL", ((2, 3), (3, 4), (2, 4)), (40, 12, 12, 12, 28)),
    ("SOFTMAX", ((1, 4), (1, 4)), ()),
    ("CONV_2D", ((1, 8),), ()),  # nothing to convolve: no such file is valid
])  # fmt: skip
def test_kept(kind: str, shapes: tuple[tuple[int, ...], ...], expected: tuple[int, ...]) -> None:
    assert micro_kernels.kept_when_prepared(*op(kind, *shapes)) == expected  # type: ignore[arg-type]


def test_a_fully_connected_layer_keeps_its_channels_where_it_has_several_scales() -> None:
    tensors = [tensor("x", 1, 5), tensor("w", 7, 5, constant=True, scales=7), tensor("y", 1, 7)]
    made = flow(tensors, [("FULLY_CONNECTED", (0, 1), (2,))])
    assert micro_kernels.kept_when_prepared(made.ops[0], made) == (28, 28)


def test_softmax_in_int16_keeps_two_tables() -> None:
    assert micro_kernels.kept_when_prepared(*op("SOFTMAX", (1, 4), (1, 4), dtype="int16")) == (1026, 1026)  # type: ignore[arg-type]


def test_an_op_without_tensors_asks_for_nothing() -> None:
    made = flow([tensor("x", 4)], [("MEAN", (), ())])
    assert micro_kernels.scratch(made.ops[0], made) == ()
    assert micro_kernels.kept_when_prepared(made.ops[0], made) == ()


def test_what_was_not_measured_is_guessed() -> None:
    made, _ = op("SVDF", (1, 4), (1, 4))
    assert micro_kernels.kept_at_start(made) == micro_kernels.GUESSED_DATA
    assert micro_kernels.settings_bytes(made) == micro_kernels.GUESSED_SETTINGS


def test_convolutions_look_twice() -> None:
    made, _ = op("CONV_2D", (1, 8, 8, 5), (7, 3, 3, 5), (1, 8, 8, 7))
    assert len(micro_kernels.peeks(made)) == 6
    for kind, looks in (("SOFTMAX", 2), ("TANH", 3)):
        made, _ = op(kind, (1, 4), (1, 4))
        assert len(micro_kernels.peeks(made)) == looks
