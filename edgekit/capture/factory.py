"""The user's own code that builds the model: `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

from torch import nn

from edgekit import user_code
from edgekit.errors import EdgekitError
from edgekit.user_code import Place


def build(spec: str) -> tuple[nn.Module, Place]:
    """The nn.Module that the factory gives when called without arguments (an nn.Module itself is taken as it is)."""
    where = user_code.place(spec)
    if where is None:
        raise EdgekitError(
            "EK107",
            f"'{spec}' does not name a factory",
            "it has no form 'path/to/file.py:name' or 'package.module:name'",
            "write --model path/to/file.py:name, where name is a function or class that builds the module",
        )
    made = user_code.called(where, wanted=nn.Module)
    if not isinstance(made, nn.Module):
        raise EdgekitError(
            "EK109",
            f"'{where}' did not give a model",
            f"it returned {type(made).__name__}; a torch.nn.Module is needed",
            "return the module from the factory",
        )
    return made, where
