"""Trace a checkpoint to ONNX, verify it, bundle it, and run bundles."""
