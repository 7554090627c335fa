"""What the agent says, held against a schema: a device is not trusted, and might say anything.

Times are in seconds, sizes in bytes, power in watts. Texts are bounded here and made safe for a terminal by whoever
prints them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.errors import EdgekitError
from edgekit.profile.address import Address
from edgekit.profile.remote import garbage

Text = Annotated[str, Field(max_length=2000)]
Short = Annotated[str, Field(max_length=200)]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Watts = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0, lt=2**63)]
Real = Annotated[float, Field(allow_inf_nan=False)]
DTYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
)
MOST_ELEMENTS = 2**28

M = TypeVar("M", bound="Said")


class Said(BaseModel):
    """A part of the answer. What a newer agent may add is not known here, and refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Reading(Said):
    """A value and where it is from, or why there is none."""

    value: int | Real | Text | Annotated[tuple[Short, ...], Field(max_length=32)] | None = None
    source: Short | None = None
    unavailable: Text | None = None

    def __str__(self) -> str:
        return f"unavailable: {self.unavailable}" if self.value is None else str(self.value)


class Surroundings(Said):
    """As `environment.snapshot` gives them."""

    board: Reading
    cpu: Reading
    cores: Reading
    memory_bytes: Reading
    clock_hz: Reading
    clock_max_hz: Reading
    governor: Reading
    temperature_c: Reading
    throttling: Reading
    throttle_count: Reading


class Moment(Said):
    """As `environment.now` gives it."""

    clock_hz: Reading
    temperature_c: Reading


class System(Said):
    """As `environment.system` gives it."""

    system: Short
    release: Short
    architecture: Short
    python: Short
    bits: Literal["32", "64"]
    libc: Short


class Rail(Said):
    """The mean power of a rail; looks: how many readings it is the mean of."""

    name: Short
    source: Short
    watts: Watts | None = None
    looks: Annotated[int, Field(ge=0)] | None = None
    unavailable: Text | None = None


class Output(Said):
    """data: the raw bytes in base64, little-endian; None where they were too many to bring along."""

    dtype: Annotated[str, Field(max_length=16)]
    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=MOST_ELEMENTS)], ...], Field(max_length=16)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    data: str | None

    def array(self) -> NDArray[Any] | None:
        """Raises ValueError where the bytes are not those of such an array."""
        if self.dtype not in DTYPES or math.prod(self.shape) > MOST_ELEMENTS:
            raise ValueError(f"no array of {self.dtype} and shape {self.shape} is expected")
        if self.data is None:
            return None
        try:
            raw = base64.b64decode(self.data, validate=True)
        except binascii.Error as broken:
            raise ValueError(f"an output is not base64: {broken}") from None
        if hashlib.sha256(raw).hexdigest() != self.sha256:
            raise ValueError("an output does not have the hash that came with it")
        dtype = np.dtype(self.dtype).newbyteorder("<")
        if len(raw) != math.prod(self.shape) * dtype.itemsize:
            raise ValueError(f"an output of shape {self.shape} has {len(raw)} bytes")
        return np.frombuffer(raw, dtype).reshape(self.shape)


class Op(Said):
    """A node as the runtime executes it. median_s: over runs."""

    node: Annotated[str, Field(max_length=1000)]
    op: Short
    median_s: Seconds


class Alone(Said):
    """A single op of a file. median_s: over runs; failure: why it could not be run alone, None where it was."""

    median_s: Seconds | None
    runs: Annotated[int, Field(ge=0, le=10**6)]
    failure: Text | None


class Measured(Said):
    """One file. times_s: of each counted run, in order; first_s: of the first run of all; ops: by the runtime's own
    profile; alone: of the single ops that were sent beside it, in their order."""

    runtime: Short
    version: Short | None
    numpy: Short
    load_s: Seconds
    first_s: Seconds
    base_rss_bytes: Bytes | None
    peak_rss_bytes: Bytes | None
    steady: bool
    times_s: Annotated[tuple[Seconds, ...], Field(min_length=1, max_length=10**6)]
    cpu_share: Annotated[float, Field(ge=0, le=1e4, allow_inf_nan=False)]
    power: Annotated[tuple[Rail, ...], Field(max_length=64)]
    ops: Annotated[tuple[Op, ...], Field(max_length=100_000)] | None
    alone: Annotated[tuple[Alone, ...], Field(max_length=100_000)] | None
    outputs: Annotated[tuple[Output, ...], Field(max_length=256)]


class Window(Said):
    """A stretch of a soak. at_s: when it ended, from the beginning; median_s: of the runs that were timed in it."""

    at_s: Seconds
    median_s: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    clock_hz: Reading
    temperature_c: Reading


class Failed(Said):
    """kind: what the agent calls it; artifact: the place of the file in the job."""

    kind: Short
    text: Text
    artifact: Annotated[int, Field(ge=0)] | None


class Measurements(Said):
    """Of a job."""

    version: Annotated[Literal[1], Field(alias="schema")]
    system: System
    before: Surroundings
    during: Annotated[tuple[Moment, ...], Field(max_length=1000)]
    after: Surroundings
    idle: Annotated[tuple[Rail, ...], Field(max_length=64)]
    artifacts: Annotated[tuple[Measured, ...], Field(max_length=64)]
    soak: Annotated[tuple[Window, ...], Field(max_length=100_000)]


class Software(Said):
    """What ran the files of a format."""

    runtime: Short
    version: Short | None


Passes = Annotated[tuple[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)], ...], Field(max_length=100)]


class Net(Said):
    """One net of a sweep. seconds: of each pass; failed: why it has none or fewer."""

    seconds: Passes
    failed: Text | None


class Swept(Said):
    """Of a sweep. runtimes: by format."""

    version: Annotated[Literal[1], Field(alias="schema")]
    system: System
    before: Surroundings
    after: Surroundings
    runtimes: Annotated[dict[Short, Software], Field(max_length=2)]
    nets: Annotated[tuple[Net, ...], Field(max_length=10_000)]


class Package(Said):
    """broken: why it cannot be imported."""

    version: Short | None
    broken: Text | None


class Installing(Said):
    """As `packages.installing` gives it."""

    executable: Text
    venv: bool
    managed: bool
    pip: bool
    ensurepip: bool
    free_bytes: Bytes


class Sensor(Said):
    """A power meter, and what it reads now where it gives watts."""

    name: Short
    source: Short | None = None
    value: Watts | None = None
    unavailable: Text | None = None


class Probed(Said):
    """Of a probe."""

    version: Annotated[Literal[1], Field(alias="schema")]
    system: System
    before: Surroundings
    power: Annotated[tuple[Sensor, ...], Field(max_length=64)]
    packages: Annotated[dict[Short, Package], Field(max_length=16)]
    installing: Installing


class Refusal(Said):
    """What the agent says instead."""

    version: Annotated[Literal[1], Field(alias="schema")]
    failure: Failed


def measurements(document: bytes, address: Address, names: tuple[str, ...]) -> Measurements:
    """What was measured. names: of the files, in the job's order. Raises what the agent failed by, as EdgekitError."""
    found = _held(Measurements, document, address, names)
    if len(found.artifacts) != len(names):
        raise garbage(address, f"it measured {len(found.artifacts)} files, {len(names)} were given")
    return found


def swept(document: bytes, address: Address, count: int) -> Swept:
    """What a sweep of so many nets found."""
    found = _held(Swept, document, address, ())
    if len(found.nets) != count:
        raise garbage(address, f"it ran {len(found.nets)} nets, {count} were given")
    return found


def probed(document: bytes, address: Address) -> Probed:
    return _held(Probed, document, address, ())


def _held(schema: type[M], document: bytes, address: Address, names: tuple[str, ...]) -> M:
    try:
        refusal = Refusal.model_validate_json(document)
    except ValidationError:
        try:
            return schema.model_validate_json(document)
        except ValidationError as wrong:
            first = wrong.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise garbage(address, f"{place}: {first['msg']}") from None
    raise failed(refusal.failure, address, names)


def failed(failure: Failed, address: Address, names: tuple[str, ...]) -> EdgekitError:
    """The error for what the agent says went wrong."""
    index = failure.artifact
    file = f"'{names[index]}'" if index is not None and index < len(names) else "a file"
    probe = f"`edgekit devices probe {address.text}` prints the command that installs what is missing"
    where, why = f"'{address.text}'", failure.text
    match failure.kind:
        case "python":
            fix = "install Python 3.8 or newer there, or name one with --python PATH"
            return EdgekitError("EK724", f"the Python on {where} is too old", f"{why}, and 3.8 is needed", fix)
        case "numpy":
            return EdgekitError("EK725", f"no numpy on {where}", why, probe)
        case "runtime":
            return EdgekitError("EK726", f"no runtime on {where} for {file}", why, probe)
        case "room":
            fix = "free some space there, or set TMPDIR there to a folder with room"
            return EdgekitError("EK727", f"no room on {where}", why, fix)
        case "load" | "run":
            fix = "install a newer runtime there, or give the file that this runtime is meant for"
            return EdgekitError("EK731", f"the runtime on {where} cannot {failure.kind} {file}", why, fix)
        case "memory":
            fix = "close other programs there, or use a smaller model"
            return EdgekitError("EK733", f"{file} ran out of memory on {where}", why, fix)
        case "time":
            return EdgekitError("EK730", f"{file} took too long on {where}", why, "give more time with --timeout")
        case "crash":
            fix = "install a newer runtime there; if it crashes too, please report the file"
            return EdgekitError("EK735", f"{file} crashed its runtime on {where}", why, fix)
        case "system":
            return EdgekitError("EK728", f"the system on {where} refused", why, "see there what is full or forbidden")
    return garbage(address, f"a failure of the kind '{failure.kind}'")
