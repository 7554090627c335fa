"""What people give by mistake, and what others give on purpose: each is refused in words, and nothing is left behind.

Every row is a command line that runs in a process of its own, in a folder with the files of `tests/bad_files.py`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import typer

from edgekit.cli.commands import app
from edgekit.errors import PAGES
from tests import bad_files

DATA = "--data good.npz"
GOOD = f"good.onnx {DATA}"
WEIGHTS = f"weights.pt {DATA} --model"
USAGE, UNSUPPORTED, ENVIRONMENT, REFUSED, EXHAUSTED, INTERRUPTED = 2, 3, 4, 6, 7, 130
TERMINATED = 128 + signal.SIGTERM
LIMIT_S = 120  # far above what any row takes: a row that hangs fails

# What is wrong -> (the command line, the code, the exit code, words of the message). `-o out` is added to each.
BAD = {
    # ---- the model ---------------------------------------------------------------------------------------------
    "no model at all": (f"quantize {DATA}", "EK153", USAGE, "model"),
    "missing model": (f"quantize nowhere.onnx {DATA}", "EK101", USAGE, "nowhere.onnx"),
    "missing model before bad samples": ("quantize nowhere.onnx --data nowhere.npz", "EK101", USAGE, "nowhere.onnx"),
    "empty model": (f"quantize empty.pt {DATA}", "EK102", USAGE, "empty file"),
    "text as model": (f"quantize text.pt {DATA}", "EK102", USAGE, "text file"),
    "source as model": (f"quantize code.py {DATA}", "EK102", USAGE, "code.py:FACTORY"),
    "recipe as model": (f"quantize broken.toml {DATA}", "EK102", USAGE, "--recipe"),
    "image as model": (f"quantize photo.pt {DATA}", "EK102", USAGE, "PNG"),
    "TFLite as model": (f"quantize net.tflite {DATA}", "EK102", USAGE, "TFLite"),
    "samples as model": (f"quantize good.npz {DATA}", "EK102", USAGE, "--data"),
    "folder as model": (f"quantize folder.pt {DATA}", "EK102", USAGE, "a folder"),
    "device as model": (f"quantize /dev/null {DATA}", "EK101", USAGE, "not a regular file"),
    "truncated torch file": (f"quantize truncated.pt {DATA}", "EK103", USAGE, "cut off"),
    "truncated safetensors": (f"quantize truncated.safetensors {DATA}", "EK103", USAGE, "damaged"),
    "safetensors header of 2^62 bytes": (f"quantize long_header.safetensors {DATA}", "EK103", USAGE, "announces"),
    "safetensors of 10^12 numbers": (f"quantize huge.safetensors {DATA}", "EK103", USAGE, "damaged"),
    "pickle bomb": (f"quantize bomb.pt {DATA}", "EK104", REFUSED, "--trust-pickle"),
    "pickle bomb deep in a checkpoint": (f"quantize nested_bomb.pt {DATA}", "EK104", REFUSED, "exec"),
    "pickle bomb in the old format": (f"quantize old_bomb.pt {DATA}", "EK104", REFUSED, "exec"),
    "pickle bomb without torch": (f"quantize plain_bomb.pkl {DATA}", "EK104", REFUSED, "exec"),
    "pickle bomb in a torch.export file": (f"quantize bomb.pt2 {DATA}", "EK104", REFUSED, "--trust-pickle"),
    # ---- weights and the code around them ------------------------------------------------------------------------
    "state dict alone": (f"quantize weights.pt {DATA}", "EK105", USAGE, "--model"),
    "state dict of another width": (f"quantize {WEIGHTS} code.py:wide", "EK106", USAGE, "4x1x3x3 in the file"),
    "state dict of other names": (f"quantize keys.pt {DATA} --model code.py:Net", "EK106", USAGE, "other.0.weight"),
    "weights that are NaN": (f"quantize nan.pt {DATA} --model code.py:Net", "EK110", REFUSED, "NaN"),
    "factory file missing": (f"quantize {WEIGHTS} nowhere.py:Net", "EK107", USAGE, "nowhere.py"),
    "factory of no form": (f"quantize {WEIGHTS} Net", "EK107", USAGE, "file.py:name"),
    "factory misspelt": (f"quantize {WEIGHTS} code.py:Nett", "EK107", USAGE, "did you mean 'Net'?"),
    "factory in an unknown module": (f"quantize {WEIGHTS} no_such.module:Net", "EK107", USAGE, "no_such"),
    "factory with a syntax error": (f"quantize {WEIGHTS} typo.py:make", "EK108", USAGE, "typo.py:1"),
    "factory that raises": (f"quantize {WEIGHTS} code.py:broken", "EK108", USAGE, "no GPU here"),
    "factory that exits": (f"quantize {WEIGHTS} code.py:leaves", "EK108", USAGE, "SystemExit"),
    "factory of a number": (f"quantize {WEIGHTS} code.py:number", "EK109", USAGE, "int"),
    "factory for ONNX": (f"quantize {GOOD} --model code.py:Net", "EK111", USAGE, "leave --model out"),
    # ---- ONNX --------------------------------------------------------------------------------------------------
    "truncated ONNX": (f"quantize truncated.onnx {DATA}", "EK103", USAGE, "parse"),
    "weights outside of the folder": (f"quantize model/outside.onnx {DATA}", "EK112", REFUSED, "secret.bin"),
    "weights at an absolute path": (f"quantize model/absolute.onnx {DATA}", "EK112", REFUSED, "secret.bin"),
    "weights behind a link": (f"quantize model/linked.onnx {DATA}", "EK112", REFUSED, "secret.bin"),
    "weights not there": (f"quantize model/missing_data.onnx {DATA}", "EK113", USAGE, "nowhere.bin"),
    "weights that are infinite": (f"quantize infinite.onnx {DATA}", "EK110", REFUSED, "infinite"),
    "weight of 10^12 numbers": (f"quantize huge_weight.onnx {DATA}", "EK209", UNSUPPORTED, "huge_weight"),
    "opset of 2019": (f"quantize old.onnx {DATA}", "EK210", UNSUPPORTED, "opset 6"),
    "op of a company": (f"quantize custom.onnx {DATA}", "EK208", UNSUPPORTED, "com.example"),
    "quantized already": (f"quantize quantized.onnx {DATA}", "EK207", UNSUPPORTED, "QuantizeLinear"),
    "NaN inside of the model": (f"quantize logarithm.onnx {DATA}", "EK411", USAGE, "NaN"),
    # ---- shapes --------------------------------------------------------------------------------------------------
    "samples of another shape": ("quantize good.onnx --data shape.npz", "EK202", USAGE, "9x9"),
    "input of 10^12 numbers": (f"quantize huge_input.onnx {DATA}", "EK202", USAGE, "1000000"),
    "samples of two inputs": ("quantize good.onnx --data two_inputs.npz", "EK202", USAGE, "left"),
    "--input without a name": (f"quantize {GOOD} --input 1x1x8x8", "EK190", USAGE, "--input image=1x3x224x224"),
    "--input with a letter": (f"quantize {GOOD} --input image=1xAx8x8", "EK190", USAGE, "image=1xAx8x8"),
    "--input with a zero": (f"quantize {GOOD} --input image=1x0x8x8", "EK190", USAGE, "image=1x0x8x8"),
    "--input that is not there": (f"quantize {GOOD} --input photo=1x1x8x8", "EK202", USAGE, "photo"),
    "--input against the samples": (f"quantize {GOOD} --input image=1x1x9x9", "EK202", USAGE, "9x9"),
    # ---- samples -------------------------------------------------------------------------------------------------
    "no samples, and no batch to make any up for": ("quantize whole.onnx", "EK212", UNSUPPORTED, "dynamic batch"),
    "no samples of words": ("quantize words.onnx", "EK413", USAGE, "--data"),
    "samples missing": ("quantize good.onnx --data nowhere.npz", "EK101", USAGE, "nowhere.npz"),
    "samples of another kind": ("quantize good.onnx --data text.pt", "EK120", USAGE, ".npz"),
    "empty .npz": ("quantize good.onnx --data empty.npz", "EK121", USAGE, "empty.npz"),
    "text as .npz": ("quantize good.onnx --data text.npz", "EK121", USAGE, "text.npz"),
    "truncated .npz": ("quantize good.onnx --data truncated.npz", "EK121", USAGE, "truncated.npz"),
    ".npz without arrays": ("quantize good.onnx --data nothing.npz", "EK125", USAGE, "nothing.npz"),
    "no rows": ("quantize good.onnx --data no_rows.npz", "EK125", USAGE, "0 rows"),
    "one sample for both": ("quantize good.onnx --data one.npz", "EK134", USAGE, "--calib and --eval"),
    "words as samples": ("quantize good.onnx --data words.npz", "EK122", USAGE, "<U3"),
    "Python objects as samples": ("quantize good.onnx --data objects.npz", "EK123", REFUSED, "unpickl"),
    ".npz that unpacks to 2 GiB": ("quantize good.onnx --data bomb.npz", "EK124", REFUSED, "2.00 GiB"),
    ".npy of 10^12 rows": ("quantize good.onnx --data huge.npy", "EK121", USAGE, "3.64 TiB"),
    ".npy with a row of 10^12": ("quantize good.onnx --data huge_row.npy", "EK121", USAGE, "3.64 TiB"),
    "a label too few": ("quantize good.onnx --data short_labels.npz", "EK129", USAGE, "23 labels"),
    "one-hot labels": ("quantize good.onnx --data one_hot.npz", "EK137", USAGE, "argmax"),
    "label -1": ("quantize good.onnx --data negative_label.npz", "EK137", USAGE, "-1"),
    "labels beyond the classes": ("quantize good.onnx --data far_label.npz", "EK606", USAGE, "3 classes"),
    "NaN in a sample": ("quantize good.onnx --data not_a_number.npz", "EK130", USAGE, "NaN"),
    "nothing but zeros": ("quantize good.onnx --calib zeros.npz --eval good.npz", "EK412", USAGE, "only zeros"),
    "calibration is evaluation": ("quantize good.onnx --calib good.npz --eval good.npz", "EK134", USAGE, "all 24"),
    "folder without images": ("quantize good.onnx --data no_images", "EK125", USAGE, ".jpg"),
    "torn image": ("quantize good.onnx --data torn_images", "EK126", USAGE, "1.png"),
    "image of 3.6 gigapixels": ("quantize good.onnx --data bomb_images", "EK124", REFUSED, "3600000000 pixels"),
    "images of two sizes": ("quantize good.onnx --calib sizes --eval good.npz --mean 0", "EK131", USAGE, "--resize"),
    "labels.csv that leaves its folder": ("quantize good.onnx --data leaving", "EK128", REFUSED, "../../etc"),
    "labels.csv without labels": ("quantize good.onnx --data unlabelled", "EK127", USAGE, "file,label"),
    "batches of two shapes": ("quantize good.onnx --data batches.py:endless_shapes", "EK131", USAGE, "batch 1"),
    "batches that fail": ("quantize good.onnx --data batches.py:broken", "EK108", USAGE, "the disk is gone"),
    "no batches": ("quantize good.onnx --data batches.py:none", "EK133", USAGE, "int"),
    # ---- preprocess --------------------------------------------------------------------------------------------
    "--resize for arrays": (f"quantize {GOOD} --resize 8", "EK132", USAGE, "image files"),
    "--crop in words": (f"quantize {GOOD} --crop small", "EK152", USAGE, "crop"),
    "--crop of nothing": (f"quantize {GOOD} --crop 0", "EK152", USAGE, "crop"),
    "--scale of a zeroth": (f"quantize {GOOD} --scale 1/0", "EK152", USAGE, "1/255"),
    "--mean for three channels": (f"quantize {GOOD} --mean .4,.5,.6", "EK132", USAGE, "3"),
    "--std of zero": (f"quantize {GOOD} --std 0", "EK152", USAGE, "std"),
    "--samples-layout unknown": (f"quantize {GOOD} --samples-layout hwc", "EK189", USAGE, "nhwc"),
    # ---- recipes, devices, options -----------------------------------------------------------------------------
    "recipe missing": ("quantize --recipe nowhere.toml", "EK101", USAGE, "nowhere.toml"),
    "recipe with an unknown key": ("quantize --recipe unknown_key.toml", "EK151", USAGE, "'calibration_count'?"),
    "recipe with a wrong type": ("quantize --recipe wrong_type.toml", "EK152", USAGE, "'eight'"),
    "recipe cut off": ("quantize --recipe broken.toml", "EK150", USAGE, "line 1"),
    "recipe that is no text": ("quantize --recipe binary.toml", "EK150", USAGE, "binary.toml"),
    "recipe without a model": ("quantize --recipe no_model.toml", "EK153", USAGE, "model"),
    "--data with --calib": (f"quantize {GOOD} --calib good.npz", "EK152", USAGE, "--calib"),
    "unknown device": (f"quantize {GOOD} --device raspbery-pi-4", "EK160", USAGE, "'raspberry-pi-4'?"),
    "device file with holes": (f"quantize {GOOD} --device bad_device.toml", "EK153", USAGE, "missing"),
    "unknown command": (f"quantise {GOOD}", "EK189", USAGE, "'quantize'?"),
    "unknown option": (f"quantize {GOOD} --calibb 3", "EK189", USAGE, "--calib"),
    "unknown format": (f"quantize {GOOD} --format tflight", "EK152", USAGE, "'tflite'?"),
    "unknown metric": (f"quantize {GOOD} --metric top2", "EK152", USAGE, "did you mean"),
    "metric without labels": ("quantize good.onnx --data shape.npz --metric top1", "EK602", USAGE, "labels"),
    "metric without targets": (f"quantize {GOOD} --metric psnr", "EK602", USAGE, "targets"),
    "a precision that is none": (f"quantize {GOOD} --precision int9", "EK189", USAGE, "'--precision': 'int9' is not"),
    "--threads 0": (f"quantize {GOOD} --threads 0", "EK189", USAGE, "--threads"),
    "--threads beyond any machine": (f"quantize {GOOD} --threads 99999999", "EK152", USAGE, "threads"),
    "--calib-count 0": (f"quantize {GOOD} --calib-count 0", "EK189", USAGE, "--calib-count"),
    # ---- pruning -----------------------------------------------------------------------------------------------
    "no goal": (f"prune {GOOD}", "EK307", USAGE, "--macs 70%"),
    "a goal of more than all": (f"prune {GOOD} --macs 70", "EK152", USAGE, "70%, or 0.7"),
    "a goal in words": (f"prune {GOOD} --params most", "EK152", USAGE, "70%, or 0.7"),
    "two goals": (f"prune {GOOD} --macs 70% --size 50%", "EK154", USAGE, "leave --size out"),
    "a goal misspelt": (f"prune {GOOD} --mac 70%", "EK189", USAGE, "--macs"),
    "a goal out of reach": (f"prune {GOOD} --macs 1%", "EK303", UNSUPPORTED, "output of the model"),
    "--score without a goal": (f"quantize {GOOD} --score l1", "EK154", USAGE, "--macs 70%"),
    "--score that is none": (f"prune {GOOD} --macs 70% --score l3", "EK189", USAGE, "'l3' is not"),
    "--epochs without a goal": (f"quantize {GOOD} --epochs 3", "EK154", USAGE, "--macs 70%"),
    "--epochs without --train": (f"prune {GOOD} --macs 70% --epochs 3", "EK413", USAGE, "--train PATH"),
    "--rounds without --train": (f"prune {GOOD} --macs 70% --rounds 3", "EK413", USAGE, "--train PATH"),
    "--rounds without a goal": (f"prune {GOOD} --sparsity 50% --rounds 3", "EK154", USAGE, "--macs 70%"),
    "--rounds beyond --epochs": (
        f"prune {GOOD} --macs 70% --train many.npz --rounds 3 --epochs 2",
        "EK154",
        USAGE,
        "--epochs 3 or more",
    ),
    "--patience without --train": (f"prune {GOOD} --macs 70% --patience 3", "EK413", USAGE, "--train PATH"),
    "--patience without a goal": (
        f"quantize {GOOD} --train many.npz --qat 9 --patience 3",
        "EK154",
        USAGE,
        "--macs 70%",
    ),
    "--patience beyond --epochs": (
        f"prune {GOOD} --macs 70% --train many.npz --epochs 6 --rounds 2 --patience 3",
        "EK154",
        USAGE,
        "a smaller --patience",
    ),
    "--rounds 0": (f"prune {GOOD} --macs 70% --rounds 0", "EK189", USAGE, "--rounds"),
    "--lr without --train": (f"prune {GOOD} --macs 70% --lr 0.1", "EK413", USAGE, "--train PATH"),
    "latency of a device that is not here": (
        f"prune {GOOD} --latency 60% --device raspberry-pi-4",
        "EK305",
        ENVIRONMENT,
        "--device out",
    ),
    "taylor without labels": (
        "prune good.onnx --data shape.npz --macs 70% --score taylor",
        "EK306",
        USAGE,
        "another --score",
    ),
    "an option of the integers": (f"prune {GOOD} --macs 70% --qat 3", "EK189", USAGE, "--help"),
    # ---- training ----------------------------------------------------------------------------------------------
    "--qat without --train": (f"quantize {GOOD} --qat 2", "EK413", USAGE, "--train PATH"),
    "--train without --qat": (f"quantize {GOOD} --train many.npz", "EK154", USAGE, "--qat EPOCHS"),
    "--lr without --qat": (f"quantize {GOOD} --lr 0.01", "EK154", USAGE, "--qat EPOCHS"),
    "--resume without --qat": (f"quantize {GOOD} --resume", "EK154", USAGE, "--qat EPOCHS"),
    "--qat of no epochs": (f"quantize {GOOD} --train many.npz --qat 0", "EK189", USAGE, "--qat"),
    "--qat misspelt": (f"quantize {GOOD} --train many.npz --qatt 1", "EK189", USAGE, "--qat"),
    "--lr of 10": (f"quantize {GOOD} --train many.npz --qat 1 --lr 10", "EK152", USAGE, "lr"),
    "--qat of float16": (
        f"quantize {GOOD} --train many.npz --qat 1 --precision float16",
        "EK154",
        USAGE,
        "--precision int8",
    ),
    "nothing to resume": (f"quantize {GOOD} --train many.npz --qat 1 --resume", "EK922", USAGE, "leave --resume"),
    "training samples missing": (f"quantize {GOOD} --train nowhere.npz --qat 1", "EK101", USAGE, "nowhere.npz"),
    "training is evaluation": (
        "quantize good.onnx --calib many.npz --eval good.npz --train good.npz --qat 1",
        "EK134",
        USAGE,
        "train on",
    ),
    "labels to train on beyond the classes": (
        "quantize good.onnx --data good.npz --train far_label.npz --qat 1",
        "EK925",
        USAGE,
        "3 classes",
    ),
    # ---- outputs -----------------------------------------------------------------------------------------------
    "output there already": (f"quantize {GOOD} -o taken", "EK195", USAGE, "--overwrite"),
    "output is a file": (f"quantize {GOOD} -o file", "EK196", USAGE, "-o"),
    "output below a file": (f"quantize {GOOD} -o file/out", "EK196", USAGE, "-o"),
    "output where nobody may write": (f"quantize {GOOD} -o /proc/edgekit", "EK196", USAGE, "-o"),
    # ---- the other commands ------------------------------------------------------------------------------------
    "convert to an unknown precision": (f"convert {GOOD} --precision int4", "EK189", USAGE, "float16"),
    "inspect nothing": ("inspect nowhere.onnx", "EK101", USAGE, "nowhere.onnx"),
    "inspect text": ("inspect text.pt", "EK192", UNSUPPORTED, "text.pt"),
    "inspect half a file": ("inspect truncated.pt", "EK193", UNSUPPORTED, "truncated.pt"),
    "compare with nothing": (f"compare good.onnx nowhere.tflite {DATA}", "EK101", USAGE, "nowhere.tflite"),
    "compare with text": (f"compare good.onnx text.pt {DATA}", "EK102", USAGE, ".tflite"),
    "compare a broken file": (f"compare good.onnx net.tflite {DATA}", "EK103", USAGE, "net.tflite"),
    "compare without samples": ("compare good.onnx good.onnx", "EK413", USAGE, "--data"),
    "explain an unknown code": ("explain EK9999", "EK191", USAGE, "edgekit explain"),
    # ---- text that steers terminals ----------------------------------------------------------------------------
    "escape in a file's name": ("quantize 'nowhere\x1b[31m.onnx' --data good.npz", "EK101", USAGE, r"\x1b[31m"),
    "escape in an option": (f"quantize {GOOD} '--\x1b[31m'", "EK189", USAGE, r"\x1b[31m"),
    "name that is no text": (f"quantize nowhere\udcff.onnx {DATA}", "EK152", USAGE, "not UTF-8"),
}


@dataclass(frozen=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str


class Place:
    """A folder that commands run in. Whatever they make besides outputs is a leftover."""

    def __init__(self, folder: Path, own: Path) -> None:
        self.folder, self.temporary, self.stderr = folder, own / "temporary", own / "stderr"
        self.temporary.mkdir()
        self.before = self.listing()

    def listing(self) -> dict[str, tuple[int, int]]:
        """Name -> size and time of change of every file; what Python caches beside the user's own code is Python's."""
        entries = [path for path in self.folder.rglob("*") if "__pycache__" not in path.parts and not path.is_dir()]
        folders = {str(p): (0, 0) for p in self.folder.rglob("*") if p.is_dir() and p.name != "__pycache__"}
        stats = {str(path): path.lstat() for path in entries}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()} | folders

    def start(self, arguments: str, out: int = subprocess.PIPE) -> Running:
        """`edgekit` with these words, in a session of its own so that a signal reaches nobody else."""
        words = shlex.split(arguments)
        if words[0] in {"quantize", "convert"} and "-o" not in words:
            words += ["-o", "out"]
        # Torch makes a folder for compiled kernels, and compiles none here.
        env = {**os.environ, "TMPDIR": str(self.temporary), "TORCHINDUCTOR_CACHE_DIR": str(self.folder)}
        command = [sys.executable, "-m", "edgekit", *words]
        with self.stderr.open("wb") as err:
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=out, stderr=err, text=True, start_new_session=True
            )
        return Running(process, self.stderr)

    def run(self, arguments: str) -> Ran:
        return self.start(arguments).finished()

    def leftovers(self) -> list[str]:
        """What is there and was not, has changed, or has gone; and processes that still run."""
        after = self.listing()
        changed = [name for name in {*self.before, *after} if self.before.get(name) != after.get(name)]
        return [*changed, *map(str, self.temporary.iterdir()), *(f"process {pid}" for pid in self.orphans())]

    def orphans(self) -> list[int]:
        """Processes that a command of this place started; they carry its TMPDIR."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == str(self.temporary) and process.status() != "zombie":
                    found.append(process.pid)
            except (psutil.AccessDenied, psutil.NoSuchProcess):
                continue
        return found


@dataclass(frozen=True)
class Running:
    """A command that has not ended yet. stderr: a file, to be read meanwhile."""

    process: subprocess.Popen[str]
    stderr: Path

    def finished(self) -> Ran:
        try:
            out, _ = self.process.communicate(timeout=LIMIT_S)
        finally:
            self.process.kill()
        return Ran(self.process.returncode, out or "", self.err)

    @property
    def err(self) -> str:
        return self.stderr.read_text()

    def reach(self, step: str) -> None:
        """Wait until --verbose says that this step begins."""
        start = time.monotonic()
        while step not in self.err:
            assert self.process.poll() is None, self.err
            assert time.monotonic() - start < LIMIT_S, self.err
            time.sleep(0.01)

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    bad_files.write_all(folder)
    return folder


@pytest.fixture
def place(files: Path, tmp_path: Path) -> Iterator[Place]:
    """The folder with the files; nothing may be left there at the end but what a test takes away itself."""
    yield (here := Place(files, tmp_path))
    left = here.leftovers()
    shutil.rmtree(files / "out", ignore_errors=True)
    assert left == []


@pytest.mark.parametrize(("arguments", "code", "exit", "words"), BAD.values(), ids=[*BAD])
def test_what_is_bad_is_refused_in_words(place: Place, arguments: str, code: str, exit: int, words: str) -> None:
    ran = place.run(arguments)
    assert (heading(ran.err), ran.code) == (code, exit), ran.err
    assert_error(ran.err)
    assert words in ran.err
    assert ran.out == ""
    assert not (place.folder / bad_files.CANARY).exists(), "code in a file was run"


def heading(err: str) -> str:
    found = re.match(r"error\[(EK\d+)\]: ", err)
    return found.group(1) if found else ""


def assert_error(err: str) -> None:
    """What, why and fix, in this form; nothing that steers a terminal; and a fix that exists."""
    more = r"(\n       .+)*\n"
    assert re.fullmatch(rf"error\[EK\d+\]: .+\n  why: .+{more}  fix: .+{more}", err), err
    assert "Traceback" not in err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", err), repr(err)
    fix = err.partition("\n  fix: ")[2]
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", fix)) <= options() | {"--saved-model", "--output"}, fix
    assert set(re.findall(r"`edgekit (\w+)", fix)) <= {*commands()}, fix


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(app())
    assert isinstance(group, typer.core.TyperGroup)
    return dict(group.commands)


def options() -> set[str]:
    return {word for command in commands().values() for option in command.params for word in option.opts} | {"--help"}


def test_every_code_in_the_table_has_its_exit() -> None:
    assert {code: exit for _, code, exit, _ in BAD.values()} == {code: PAGES[code].exit for _, code, *_ in BAD.values()}


# ---- what goes wrong on the way -------------------------------------------------------------------------------------

LONG = "quantize good.onnx --data many.npz --calib-count 6000 --ranges minmax -v"


@pytest.mark.parametrize("step", ["reading samples", "capturing the model", "calibrating", "verifying"])
def test_ctrl_c_leaves_nothing(place: Place, step: str) -> None:
    running = place.start(LONG)
    running.reach(step)
    running.process.send_signal(signal.SIGINT)
    ran = running.finished()
    assert ran.code == INTERRUPTED
    assert ran.out == ""
    *steps, last = ran.err.splitlines()
    assert last == "interrupted: nothing was written"
    assert_steps(steps)


def test_ctrl_c_in_training_leaves_a_checkpoint_that_resumes(place: Place) -> None:
    train = "quantize good.onnx --data good.npz --train many.npz --qat 1 --train-batch 4 --ranges minmax -v"
    running = place.start(train)
    running.reach("training (")
    running.process.send_signal(signal.SIGINT)
    ran = running.finished()
    assert (ran.code, ran.out) == (INTERRUPTED, "")
    last = ran.err.splitlines()[-1]
    assert last.startswith("interrupted: nothing was written but a checkpoint: training stopped at step ")
    assert last.endswith("; --resume goes on")
    assert [path.name for path in (place.folder / "out").iterdir()] == ["good.training"]
    assert heading(place.run(train).err) == "EK924"
    resumed = place.run(f"{train} --resume")
    assert resumed.code == 0, resumed.err
    assert "training, from step " in resumed.err
    assert not (place.folder / "out" / "good.training").exists()
    shutil.rmtree(place.folder / "out")


def test_a_polite_kill_leaves_nothing(place: Place) -> None:
    running = place.start(LONG)
    running.reach("calibrating")
    running.process.terminate()
    ran = running.finished()
    assert (ran.code, ran.out) == (TERMINATED, "")
    *steps, last = ran.err.splitlines()
    assert last == "interrupted: nothing was written"
    assert_steps(steps)


@pytest.mark.parametrize(
    ("how", "code", "exit"), [(signal.SIGKILL, "EK903", EXHAUSTED), (signal.SIGSEGV, "EK901", ENVIRONMENT)]
)
@pytest.mark.parametrize("step", ["calibrating", "verifying"])
def test_a_dead_worker_is_an_error(place: Place, step: str, how: int, code: str, exit: int) -> None:
    running = place.start(LONG)
    running.reach(step)
    running.workers()[-1].send_signal(how)
    ran = running.finished()
    steps, error = ran.err[: (start := ran.err.index("error["))], ran.err[start:]
    assert (heading(error), ran.code, ran.out) == (code, exit, "")
    assert_error(error)
    assert_steps(steps.splitlines())


def test_workers_go_with_their_parent(place: Place) -> None:
    running = place.start(LONG)
    running.reach("calibrating")
    assert running.workers()
    running.process.kill()
    running.finished()
    start = time.monotonic()
    while place.orphans():
        assert time.monotonic() - start < 10
        time.sleep(0.05)
    shutil.rmtree(place.folder / "out")  # nobody was left to take it away


def assert_steps(lines: list[str]) -> None:
    """Only what --verbose says, no traceback and no warning."""
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9 ]+( \(\d+\))?", line) for line in lines), lines


def test_a_reader_that_leaves_is_no_error(place: Place) -> None:
    reading, writing = os.pipe()
    running = place.start("explain", out=writing)
    os.close(reading)
    os.close(writing)
    ran = running.finished()
    assert (ran.code, ran.err) == (1, "")


def test_without_a_tflite_form_the_onnx_files_are_there(place: Place) -> None:
    """And the op's name, which steers a terminal, is shown as text."""
    ran = place.run("quantize escapes.onnx --data good.npz")
    assert (heading(ran.err), ran.code) == ("EK501", UNSUPPORTED)
    assert_error(ran.err)
    written = {path.name for path in (place.folder / "out").iterdir()}
    assert written == {"escapes.onnx", "escapes.int8.onnx", "report.json"}
    shutil.rmtree(place.folder / "out")


def test_names_that_steer_a_terminal_are_text(place: Place) -> None:
    ran = place.run(f"quantize 'odd{bad_files.ESCAPE}name.onnx' --data escapes.npz -v")
    assert ran.code == 0, ran.err
    assert "\x1b" not in ran.out + ran.err
    assert "\u202e" not in ran.out + ran.err
    shutil.rmtree(place.folder / "out")


@pytest.mark.parametrize("samples", ["--calib one.npz --eval good.npz", "--calib good.npz --eval one.npz"])
def test_one_sample_is_enough(place: Place, samples: str) -> None:
    ran = place.run(f"quantize good.onnx {samples} --metric sqnr")
    assert ran.code == 0, ran.err
    shutil.rmtree(place.folder / "out")
