"""`edgekit quantize MODEL`: the whole street."""

from __future__ import annotations

import typer

from edgekit.cli import options
from edgekit.cli.interruption import too_late
from edgekit.cli.progress import watching


def quantize(
    context: typer.Context,
    path: options.Model = None,
    model: options.Factory = None,
    data: options.Data = None,
    calib: options.Calibration = None,
    eval: options.Evaluation = None,
    calib_count: options.CalibrationCount = None,
    macs: options.Macs = None,
    params: options.Params = None,
    size: options.Size = None,
    latency: options.Latency = None,
    sparsity: options.Sparsity = None,
    score: options.Score = None,
    rounds: options.Rounds = None,
    epochs: options.Epochs = None,
    patience: options.Patience = None,
    qat: options.Qat = None,
    train: options.Training = None,
    lr: options.LearningRate = None,
    train_batch: options.TrainBatch = None,
    distill: options.Distill = None,
    optimizer: options.Optimizer = None,
    augment: options.Augment = None,
    resume: options.Resume = None,
    output: options.Directory = None,
    overwrite: options.Overwrite = None,
    recipe: options.Recipe = None,
    device: options.Device = None,
    resize: options.Resize = None,
    crop: options.Crop = None,
    scale: options.Scale = None,
    mean: options.Mean = None,
    std: options.Std = None,
    samples_layout: options.SamplesLayout = None,
    input: options.Inputs = None,
    trust_pickle: options.TrustPickle = None,
    precision: options.Precision = None,
    scheme: options.Scheme = None,
    ranges: options.Ranges = None,
    effort: options.Effort = None,
    keep_float: options.KeepFloat = None,
    io: options.Io = None,
    sensitivity: options.Sensitivity = None,
    format: options.Formats = None,
    layout: options.Layout = None,
    batch: options.Batch = None,
    metric: options.Metric = None,
    layers: options.Layers = None,
    threads: options.Threads = None,
    max_drop: options.MaxDrop = None,
    seed: options.Seed = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Turn a trained model into verified INT8 ONNX and TFLite files."""
    wanted = options.recipe(context.params)
    from edgekit import pipeline
    from edgekit.cli import result

    with watching(verbose) as progress:
        report = pipeline.quantize(wanted, progress)
        too_late()
    return result.print_report(report, json)
