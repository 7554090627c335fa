"""`edgekit prune MODEL`: a smaller float model."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.cli.interruption import too_late
from edgekit.cli.progress import watching

Data = Annotated[
    str | None,
    typer.Option("--data", metavar="PATH", help="Samples to judge on: .npz, .npy, folder, file.py:factory."),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        "--calib",
        metavar="PATH",
        help="Samples to score on, and to mend with where none train. Default: some of --data.",
    ),
]
CalibrationCount = Annotated[
    int | None,
    typer.Option(
        "--calib-count",
        metavar="N",
        min=1,
        help="Samples to score on and to mend with. Default: 256, at most half of --data.",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        metavar="DROP",
        help="Exit with 1 where a file may drop by more, 95 % sure: points, dB, or % of the error (mse, mae).",
    ),
]


def prune(
    context: typer.Context,
    path: options.Model = None,
    model: options.Factory = None,
    data: Data = None,
    calib: Calibration = None,
    eval: options.Evaluation = None,
    calib_count: CalibrationCount = None,
    macs: options.Macs = None,
    params: options.Params = None,
    size: options.Size = None,
    latency: options.Latency = None,
    sparsity: options.Sparsity = None,
    score: options.Score = None,
    rounds: options.Rounds = None,
    epochs: options.Epochs = None,
    patience: options.Patience = None,
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
    format: options.Formats = None,
    layout: options.Layout = None,
    batch: options.Batch = None,
    metric: options.Metric = None,
    threads: options.Threads = None,
    max_drop: MaxDrop = None,
    seed: options.Seed = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Cut channels out of a trained model and fine-tune what is left."""
    wanted = options.recipe(context.params)
    from edgekit import pipeline
    from edgekit.cli import result

    with watching(verbose) as progress:
        report = pipeline.prune(wanted, progress)
        too_late()
    return result.print_report(report, json)
