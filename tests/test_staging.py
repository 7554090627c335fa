from pathlib import Path

import pytest

from edgekit import staging
from edgekit.errors import EdgekitError


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_appear_together_at_the_end(tmp_path):
    out = tmp_path / "a" / "b"
    with staging.staged(out) as folder:
        (folder / "one").write_text("1")
        (folder / "two").write_text("2")
        assert not (out / "one").exists()
    assert names_in(out) == ["one", "two"]


def test_folders_in_it_are_not_kept(tmp_path):
    with staging.staged(tmp_path / "out") as folder:
        (folder / "unkept").mkdir()
        (folder / "unkept" / "file").write_text("")
        (folder / "kept").write_text("")
    assert names_in(tmp_path / "out") == ["kept"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path, failure):
    with pytest.raises(failure), staging.staged(tmp_path / "a" / "b") as folder:
        (folder / "one").write_text("1")
        raise failure
    assert names_in(tmp_path) == []


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one").write_text("old")
    with pytest.raises(ValueError), staging.staged(tmp_path / "out") as folder:
        (folder / "one").write_text("new")
        raise ValueError
    assert (tmp_path / "out" / "one").read_text() == "old"
    assert names_in(tmp_path / "out") == ["one"]


def test_an_empty_folder_that_was_there_stays(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError), staging.staged(tmp_path / "out" / "in"):
        raise ValueError
    assert names_in(tmp_path) == ["out"]


def test_existing_files_are_replaced(tmp_path):
    (tmp_path / "one").write_text("old")
    with staging.staged(tmp_path) as folder:
        (folder / "one").write_text("new")
    assert (tmp_path / "one").read_text() == "new"


def test_existing_outputs_are_refused_unless_asked(tmp_path):
    (tmp_path / "one").write_text("")
    with pytest.raises(EdgekitError, match="1 of the 2 outputs exist") as refused:
        staging.refuse_existing(tmp_path, ["one", "two"], overwrite=False)
    assert refused.value.code == "EK195"
    assert "one" in refused.value.what
    staging.refuse_existing(tmp_path, ["one", "two"], overwrite=True)
    staging.refuse_existing(tmp_path, ["two"], overwrite=False)


def test_only_named_files_are_replaced_and_somebody_sees_the_new_ones_first(tmp_path):
    (tmp_path / "one").write_text("old")
    (tmp_path / "two").write_text("old")
    seen = []
    mine = staging.Placing(frozenset({"one"}), lambda folder: seen.append(names_in(folder)), "move it away")
    with pytest.raises(EdgekitError, match="two") as refused:
        staging.refuse_existing(tmp_path, ["one", "two"], overwrite=False, placing=mine)
    assert refused.value.fix == "move it away"
    staging.refuse_existing(tmp_path, ["one"], overwrite=False, placing=mine)
    with staging.staged(tmp_path, mine) as folder:
        (folder / "one").write_text("new")
    assert seen == [["one"]]
    assert (tmp_path / "one").read_text() == "new"


def test_a_folder_is_never_overwritten(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(EdgekitError, match="it is a folder") as refused:
        staging.refuse_existing(tmp_path, ["one"], overwrite=True)
    assert refused.value.code == "EK195"


@pytest.mark.parametrize("inside", ["", "a/b"])
def test_a_file_in_the_way(tmp_path, inside):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgekitError) as refused, staging.staged(tmp_path / "file" / inside):
        pass
    assert refused.value.code == "EK196"
    assert names_in(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging.tempfile, "mkdtemp", full)
    with pytest.raises(EdgekitError, match="No space left") as refused, staging.staged(tmp_path / "a" / "b"):
        pass
    assert refused.value.code == "EK196"
    assert not Path(tmp_path / "a").exists()
