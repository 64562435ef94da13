"""The networks whose layers are known, and how a file's tensors are matched with them.

A network is a list of dictionaries, one per layer in order: {"name", "type", ...} with Keras's option names.
"""

import json
import math
import pathlib

from .common import WeightError

SUFFIX = {2: "dense", 4: "conv2d"}


def conv2d(name, filters, kernel_size, strides=1, padding="same", activation="relu"):
    return {"name": name, "type": "conv2d", "filters": filters, "kernel_size": kernel_size, "strides": strides,
            "padding": padding, "activation": activation}


def max_pooling2d(name, pool_size=2, strides=2, padding="valid"):
    return {"name": name, "type": "max_pooling2d", "pool_size": pool_size, "strides": strides, "padding": padding}


def dense(name, units, activation):
    return {"name": name, "type": "dense", "units": units, "activation": activation}


def vgg(convolutions, include_top):
    """Simonyan and Zisserman 2014, with the names of keras.applications."""
    layers = []
    for block, (count, filters) in enumerate(zip(convolutions, (64, 128, 256, 512, 512)), 1):
        layers += [conv2d(f"block{block}_conv{i}", filters, 3) for i in range(1, count + 1)]
        layers.append(max_pooling2d(f"block{block}_pool"))
    if include_top:
        layers += [{"name": "flatten", "type": "flatten"}, dense("fc1", 4096, "relu"), dense("fc2", 4096, "relu"),
                   dense("predictions", 1000, "softmax")]
    return layers


CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def variants(model):
    """[(network, probe's input)] of a known model: without and with its top. VGG takes BGR less the ImageNet mean."""
    span = {"low": -120, "high": 130}
    return [(vgg(CONVOLUTIONS[model], False), {"shape": [1, 96, 96, 3], **span}),
            (vgg(CONVOLUTIONS[model], True), {"shape": [1, 224, 224, 3], **span})]


def darknet_name(network):
    """"tiny_darknet" where a Darknet chain is the one that tiny_darknet.json describes, else None."""
    known = json.loads((pathlib.Path(__file__).parents[1] / "tiny_darknet.json").read_text())
    return known["model"] if network == known["layers"] else None


def output_size(size, window, strides, padding):
    """Keras's rule for one spatial axis: (output size, padding before, padding after)."""
    if padding == "valid":
        return (size - window) // strides + 1, 0, 0
    out = -(-size // strides)
    total = max((out - 1) * strides + window - size, 0)
    return out, total // 2, total - total // 2


def parameter_shapes(network, input_shape):
    """{layer: {"kernel": shape, "bias": shape}} for an NHWC input shape."""
    shape, shapes = tuple(input_shape[1:]), {}
    for layer in network:
        if layer["type"] == "conv2d":
            k, f = layer["kernel_size"], layer["filters"]
            shapes[layer["name"]] = {"kernel": (k, k, shape[2], f), "bias": (f,)}
            shape = tuple(output_size(n, k, layer["strides"], layer["padding"])[0] for n in shape[:2]) + (f,)
        elif layer["type"] == "max_pooling2d":
            shape = tuple(output_size(n, layer["pool_size"], layer["strides"], layer["padding"])[0]
                          for n in shape[:2]) + shape[2:]
        elif layer["type"] == "flatten":
            shape = (math.prod(shape),)
        elif layer["type"] == "dense":
            shapes[layer["name"]] = {"kernel": (shape[0], layer["units"]), "bias": (layer["units"],)}
            shape = (layer["units"],)
    return shapes


def tensor_shapes(layers):
    return {name: {weight: tensor.shape for weight, tensor in tensors.items()} for name, tensors in layers.items()}


def in_order(layers, expected):
    """Gives nameless layers the expected names: the n-th convolution and the n-th dense layer. None if they do not fit."""
    queues = {rank: [(n, t) for n, t in layers.items() if "kernel" in t and t["kernel"].ndim == rank] for rank in SUFFIX}
    result = {}
    for name, weights in expected.items():
        queue = queues[len(weights["kernel"])]
        if not queue:
            return None
        result[name] = queue.pop(0)[1]
    if any(queues.values()) or len(result) != len(layers) or tensor_shapes(result) != expected:
        return None
    return result


def differences(found, expected):
    """What is missing, unexpected or misshapen, as lines of text."""
    flat = [{f"{layer}/{weight}": shape for layer, weights in table.items() for weight, shape in weights.items()}
            for table in (found, expected)]
    lines = [f"missing {name} {list(flat[1][name])}" for name in flat[1] if name not in flat[0]]
    lines += [f"unexpected {name} {list(flat[0][name])}" for name in flat[0] if name not in flat[1]]
    lines += [f"{name} is {list(flat[0][name])}, expected {list(flat[1][name])}"
              for name in flat[0] if name in flat[1] and flat[0][name] != flat[1][name]]
    return lines


def identify(layers, named, model, file):
    """Finds the known network that a file's layers are.

    Returns (model, network, probe's input, layers in the network's order and names), or None where no known network
    fits. A `model` asked for by the user that does not fit is an error which lists the differences.
    """
    closest = None
    for candidate in [model] if model else CONVOLUTIONS:
        for network, probe_input in variants(candidate):
            expected = parameter_shapes(network, probe_input["shape"])
            found = tensor_shapes(layers)
            if found == expected:
                return candidate, network, probe_input, {name: layers[name] for name in expected}
            if not named and (renamed := in_order(layers, expected)) is not None:
                return candidate, network, probe_input, renamed
            lines = differences(found, expected)
            if closest is None or len(lines) < len(closest):
                closest = lines
    if model:
        shown = closest[:60] + ([f"and {len(closest) - 60} more"] if len(closest) > 60 else [])
        raise WeightError(f"{file}: this is not {model}: " + "; ".join(shown))
    return None
