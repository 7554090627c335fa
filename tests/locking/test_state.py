from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.locking.state import NOTHING, State, read_state, state_path, write_state


def test_what_is_written_is_read(tmp_path: Path) -> None:
    state = State(
        running="ab",
        outputs={"net.onnx": ["1", "2"]},
        hashes={"/a": ((1, 2, 3, 4), "cd")},
        distributions={"sklearn": ["scikit-learn"]},
    )
    path = state_path(Path("recipes/mine.toml"), tmp_path)
    write_state(path, state)
    assert path == tmp_path / ".mine.build.json"
    assert read_state(path) == state


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"running": null, "outputs": 3, "hashes": {}, "distributions": {}}'])
def test_one_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state").write_text(text)
    assert read_state(tmp_path / "state") == NOTHING
    assert read_state(tmp_path / "gone") == NOTHING
