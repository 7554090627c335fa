"""A TFLite runtime for the agent whose models are words: what a model is called is what it does."""

from __future__ import annotations

import os
from pathlib import Path

PROGRAM = """
import os
import sys
import numpy

class OpResolverType:
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3

class Interpreter:
    def __init__(self, model_path=None, model_content=None, num_threads=1, **options):
        self.word = (model_content or open(model_path, "rb").read()).decode()
        self.whole = "experimental_preserve_all_tensors" in options
        if self.word == "crash":
            os.abort()
        if self.word == "refused":
            raise ValueError("no kernel for it")
        if self.word == "one by one fails" and self.whole:
            raise RuntimeError("a custom op")

    def allocate_tensors(self): pass
    def resize_tensor_input(self, place, shape): pass
    def set_tensor(self, place, x): pass
    def get_tensor(self, place): return numpy.zeros(2, numpy.float32)
    def get_output_details(self): return [{"index": 1}]

    def get_input_details(self):
        return [{"index": 0, "shape": [1]}] * (2 if self.word == "hungry" else 1)

    def invoke(self):
        timed = sys._getframe(1).f_code.co_name == "time_runs"
        if self.word == "breaks" or (self.word == "tires" and timed):
            raise RuntimeError("it broke")
        if self.word == "dies" and timed:
            os.abort()
"""


def environment(folder: Path) -> dict[str, str]:
    """Of a process that finds this runtime first."""
    package = folder / "runtime" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(PROGRAM, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(package.parent)}
