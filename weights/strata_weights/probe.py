"""The probe: what each layer of a network gives for a fixed input, computed in double precision.

A program that loads the weights repeats the forward pass and compares, so it can name the first layer that diverges.
"""

import hashlib
import json

import numpy as np

from .networks import output_size

SAMPLES = 16


def fixed_input(shape, low, high):
    """Element i of the flattened NHWC tensor is low + (high - low) * ((i * 2654435761 mod 2^32) / 2^32), as float32."""
    index = np.arange(np.prod(shape), dtype=np.uint64)
    unit = ((index * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2.0**32
    return (low + (high - low) * unit).astype(np.float32).reshape(shape)


def activate(x, activation):
    if activation == "relu":
        return np.maximum(x, 0.0)
    if activation == "leaky_relu":  # Darknet's slope
        return np.where(x > 0.0, x, 0.1 * x)
    if activation == "softmax":
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    assert activation == "linear", activation
    return x


def _windows(x, size, strides, padding, fill):
    """Yields (i, j, the elements of x under tap (i, j) of every window)."""
    (rows, top, bottom), (columns, left, right) = (output_size(n, size, strides, padding) for n in x.shape[1:3])
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    for i in range(size):
        for j in range(size):
            yield i, j, x[:, i : i + (rows - 1) * strides + 1 : strides, j : j + (columns - 1) * strides + 1 : strides]


def apply(layer, tensors, x):
    """One layer in float64; x is NHWC, or (N, features) after flatten."""
    kind = layer["type"]
    if kind == "flatten":
        return x.reshape(len(x), -1)
    if kind == "max_pooling2d":
        return np.max([tap for _, _, tap in _windows(x, layer["pool_size"], layer["strides"], layer["padding"], -np.inf)],
                      axis=0)
    kernel, bias = tensors["kernel"].astype(np.float64), tensors["bias"].astype(np.float64)
    if kind == "dense":
        y = x @ kernel
    else:
        # One matrix product per tap: what im2col would give, without its memory.
        y = sum(tap @ kernel[i, j] for i, j, tap in
                _windows(x, layer["kernel_size"], layer["strides"], layer["padding"], 0.0))
    return activate(y + bias, layer["activation"])


def forward(network, layers, x):
    """Yields (layer, its output) for each layer of the network."""
    x = x.astype(np.float64)
    for layer in network:
        x = apply(layer, layers.get(layer["name"]), x)
        yield layer, x


def weights_digest(tensors):
    """sha256 over the little-endian float32 bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(np.ascontiguousarray(tensors[name], "<f4").tobytes())
    return digest.hexdigest()


def _number(value):
    # 12 digits: beyond any tolerance in use, yet the same whichever BLAS added the terms.
    return float(f"{value:.12g}")


def summarize(name, y):
    flat = y.ravel()
    samples = [flat[(2 * k + 1) * flat.size // (2 * SAMPLES)] for k in range(SAMPLES)]
    return {"name": name, "shape": list(y.shape), "mean": _number(flat.mean()), "l2": _number(np.sqrt(flat @ flat)),
            "samples": [_number(value) for value in samples]}


def make(model, network, layers, tensors, probe_input):
    """The probe as a dictionary; convolutions and dense layers count after their activation."""
    x = fixed_input(probe_input["shape"], probe_input["low"], probe_input["high"])
    return {"format": "strata-probe/1", "model": model, "weights_sha256": weights_digest(tensors), "input": probe_input,
            "layers": [summarize(layer["name"], y) for layer, y in forward(network, layers, x)
                       if layer["type"] != "flatten"]}


def dumps(probe):
    """JSON with one line per entry and layer, so that a change shows in a diff."""
    entries = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in probe.items() if key != "layers"]
    layers = ",\n".join("    " + json.dumps(layer) for layer in probe["layers"])
    return "{\n" + ",\n".join(entries) + ',\n  "layers": [\n' + layers + "\n  ]\n}\n"
