"""Places in the user's code, and what is said when the code fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.user_code import Place, called, is_users, place

CODE = """
import json
class Box:
    @staticmethod
    def make():
        return 3
value = 4
def wants(argument): ...
def raises():
    return json.loads("{")
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "my_place.py"
    path.write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield path
    sys.modules.pop("my_place", None)


def test_place() -> None:
    assert place("a/b.py:make") == Place(Path("a/b.py"), "b", "make")
    assert place("a.b:C.make") == Place(None, "a.b", "C.make")
    assert str(place("a.b:C.make")) == "a.b:C.make"
    for spec in ("model.pt", "C:/model.pt", "a.py:", "a.py:1x", ":x", "a/b:make"):
        assert place(spec) is None


def at(spec: str) -> Place:
    found = place(spec)
    assert found is not None
    return found


def test_called(code: Path) -> None:
    assert called(at(f"{code}:Box.make")) == 3
    assert called(at(f"{code}:value")) == 4
    assert called(at("my_place:Box.make")) == 3
    assert str(code.parent) not in sys.path


@pytest.mark.parametrize(
    ("spec", "code_", "said"),
    [
        ("my_place.py:Bx", "EK107", "did you mean 'Box'?"),
        ("my_place.py:zzzzz", "EK107", "it defines Box, wants, raises"),
        ("gone.py:make", "EK107", "does not exist"),
        ("no_such_package.module:make", "EK107", "no module named 'no_such_package'"),
        ("my_place.py:wants", "EK108", "missing 1 required positional argument"),
        ("my_place.py:raises", "EK108", "JSONDecodeError: Expecting property name"),
        ("my_place.py:raises", "EK108", "(my_place.py:10, in raises)"),
        ("broken.py:make", "EK108", "(broken.py:1)"),
        ("needs.py:make", "EK108", "No module named 'no_such_package'"),
    ],
)
@pytest.mark.usefixtures("code")
def test_what_fails(spec: str, code_: str, said: str) -> None:
    Path("broken.py").write_text("def :\n")
    Path("needs.py").write_text("import no_such_package\n")
    with pytest.raises(EdgekitError, match=code_) as raised:
        called(at(spec))
    assert said in str(raised.value)


def test_whose_code() -> None:
    assert is_users(__file__)
    assert not is_users("<string>")
    assert not is_users("/x/site-packages/torch/nn.py")
    assert not is_users(Path(sys.modules["edgekit.errors"].__file__ or "").as_posix())
