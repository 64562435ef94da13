"""Darknet: NAME.weights with its NAME.cfg. Batch normalization is folded into the convolutions."""

import os
import struct

import numpy as np

from .common import Source, WeightError, add
from .networks import conv2d, max_pooling2d

ACTIVATIONS = {"leaky": "leaky_relu", "relu": "relu", "linear": "linear"}
WITHOUT_WEIGHTS = {"avgpool", "softmax", "cost", "dropout"}
EPSILON = 1e-6  # Darknet adds it to the square root, not under it


def parse_cfg(path):
    """[(section, {key: value}, line number)] of a cfg file."""
    sections = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            line = line.split("#")[0].split(";")[0].strip()
            if not line:
                continue
            if line.startswith("[") and line.endswith("]"):
                sections.append((line[1:-1].strip(), {}, number))
            elif "=" in line and sections:
                key, value = line.split("=", 1)
                sections[-1][1][key.strip()] = value.strip()
            else:
                raise WeightError(f"{path}:{number}: expected [section] or key=value, found '{line[:60]}'")
    return sections


def network_of(path):
    """(layers, batch-normalized convolutions' names, input channels, input size) of a cfg; plain chains only."""
    sections = parse_cfg(path)
    if not sections or sections[0][0] not in ("net", "network"):
        raise WeightError(f"{path}: expected [net] as the first section")

    def number(options, key, default, line):
        try:
            value = int(options.get(key, default))
        except ValueError:
            value = -1
        if not 0 <= value <= 1 << 20:
            raise WeightError(f"{path}:{line}: {key}={options[key]} is not a usable number")
        return value

    layers, normalized, convolutions, pools = [], set(), 0, 0
    _, net, line = sections[0]
    channels, height, width = (number(net, key, default, line)
                               for key, default in (("channels", 3), ("height", 224), ("width", 224)))
    for kind, options, line in sections[1:]:
        if kind in ("convolutional", "conv"):
            convolutions += 1
            size, strides = number(options, "size", 1, line), number(options, "stride", 1, line)
            filters = number(options, "filters", 1, line)
            padding = size // 2 if number(options, "pad", 0, line) else number(options, "padding", 0, line)
            if min(size, strides, filters) < 1 or number(options, "groups", 1, line) != 1:
                raise WeightError(f"{path}:{line}: a convolution needs size, stride and filters above 0 and one group")
            # Darknet pads both sides alike; Keras's "same" agrees with that only for odd kernels and stride 1.
            if padding == 0:
                name = "valid"
            elif padding == size // 2 and size % 2 == 1 and strides == 1:
                name = "same"
            else:
                raise WeightError(f"{path}:{line}: padding {padding} of a {size}x{size} kernel with stride {strides} "
                                  "has no Keras name")
            activation = options.get("activation", "logistic")
            if activation not in ACTIVATIONS:
                raise WeightError(f"{path}:{line}: activation '{activation}' is not supported")
            if size == 1:
                name = "same"
            layers.append(conv2d(f"conv{convolutions}", filters, size, strides, name, ACTIVATIONS[activation]))
            if number(options, "batch_normalize", 0, line):
                normalized.add(f"conv{convolutions}")
        elif kind in ("maxpool", "max"):
            pools += 1
            strides = number(options, "stride", 1, line)
            size = number(options, "size", strides, line)
            padding = number(options, "padding", size - 1, line)
            if min(size, strides) < 1 or padding != size - 1 or size != strides:
                raise WeightError(f"{path}:{line}: only pooling with size = stride and the default padding is supported")
            # Darknet's output is ceil(size / stride), the extra column on the right: Keras's "same".
            layers.append(max_pooling2d(f"pool{pools}", size, strides, "same"))
        elif kind not in WITHOUT_WEIGHTS:
            raise WeightError(f"{path}:{line}: section [{kind}] is not supported")
    if not convolutions:
        raise WeightError(f"{path}: no [convolutional] section")
    return layers, normalized, channels, (height, width)


def read(path, cfg):
    """Reads `path` as the cfg says; kernels become HWIO."""
    network, normalized, channels, _ = network_of(cfg)
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(12)
        version = struct.unpack("<iii", start) if len(start) == 12 else ()
        if not version or not all(0 <= v < 1000 for v in version[:2]):
            raise WeightError(f"{path}: not a Darknet weight file (no version in the first 12 bytes)")
        # The count of images seen grew from 32 to 64 bits in version 0.2.
        header = 20 if version[0] * 10 + version[1] >= 2 else 16
        expected, inputs = 0, channels
        for layer in network:
            if layer["type"] == "conv2d":
                expected += layer["filters"] * ((4 if layer["name"] in normalized else 1) +
                                                inputs * layer["kernel_size"] ** 2)
                inputs = layer["filters"]
        if size - header != 4 * expected:
            raise WeightError(f"{path}: {os.path.basename(cfg)} asks for {expected} values ({header + 4 * expected} bytes), "
                              f"the file has {size} bytes")
        file.seek(header)
        values = np.fromfile(file, "<f4")

    layers, position, inputs = {}, 0, channels

    def take(*shape):
        nonlocal position
        part = values[position : position + int(np.prod(shape))].astype(np.float64).reshape(shape)
        position += part.size
        return part

    for layer in network:
        if layer["type"] != "conv2d":
            continue
        name, filters, k = layer["name"], layer["filters"], layer["kernel_size"]
        bias, scale = take(filters), None
        if name in normalized:
            gamma, mean, variance = take(filters), take(filters), take(filters)
            if (variance < 0).any():
                raise WeightError(f"{path}: layer '{name}' has a negative variance")
            scale = gamma / (np.sqrt(variance) + EPSILON)
            bias = bias - mean * scale
        kernel = take(filters, inputs, k, k).transpose(2, 3, 1, 0)
        if scale is not None:
            kernel = kernel * scale
        add(layers, name, "kernel", kernel, path)
        add(layers, name, "bias", bias, path)
        inputs = filters
    return Source("darknet", layers, network=network, used=[cfg])
