import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.run.checkpoint import Checkpoint, check_checkpoint

STATE = {"step": 3, "learned": {"w": torch.arange(3.0)}, "losses": [0.5]}


def refused(call) -> str:
    with pytest.raises(EdgekitError) as error:
        call()
    return error.value.code


def test_what_is_written_is_read(tmp_path) -> None:
    path = tmp_path / "net.training"
    fresh = Checkpoint(path, "one", resume=False)
    assert fresh.read() is None
    fresh.write(STATE)
    found = Checkpoint(path, "one", resume=True).read()
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["learned"]["w"], torch.arange(3.0))
    assert [one.name for one in tmp_path.iterdir()] == ["net.training"]


def test_what_is_there_is_not_lost(tmp_path) -> None:
    path = tmp_path / "net.training"
    assert refused(lambda: check_checkpoint(path, resume=True)) == "EK922"
    check_checkpoint(path, resume=False)
    Checkpoint(path, "one", resume=False).write(STATE)
    assert refused(Checkpoint(path, "one", resume=False).read) == "EK924"
    assert refused(Checkpoint(path, "two", resume=True).read) == "EK923"
    check_checkpoint(path, resume=True)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_what_is_no_checkpoint(tmp_path, content) -> None:
    path = tmp_path / "net.training"
    path.write_bytes(content)
    assert refused(Checkpoint(path, "one", resume=True).read) == "EK923"


def test_another_kind_of_file(tmp_path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "net.training")
    assert refused(Checkpoint(tmp_path / "net.training", "one", resume=True).read) == "EK923"
    torch.save(torch.ones(2), tmp_path / "net.training")
    assert refused(Checkpoint(tmp_path / "net.training", "one", resume=True).read) == "EK923"


def test_a_folder_that_is_gone(tmp_path) -> None:
    assert refused(lambda: Checkpoint(tmp_path / "no" / "net.training", "one", resume=False).write(STATE)) == "EK196"
