"""The one error class, and the page for each of its codes.

A code's first digit is its stage (1 load, 2 capture, 3 prune, 4 quantize, 5 lower, 6 verify, 7 profile, 8 bundle,
9 environment). The table below is what `edgekit explain CODE` shows, and what gives a code its exit status.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """What the process says to the build that called it."""

    DONE = 0
    FAILED = 1  # a budget or a comparison failed
    USAGE = 2  # usage or recipe error
    UNSUPPORTED = 3  # model or op not supported
    ENVIRONMENT = 4  # environment or device unavailable
    INCONCLUSIVE = 5
    REFUSED = 6  # refused for safety or integrity
    EXHAUSTED = 7  # out of memory or time
    BUG = 70
    INTERRUPTED = 130


class EdgekitError(Exception):
    """A problem that the user can act on.

    code: a key of PAGES; what: the thing by the user's name for it; why: the value seen beside the value allowed;
    fix: a key, an option or a command that exists. Only `cli/` prints it.
    """

    def __init__(self, code: str, what: str, why: str, fix: str) -> None:
        assert code in PAGES, f"{code} has no page"
        super().__init__(code, what, why, fix)
        self.code, self.what, self.why, self.fix = code, what, why, fix

    def __str__(self) -> str:
        return f"error[{self.code}]: {self.what}\n  why: {self.why}\n  fix: {self.fix}"

    @property
    def exit(self) -> Exit:
        return PAGES[self.code].exit


@dataclass(frozen=True)
class Page:
    """What `edgekit explain` prints for a code: a title and a paragraph."""

    exit: Exit
    title: str
    text: str


PAGES: dict[str, Page] = {
    # ---- 1xx: load -------------------------------------------------------------------------------------------------
    "EK101": Page(Exit.USAGE, "file not found", "The path does not exist or is not a regular file."),
    "EK190": Page(
        Exit.USAGE,
        "an option's value cannot be read",
        "An option was given a value that is not written as it must be. The message shows one that is; `--help` of the"
        " command says the unit and the default.",
    ),
    "EK191": Page(Exit.USAGE, "no such error code", "`edgekit explain` without a code lists every code there is."),
    "EK192": Page(
        Exit.UNSUPPORTED,
        "cannot say what a file is",
        "`edgekit inspect` reads ONNX, TFLite, PyTorch (.pt, .pt2, TorchScript), safetensors, .npz and .npy files. It"
        " tells them apart by their content, and never runs or unpickles anything.",
    ),
    "EK193": Page(
        Exit.UNSUPPORTED,
        "a file is damaged",
        "The beginning of the file says what it is, but the rest does not hold together: it is cut short, or an offset in"
        " it points outside of it. Copy or export it again.",
    ),
    # ---- 2xx: capture ----------------------------------------------------------------------------------------------
    # ---- 4xx: quantize ---------------------------------------------------------------------------------------------
    # ---- 5xx: lower ------------------------------------------------------------------------------------------------
    # ---- 6xx: verify -----------------------------------------------------------------------------------------------
    # ---- 7xx: profile ----------------------------------------------------------------------------------------------
    # ---- 9xx: environment ------------------------------------------------------------------------------------------
    "EK901": Page(
        Exit.ENVIRONMENT,
        "a runtime crashed",
        "Runtimes run in a process of their own. That process ended by a signal (a segmentation fault, an abort) or left"
        " on its own. The message shows its last words. An out-of-date runtime is the usual cause: `edgekit doctor` says"
        " which versions are here.",
    ),
    "EK902": Page(
        Exit.BUG,
        "unexpected failure in a runtime's process",
        "Something that edgekit did not foresee went wrong beside a runtime. The message shows what.",
    ),
    "EK903": Page(
        Exit.EXHAUSTED,
        "out of memory",
        "A runtime asked for more memory than there is, or the kernel killed its process to get memory back.",
    ),
    "EK904": Page(Exit.EXHAUSTED, "out of time", "A runtime gave no answer within the time it was given."),
    "EK905": Page(
        Exit.UNSUPPORTED,
        "ONNX Runtime cannot load the file",
        "The file is damaged, needs a newer ONNX Runtime, or holds an op that ONNX Runtime has no kernel for.",
    ),
    "EK906": Page(
        Exit.UNSUPPORTED,
        "ONNX Runtime cannot run the file",
        "The file was loaded, but running it on the samples failed: most often an input's shape or type is not the one"
        " that the file was made for.",
    ),
    "EK990": Page(
        Exit.BUG,
        "a bug in edgekit",
        "Something happened that edgekit did not foresee. The message names a file with the details: please report it"
        " together with the command. It holds names of files and the command line, and nothing of your data.",
    ),
    "EK991": Page(
        Exit.ENVIRONMENT,
        "an optional part is missing",
        "Some commands need a library that edgekit does not bring by itself, to stay small. The message names the extra"
        " that holds it; `edgekit doctor` lists all of them.",
    ),
    "EK992": Page(
        Exit.INCONCLUSIVE,
        "nothing to hold against a limit",
        "A comparison was asked to keep a limit, but the samples did not give the number that the limit is about: the"
        " agreement of two classifiers needs outputs with classes, a drop needs labels, targets or a reference.",
    ),
}
