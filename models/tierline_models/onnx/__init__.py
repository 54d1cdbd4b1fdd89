"""Blocks as ONNX: written beside a bundle's weights, checked, and run by onnxruntime without torch."""
