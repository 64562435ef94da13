"""Reads the weight files of Keras, PyTorch and Darknet and writes Strata's: safetensors, NHWC/HWIO, Keras names."""

__version__ = "1"
