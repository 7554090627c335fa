from __future__ import annotations

from pathlib import Path

from edgekit.locking.sources import imported, imported_as, module_file


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def names(files: set[Path], folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in files}


def test_what_a_file_imports_from_its_folder(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "net.py": "import os\nimport torch.nn as nn\nfrom blocks.conv import Block, make\nimport data\n",
            "blocks/__init__.py": "",
            "blocks/conv.py": "from . import norm\nfrom ..other import nothing\nfrom .deep.end import x\n",
            "blocks/norm.py": "def later():\n    from sklearn.datasets import load_digits\n",
            "blocks/deep/end.py": "from ..norm import later\n",
            "blocks/unused.py": "",
            "data.py": "import net\n",
            "other.py": "",
        },
    )
    code = imported(tmp_path / "net.py")
    assert names(code.files, tmp_path) == {
        "net.py",
        "blocks/__init__.py",
        "blocks/conv.py",
        "blocks/norm.py",
        "blocks/deep/end.py",
        "data.py",
        "other.py",
    }
    assert code.modules == {"torch", "sklearn"}


def test_a_name_of_a_package_may_be_a_module(tmp_path: Path) -> None:
    written(tmp_path, {"a.py": "from nets import small, NOT_A_MODULE", "nets/__init__.py": "", "nets/small.py": ""})
    assert names(imported(tmp_path / "a.py").files, tmp_path) == {
        "a.py",
        "nets/__init__.py",
        "nets/small.py",
    }


def test_a_package_without_init(tmp_path: Path) -> None:
    written(tmp_path, {"a.py": "from nets.small import make", "nets/small.py": ""})
    code = imported(tmp_path / "a.py")
    assert names(code.files, tmp_path) == {"a.py", "nets/small.py"}
    assert not code.modules


def test_code_that_cannot_be_read_is_watched_all_the_same(tmp_path: Path) -> None:
    written(tmp_path, {"a.py": "import b", "b.py": "def ("})
    assert names(imported(tmp_path / "a.py").files, tmp_path) == {"a.py", "b.py"}


def test_a_module_by_its_name(tmp_path: Path) -> None:
    written(tmp_path, {"p/__init__.py": "", "p/m.py": "from . import n", "p/n.py": ""})
    assert names(imported_as("p.m", tmp_path).files, tmp_path) == {"p/__init__.py", "p/m.py", "p/n.py"}
    assert imported_as("torchvision.models", tmp_path).modules == {"torchvision"}


def test_where_a_module_is(tmp_path: Path) -> None:
    written(tmp_path, {"p/__init__.py": "", "p/m.py": ""})
    assert module_file("p", tmp_path) == tmp_path / "p" / "__init__.py"
    assert module_file("p.m", tmp_path) == tmp_path / "p" / "m.py"
    assert module_file("q.m", tmp_path) is None
