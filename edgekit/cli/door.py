"""The one place where what went wrong becomes words on stderr and an exit code."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import cast

import typer

from edgekit.cli import interruption
from edgekit.errors import EdgekitError, Exit
from edgekit.plain import plain

# Typer's own usage errors; it keeps the class to itself, but for the parents of the one that it exports.
UsageError = cast(type[Exception], typer.BadParameter.__bases__[0])

# What PyTorch and ONNX Runtime say when an allocation fails; neither raises MemoryError.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc", "bad allocation")


def guarded(call: Callable[[], int | None]) -> int:
    """Run a command and give its exit code; nothing gets past but SystemExit."""
    try:
        code = call() or Exit.DONE
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed_pipe()
    except (KeyboardInterrupt, typer.Abort) as stop:
        return interruption.told(stop)
    except typer.Exit as stop:
        return stop.exit_code
    except UsageError as error:
        return _usage(error)
    except EdgekitError as error:
        return _say(in_words(error), error.exit)
    except Exception as error:
        if _is_exhausted(error):
            return _out_of_memory(error)
        return _bug(error)
    return code


def in_words(error: EdgekitError) -> str:
    """The printed form: one paragraph for each question, safe for a terminal."""
    lines = (f"{_heading(error.code)}: {plain(error.what)}", f"  why: {_indented(error.why)}")
    return "\n".join((*lines, f"  fix: {_indented(error.fix)}"))


def _heading(code: str) -> str:
    text = f"error[{code}]"
    return f"\x1b[1;31m{text}\x1b[0m" if _coloured() else text


def _indented(text: str) -> str:
    """Lines after the first stand under the first, so that none of them can pass for a heading."""
    return plain(text, keep="\n").replace("\n", "\n       ")


def _coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _say(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


def _usage(error: Exception) -> int:
    """An unknown option, a missing argument, a value of the wrong kind."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "edgekit"
    close = getattr(error, "possibilities", None) or ()
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    said = error.message if close else error.format_message()  # type: ignore[attr-defined]
    said = said.replace("Value error, ", "")  # pydantic's word for what a validator raises
    what, fix = f"cannot read the command line of `{where}`", f"{guess}`{where} --help` lists what it takes"
    return _say(in_words(EdgekitError("EK189", what, said, fix)), Exit.USAGE)


def _is_exhausted(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def _out_of_memory(error: Exception) -> int:
    why = plain(str(error).partition("\n")[0]) or "the machine has no more to give"
    fix = "close other programs, give smaller inputs, or run on a machine with more memory"
    return _say(in_words(EdgekitError("EK903", "out of memory", why, fix)), Exit.EXHAUSTED)


def _bug(error: Exception) -> int:
    try:
        place = str(_write_report(error))
    except OSError as problem:
        traceback.print_exception(error)
        place = f"above ({problem.strerror})"
    what = f"edgekit broke: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    why = "this is a bug in edgekit, whatever the input was"
    return _say(in_words(EdgekitError("EK990", what, why, f"report it with the details in {place}")), Exit.BUG)


def _write_report(error: Exception) -> Path:
    """What a developer needs to see, in the folder for temporary files, under its last name only when whole."""
    from edgekit import __version__

    lines = [
        f"edgekit {__version__}, Python {platform.python_version()}, {platform.platform()}",
        "command: " + " ".join(plain(argument) for argument in sys.argv),
        "",
        "".join(traceback.format_exception(error)),
    ]
    handle, name = tempfile.mkstemp(prefix="edgekit-bug-", suffix=".tmp", text=True)
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write("\n".join(lines))
    return Path(name).replace(Path(name).with_suffix(".txt"))


def _closed_pipe() -> int:
    """Whoever read stdout has left (`edgekit ... | head`): be quiet, also when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.FAILED
