from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import EdgekitError
from edgekit.profile.placing import MOST_LIVES, Claim, aligned, height, lives, place

CLAIMS = st.lists(
    st.builds(
        lambda size, first, length: Claim(16 * size, first, first + length),
        st.integers(1, 40),
        st.integers(0, 12),
        st.integers(0, 6),
    ),
    max_size=25,
)


@given(CLAIMS)
def test_what_lives_together_does_not_overlap(claims: list[Claim]) -> None:
    offsets = place(claims)
    placed = list(zip(claims, offsets, strict=True))
    for (a, at), (b, bt) in combinations(placed, 2):
        together = a.first <= b.last and b.first <= a.last
        assert not together or at + a.size_bytes <= bt or bt + b.size_bytes <= at
    alive = [sum(c.size_bytes for c in claims if c.first <= op <= c.last) for op in range(20)]
    assert max(alive) <= height(claims, offsets) <= sum(claim.size_bytes for claim in claims)


def test_a_chain_takes_no_more_than_its_largest_pair() -> None:
    claims = [Claim(160, 0, 1), Claim(320, 1, 2), Claim(80, 2, 3), Claim(160, 3, 4)]
    assert height(claims, place(claims)) == 480


def test_a_gap_between_two_is_used_where_it_is_wide_enough() -> None:
    """The third lives only while the second is gone, so there is room below the first."""
    claims = [Claim(96, 0, 4), Claim(64, 0, 2), Claim(64, 3, 4), Claim(32, 2, 3)]
    offsets = place(claims)
    assert offsets[0] == 0
    assert offsets[1] == offsets[2] == 96
    assert offsets[3] == 160


def test_of_equals_the_last_is_placed_first() -> None:
    """What TFLM does, and why a file of the same ops can need more than its largest pair."""
    first, second = place([Claim(16, 0, 1), Claim(16, 1, 2)])
    assert (first, second) == (16, 0)


def test_nothing_to_place() -> None:
    assert place([]) == ()
    assert height([], ()) == 0


def test_alignment() -> None:
    assert [aligned(n) for n in (0, 1, 16, 17)] == [0, 16, 16, 32]
    assert aligned(9, 8) == 16


def test_a_plan_that_would_take_minutes_is_refused() -> None:
    claims = [Claim(16, 0, MOST_LIVES // 2), Claim(16, 0, MOST_LIVES // 2)]
    assert lives(claims) > MOST_LIVES
    with pytest.raises(EdgekitError, match="EK761"):
        place(claims)
