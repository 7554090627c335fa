import pytest

from edgekit.simplify.batch import settle_shapes
from edgekit.simplify.einsum import canonical_einsums
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

SIZES = {"t": 5, "s": 6, "h": 2, "d": 3, "c": 4, "i": 7, "j": 5}


def einsum(equation, constant=None):
    """Operands with a b are inputs; constant: the position of the one that is not."""
    terms = equation.split("->")[0].split(",")
    shapes = {f"x{i}": tuple(SIZES.get(letter, 1) for letter in term) for i, term in enumerate(terms)}
    constants = {f"x{i}": weights(*shapes.pop(f"x{i}")) for i in range(len(terms)) if i == constant}
    return settle_shapes(
        graph(shapes, [node("Einsum", [f"x{i}" for i in range(len(terms))], equation=equation)], constants)
    )


@pytest.mark.parametrize(
    ("equation", "constant"),
    [
        ("bhtd,bhsd->bhts", None),  # queries by keys
        ("bthd,bshd->bhts", None),
        ("bhts,bhsd->bhtd", None),
        ("bhts,bshd->bthd", None),
        ("btc,hcd->bhtd", 1),  # a projection for each head
        ("bhtd,hdc->btc", 1),
        ("bthc,hcd->bthd", 1),  # a matrix of its own for each head
        ("btc,ic->bti", 1),
        ("ij,bjc->bic", 0),  # a constant in front
        ("bt,bs->bts", None),  # an outer product
        ("btc,btc->bt", None),
        ("btc->bct", None),
        ("btc->btc", None),
    ],
)
def test_einsums_are_products(equation, constant):
    before = einsum(equation, constant)
    assert "Einsum" not in ops(kept(before, canonical_einsums(before), batch=2))


@pytest.mark.parametrize(("equation", "constant"), [("btc->bt", None), ("bti,sc->btc", 1)])
def test_sums_of_one_operand_alone_are_left(equation, constant):
    before = einsum(equation, constant)
    assert ops(kept(before, canonical_einsums(before))) == ["Einsum"]
