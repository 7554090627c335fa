"""What accelerators take, as their makers' documents list it: the [accelerator] tables of devices/*.toml.

Each table names the document and its version. Of a document's limits, those stand here that a file can be held against
without the compiler: kernel sizes, strides, precisions. What hangs on padding, broadcasting or the values of weights
does not. Left out, for no list was found that could be quoted: Hailo-8, whose compiler's guide is confidential.
"""

from __future__ import annotations

from typing import Any

Table = dict[str, Any]

VELA = "ethos-u-vela 5.2.0, SUPPORTED_OPS.md as `vela --supported-ops-report` writes it"
ETHOS_U55_OPS = """
    ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D ELU EXP EXPAND_DIMS
    FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG PACK
    PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB
    SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK
"""
ETHOS_U85_OPS = f"""{ETHOS_U55_OPS}
    ASSIGN_VARIABLE CAST DIV EQUAL GATHER GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_NOT LOGICAL_OR
    NOT_EQUAL READ_VARIABLE REDUCE_ALL REDUCE_ANY SCATTER_ND SELECT SELECT_V2
"""
ETHOS_U_POOLS = {"ops": ["AVERAGE_POOL_2D", "MAX_POOL_2D"], "taps": [256, 65536]}
EDGE_TPU_OPS = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED L2_NORMALIZATION LOGISTIC
    MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE
    STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM
"""
VX_DELEGATE_OPS = """
    ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BIDIRECTIONAL_SEQUENCE_LSTM
    BIDIRECTIONAL_SEQUENCE_RNN CONCATENATION CONV_2D CONV_3D COS DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU
    EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FLOOR FLOOR_DIV FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL
    HARD_SWISH HASHTABLE_LOOKUP L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOCAL_RESPONSE_NORMALIZATION LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL NEG NOT_EQUAL ONE_HOT PACK PAD
    POW PRELU QUANTIZE REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RNN RSQRT SELECT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
    SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUEEZE STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
    UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN UNPACK
"""
QUALCOMM_OPS = """
    ABS ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BROADCAST_TO CAST CEIL CONCATENATION CONV_2D CONV_3D COS
    CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR
    FLOOR_DIV FULLY_CONNECTED GATHER GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D
    LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN
    MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_ALL REDUCE_ANY REDUCE_MAX
    REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND
    RSQRT SCATTER_ND SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQRT SQUARE SQUARED_DIFFERENCE
    STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV UNPACK
"""
QNN_OPS = """
    Abs Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Conv ConvTranspose Cos
    CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Exp Expand Flatten Floor Gather GatherElements GatherND
    Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid
    HardSwish Identity InstanceNormalization IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax LpNormalization MatMul Max MaxPool Mean Min Mod Mul Neg NonZero Not Or PRelu Pad Pow QuantizeLinear
    RandomNormalLike RandomUniformLike Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu
    RMSNormalization Reshape Resize RoiAlign Round RotaryEmbedding STFT ScatterElements ScatterND Sigmoid Sign Sin
    Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose
    Unsqueeze Upsample Where
"""
RKNN_OPS = """
    Add And ArgMax ArgMin AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv ConvTranspose
    Cos DepthToSpace DequantizeLinear Div Dropout Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements Gemm
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GRU HardSigmoid HardSwish Identity InstanceNormalization
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LRN LSTM MatMul Max MaxPool
    MaxRoiPool MaxUnpool MeanVarianceNormalization Min Mish Mod Mul Pad Pow PRelu QuantizeLinear ReduceMax ReduceMean
    ReduceMin ReduceSum Relu Reshape Resize ReverseSequence RoiAlign ScatterND Shape Sigmoid Sin Size Slice Softmax
    Softplus SpaceToDepth Split Sqrt Squeeze Sub Tanh Tile Transpose Unsqueeze Where
"""
TENSORRT_8_4 = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip
    Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout
    Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool
    GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GRU HardSigmoid Identity If ImageScaler InstanceNormalization
    IsNaN LeakyRelu Less LessOrEqual Log LogSoftmax Loop LRN LSTM LpNormalization LpPool MatMul Max MaxPool Mean Min
    Mul Neg NonMaxSuppression Not Or Pad ParametricSoftplus Pow PRelu QuantizeLinear RandomUniform RandomUniformLike
    Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence RNN Round ScaledTanh Scan Scatter ScatterElements ScatterND
    Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan
    Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Upsample Where Xor
"""
TENSORRT_8_5 = f"""{TENSORRT_8_4}
    GridSample HardSwish MeanVarianceNormalization Mod NonZero OneHot RandomNormal RandomNormalLike Reciprocal
    RoiAlign Shrink Trilu
"""
TENSORRT_10 = f"""{TENSORRT_8_5}
    Attention BlackmanWindow CastLike DeformConv Gelu GroupNormalization HammingWindow HannWindow Hardmax IsInf
    LayerNormalization Mish RMSNormalization RotaryEmbedding STFT
"""
NEURAL_ART_OPS = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED HARD_SWISH LEAKY_RELU LOGISTIC MAXIMUM
    MAX_POOL_2D MEAN MINIMUM MUL PAD PRELU QUANTIZE RELU RELU6 RESHAPE SQUEEZE SUB TANH TRANSPOSE
"""


def _ethos_u(name: str, ops: str, limits: list[Table]) -> Table:
    return {
        "name": name,
        "ops": ops.split(),
        "precisions": ["int8", "int16x8"],
        "weights": "per-channel",
        "limits": [{"ops": ["BATCH_MATMUL"], "precisions": ["int8"]}, ETHOS_U_POOLS, *limits],
        "source": VELA,
        "status": "published",
    }


def _ethos_u55(name: str) -> Table:
    return _ethos_u(
        name,
        ETHOS_U55_OPS,
        [
            {"ops": ["DEPTHWISE_CONV_2D"], "stride": 3},
            {"ops": ["TRANSPOSE_CONV"], "stride": 2},
            {"ops": ["ELU", "GELU"], "precisions": ["int8"]},
        ],
    )


def _hexagon(precisions: list[str]) -> Table:
    return {
        "name": "the Hexagon NPU",
        "ops": QUALCOMM_OPS.split(),
        "onnx_ops": QNN_OPS.split(),
        "precisions": precisions,
        "weights": "per-channel",
        "source": "TFLite: LiteRT documentation, On-device Inference, Supported operators, Qualcomm NPU; ONNX: "
        "github:onnxruntime/onnxruntime-qnn@0131740f docs/execution_providers/QNN-ExecutionProvider.md",
        "status": "published",
    }


def _tensorrt(version: str, ops: str) -> Table:
    """version: of the list; JetPack 4.6 has TensorRT 8.2, JetPack 5 has 8.5, JetPack 6 has 8.6 to 10.3."""
    return {
        "name": "TensorRT",
        "onnx_ops": ops.split(),
        "precisions": ["int8", "float16", "float32"],
        "weights": "per-channel",
        "others": "refused",
        "source": f"github:onnx/onnx-tensorrt docs/operators.md of TensorRT {version}",
        "status": "published",
    }


ACCELERATORS: dict[str, Table] = {
    "coral-usb": {
        "name": "the Edge TPU",
        "ops": EDGE_TPU_OPS.split(),
        "precisions": ["int8"],
        "weights": "per-channel",
        "others": "cpu-from-there",
        "source": "coral.ai/docs/edgetpu/models-intro, Supported operations; that one piece is compiled: also "
        "developer.axis.com, ARTPEC-7, Optimization tips",
        "status": "published",
    },
    "ethos-u55-128": _ethos_u55("the Ethos-U55"),
    "ethos-u55-256": _ethos_u55("the Ethos-U55"),
    "ethos-u65-512": _ethos_u55("the Ethos-U65"),
    "ethos-u85": _ethos_u("the Ethos-U85", ETHOS_U85_OPS, []),
    "imx8m-plus": {
        "name": "the VIP8000 NPU",
        "ops": VX_DELEGATE_OPS.split(),
        "precisions": ["int8"],
        "weights": "per-tensor",
        "source": "ops: github:VeriSilicon/tflite-vx-delegate@10085b37 op_status.md; weights, of NPUs of its maker: "
        "github:opencv/opencv#21372 (525 ms per channel, 20 ms per tensor), wiki.st.com STM32MP2_NPU_description",
        "status": "published",
    },
    "rk3588": {
        "name": "the RK3588's NPU",
        "onnx_ops": RKNN_OPS.split(),
        "precisions": ["int8", "float16", "float32"],
        "weights": "per-channel",
        "limits": [{"ops": ["depthwise"], "taps": [8, 8]}],
        "source": "github:airockchip/rknn-toolkit2@deaba85f doc/RKNNToolKit2_OP_Support-v2.1.0.md; precisions: "
        "measured/*.csv rows of this collection",
        "status": "published",
    },
    "rb3-gen2": _hexagon(["int8", "int16x8"]),
    "snapdragon-8-gen2": _hexagon(["int8", "int16x8", "float16", "float32"]),
    "snapdragon-8-gen3": _hexagon(["int8", "int16x8", "float16", "float32"]),
    "stm32n6": {
        "name": "the Neural-ART",
        "ops": NEURAL_ART_OPS.split(),
        "precisions": ["int8"],
        "weights": "per-channel",
        "limits": [{"ops": ["AVERAGE_POOL_2D", "MAX_POOL_2D"], "stride": 15}],
        "source": "ST Edge AI Core 2.2.0, stneuralart_operator_support.html, from a summary of it (secondary): what "
        "image and audio classifiers use; MEAN where it is a global pool",
        "status": "published",
    },
    "jetson-nano": _tensorrt("8.4", TENSORRT_8_4),
    "jetson-xavier-nx": _tensorrt("8.5", TENSORRT_8_5),
    "jetson-agx-xavier": _tensorrt("8.5", TENSORRT_8_5),
    "jetson-orin-nano": _tensorrt("10.15", TENSORRT_10),
    "jetson-orin-nx": _tensorrt("10.15", TENSORRT_10),
    "jetson-agx-orin": _tensorrt("10.15", TENSORRT_10),
}
