"""Published weights in, ONNX out, checkpoint folders verified: the one package that knows every network."""
