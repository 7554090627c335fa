"""`edgekit quantize MODEL`: the whole street."""

from __future__ import annotations

import typer

from edgekit.cli import options
from edgekit.cli.progress import watching


def quantize(
    context: typer.Context,
    model: options.Model = None,
    factory: options.Factory = None,
    data: options.Data = None,
    calibration: options.Calibration = None,
    evaluation: options.Evaluation = None,
    calibration_count: options.CalibrationCount = None,
    directory: options.Directory = None,
    overwrite: options.Overwrite = None,
    recipe: options.Recipe = None,
    device: options.Device = None,
    resize: options.Resize = None,
    crop: options.Crop = None,
    scale: options.Scale = None,
    mean: options.Mean = None,
    std: options.Std = None,
    samples_layout: options.SamplesLayout = None,
    inputs: options.Inputs = None,
    trust_pickle: options.TrustPickle = None,
    ranges: options.Ranges = None,
    io: options.Io = None,
    formats: options.Formats = None,
    layout: options.Layout = None,
    metric: options.Metric = None,
    layers: options.Layers = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Turn a trained model into verified INT8 ONNX and TFLite files."""
    wanted = options.recipe(context.params)
    from edgekit import pipeline
    from edgekit.cli import output

    with watching(verbose) as progress:
        report = pipeline.quantize(wanted, progress)
    output.print_report(report, json)
