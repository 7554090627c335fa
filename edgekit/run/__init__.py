"""The runtimes, each in a process of its own, and what measuring them shares."""

import os

# Since 1.31, ONNX Runtime reports its use to its maker and keeps a device's identity in ~/.cache, also on Linux.
# edgekit talks to nobody; this is read when the library is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
