"""Answers that are computed once and read again."""

import numpy as np
import pytest

from edgekit.run.tape import Tape


def answers(asked):
    for i in range(4):
        asked.append(i)
        yield {"y": np.full((2, 3), i, np.float32)}


def test_what_is_played_again_is_not_computed_again():
    asked = []
    with Tape(answers(asked)) as tape:
        first = [float(answer["y"][0, 0]) for answer in tape.play()]
        again = [float(answer["y"][1, 2]) for answer in tape.play()]
    assert first == again == [0, 1, 2, 3]
    assert asked == [0, 1, 2, 3]


def test_a_player_that_stopped_early_leaves_the_rest_to_the_next():
    asked = []
    with Tape(answers(asked)) as tape:
        player = tape.play()
        next(player)
        assert asked == [0]
        assert len(list(tape.play())) == 4
    assert asked == [0, 1, 2, 3]


def test_nothing_recorded_is_nothing_played():
    with Tape(iter(())) as tape:
        assert list(tape.play()) == []


def test_an_error_of_the_source_is_raised():
    def broken():
        yield 1
        raise ValueError("no more")

    with Tape(broken()) as tape, pytest.raises(ValueError, match="no more"):
        list(tape.play())
