"""Facts about graphs and their ops. A graph is an `onnx_ir.Model`; a pass takes one and returns a new one."""
