"""Models as ONNX files, which ONNX Runtime and others run; the only home of both libraries."""
