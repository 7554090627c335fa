"""`edgekit convert MODEL`: another format or a shorter float, without INT8."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from edgekit.cli import options
from edgekit.cli.interruption import too_late
from edgekit.cli.progress import watching

Precision = Annotated[
    Literal["float32", "float16"],
    typer.Option("--precision", help="Type of the weights. Default: float32.", show_default=False),
]


def convert(
    context: typer.Context,
    path: options.Model = None,
    model: options.Factory = None,
    precision: Precision = "float32",
    format: options.Formats = None,
    output: options.Directory = None,
    overwrite: options.Overwrite = None,
    recipe: options.Recipe = None,
    device: options.Device = None,
    data: options.Data = None,
    eval: options.Evaluation = None,
    resize: options.Resize = None,
    crop: options.Crop = None,
    scale: options.Scale = None,
    mean: options.Mean = None,
    std: options.Std = None,
    samples_layout: options.SamplesLayout = None,
    input: options.Inputs = None,
    trust_pickle: options.TrustPickle = None,
    layout: options.Layout = None,
    batch: options.Batch = None,
    metric: options.Metric = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Write a model as float32 or float16 ONNX or TFLite."""
    wanted = options.recipe({name: value for name, value in context.params.items() if name != "precision"})
    from edgekit import pipeline
    from edgekit.cli import result

    with watching(verbose) as progress:
        report = pipeline.convert(wanted, precision, progress)
        too_late()
    return result.print_report(report, json)
