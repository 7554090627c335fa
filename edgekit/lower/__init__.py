"""From the one quantized graph to files: `onnx.py` writes the QDQ ONNX file, `tflite/` the TFLite flatbuffer."""
