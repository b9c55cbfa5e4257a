"""Models for use elsewhere: weights under MONAI's names, MONAI bundles, ONNX."""
