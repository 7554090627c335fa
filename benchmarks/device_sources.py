"""The profiles that published rows carry: which rows, and what is known of the device beneath them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from device_runs import (
    ACCELERATOR,
    CPU_FLOAT,
    CPU_INT8,
    KIB,
    MCU,
    NCNN,
    Row,
    Source,
    named,
    of_ncnn,
    of_tiny,
    of_torchvision,
)

NOISE_PI = 0.067  # Raspberry Pi 4, TFLite 2.7.1 measured twice: 6.9 % at the 90th percentile
NOISE_XAVIER = 0.080  # AGX Xavier's CPU twice: 8.3 %
NOISE_AI_HUB = 0.062  # successive releases: 6.4 %

# device, how its rows are called, cores, last cache in KiB, versions of TFLite and of Arm NN, noise
BOARDS: tuple[tuple[str, str, int, int, tuple[str, ...], float], ...] = (
    ("raspberry-pi-4", "Raspberry Pi 4 Model B Rev 1.4 (rpi4)", 4, 1024, ("TFLite 2.7.1", "ArmNN 22.11"), NOISE_PI),
    ("jetson-agx-xavier-cpu", "NVIDIA Jetson AGX Xavier", 8, 4096, ("TFLite 2.7.1", "TFLite 2.11.0"), NOISE_XAVIER),
    ("jetson-agx-orin-cpu", "NVIDIA Jetson AGX Orin", 12, 4096, ("TFLite 2.7.1", "TFLite 2.11.0"), NOISE_XAVIER),
    ("rk3588", "Firefly-RK3588S (firefly)", 8, 3072, ("TFLite 2.7.1", "TFLite 2.11.0"), NOISE_XAVIER),
)
NCNN_BOARDS = (
    ("raspberry-pi-3b-plus", "Raspberry Pi 3 Model B+ Broadcom BCM2837B0, Cortex-A53", 512),
    ("raspberry-pi-4", "Raspberry Pi 4 Model B Broadcom BCM2711B0, Cortex-A72", 1024),
    ("raspberry-pi-5", "Raspberry Pi 5 Broadcom BCM2712, Cortex-A76", 2048),
    ("raspberry-pi-zero-2w", "Raspberry Pi Zero 2 W Broadcom BCM2710A1, Cortex-A53", 512),
)
CUBE = (
    ("7.3.0", "stm32_modelzoo.csv"),
    ("8.1.0", "stm32_modelzoo.csv"),
    ("10.0.0", "transcribed_stm32_modelzoo_v10.csv"),
)


def sources() -> Iterator[Source]:
    yield from _mlperf()
    yield from _ncnn()
    yield from _pixel()
    yield from _stm32()
    yield from _accelerators()


def _mlperf() -> Iterator[Source]:
    for device, rows, cores, cache, versions, noise in BOARDS:
        for version in versions:
            runtime, _, number = version.partition(" ")
            for precision in ("int8", "float32"):
                yield Source(
                    device=device,
                    file="mlperf_inference_edge.csv",
                    keep=_matching(
                        device=rows,
                        processor="cpu",
                        runtime=runtime,
                        runtime_version=f"{runtime} v{number} ({'ruy' if runtime == 'TFLite' else 'Neon'})",
                        precision="fp32" if precision == "float32" else precision,
                    ),
                    processor="cpu",
                    runtime=runtime.lower(),
                    version=number,
                    threads=cores,
                    threads_note="the rows give no threads; all cores",
                    precision=precision,  # type: ignore[arg-type]
                    cache_bytes=cache * KIB,
                    prior=CPU_FLOAT if precision == "float32" else CPU_INT8,
                    noise=noise,
                    net=named,
                )


def _ncnn() -> Iterator[Source]:
    for device, rows, cache in NCNN_BOARDS:
        for threads in (1, 4):
            yield Source(
                device=device,
                file="ncnn.csv",
                keep=_matching(device=rows, processor="cpu", threads=str(threads), precision="fp32_model"),
                processor="cpu",
                runtime="ncnn",
                version="",
                threads=threads,
                precision="float32",
                cache_bytes=cache * KIB,
                prior=NCNN,
                noise=NOISE_PI,
                net=of_ncnn,
            )


def _pixel() -> Iterator[Source]:
    for precision in ("int8", "float32"):
        yield Source(
            device="pixel-3",
            file="transcribed_tflite_hosted_pixel3.csv",
            keep=_matching(processor="cpu", precision="fp32" if precision == "float32" else precision),
            processor="cpu",
            runtime="tflite",
            version="2020-2021",
            threads=4,
            precision=precision,  # type: ignore[arg-type]
            cache_bytes=2048 * KIB,
            prior=CPU_FLOAT if precision == "float32" else CPU_INT8,
            noise=NOISE_XAVIER,
            net=named,
        )


def _stm32() -> Iterator[Source]:
    common: dict[str, Any] = {"processor": "mcu", "threads": 1, "precision": "int8", "cache_bytes": 0, "prior": MCU}
    for version, file in CUBE:
        yield Source(
            device="stm32h743",
            file=file,
            keep=_cube_rows(version),
            runtime="stm32cube-ai",
            version=version,
            noise=NOISE_XAVIER,
            net=named,
            **common,
        )
    yield Source(
        device="stm32n6",
        file="transcribed_stm32_modelzoo_v10.csv",
        keep=_matching(device="STM32N6570-DK"),
        runtime="stm32cube-ai",
        version="10.0.0",
        noise=NOISE_XAVIER,
        net=named,
        **{**common, "processor": "npu", "prior": ACCELERATOR},
    )
    for device, soc, runtime, version in (
        ("stm32l4r5", "STM32L4R5ZIT6U", "stm32cube-ai", "X-CUBE-AI v8.1.0"),
        ("stm32f746", "STM32F746NGH6U", "plumerai", "Plumerai Inference Engine 2023.05"),
    ):
        yield Source(
            device=device,
            file="mlperf_tiny.csv",
            keep=_matching(soc=soc, runtime=version, precision="int8"),
            runtime=runtime,
            version=version.split()[-1].removeprefix("v"),
            noise=NOISE_XAVIER,
            net=of_tiny,
            **common,
        )


def _cube_rows(version: str) -> Any:
    """Of the H7 at 400 MHz; the rows of ResNet-32 give no version, and stand beside those of their table."""

    def keep(row: Row) -> bool:
        told = row["runtime_version"] or ("8.1.0" if "tfs" in row["model"] else "7.3.0")
        board = row["device"] == "STM32H747I-DISCO" and "216 MHz" not in row["note"]
        return board and told == version and row["precision"] == "int8"

    return keep


def _accelerators() -> Iterator[Source]:
    common: dict[str, Any] = {"threads": 1, "cache_bytes": 0, "prior": ACCELERATOR}
    for device, soc in (("rb3-gen2", "qualcomm-qcs6490"), ("snapdragon-8-gen3", "qualcomm-snapdragon-8gen3")):
        for runtime in ("tflite", "qnn_dlc"):
            for precision, told in (("int8", "w8a8"), ("float16", "float")):
                yield Source(
                    device=device,
                    file="aihub.csv",
                    keep=_matching(soc=soc, runtime=runtime, precision=told, compute_unit="NPU"),
                    processor="npu",
                    runtime=runtime.replace("_", "-"),
                    version="qairt 2.42.0",
                    precision=precision,  # type: ignore[arg-type]
                    noise=NOISE_AI_HUB,
                    net=of_torchvision,
                    **common,
                )
    yield Source(
        device="coral-usb",
        file="transcribed_coral_benchmarks.csv",
        keep=lambda row: row["device"].startswith("Coral USB"),
        processor="npu",
        runtime="edgetpu",
        version="",
        precision="int8",
        noise=NOISE_XAVIER,
        net=_of_coral,
        **common,
    )
    yield Source(
        device="jetson-nano",
        file="torch2trt.csv",
        keep=lambda row: row["device"] == "Jetson Nano" and row["runtime"].startswith("TensorRT"),
        processor="gpu",
        runtime="tensorrt",
        version="2019",
        precision="float16",
        noise=NOISE_XAVIER,
        net=of_torchvision,
        **common,
    )


def _of_coral(row: Row) -> Any:
    names = {"MobileNet v1": "mobilenet_v1_1.0", "MobileNet v2": "mobilenet_v2_1.0", "ResNet-50 V1": "resnet50"}
    traces = {"VGG16": "vgg16", "Inception v1": "googlenet", "DenseNet": "densenet121", "SqueezeNet": "squeezenet1_0"}
    if row["model"] in traces:
        return of_torchvision({**row, "model": traces[row["model"]]})
    return named({**row, "model": names[row["model"]]}) if row["model"] in names else None


def _matching(**wanted: str) -> Any:
    return lambda row: all(row.get(key) == value for key, value in wanted.items())
