"""What `conformance.py` keeps in its worker process: LiteRT, which opens one file after the other."""

from __future__ import annotations

from edgekit.run.litert import Arrays, Interpreter


class LiteRT:
    def run(self, file: bytes, inputs: Arrays) -> Arrays:
        """Inputs and outputs exactly as the file has them."""
        return Interpreter(file).run(inputs)
