"""Networks in ONNX files, read as PyTorch modules that `capture` takes like any other."""
