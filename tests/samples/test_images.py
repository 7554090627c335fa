"""Samples from folders of images: how they are found, labelled, decoded, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import EdgekitError, Exit
from edgekit.preprocess import Preprocess
from edgekit.samples import Samples, images, load_samples, view


def picture(
    path: Path, colour: tuple[int, ...] | int = (10, 20, 30), size: tuple[int, int] = (8, 6), mode: str = "RGB"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def refused(folder: Path, code: str, exit: Exit = Exit.USAGE, preprocess: Preprocess | None = None) -> EdgekitError:
    with pytest.raises(EdgekitError) as raised:
        list(load_samples(folder, preprocess).batches(2))
    assert (raised.value.code, raised.value.exit) == (code, exit)
    return raised.value


def labels(samples: Samples) -> list[int]:
    assert samples.labels is not None
    return [int(label) for label in samples.labels]


def titles(samples: Samples) -> list[str]:
    return [Path(samples.source.title(i).strip("'")).name for i in range(len(samples))]


def test_class_folders_count_as_imagefolder_counts(tmp_path: Path) -> None:
    for name in ("dog/b.png", "dog/deep/a.JPG", "cat/a.bmp", ".hidden/a.png", "__MACOSX/a.png"):
        picture(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    samples = load_samples(tmp_path)
    assert samples.class_names == ("cat", "dog")
    assert labels(samples) == [0, 1, 1]
    assert titles(samples) == ["a.bmp", "b.png", "a.JPG"]
    assert samples.signature == {"inputs": ((3, 6, 8), "uint8")}
    assert samples.notes == ()


def test_numbered_folders_out_of_order_are_noted(tmp_path: Path) -> None:
    for name in ("1", "2", "10"):
        picture(tmp_path / name / "a.png")
    samples = load_samples(tmp_path)
    assert samples.class_names == ("1", "10", "2")
    assert "'1' is class 0" in samples.notes[0]


def test_plain_folder_has_no_labels(tmp_path: Path) -> None:
    for name in ("b.webp", "a.jpeg"):
        picture(tmp_path / name)
    samples = load_samples(str(tmp_path))
    assert samples.labels is None
    assert titles(samples) == ["a.jpeg", "b.webp"]


def test_table_of_indices_and_of_names(tmp_path: Path) -> None:
    for name in ("a.png", "in/b.png", "left-out.png"):
        picture(tmp_path / name)
    (tmp_path / "labels.csv").write_text("\ufefflabel , file,more\n7,in/b.png,x\n3,./a.png,y\n", encoding="utf-8")
    samples = load_samples(tmp_path)
    assert labels(samples) == [7, 3]
    assert samples.class_names is None
    assert samples.notes == (f"1 images of '{tmp_path}' are not in labels.csv and were left out",)
    (tmp_path / "labels.csv").write_text("file,label\na.png,dog\nin/b.png,cat\nleft-out.png,dog\n")
    samples = load_samples(tmp_path)
    assert labels(samples) == [1, 0, 1]
    assert samples.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("", "EK127"),
        ("name,label\na.png,1\n", "EK127"),
        ("file,label\n", "EK125"),
        ("file,label\na.png\n", "EK127"),
        ("file,label\n,3\n", "EK127"),
        ("file,label\ngone.png,1\n", "EK127"),
        ('file,label\n"a.png,1\n', "EK127"),
        ("file,label\na.png,-1\n", "EK137"),
    ],
)
def test_bad_tables(tmp_path: Path, table: str, code: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(table)
    refused(tmp_path, code)


def test_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00file,label")
    refused(tmp_path, "EK127")


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "in/../../a.png", "..\\a.png", "..", "a\0.png"])
def test_a_table_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "labels.csv").write_text(f"file,label\n{name},1\n")
    refused(tmp_path / "data", "EK128", Exit.REFUSED)


def test_empty_folders(tmp_path: Path) -> None:
    refused(tmp_path, "EK125")
    (tmp_path / "class").mkdir()
    refused(tmp_path, "EK125")


def test_images_beside_class_folders(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "cat" / "a.png")
    refused(tmp_path, "EK138")


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    whole = picture(tmp_path / "a.jpg", size=(64, 64)).read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) // 2])
    assert "b.jpg" in refused(tmp_path, "EK126").what
    (tmp_path / "b.jpg").write_bytes(b"GIF89a no image")
    assert "JPEG" in refused(tmp_path, "EK126").why
    (tmp_path / "b.jpg").write_bytes(b"")
    refused(tmp_path, "EK126")


def test_a_file_that_is_gone_when_it_is_hashed(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    samples = load_samples(tmp_path)
    (tmp_path / "b.png").unlink()
    with pytest.raises(EdgekitError, match=r"EK126.*b\.png"):
        assert samples.ids


def test_deep_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a.png")
    assert "8 bits" in refused(tmp_path, "EK126").why


@pytest.mark.parametrize("limit", [30, 10])  # above it Pillow only warns; beyond twice of it, it raises
def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    picture(tmp_path / "a.png", size=(8, 6))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    refused(tmp_path, "EK124", Exit.REFUSED)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_where_warnings_are_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png", size=(8, 6))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert "8x6" in refused(tmp_path, "EK124", Exit.REFUSED).why


def test_several_shapes_name_both_files_and_the_way_out(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(8, 6))
    picture(tmp_path / "b.png", size=(6, 8))
    error = refused(tmp_path, "EK131")
    assert "a.png' is 3x6x8" in error.why
    assert "b.png' is 3x8x6" in error.why
    assert "--resize" in error.fix
    assert sum(len(b.ids) for b in load_samples(tmp_path, Preprocess(resize=6, crop=6)).batches(2)) == 2


def test_crop_larger_than_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    assert "a.png" in refused(tmp_path, "EK132", preprocess=Preprocess(crop=7)).what


def test_images_are_not_nchw(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    refused(tmp_path, "EK132", preprocess=Preprocess(layout="nchw"))


def test_upright_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn right
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    assert load_samples(tmp_path).signature == {"inputs": ((3, 8, 6), "uint8")}


@pytest.mark.parametrize(
    ("mode", "colour"), [("L", 7), ("LA", (7, 255)), ("P", 0), ("RGBA", (7, 7, 7, 0)), ("CMYK", (1, 2, 3, 4)), ("1", 1)]
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, colour: tuple[int, ...] | int) -> None:
    picture(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), colour, mode=mode)
    assert load_samples(tmp_path).signature["inputs"][0] == (3, 6, 8)


def test_grey_stays_grey_behind_a_single_mean(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 51, mode="L")
    samples = load_samples(tmp_path, Preprocess(scale="1/255", mean=0.1))  # type: ignore[arg-type]  # as flags give them
    assert samples.signature == {"inputs": ((1, 6, 8), "float32")}
    np.testing.assert_allclose(next(samples.batches(1)).inputs["inputs"], 0.1, rtol=1e-6)


def test_nhwc_models_get_images_as_they_are(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    assert load_samples(tmp_path, Preprocess(model_layout="nhwc")).signature["inputs"][0] == (6, 8, 3)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_batches_keep_the_order(tmp_path: Path, size: int, count: int) -> None:
    for i in range(count):
        picture(tmp_path / f"{i:02}.png", (i, i, i))
    samples = load_samples(tmp_path).take(range(count - 1, -1, -1))
    batches = list(samples.batches(size))
    assert [len(batch.ids) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    seen = np.concatenate([batch.inputs["inputs"][:, 0, 0, 0] for batch in batches])
    assert seen.tolist() == list(range(count - 1, -1, -1))
    assert tuple(one for batch in batches for one in batch.ids) == samples.ids


def test_few_images_are_decoded_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(60):
        picture(tmp_path / f"{i:02}.png", (i, i, i))
    decoded: list[Path] = []
    real = images.decoded
    monkeypatch.setattr(images, "decoded", lambda path, preprocess: decoded.append(path) or real(path, preprocess))
    stream = load_samples(tmp_path).batches(2)
    next(stream)
    assert len(decoded) <= 1 + 2 + view.AHEAD + 1  # the signature's, the batch, what waits, what is being submitted
    stream.close()  # type: ignore[attr-defined]  # a generator


def test_real_images(shared: Path) -> None:
    samples = load_samples(
        shared / "data" / "imagenet500", Preprocess(resize=256, crop=224, scale=1 / 127.5, mean=(1,))
    )
    assert len(samples) == 500
    assert labels(samples)[:3] == [3, 8, 10]
    batch = next(samples.take([5, 6]).batches(2))
    assert batch.inputs["inputs"].shape == (2, 3, 224, 224)
    assert -1 <= batch.inputs["inputs"].min() < batch.inputs["inputs"].max() <= 1
