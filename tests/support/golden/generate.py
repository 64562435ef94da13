#!/usr/bin/env python3
"""Writes the golden files beside this script: what Keras answers, for the tests to compare with.

    python generate.py            write all groups (or those named as arguments)
    python generate.py --check    compute them again and compare with the files

One safetensors file per group. Its metadata holds `cases`, a JSON list that describes each case (the layer,
optimizer or loss as class_name and config); the tensors of a case are named `<case>/...`. Keras computes in
float64; inputs and weights are first rounded to float32, so that a float backend receives them exactly.
"""
import argparse
import inspect
import io
import json
import os
import pathlib
import sys
import tempfile
import zlib
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np
import PIL
import tensorflow as tf
from PIL import Image

keras.config.set_floatx("float64")
FOLDER = pathlib.Path(__file__).resolve().parent
VERSIONS = f"keras {keras.__version__}, tensorflow {tf.__version__}, pillow {PIL.__version__}, numpy {np.__version__}"
DTYPES = {"float32": "F32", "float64": "F64", "uint8": "U8", "int32": "I32"}


class Group:
    """The cases and tensors of one file."""

    def __init__(self):
        self.cases, self.tensors = [], {}

    def add(self, case, tensors, dtype="float32"):
        """Adds a case; floating tensors are stored as `dtype`, integers as they are."""
        if case["name"] in {other["name"] for other in self.cases}:
            raise ValueError(f"two cases are named {case['name']}")
        self.cases.append(case)
        for name, value in tensors.items():
            value = np.asarray(value)
            if value.dtype.kind == "f":
                value = value.astype(dtype)
            self.tensors[f"{case['name']}/{name}"] = np.require(value, requirements="C")  # keeps rank 0

    def to_bytes(self):
        header, offset = {"__metadata__": {"generator": VERSIONS, "cases": json.dumps(self.cases)}}, 0
        tensors = sorted(self.tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))  # all are aligned
        for name, value in tensors:
            header[name] = {
                "dtype": DTYPES[value.dtype.name],
                "shape": list(value.shape),
                "data_offsets": [offset, offset + value.nbytes],
            }
            offset += value.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        data = b"".join(value.tobytes() for _, value in tensors)
        return len(text).to_bytes(8, "little") + text + data


def read(data):
    """The metadata and tensors of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    numpy_names = {code: name for name, code in DTYPES.items()}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], numpy_names[entry["dtype"]]).reshape(entry["shape"])
    return header["__metadata__"], tensors


def random(name):
    """A generator that depends on the case's name only, so that adding a case leaves the others as they are."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def round32(value):
    return np.asarray(value, "float64").astype("float32").astype("float64")


def normal(rng, *shape, scale=1.0):
    return round32(rng.normal(size=shape) * scale)


# Layers: forward, and backward for a given dy --------------------------------------------------------------------


def layer_case(group, name, class_name, config, *shapes, training=False, inputs=None, differentiable=True, tolerance=0.0):
    rng = random(name)
    config = {**config, "name": name}
    layer = getattr(keras.layers, class_name)(**{
        key: tuple(map(tuple, value)) if key == "padding" and isinstance(value, list) and isinstance(value[0], list)
        else tuple(value) if isinstance(value, list) else value for key, value in config.items()
    })
    inputs = [round32(x) for x in inputs] if inputs else [normal(rng, *shape) for shape in shapes]
    variables = [tf.Variable(x) for x in inputs]
    argument = variables if len(variables) > 1 else variables[0]
    options = {"training": True} if training else {}
    call = layer
    if class_name.startswith("Random"):  # these would train unless told not to, and add to variables in place
        options, call = {"training": training}, lambda x, **options: layer(tf.identity(x), **options)
    call(argument)  # builds
    weights = [weight for weight in layer.weights if weight.name != "count"]  # of Normalization, which does not read it
    for weight in weights:
        scale = 1.0 / np.sqrt(np.prod(weight.shape[:-1])) if "kernel" in weight.name else 0.5
        value = normal(rng, *weight.shape, scale=scale)
        if weight.name in ("gamma", "moving_variance", "variance"):
            value = round32(0.5 + np.abs(value))
        weight.assign(value)
    if class_name == "Normalization":
        layer.finalize_state()
    tensors = {f"x{i}": x for i, x in enumerate(inputs)}
    tensors |= {f"weights/{weight.name}": weight.numpy() for weight in weights}
    before = {weight.name: weight.numpy() for weight in layer.non_trainable_weights}
    with tf.GradientTape() as tape:
        y = call(argument, **options)
    dy = normal(rng, *y.shape)
    trainable = [weight.value for weight in layer.trainable_weights]
    gradients = tape.gradient(y, variables + trainable, output_gradients=tf.constant(dy, y.dtype))
    tensors |= {"y": y.numpy(), "dy": dy}
    if differentiable:
        tensors |= {f"dx{i}": gradients[i].numpy() for i in range(len(inputs))}
    for weight, gradient in zip(layer.trainable_weights, gradients[len(inputs) :]):
        tensors[f"grads/{weight.name}"] = gradient.numpy()
    for weight in layer.non_trainable_weights:
        if training and not np.array_equal(before[weight.name], weight.numpy()):
            tensors[f"updated/{weight.name}"] = weight.numpy()
    group.add(
        {
            "name": name,
            "layer": {"class_name": class_name, "config": config},
            "inputs": [f"x{i}" for i in range(len(inputs))],
            "training": training,
        }
        | ({"tolerance": tolerance} if tolerance else {}),
        tensors,
    )


def text(value):
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def conv2d(group):
    """Every kernel, stride and padding, with the other properties taking turns."""
    sizes = [[7, 5], [9, 8], [6, 11], [13, 7]]
    channels, batches, filters = [3, 1, 8, 17], [1, 3], [4, 5, 1, 8, 16]
    activations = ["relu", None, "sigmoid", "tanh", "leaky_relu", "softmax"]
    turn = 0
    for kernel in ([1, 1], [2, 2], [3, 3], [5, 5], [3, 1]):
        for strides in ([1, 1], [2, 2], [3, 3], [2, 1]):
            for padding in ("same", "valid"):
                size, c_in = sizes[turn // 2 % 4], channels[(turn // 2 + turn // 8) % 4]
                batch, activation = batches[(turn + turn // 4) % 2], activations[turn % 6]
                c_out = max(filters[turn % 5], 2 if activation == "softmax" else 1)
                config = {
                    "filters": c_out,
                    "kernel_size": kernel,
                    "strides": strides,
                    "padding": padding,
                    "activation": activation,
                    "use_bias": turn % 4 != 3,
                }
                name = f"conv2d_{text(size)}x{c_in}_k{text(kernel)}_s{text(strides)}_{padding}_{activation}_b{batch}"
                layer_case(group, name, "Conv2D", config, [batch, *size, c_in])
                turn += 1
    defaults = {"filters": 16, "kernel_size": [3, 3], "padding": "same", "activation": "relu"}
    layer_case(group, "conv2d_wide", "Conv2D", {**defaults, "filters": 33}, [2, 10, 9, 16])
    layer_case(group, "conv2d_large", "Conv2D", defaults, [1, 23, 21, 8])
    for padding in ("same", "valid"):
        dilated = {**defaults, "padding": padding, "dilation_rate": [2, 3], "filters": 5}
        layer_case(group, f"conv2d_dilated_{padding}", "Conv2D", dilated, [2, 8, 9, 3])
    layer_case(group, "conv2d_one_pixel", "Conv2D", defaults, [3, 1, 1, 8])
    layer_case(group, "conv2d_deep", "Conv2D", {**defaults, "activation": None, "filters": 8}, [1, 4, 4, 96])


def grouped_conv2d(group):
    """Convolutions whose outputs see a part of the channels: in groups, depthwise, separable."""
    sizes = [[7, 5], [9, 8], [6, 11], [13, 7]]
    for groups, c_in, filters in ((2, 4, 6), (4, 8, 8), (3, 3, 6), (16, 32, 32)):
        for turn, padding in enumerate(("same", "valid")):
            grouped = {"kernel_size": [3, 3], "padding": padding, "activation": "relu", "groups": groups}
            grouped |= {"filters": filters, "strides": [1 + turn] * 2}
            layer_case(group, f"conv2d_groups{groups}_{c_in}x{filters}_{padding}", "Conv2D", grouped, [2, 7, 6, c_in])
    turn = 0
    for kernel in ([3, 3], [5, 5], [1, 1], [2, 3]):
        for strides in ([1, 1], [2, 2]):
            for padding in ("same", "valid"):
                shape = [[1, 3][(turn + turn // 2) % 2], *sizes[turn // 2 % 4], [3, 8, 17, 1][turn // 4]]
                config = {
                    "kernel_size": kernel,
                    "strides": strides,
                    "padding": padding,
                    "depth_multiplier": (multiplier := [1, 2, 3][turn % 3]),
                    "activation": ["relu6", None, "silu", "gelu", "tanh"][turn % 5],
                    "use_bias": turn % 4 != 3,
                }
                name = f"{text(shape)}_k{text(kernel)}_s{text(strides)}_{padding}_m{multiplier}"
                layer_case(group, f"depthwise_conv2d_{name}", "DepthwiseConv2D", config, shape)
                config["filters"] = filters = [4, 1, 9][turn // 3 % 3]
                layer_case(group, f"separable_conv2d_{name}x{filters}", "SeparableConv2D", config, shape)
                turn += 1
    for padding in ("same", "valid"):
        dilated = {"kernel_size": [3, 3], "padding": padding, "dilation_rate": [2, 2], "depth_multiplier": 2}
        layer_case(group, f"depthwise_conv2d_dilated_{padding}", "DepthwiseConv2D", dilated, [2, 8, 9, 3])
        layer_case(group, f"separable_conv2d_dilated_{padding}", "SeparableConv2D", {**dilated, "filters": 5}, [2, 8, 9, 3])


def dilated_conv_transpose(x, kernel, *arguments, dilations, conv_transpose=tf.nn.conv_transpose, **options):
    """With zeros in the kernel: TensorFlow has no dilations here on CPUs."""
    rows, columns = (np.eye((size - 1) * step + 1)[::step] for size, step in zip(kernel.shape, dilations))
    return conv_transpose(x, tf.einsum("ia,jb,ijfc->abfc", rows, columns, kernel), *arguments, **options)


def conv2d_transpose(group):
    """Strides or dilations, with all sizes that `output_padding` can choose."""
    sizes, channels, filters = [[4, 3], [3, 5], [1, 4]], [3, 8, 1, 5], [4, 3, 9]
    activations = ["relu", None, "gelu", "softmax", "leaky_relu"]
    turn = 0
    for kernel in ([1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [3, 2]):
        for strides in ([1, 1], [2, 2], [3, 3], [1, 2]):
            for padding in ("same", "valid"):
                for output_padding in (None, [0, strides[1] - 1]):
                    if output_padding and padding == "same" and any(k % 2 + p == 0 for k, p in zip(kernel, output_padding)):
                        continue  # TensorFlow does not compute so small a result
                    shape = [[1, 2][turn // 2 % 2], *sizes[turn % 3], channels[turn // 3 % 4]]
                    config = {
                        "filters": filters[turn // 2 % 3],
                        "kernel_size": kernel,
                        "strides": strides,
                        "padding": padding,
                        "output_padding": output_padding,
                        "activation": activations[turn % 5],
                        "use_bias": turn % 4 != 3,
                    }
                    name = f"{text(shape)}_k{text(kernel)}_s{text(strides)}_{padding}_{text(output_padding)}"
                    layer_case(group, f"conv2d_transpose_{name}", "Conv2DTranspose", config, shape)
                    turn += 1
    for kernel in ([3, 3], [2, 4]):
        for padding in ("same", "valid"):
            dilated = {"filters": 5, "kernel_size": kernel, "padding": padding, "dilation_rate": [2, 3]}
            name = f"conv2d_transpose_dilated_{text(kernel)}_{padding}"
            with mock.patch("tensorflow.nn.conv_transpose", dilated_conv_transpose):
                layer_case(group, name, "Conv2DTranspose", dilated, [2, 6, 5, 3])
    layer_case(group, "conv2d_transpose_defaults", "Conv2DTranspose", {"filters": 33, "kernel_size": [3, 3]}, [1, 9, 8, 32])


def pooling(group):
    turn = 0
    for pool in ([2, 2], [3, 3], [2, 1]):
        for strides in (None, [1, 1], [2, 2], [3, 2]):
            for padding in ("same", "valid"):
                size = [[7, 5], [8, 9], [11, 6]][turn % 3]
                shape = [[1, 3][turn % 2], *size, [3, 8, 1, 17][turn % 4]]
                for kind in ("Max", "Average"):
                    config = {"pool_size": pool, "padding": padding} | ({"strides": strides} if strides else {})
                    name = f"{kind.lower()}_pooling2d_{text(shape)}_p{text(pool)}_s{text(strides)}_{padding}"
                    layer_case(group, name, f"{kind}Pooling2D", config, shape)
                turn += 1
    # Behind a ReLU whole windows are zero: the gradient goes to the first of equals in row-major order.
    for padding in ("same", "valid"):
        name = f"max_pooling2d_ties_{padding}"
        x = random(name).integers(-2, 3, size=[2, 7, 6, 5]).clip(0)
        config = {"pool_size": [2, 2], "strides": [2, 2], "padding": padding}
        layer_case(group, name, "MaxPooling2D", config, inputs=[x])
        layer_case(group, f"{name}_overlapping", "MaxPooling2D", {**config, "pool_size": [3, 3]}, inputs=[x])
    name = "max_pooling2d_negative_same"  # padding must not win
    x = -1 - np.abs(normal(random(name), 1, 5, 5, 3))
    layer_case(group, name, "MaxPooling2D", {"pool_size": [3, 3], "strides": [2, 2], "padding": "same"}, inputs=[x])
    for batch in (1, 3):
        layer_case(group, f"global_average_pooling2d_b{batch}", "GlobalAveragePooling2D", {}, [batch, 7, 5, 17])
        layer_case(group, f"global_max_pooling2d_b{batch}", "GlobalMaxPooling2D", {}, [batch, 7, 5, 17])
    for kind in ("Max", "Average"):
        layer_case(group, f"global_{kind.lower()}_pooling2d_keepdims", f"Global{kind}Pooling2D", {"keepdims": True}, [2, 3, 4, 5])


def layers(group):
    for batch in (1, 3):
        layer_case(group, f"flatten_b{batch}", "Flatten", {}, [batch, 3, 5, 4])
        for target in ([5, 12], [-1], [2, -1, 3], [60], [-1, 60]):
            layer_case(group, f"reshape_{text(target)}_b{batch}", "Reshape", {"target_shape": target}, [batch, 3, 5, 4])
        layer_case(group, f"dropout_inference_b{batch}", "Dropout", {"rate": 0.5}, [batch, 7])
    dense = [(7, 5, "relu"), (33, 1, "sigmoid"), (17, 10, "softmax"), (64, 19, None), (5, 3, "tanh"), (1, 4, "elu")]
    for turn, (c_in, units, activation) in enumerate(dense):
        for batch in (1, 3):
            config = {"units": units, "activation": activation, "use_bias": turn != 3}
            layer_case(group, f"dense_{c_in}x{units}_{activation}_b{batch}", "Dense", config, [batch, c_in])
    for activation in ("relu", "sigmoid", "tanh", "softmax", "leaky_relu", "elu", "linear", "relu6", "silu", "gelu", "selu",
                       "softplus", "softsign", "hard_sigmoid", "mish"):
        config = {"activation": activation}
        layer_case(group, f"activation_{activation}", "Activation", config, [3, 7])
        layer_case(group, f"activation_{activation}_4d", "Activation", config, [1, 5, 3, 17])
        extreme = [[-1000, -100, -20, -1, 0], [0, 1, 20, 100, 1000], [88, 89, 90, -88, -104]]
        layer_case(group, f"activation_{activation}_extreme", "Activation", config, inputs=[extreme])
    for slope in (0.1, 0.3):
        x = [np.linspace(-3, 3, 21).reshape(3, 7)]
        layer_case(group, f"leaky_relu_{slope}", "LeakyReLU", {"negative_slope": slope}, inputs=x)
    layer_case(group, "relu", "ReLU", {}, [3, 5])
    layer_case(group, "softmax", "Softmax", {}, [3, 5])
    for training in (False, True):
        mode = "training" if training else "inference"
        for shape in ([1, 7, 5, 3], [3, 5, 4, 17], [5, 6]):
            name = f"batch_normalization_{text(shape)}_{mode}"
            layer_case(group, name, "BatchNormalization", {}, shape, training=training)
        config = {"momentum": 0.8, "epsilon": 1e-5}
        shape = [3, 4, 3, 8]
        name = "batch_normalization_momentum_epsilon"
        layer_case(group, f"{name}_{mode}", "BatchNormalization", config, shape, training=training)
        config = {"center": False, "scale": False}
        name = "batch_normalization_plain"
        layer_case(group, f"{name}_{mode}", "BatchNormalization", config, shape, training=training)
    # A frozen BatchNormalization uses and keeps its moving statistics, in training too.
    frozen = {"trainable": False}
    layer_case(group, "batch_normalization_frozen", "BatchNormalization", frozen, [3, 4, 3, 8], training=True)
    layer_case(group, "rescaling", "Rescaling", {"scale": 1 / 255}, [1, 5, 3, 3])
    layer_case(group, "rescaling_offset", "Rescaling", {"scale": 1 / 127.5, "offset": -1.0}, [3, 5, 3, 3])
    for name, padding in (("1", 1), ("2_1", [2, 1]), ("1_0_2_3", [[1, 0], [2, 3]])):
        layer_case(group, f"zero_padding2d_{name}", "ZeroPadding2D", {"padding": padding}, [3, 5, 4, 3])
    for interpolation, tolerance in (("nearest", 0.0), ("bilinear", 1e-6)):  # TensorFlow interpolates in float32
        for size, shape in (([2, 2], [3, 4, 5, 3]), ([3, 2], [2, 5, 1, 1]), ([1, 4], [1, 3, 6, 8]), ([5, 3], [2, 3, 2, 17])):
            name = f"up_sampling2d_{interpolation}_{text(size)}_{text(shape)}"
            config = {"size": size, "interpolation": interpolation}
            layer_case(group, name, "UpSampling2D", config, shape, tolerance=tolerance)
    layer_case(group, "up_sampling2d", "UpSampling2D", {}, [2, 3, 4, 3])
    # In training, ranges of one value leave nothing to chance. Keras's matrices and TensorFlow's places are float.
    layer_case(group, "random_flip_inference", "RandomFlip", {}, [3, 5, 4, 3])
    keras.config.set_floatx("float32")
    transforms = {
        "rotation": ("RandomRotation", {"factor": [0.1, 0.1]}),
        "rotation_back": ("RandomRotation", {"factor": [-0.37, -0.37]}),
        "zoom_out": ("RandomZoom", {"height_factor": [0.3, 0.3]}),
        "zoom_in": ("RandomZoom", {"height_factor": [-0.45, -0.45], "width_factor": [-0.3, -0.3]}),
        "translation": ("RandomTranslation", {"height_factor": [0.17, 0.17], "width_factor": [-0.23, -0.23]}),
    }
    for name, (class_name, config) in transforms.items():
        options = {"training": True, "differentiable": False, "tolerance": 1e-5}
        for shape in ([2, 7, 9, 3], [1, 6, 5, 1]):
            layer_case(group, f"random_{name}_{text(shape)}", class_name, config, shape, **options)
        layer_case(group, f"random_{name}_inference", class_name, config, [2, 7, 9, 3])
        for fill_mode in ("constant", "nearest", "wrap"):
            fill = {"fill_mode": fill_mode, "fill_value": 0.7}
            layer_case(group, f"random_{name}_{fill_mode}", class_name, config | fill, [2, 7, 9, 3], **options)
        nearest = {"interpolation": "nearest"}
        layer_case(group, f"random_{name}_nearest_pixel", class_name, config | nearest, [2, 7, 9, 3], **options)
    keras.config.set_floatx("float64")
    colors = {
        "contrast": ("RandomContrast", {"factor": [-0.3, 0.3], "value_range": [-1.5, 1.2]}),
        "brightness": ("RandomBrightness", {"factor": [0.1, 0.1], "value_range": [-1.5, 1.2]}),
        "darkness": ("RandomBrightness", {"factor": [-0.25, -0.25], "value_range": [-1.5, 1.2]}),
    }
    for name, (class_name, config) in colors.items():
        for shape in ([2, 5, 4, 3], [1, 3, 3, 1]):
            layer_case(group, f"random_{name}_{text(shape)}", class_name, config, shape, training=True)
        layer_case(group, f"random_{name}_inference", class_name, config, [2, 5, 4, 3])
        pixels = [random(name).integers(0, 256, size=[2, 4, 5, 3])]
        config = {"factor": config["factor"]}
        layer_case(group, f"random_{name}_pixels", class_name, config, training=True, inputs=pixels)
    layer_case(group, "add_2", "Add", {}, [3, 5, 4, 3], [3, 5, 4, 3])
    layer_case(group, "add_3", "Add", {}, [1, 7], [1, 7], [1, 7])
    for shapes in ([[3, 5, 4, 3], [3, 1, 1, 3]], [[2, 1, 4, 1], [2, 3, 1, 2], [2, 2]], [[3, 4], [3, 5, 1], [3, 1]],
                   [[2, 6, 5, 3], [2, 6, 5, 1]]):
        layer_case(group, "add_" + "_".join(map(text, shapes)), "Add", {}, *shapes)
    for name in ("Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        merged = [[[3, 5, 4, 3], [3, 5, 4, 3]], [[3, 5, 4, 3], [3, 1, 1, 3]], [[2, 6, 5, 1], [2, 6, 5, 3]], [[3, 4], [3, 5, 1]]]
        if name != "Subtract":
            merged += [[[1, 7], [1, 7], [1, 7]], [[2, 1, 4, 1], [2, 3, 1, 2], [2, 2]], [[2, 9]] * 4]
        for shapes in merged:
            layer_case(group, f"{name.lower()}_" + "_".join(map(text, shapes)), name, {}, *shapes)
    for name in ("Maximum", "Minimum"):  # the gradient goes to the first of equals
        rng = random(name)
        x = [rng.integers(-2, 3, size=[3, 20]) for _ in range(3)] + [rng.integers(-2, 3, size=[3, 1])]
        layer_case(group, f"{name.lower()}_ties", name, {}, inputs=x)
    for axis, shapes in ((1, [[2, 3, 4, 2], [2, 1, 4, 2]]), (2, [[2, 3, 1, 2], [2, 3, 4, 2]]), (-2, [[2, 3, 2], [2, 5, 2]])):
        layer_case(group, f"concatenate_axis{axis}", "Concatenate", {"axis": axis}, *shapes)
    layer_case(group, "concatenate_2", "Concatenate", {"axis": -1}, [3, 5, 4, 3], [3, 5, 4, 8])
    layer_case(group, "concatenate_3", "Concatenate", {"axis": -1}, [1, 7], [1, 1], [1, 4])


def normalization(group):
    """Moments as weights and as options, a variance so small that it counts as more."""
    for invert in (False, True):
        name = "inverse" if invert else "normalization"
        for shape in ([3, 5], [2, 4, 3, 3], [1, 3, 2, 17]):
            layer_case(group, f"{name}_{text(shape)}", "Normalization", {"invert": invert}, shape)
        given = {"mean": [0.5, -1.25, 3.0], "variance": [0.25, 4.0, 0.0], "invert": invert}
        layer_case(group, f"{name}_given", "Normalization", given, [2, 4, 3, 3])
        layer_case(group, f"{name}_one_for_all", "Normalization", {**given, "mean": [0.5], "variance": [2.0]}, [2, 4, 3, 3])


# Learning rate schedules: the rate at chosen steps ----------------------------------------------------------------


def schedule_from(json):
    """A schedule that computes in float64: Keras does in float32 where it is given Python's floats."""
    def double(value):
        return [double(item) for item in value] if isinstance(value, list) else \
            np.float64(value) if isinstance(value, float) else value

    kind = getattr(keras.optimizers.schedules, json["class_name"])
    defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items() if p.default is not p.empty}
    return kind(**{name: double(value) for name, value in (defaults | json["config"]).items()})


def scheduled(config):
    """An optimizer's config with the schedule in place of its description."""
    rate = config.get("learning_rate")
    return {**config, "learning_rate": schedule_from(rate)} if isinstance(rate, dict) else config


def schedules(group):
    decay = {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.96}
    polynomial = cosine = {"initial_learning_rate": 0.1, "decay_steps": 100}
    restarts = {"initial_learning_rate": 0.1, "first_decay_steps": 100}
    boundaries = {"boundaries": [100, 200, 700], "values": [1e-1, 1e-2, 1e-3, 5e-2]}
    cases = {
        "exponential": ("ExponentialDecay", decay),
        "exponential_staircase": ("ExponentialDecay", decay | {"staircase": True}),
        "exponential_growth": ("ExponentialDecay", decay | {"decay_rate": 1.00001, "decay_steps": 7}),
        "exponential_to_zero": ("ExponentialDecay", decay | {"decay_rate": 0.0}),
        "piecewise": ("PiecewiseConstantDecay", boundaries),
        "piecewise_once": ("PiecewiseConstantDecay", {"boundaries": [0], "values": [1.0, 0.5]}),
        "polynomial": ("PolynomialDecay", polynomial),
        "polynomial_square": ("PolynomialDecay", polynomial | {"power": 2.0, "end_learning_rate": 0.01}),
        "polynomial_root": ("PolynomialDecay", polynomial | {"power": 0.5}),
        "polynomial_cycle": ("PolynomialDecay", polynomial | {"cycle": True, "power": 1.5}),
        "polynomial_rising": ("PolynomialDecay", polynomial | {"end_learning_rate": 0.4}),
        "inverse_time": ("InverseTimeDecay", decay | {"decay_rate": 0.5}),
        "inverse_time_staircase": ("InverseTimeDecay", decay | {"decay_rate": 0.5, "staircase": True}),
        "cosine": ("CosineDecay", cosine),
        "cosine_alpha": ("CosineDecay", cosine | {"alpha": 0.2}),
        "cosine_warmup": ("CosineDecay", cosine | {"alpha": 0.2, "warmup_target": 0.3, "warmup_steps": 100}),
        "cosine_warmup_from_zero": (
            "CosineDecay", cosine | {"initial_learning_rate": 0.0, "warmup_target": 0.3, "warmup_steps": 7}
        ),
        "cosine_no_warmup": ("CosineDecay", cosine | {"warmup_target": 0.3}),
        "cosine_no_target": ("CosineDecay", cosine | {"warmup_steps": 50}),
        "restarts": ("CosineDecayRestarts", restarts),
        "restarts_even": ("CosineDecayRestarts", restarts | {"t_mul": 1.0, "m_mul": 0.8}),
        "restarts_options": ("CosineDecayRestarts", restarts | {"t_mul": 1.5, "m_mul": 0.9, "alpha": 0.1}),
    }
    steps = [0, 1, 2, 6, 7, 8, 50, 99, 100, 101, 149, 150, 199, 200, 201, 249, 250, 251, 299, 300, 301, 350, 399,
             400, 401, 475, 500, 699, 700, 701, 1500, 3100, 12345, 1000000, 123456789]
    for name, (class_name, config) in cases.items():
        schedule = {"class_name": class_name, "config": config}
        rates = [float(schedule_from(schedule)(tf.constant(step, "int64"))) for step in steps]
        group.add({"name": name, "schedule": schedule}, {"steps": np.array(steps, "int32"), "rates": rates}, "float64")


# Optimizers: ten steps on two small weights -----------------------------------------------------------------------


def optimizers(group):
    cases = {
        "rmsprop": ("RMSprop", {}),
        "rmsprop_rho": ("RMSprop", {"learning_rate": 0.01, "rho": 0.7}),
        "rmsprop_epsilon": ("RMSprop", {"learning_rate": 2e-5, "epsilon": 1e-3}),
        "rmsprop_momentum": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.9}),
        "rmsprop_centered": ("RMSprop", {"learning_rate": 0.01, "centered": True}),
        "rmsprop_centered_momentum": ("RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.5}),
        "sgd": ("SGD", {}),
        "sgd_momentum": ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
        "sgd_nesterov": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
        "adam": ("Adam", {}),
        "adam_betas": ("Adam", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4}),
        "adam_amsgrad": ("Adam", {"learning_rate": 0.01, "amsgrad": True}),
        "adamw": ("AdamW", {}),
        "adamw_weight_decay": ("AdamW", {"learning_rate": 0.01, "weight_decay": 0.1}),
        "adam_weight_decay": ("Adam", {"learning_rate": 0.01, "weight_decay": 0.05}),
        "sgd_weight_decay": ("SGD", {"learning_rate": 0.1, "weight_decay": 0.05}),
        "rmsprop_clipnorm": ("RMSprop", {"learning_rate": 0.01, "clipnorm": 0.5}),
        "sgd_clipnorm": ("SGD", {"learning_rate": 0.1, "clipnorm": 1.0}),
        "sgd_clipvalue": ("SGD", {"learning_rate": 0.1, "clipvalue": 0.25}),
        "sgd_global_clipnorm": ("SGD", {"learning_rate": 0.1, "global_clipnorm": 1.0}),
        "adagrad": ("Adagrad", {}),
        "adagrad_initial": ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.01, "epsilon": 1e-3}),
        "adagrad_clipnorm_weight_decay": ("Adagrad", {"learning_rate": 0.1, "clipnorm": 0.5, "weight_decay": 0.05}),
        "nadam": ("Nadam", {}),
        "nadam_betas": ("Nadam", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4}),
        "nadam_clipvalue_weight_decay": ("Nadam", {"learning_rate": 0.01, "clipvalue": 0.25, "weight_decay": 0.05}),
        "adam_global_clipnorm": ("Adam", {"learning_rate": 0.01, "global_clipnorm": 0.5}),
    }
    for name, (class_name, config) in cases.items():
        rng = random(name)
        optimizer = getattr(keras.optimizers, class_name)(**config)
        shapes = [[11], [2, 3]]
        weights = [keras.Variable(normal(rng, *shape), dtype="float64") for shape in shapes]
        # Some gradients are large, some tiny, some zero, so that clipping and epsilon are seen.
        factor = 10.0 ** rng.integers(-4, 1, size=10)
        gradients = [np.stack([normal(rng, *shape, scale=f) for f in factor]) for shape in shapes]
        gradients[0][:, 0], gradients[0][3:5, 1], gradients[1][6] = 0, 0, 0
        tensors = {f"w{i}": weight.numpy() for i, weight in enumerate(weights)}
        tensors |= {f"g{i}": gradient for i, gradient in enumerate(gradients)}
        steps = [[], []]
        for step in range(10):
            optimizer.apply([tf.constant(gradient[step]) for gradient in gradients], weights)
            for values, weight in zip(steps, weights):
                values.append(weight.numpy().copy())
        tensors |= {f"w{i}_steps": np.stack(values) for i, values in enumerate(steps)}
        group.add({"name": name, "optimizer": {"class_name": class_name, "config": config}}, tensors, "float64")


# Losses and metrics -----------------------------------------------------------------------------------------------


def loss_case(group, name, class_name, config, y_true, y_pred, sample_weight=None):
    loss = getattr(keras.losses, class_name)(**config)
    y_pred = tf.Variable(round32(y_pred))
    tensors = {"y_true": y_true, "y_pred": y_pred.numpy()}
    if sample_weight is not None:
        tensors["sample_weight"] = sample_weight
    with tf.GradientTape() as tape:
        value = loss(tf.constant(y_true), y_pred, sample_weight=sample_weight)
    tensors |= {"loss": value.numpy(), "gradient": tape.gradient(value, y_pred).numpy()}
    # Probabilities are kept epsilon away from 1, and 1 - epsilon is not the same in float32.
    keras.config.set_floatx("float32")
    loss = getattr(keras.losses, class_name)(**config)
    tensors["loss_float32"] = float(loss(y_true, y_pred.numpy().astype("float32"), sample_weight=sample_weight))
    keras.config.set_floatx("float64")
    group.add({"name": name, "loss": {"class_name": class_name, "config": config}}, tensors, "float64")


def losses(group):
    extreme = np.array([-1000, -100, -10, -1e-3, 0, 1e-3, 10, 100, 1000])
    probabilities = np.array([0, 1e-9, 1e-7, 1e-3, 0.5, 0.999, 1 - 6e-8, 1])
    for from_logits in (True, False):
        for smoothing in (0.0, 0.1):
            config = {"from_logits": from_logits, "label_smoothing": smoothing}
            tail = ("logits" if from_logits else "probabilities") + (f"_smoothing{smoothing}" if smoothing else "")

            rng = random(f"binary_{tail}")
            y_true = rng.integers(0, 2, size=[7, 1]).astype("float64")
            y_pred = rng.normal(size=[7, 1]) if from_logits else rng.uniform(0.01, 0.99, size=[7, 1])
            weight = round32(rng.uniform(0, 2, size=7))
            kind = "BinaryCrossentropy"
            loss_case(group, f"binary_{tail}", kind, config, y_true, y_pred)
            loss_case(group, f"binary_{tail}_weighted", kind, config, y_true, y_pred, weight)
            y_true = rng.integers(0, 2, size=[5, 3]).astype("float64")
            y_pred = rng.normal(size=[5, 3]) if from_logits else rng.uniform(0.01, 0.99, size=[5, 3])
            loss_case(group, f"binary_{tail}_three_outputs", kind, config, y_true, y_pred)
            loss_case(group, f"binary_{tail}_three_outputs_weighted", kind, config, y_true, y_pred, weight[:5])
            values = extreme if from_logits else probabilities
            y_pred = np.repeat(values, 2)[:, None]
            y_true = np.tile([0.0, 1.0], len(values))[:, None]
            loss_case(group, f"binary_{tail}_extreme", kind, config, y_true, y_pred)

            classes = rng.integers(0, 4, size=6).astype("int32")
            one_hot = np.eye(4)[classes]
            y_pred = rng.normal(size=[6, 4])
            if not from_logits:
                y_pred = np.exp(y_pred) / np.exp(y_pred).sum(-1, keepdims=True)
            weight = round32(rng.uniform(0, 2, size=6))
            rows = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [1e-9, 1e-8, 0, 1], [0.1, 0.2, 0.3, 0.4]]
            if from_logits:
                rows = [[1000, 0, -1000, 0], [100, 100, -100, 0], [0] * 4, [-1000] * 3 + [1000], [-100, 1e-3, 10, -10]]
            rows, row_classes = np.repeat(np.array(rows, "float64"), 4, 0), np.tile(np.arange(4, dtype="int32"), 5)
            kind = "CategoricalCrossentropy"
            loss_case(group, f"categorical_{tail}", kind, config, one_hot, y_pred)
            loss_case(group, f"categorical_{tail}_weighted", kind, config, one_hot, y_pred, weight)
            loss_case(group, f"categorical_{tail}_extreme", kind, config, np.eye(4)[row_classes], rows)
            if smoothing == 0:
                kind, config = "SparseCategoricalCrossentropy", {"from_logits": from_logits}
                loss_case(group, f"sparse_{tail}", kind, config, classes, y_pred)
                loss_case(group, f"sparse_{tail}_weighted", kind, config, classes, y_pred, weight)
                loss_case(group, f"sparse_{tail}_extreme", kind, config, row_classes, rows)
    differences = {
        "mean_squared_error": ("MeanSquaredError", {}),
        "mean_absolute_error": ("MeanAbsoluteError", {}),
        "huber": ("Huber", {}),
        "huber_delta": ("Huber", {"delta": 2.5}),
    }
    for base, (class_name, config) in differences.items():
        for shape in ([7, 1], [5, 3]):
            name = f"{base}_{text(shape)}"
            rng = random(name)
            y_true, y_pred = normal(rng, *shape), normal(rng, *shape, scale=3)
            if class_name != "MeanSquaredError":
                y_pred[0], y_pred[1] = y_true[0], y_true[1] + config.get("delta", 1)  # no error, and one of delta
            loss_case(group, name, class_name, config, y_true, y_pred)
            weight = round32(rng.uniform(0, 2, size=shape[0]))
            loss_case(group, f"{name}_weighted", class_name, config, y_true, y_pred, weight)


def metrics(group):
    def in_top_k(targets, predictions, k, original=tf.math.in_top_k):
        return original(targets, tf.cast(predictions, "float32"), k)  # takes nothing else; all predictions are floats

    binary, classes = "binary", "classes"
    cases = {
        "binary_accuracy": ("BinaryAccuracy", {}, binary),
        "binary_accuracy_threshold": ("BinaryAccuracy", {"threshold": 0.3}, binary),
        "categorical_accuracy": ("CategoricalAccuracy", {}, "one_hot"),
        "sparse_categorical_accuracy": ("SparseCategoricalAccuracy", {}, classes),
        "top_k_categorical_accuracy": ("TopKCategoricalAccuracy", {}, "one_hot"),
        "top_2_categorical_accuracy": ("TopKCategoricalAccuracy", {"k": 2}, "one_hot"),
        "sparse_top_k_categorical_accuracy": ("SparseTopKCategoricalAccuracy", {}, classes),
        "sparse_top_2_categorical_accuracy": ("SparseTopKCategoricalAccuracy", {"k": 2}, classes),
        "sparse_top_1_categorical_accuracy": ("SparseTopKCategoricalAccuracy", {"k": 1}, classes),
        "mean_absolute_error": ("MeanAbsoluteError", {}, "one_hot"),
        "mean_squared_error": ("MeanSquaredError", {}, "one_hot"),
        "mean_absolute_error_column": ("MeanAbsoluteError", {}, binary),
        "mean_squared_error_column": ("MeanSquaredError", {}, binary),
        "precision": ("Precision", {}, binary),
        "precision_threshold": ("Precision", {"thresholds": 0.7}, binary),
        "recall": ("Recall", {}, binary),
        "recall_threshold": ("Recall", {"thresholds": 0.2}, binary),
        "auc": ("AUC", {"num_thresholds": 200, "curve": "ROC", "summation_method": "interpolation"}, binary),
        "auc_few_thresholds": ("AUC", {"num_thresholds": 5}, binary),
        "auc_pr": ("AUC", {"curve": "PR"}, binary),
    }
    for base, (class_name, config, kind) in cases.items():
        for weighted in (False, True):
            name = base + ("_weighted" if weighted else "")
            rng = random(name)
            metric = getattr(keras.metrics, class_name)(**config)
            tensors, results = {}, []
            for update, batch in enumerate((8, 1, 13, 32)):
                weight = round32(rng.uniform(0, 2, size=batch)) if weighted else None
                if kind == binary:
                    y_true = rng.integers(0, 2, size=[batch, 1]).astype("float64")
                    y_pred = round32(np.clip(rng.normal(0.35 + 0.3 * y_true, 0.3), 0, 1))
                    y_pred[::5] = np.round(y_pred[::5] * 4) / 4  # exactly on a threshold
                else:
                    labels = rng.integers(0, 5, size=batch).astype("int32")
                    y_pred = round32(rng.dirichlet(np.ones(5), size=batch) * 0.7 + 0.3 * np.eye(5)[labels])
                    y_pred[::7] = round32(0.2)  # equals: the first is taken
                    y_true = np.eye(5)[labels] if kind == "one_hot" else labels
                with mock.patch.object(tf.math, "in_top_k", in_top_k):
                    metric.update_state(y_true, y_pred, sample_weight=weight)
                results.append(float(metric.result()))
                tensors |= {f"y_true{update}": y_true, f"y_pred{update}": y_pred}
                if weighted:
                    tensors[f"sample_weight{update}"] = weight
            tensors["results"] = np.array(results)
            description = {"class_name": class_name, "config": config}
            group.add({"name": name, "metric": description, "updates": len(results)}, tensors, "float64")


# Resizing: Pillow's on uint8, and TensorFlow's to float -----------------------------------------------------------


def pictures():
    rng = random("pictures")
    y, x = np.mgrid[0:19, 0:26]
    waves = [np.sin(x / (2 + c) + c) * np.cos(y / 3.5 - c) for c in range(4)]
    smooth = (127.5 + 127.5 * np.stack(waves, -1)).astype("uint8")
    noise = rng.integers(0, 256, size=[13, 9, 3]).astype("uint8")
    large = rng.integers(0, 256, size=[61, 47, 3]).astype("uint8")
    return {"smooth": smooth[:, :, :3], "noise": noise, "large": large, "alpha": smooth, "grey": smooth[:, :, :1]}


SIZES = {
    "smooth": [[31, 37], [9, 7], [19, 26], [11, 40]],
    "noise": [[14, 10], [6, 5], [30, 27]],
    "large": [[5, 7], [24, 24]],
}


def add_pictures(group):
    group.tensors |= {f"pictures/{name}": pixels for name, pixels in pictures().items()}


def resize_cases():
    for picture, sizes in SIZES.items():
        for size in sizes:
            yield picture, pictures()[picture], size


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(out, "PNG")
    return io.BytesIO(out.getvalue())


def jpeg(group):
    """Files that Pillow wrote, as Pillow and as tf.io.decode_image read them."""

    def add(name, pixels, **options):
        file = io.BytesIO()
        Image.fromarray(pixels, **({"mode": "CMYK"} if pixels.shape[2:] == (4,) else {})).save(file, "JPEG", **options)
        tensors = {"file": np.frombuffer(file.getvalue(), "uint8")}
        for mode, channels in (("RGB", 3), ("L", 1)):
            height, width = pixels.shape[:2]
            y = np.asarray(Image.open(file).convert(mode))
            tensors[f"pillow{channels}"] = y.reshape(height, width, channels)
            if pixels.shape[2:] != (4,) or channels == 3:
                tensors[f"tensorflow{channels}"] = tf.io.decode_image(file.getvalue(), channels).numpy()
        group.add({"name": name}, tensors)

    def picture(height, width):
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / (3 + c) + c) * np.cos(y / (4.5 + c)) for c in range(4)]
        return (127.5 + 120 * np.stack(waves, -1)).astype("uint8")

    for size in ([1, 1], [16, 16], [23, 37], [41, 18]):
        for progressive in (False, True):
            kind = f"{text(size)}{'_progressive' if progressive else ''}"
            for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
                add(f"{kind}_{subsampling}", picture(*size)[:, :, :3], subsampling=subsampling, progressive=progressive)
            add(f"{kind}_grey", picture(*size)[:, :, 0], progressive=progressive)
            add(f"{kind}_cmyk", picture(*size), progressive=progressive)
    colors = picture(31, 29)[:, :, :3]
    add("restarts", colors, restart_marker_blocks=2)
    add("rgb", colors, keep_rgb=True)
    add("coarse", colors, quality=10)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    add("turned", colors, exif=orientation)


def resize_pillow(group):
    """keras.utils.load_img, as ImageDataGenerator uses it."""
    add_pictures(group)

    def add(picture, pixels, size, interpolation, color_mode="rgb", keep=False):
        image = keras.utils.load_img(png(pixels), color_mode, size, interpolation, keep)
        name = f"{picture}_{text(size)}_{interpolation}{'_keep_aspect_ratio' if keep else ''}"
        config = {"picture": picture, "size": size, "interpolation": interpolation, "keep_aspect_ratio": keep}
        group.add({"name": name, "resize": config}, {"y": np.asarray(image).reshape(*size, pixels.shape[2])})

    for picture, pixels, size in resize_cases():
        for interpolation in ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"):
            add(picture, pixels, size, interpolation)
        for interpolation in ("nearest", "bilinear"):
            add(picture, pixels, size, interpolation, keep=True)
    for picture, color_mode in (("grey", "grayscale"), ("alpha", "rgba")):
        for interpolation in ("nearest", "bilinear", "bicubic"):
            for size in ([8, 33], [23, 11]):
                add(picture, pictures()[picture], size, interpolation, color_mode)


def resize_tensorflow(group):
    """tf.image.resize, and image_dataset_from_directory (built on it) with its two ways of keeping the aspect ratio."""
    add_pictures(group)

    def add(picture, size, y, interpolation, antialias=False, aspect_ratio="stretch"):
        name = f"{picture}_{text(size)}_{interpolation}{'_antialias' if antialias else ''}"
        config = {"picture": picture, "size": size, "interpolation": interpolation, "antialias": antialias}
        config["aspect_ratio"] = aspect_ratio
        name += f"_{aspect_ratio}" if aspect_ratio != "stretch" else ""
        group.add({"name": name, "resize": config}, {"y": y.numpy().astype("float32")})

    def resize(picture, pixels, size, interpolation, antialias=False):
        y = tf.image.resize(pixels, size, method=interpolation, antialias=antialias)
        add(picture, size, y, interpolation, antialias)

    def load(picture, pixels, size, interpolation, aspect_ratio):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "image.png").write_bytes(png(pixels).getvalue())
            dataset = keras.utils.image_dataset_from_directory(
                folder, labels=None, image_size=size, interpolation=interpolation, batch_size=1, verbose=False,
                **{f"{aspect_ratio}_to_aspect_ratio": True},
            )
            add(picture, size, next(iter(dataset))[0], interpolation, aspect_ratio=aspect_ratio)

    for picture, pixels, size in resize_cases():
        for interpolation in ("nearest", "bilinear", "bicubic"):
            resize(picture, pixels, size, interpolation)
            load(picture, pixels, size, interpolation, "crop")
            load(picture, pixels, size, interpolation, "pad")
        for interpolation in ("bilinear", "bicubic"):
            resize(picture, pixels, size, interpolation, antialias=True)
    for size in ([31, 37], [9, 7]):
        for interpolation in ("area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"):
            resize("smooth", pictures()["smooth"], size, interpolation)
            resize("smooth", pictures()["smooth"], size, interpolation, antialias=True)
    for size in ([7, 9], [13, 6], [60, 46], [70, 3]):
        resize("large", pictures()["large"], size, "area")


# Ten training steps of a small convnet ----------------------------------------------------------------------------


def training(group):
    def model(head, normalize=False, regularizer=None):
        conv = {"kernel_size": [3, 3], "padding": "same"}
        if regularizer:
            conv["kernel_regularizer"] = {"l1": 0.0, "l2": regularizer}
        first = [("Conv2D", {"filters": 8, **conv, "activation": "relu", "name": "conv1"})]
        if normalize:
            first = [
                ("Conv2D", {"filters": 8, **conv, "use_bias": False, "name": "conv1"}),
                ("BatchNormalization", {"name": "norm1"}),
                ("Activation", {"activation": "relu", "name": "relu1"}),
            ]
        dense = {"kernel_regularizer": conv["kernel_regularizer"]} if regularizer else {}
        return first + [
            ("MaxPooling2D", {"pool_size": [2, 2], "name": "pool1"}),
            ("Conv2D", {"filters": 12, **conv, "padding": "valid", "activation": "relu", "name": "conv2"}),
            ("Flatten", {"name": "flatten"}),
            ("Dense", {"units": 16, "activation": "relu", **dense, "name": "dense1"}),
            ("Dense", {**head, "name": "dense2"}),
        ]

    sigmoid, softmax = {"units": 1, "activation": "sigmoid"}, {"units": 4, "activation": "softmax"}
    rmsprop, adam = ("RMSprop", {"learning_rate": 1e-3}), ("Adam", {"learning_rate": 1e-3})
    nesterov = ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True})
    sgd = ("SGD", {"learning_rate": 1e-4})
    decay = {"initial_learning_rate": 0.05, "decay_steps": 3, "decay_rate": 0.5}
    decay = {"class_name": "ExponentialDecay", "config": decay}
    cosine = {"initial_learning_rate": 0.0, "decay_steps": 5, "warmup_target": 0.002, "warmup_steps": 3}
    cosine = {"class_name": "CosineDecay", "config": cosine}
    binary, sparse = ("BinaryCrossentropy", {}), ("SparseCategoricalCrossentropy", {})
    small = [("Flatten", {"name": "flatten"})]
    head = small + [("Dense", {**softmax, "name": "dense2"})]
    cases = {
        "binary_rmsprop": (model(sigmoid), rmsprop, binary, 1),
        "sparse_adam": (model(softmax), adam, sparse, 1),
        "sgd_nesterov": (model(sigmoid), nesterov, binary, 1),
        "batch_normalization": (model(sigmoid, normalize=True), rmsprop, binary, 1),
        "l2": (model(sigmoid, regularizer=0.01), rmsprop, binary, 1),
        "exponential_decay": (head, ("SGD", {"learning_rate": decay, "momentum": 0.9}), sparse, 1),
        "cosine_decay": (head, ("Adam", {"learning_rate": cosine}), sparse, 1),
        # Saturated outputs: Keras goes back to the logits under a sigmoid or softmax, so nothing is clipped.
        "binary_saturated": (model(sigmoid), sgd, binary, 60),
        "sparse_saturated": (model(softmax), sgd, sparse, 60),
    }
    # Whichever of the two activations it was, and even where the loss expects logits.
    for activation in ("sigmoid", "softmax"):
        head = small + [("Dense", {"units": 4, "activation": activation, "name": "dense2"})]
        for kind in ("Binary", "Categorical", "SparseCategorical"):
            for from_logits in (False, True):
                name = f"{kind.lower()}_of_{activation}" + ("_from_logits" if from_logits else "")
                cases[name] = (head, sgd, (f"{kind}Crossentropy", {"from_logits": from_logits}), 20)
    for name, (description, optimizer, loss, head_scale) in cases.items():
        rng = random(name)
        shape = [2, 1, 3] if description[0] in small else [9, 11, 3]
        network = keras.Sequential([keras.Input(shape)])
        for class_name, config in description:
            config = {**config}
            if "kernel_regularizer" in config:
                config["kernel_regularizer"] = keras.regularizers.L1L2(**config["kernel_regularizer"])
            network.add(getattr(keras.layers, class_name)(**config))
        for layer in network.layers:
            for weight in layer.weights:
                value = weight.numpy()
                if weight.name == "kernel":
                    limit = np.sqrt(6 / (np.prod(value.shape[:-1]) + value.shape[-1]))
                    value = rng.uniform(-limit, limit, value.shape) * (head_scale if layer.name == "dense2" else 1)
                weight.assign(round32(value))
        tensors = {f"weights/{layer.name}/{w.name}": w.numpy() for layer in network.layers for w in layer.weights}
        network.compile(
            optimizer=getattr(keras.optimizers, optimizer[0])(**scheduled(optimizer[1])),
            loss=getattr(keras.losses, loss[0])(**loss[1]),
            jit_compile=False,
        )
        x = normal(rng, 10, 6, *shape)
        classes = rng.integers(0, 2 if loss is binary else 4, size=[10, 6])
        y = classes[:, :, None].astype("float64") if loss is binary else classes.astype("int32")
        if shape[0] == 2 and "Sparse" not in loss[0]:
            y = np.eye(4)[classes]
        values = []
        for step in range(10):
            network.reset_metrics()  # train_on_batch returns a running mean
            values.append(network.train_on_batch(x[step], y[step], return_dict=True)["loss"])
        tensors |= {f"x": x, "y": y}
        tensors |= {f"final/{layer.name}/{w.name}": w.numpy() for layer in network.layers for w in layer.weights}
        tensors["prediction"] = network(x[0], training=False).numpy()
        group.add(
            {
                "name": name,
                "input_shape": shape,
                "layers": [{"class_name": kind, "config": config} for kind, config in description],
                "optimizer": {"class_name": optimizer[0], "config": optimizer[1]},
                "loss": {"class_name": loss[0], "config": loss[1]},
                "losses": [float(value) for value in values],
            },
            tensors,
        )


# Training in mixed_bfloat16 beside float64 --------------------------------------------------------------------------


def mixed_bfloat16(group):
    """Ten steps of a model whose layers all have the policy."""
    layers = [
        ("Conv2D", {"filters": 32, "kernel_size": [5, 5], "strides": [2, 2], "activation": "relu", "name": "conv1"}),
        ("Conv2D", {"filters": 64, "kernel_size": [1, 1], "activation": "relu", "name": "conv2"}),
        ("Conv2D", {"filters": 48, "kernel_size": [3, 3], "activation": "relu", "name": "conv3"}),
        ("GlobalAveragePooling2D", {"name": "pool"}),
        ("Dense", {"units": 64, "activation": "relu", "name": "dense1"}),
        ("Dense", {"units": 4, "activation": "softmax", "name": "dense2"}),
    ]
    rng, shape, rate = random("mixed_bfloat16"), [9, 9, 8], 0.01
    x, y = normal(rng, 10, 8, *shape), rng.integers(0, 4, size=[10, 8]).astype("int32")
    group.tensors |= {"x": x.astype("float32"), "y": y}
    for number in range(3):
        keras.utils.set_random_seed(number)
        weights, losses, predictions = [], {}, {}
        for policy in ("float64", "mixed_bfloat16"):
            network = keras.Sequential([keras.Input(shape)])
            for kind, config in layers:
                network.add(getattr(keras.layers, kind)(**config, dtype=policy))
            weights = weights or [round32(weight) for weight in network.get_weights()]
            network.set_weights(weights)
            sgd = keras.optimizers.SGD(rate, momentum=0.9)
            network.compile(sgd, "sparse_categorical_crossentropy", jit_compile=False)
            losses[policy] = []
            for step in range(10):
                network.reset_metrics()
                losses[policy].append(float(network.train_on_batch(x[step], y[step], return_dict=True)["loss"]))
            predictions[policy] = np.asarray(network(x[0], training=False), dtype="float64")
        names = [f"{layer.name}/{w.name}" for layer in network.layers for w in layer.weights]
        group.add(
            {
                "name": f"convnet{number}",
                "input_shape": shape,
                "layers": [{"class_name": kind, "config": config} for kind, config in layers],
                "learning_rate": rate,
                "losses": losses,
                "prediction_error": float(np.linalg.norm(predictions["mixed_bfloat16"] - predictions["float64"])),
            },
            {"prediction": predictions["float64"]}
            | {f"weights/{name}": weight for name, weight in zip(names, weights)},
        )


# Gradients of a small convnet with a branch -------------------------------------------------------------------------


def gradients(group):
    """tf.GradientTape with respect to input, weights and outputs of layers, and the book's Grad-CAM."""
    x = keras.Input([9, 9, 3])
    y = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv1")(x)
    y = keras.layers.Activation("relu", name="relu1")(keras.layers.BatchNormalization(name="norm1")(y))
    left = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="left")(y)
    right = keras.layers.Conv2D(6, 1, activation="gelu", name="right")(y)
    y = keras.layers.MaxPooling2D(name="pool")(keras.layers.Add(name="add")([left, right]))
    y = keras.layers.Conv2D(12, 3, activation="relu", name="conv2")(y)
    y = keras.layers.Dense(4, activation="softmax", name="dense")(keras.layers.Flatten(name="flatten")(y))
    network = keras.Model(x, y)
    rng = random("gradients")
    for layer in network.layers:
        for weight in layer.weights:
            value = weight.numpy()
            if weight.name == "kernel":
                limit = np.sqrt(6 / (np.prod(value.shape[:-1]) + value.shape[-1]))
                value = rng.uniform(-limit, limit, value.shape)
            elif weight.name in ("gamma", "moving_variance"):
                value = rng.uniform(0.5, 1.5, value.shape)
            else:
                value = rng.uniform(-0.3, 0.3, value.shape)
            weight.assign(round32(value))
    initial = network.get_weights()
    pictures = normal(rng, 3, 9, 9, 3)
    classes = rng.integers(0, 4, size=[3]).astype("int32")
    watched = ["conv1", "norm1", "relu1", "left", "right", "add", "pool", "conv2", "flatten"]
    inner = keras.Model(x, [network.get_layer(name).output for name in watched] + [y])
    named = lambda: {f"{layer.name}/{w.name}": w for layer in network.layers for w in layer.trainable_weights}
    weights = {f"weights/{layer.name}/{w.name}": w.numpy() for layer in network.layers for w in layer.weights}

    def add(name, value_of, training=False, class_index=None):
        network.set_weights(initial)  # training moves the averages
        with tf.GradientTape(persistent=True) as tape:
            source = tf.constant(pictures)
            tape.watch(source)
            *outputs, prediction = inner(source, training=training)
            value = value_of(prediction)
        tensors = {"output": prediction.numpy(), "input": tape.gradient(value, source).numpy()}
        for key, weight in named().items():
            tensors[f"gradients/{key}"] = tape.gradient(value, weight.value).numpy()
        for layer, output in zip(watched, outputs):
            tensors[f"layers/{layer}/output"] = output.numpy()
            tensors[f"layers/{layer}/gradient"] = tape.gradient(value, output).numpy()
        case = {"name": name, "value": float(value), "training": training}
        if class_index is not None:
            case["class_index"] = class_index
            for layer in ("left", "add", "conv2"):  # Chollet, 2nd edition, listing 9.22 to 9.26, for each picture
                maps, slopes = (tensors[f"layers/{layer}/{kind}"] for kind in ("output", "gradient"))
                heat = np.maximum(np.mean(maps * slopes.mean(axis=(1, 2), keepdims=True), axis=-1), 0)
                tensors[f"grad_cam/{layer}"] = heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-300)
        group.add(case, tensors)

    group.tensors |= {name: value.astype("float32") for name, value in weights.items()}
    group.tensors |= {"x": pictures.astype("float32"), "y": classes}
    loss = lambda prediction: keras.losses.SparseCategoricalCrossentropy()(classes, prediction)
    add("loss", loss)
    add("loss_training", loss, training=True)
    add("class_2", lambda prediction: tf.reduce_sum(prediction[:, 2]), class_index=2)
    add("largest", lambda prediction: tf.reduce_sum(tf.reduce_max(prediction, axis=1)), class_index=-1)
    for layer in ("conv1", "norm1", "left"):
        network.get_layer(layer).trainable = False
    add("frozen", loss)
    add("frozen_training", loss, training=True)


# Class weights: the history of three epochs ------------------------------------------------------------------------


def class_weight(group):
    names = ["sparse", "sparse_column", "categorical", "categorical_soft", "binary", "binary_row", "binary_soft"]
    for name in names:
        rng = random(f"class_weight_{name}")
        kind, binary = name.split("_")[0], name.startswith("binary")
        head = keras.layers.Dense(1 if binary else 4, activation="sigmoid" if binary else "softmax")
        network = keras.Sequential([keras.Input([3]), head])
        for weight in network.weights:
            weight.assign(normal(rng, *weight.shape))
        classes = np.append(rng.integers(0, 2 if binary else 4, size=24), [0, 1] if binary else [0, 1, 2, 3])
        y = {
            "sparse": classes.astype("float64"),
            "sparse_column": classes[:, None].astype("float64"),
            "categorical": np.eye(4)[classes],
            "categorical_soft": round32(np.eye(4)[classes] * 0.6 + 0.1),
            "binary": classes[:, None].astype("float64"),
            "binary_row": classes.astype("float64"),
            "binary_soft": np.resize([0, 0.4, 0.5, 0.6, 1], [len(classes), 1]),  # rounded: 0, 0, 0, 1, 1
        }[name]
        x = normal(rng, len(y), 3)
        tensors = {f"weights/{weight.name}": weight.numpy() for weight in network.weights} | {"x": x, "y": y}
        loss = {"sparse": "SparseCategoricalCrossentropy", "categorical": "CategoricalCrossentropy"}
        loss = loss.get(kind, "BinaryCrossentropy")
        weights = {1: 3.0} if binary else {0: 2.0, 3: 0.25}  # the others weigh 1
        metrics = [] if "soft" in name else ["accuracy"]
        network.compile(
            keras.optimizers.SGD(0.1), getattr(keras.losses, loss)(), metrics=metrics, weighted_metrics=metrics
        )
        history = network.fit(
            x[:20], y[:20], batch_size=6, epochs=3, shuffle=False, validation_data=(x[20:], y[20:]),
            class_weight=weights, verbose=0,
        ).history
        tensors |= {f"history/{figure}": values for figure, values in history.items()}
        tensors |= {f"final/{weight.name}": weight.numpy() for weight in network.weights}
        description = {"name": name, "loss": {"class_name": loss, "config": {}}, "metrics": metrics}
        description["class_weight"] = [[number, weight] for number, weight in weights.items()]
        group.add(description, tensors, "float64")


# Several inputs and outputs ------------------------------------------------------------------------------------------


def several_outputs(group):
    """A model of two inputs and two outputs: steps on batches, then fit, whose history and weights these are."""
    sparse, binary = "sparse_categorical_crossentropy", "binary_crossentropy"
    cases = {
        "different": {"loss": ["mse", sparse], "loss_weights": [0.5, 2.0], "metrics": [["mae", "mse"], ["accuracy"]]},
        "weighted": {"loss": ["huber", sparse], "metrics": [[], ["accuracy"]], "weighted_metrics": [["mae"], ["accuracy"]]},
        "one_loss": {"loss": "mse", "metrics": ["mae", "accuracy"]},
        "saturated": {"loss": ["mse", sparse]},
        "read": {"loss": ["mae", binary], "loss_weights": [2.0, 1.0], "metrics": [["mse"], ["accuracy"]]},
    }
    for name, settings in cases.items():
        rng, layer = random(f"several_outputs_{name}"), keras.layers
        left, right = keras.Input([5], name="left"), keras.Input([3], name="right")
        hidden = layer.Dense(6, activation="tanh", kernel_regularizer=keras.regularizers.L2(2**-6), name="hidden")(left)
        both = layer.Concatenate(name="both")([hidden, layer.Dense(4, activation="silu", name="side")(right)])
        if name == "read":  # by the other output
            kind = layer.Dense(1, activation="sigmoid", name="kind")(both)
            price = layer.Dense(1, name="price")(layer.Concatenate(name="all")([kind, right]))
        else:
            kind = layer.Dense(3, activation="softmax", name="kind")(both)
            price = layer.Dense(1, name="price")(both)
        network = keras.Model([left, right], [price, kind])
        for layer in network.layers:
            for weight in layer.weights:
                scale = 60 if name == "saturated" and layer.name == "kind" else 0.6
                weight.assign(normal(rng, *weight.shape, scale=scale))
        tensors = {f"weights/{layer.name}/{w.name}": w.numpy() for layer in network.layers for w in layer.weights}
        rate = 2**-13 if name == "saturated" else 2**-4
        network.compile(keras.optimizers.SGD(rate, momentum=0.875), jit_compile=False, **settings)
        x = [normal(rng, 40, 5), normal(rng, 40, 3)]
        classes = rng.integers(0, 2 if name == "read" else 3, size=[40])
        kinds = {"one_loss": np.eye(3)[classes], "read": classes[:, None].astype("float64")}
        y = [normal(rng, 40, 1), kinds.get(name, classes.astype("float64"))]
        tensors |= {"left": x[0], "right": x[1], "price": y[0], "kind": y[1]}
        weight = None
        if name == "weighted":
            weight = tensors["sample_weight"] = round32(rng.uniform(0, 2, size=[40]))
        steps = []
        for step in range(8):
            batch = slice(5 * step, 5 * step + 5)
            network.reset_metrics()  # train_on_batch returns a running mean
            steps.append(network.train_on_batch(
                [part[batch] for part in x], [part[batch] for part in y],
                None if weight is None else weight[batch], return_dict=True))
        tensors |= {f"steps/{figure}": [float(logs[figure]) for logs in steps] for figure in steps[0]}
        tensors |= {f"after_steps/{layer.name}/{w.name}": w.numpy() for layer in network.layers for w in layer.weights}
        # Batches of one size: Keras weighs those of the outputs' losses alike, whatever their size.
        history = network.fit(
            x, y, batch_size=5, epochs=2, shuffle=False, validation_split=0.25, sample_weight=weight, verbose=0
        ).history
        tensors |= {f"history/{figure}": values for figure, values in history.items()}
        tensors |= {f"final/{layer.name}/{w.name}": w.numpy() for layer in network.layers for w in layer.weights}
        group.add({"name": name, "rate": rate, **settings}, tensors, "float64")


# Warps: ImageDataGenerator's on scipy.ndimage, and those of Keras's layers on TensorFlow -------------------------


def warps(group):
    """apply_transform of ImageDataGenerator for every fill mode; affine_transform of Keras's layers by a matrix."""
    rng = random("warps")
    y, x = np.mgrid[0:12, 0:9]
    smooth = 127.5 + 127.5 * np.stack([np.sin(x / (2 + c) + c) * np.cos(y / 3.5 - c) for c in range(3)], -1)
    inputs = {
        "smooth": smooth.astype("uint8"),
        "noise": rng.integers(0, 256, size=[12, 9, 3]).astype("uint8"),
        "grey": rng.integers(0, 256, size=[7, 10, 1]).astype("uint8"),
        "alpha": rng.integers(20, 230, size=[6, 6, 4]).astype("uint8"),
        "row": rng.integers(0, 256, size=[1, 8, 3]).astype("uint8"),
    }
    for name, pixels in inputs.items():
        group.tensors[name] = pixels

    transforms = {
        "none": {},
        "rotation": {"theta": 33.0},
        "rotation_back": {"theta": -147.5},
        "shift": {"tx": 2.3, "ty": -1.7},
        "whole_shift": {"tx": 3.0, "ty": -2.0},
        "far_shift": {"tx": -31.0, "ty": 44.0},
        "farther_shift": {"tx": 100.4, "ty": -57.3},
        "shear": {"shear": 20.0},
        "zoom_in": {"zx": 0.6, "zy": 0.8},
        "zoom_out": {"zx": 2.7, "zy": 3.4},
        "all": {"theta": 12.0, "tx": 1.5, "ty": 0.75, "shear": -9.0, "zx": 1.2, "zy": 0.9},
        "flips": {"flip_horizontal": True, "flip_vertical": True},
        "all_flipped": {"theta": -40.0, "tx": -1.25, "shear": 15.0, "zx": 0.7, "flip_horizontal": True},
    }
    colors = {
        "shift_up": {"channel_shift_intensity": 45.5},
        "shift_down": {"theta": 25.0, "channel_shift_intensity": -60.0, "flip_vertical": True},
        "darker": {"tx": 1.0, "brightness": 0.45},
        "brighter": {"theta": 70.0, "brightness": 1.8, "flip_horizontal": True},
        "both": {"shear": 10.0, "channel_shift_intensity": 31.0, "brightness": 1.2},
    }

    def add(picture, transform, fill_mode, order=1):
        generator = keras.src.legacy.preprocessing.image.ImageDataGenerator(
            fill_mode=fill_mode, cval=30.0, interpolation_order=order, data_format="channels_last"
        )
        parameters = (transforms | colors)[transform]
        result = generator.apply_transform(inputs[picture].astype("float32"), parameters)
        name = f"{picture}_{transform}_{fill_mode}{'' if order else '_nearest'}"
        description = {"picture": picture, "transform": parameters, "fill_mode": fill_mode, "cval": 30.0}
        description["interpolation"] = "bilinear" if order else "nearest"
        group.add({"name": name, "warp": description}, {"y": result})

    for fill_mode in ("nearest", "constant", "reflect", "wrap"):
        for transform in transforms:
            add("noise", transform, fill_mode)
        for picture in ("smooth", "grey", "alpha", "row"):
            for transform in ("all", "far_shift", "farther_shift"):
                add(picture, transform, fill_mode)
        for transform in ("all", "whole_shift", "far_shift"):
            add("noise", transform, fill_mode, order=0)
        for picture in ("smooth", "grey", "alpha"):
            for transform in colors:
                add(picture, transform, fill_mode)

    matrices = {  # input x, y of output x, y; TensorFlow computes in float, so no pixel lies on an edge of two
        "turned": [0.8, -0.6, 3.3123, 0.6, 0.8, -1.7211],
        "shifted": [1, 0, -2.3, 0, 1, 1.6],
        "far": [1, 0, 31.4, 0, 1, -44.7],
        "out": [2.3, 0.1, -5.1537, -0.2, 2.7, -8.1219],
    }
    for fill_mode in ("nearest", "constant", "reflect", "wrap"):
        for interpolation in ("bilinear", "nearest"):
            for matrix, values in matrices.items():
                for picture in ("noise", "grey"):
                    result = keras.ops.image.affine_transform(
                        inputs[picture].astype("float32"), np.array([*values, 0, 0], "float32"), interpolation,
                        fill_mode, 30.0, data_format="channels_last",
                    )
                    description = {"picture": picture, "matrix": values, "fill_mode": fill_mode, "cval": 30.0}
                    description["interpolation"] = interpolation
                    name = f"layers_{picture}_{matrix}_{fill_mode}_{interpolation}"
                    group.add({"name": name, "warp": description}, {"y": np.asarray(result)})


# ImageDataGenerator: what it draws, by the random numbers of Strata ------------------------------------------------


def philox(counter, key):
    """Philox 4x32-10, as core/random.hpp has it."""
    mask = 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & mask, (a >> 32) ^ counter[3] ^ key[1], a & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return counter


def random_transform(generator, shape, seed, epoch, sample):
    """get_random_transform with numpy's draws replaced: parameter p of a sample is number 12 * sample + p."""
    shifts = generator.height_shift_range, generator.width_shift_range
    asked = [generator.rotation_range]
    for shift in shifts:
        asked += [shift, shift and not isinstance(shift, float)]  # the sign of a choice
    asked += [generator.shear_range, *[generator.zoom_range != [1, 1]] * 2, True, True]
    asked += [generator.channel_shift_range, generator.brightness_range]
    numbers = iter([12 * sample + p for p, is_drawn in enumerate(asked) if is_drawn])
    key = philox([0, 0, 4, 0x53545241], [seed, 0])[:2]

    def draw():
        number = next(numbers)
        high, low = philox([number // 2, 0, epoch, 0], key)[number % 2 * 2 :][:2]
        return ((high << 21) ^ (low >> 11)) * 2.0**-53

    def uniform(low, high, size=None):
        values = [low + (high - low) * draw() for _ in range(size or 1)]
        return values if size else values[0]

    def choice(values):
        if isinstance(values, float):
            raise ValueError("not a list")
        values = range(values) if isinstance(values, int) else values
        return values[int(len(values) * draw())]

    with mock.patch.multiple(np.random, uniform=uniform, choice=choice, random=draw):
        transform = generator.get_random_transform(shape)
    assert next(numbers, None) is None
    return transform


def generator(group):
    """Whole passes of ImageDataGenerator: drawn, transformed and standardized."""
    pictures = random("generator").integers(0, 256, size=[5, 12, 9, 3]).astype("uint8")
    group.tensors["pictures"] = pictures
    cases = {
        "book": dict(
            rescale=1 / 255, rotation_range=40, width_shift_range=0.2, height_shift_range=0.2, shear_range=0.2,
            zoom_range=0.2, horizontal_flip=True,
        ),
        "rotation": dict(rotation_range=180),
        "shear": dict(shear_range=35.0, fill_mode="reflect"),
        "zoom": dict(zoom_range=[0.5, 1.7], fill_mode="wrap"),
        "shift_parts": dict(width_shift_range=0.9, height_shift_range=0.4, fill_mode="wrap"),
        "shift_pixels": dict(width_shift_range=2.5, height_shift_range=4, fill_mode="reflect"),
        "shift_lists": dict(width_shift_range=[0.1, 0.25, -0.4], height_shift_range=[1.0, 3.5], fill_mode="constant"),
        "flips": dict(horizontal_flip=True, vertical_flip=True),
        "vertical_flip": dict(vertical_flip=True, width_shift_range=3),
        "brightness": dict(brightness_range=[0.3, 1.9]),
        "channel_shift": dict(channel_shift_range=90.0, rescale=0.5),
        "centered": dict(featurewise_center=True, rescale=0.25),
        "normalized": dict(
            featurewise_center=True, featurewise_std_normalization=True, rescale=1 / 255, rotation_range=30,
            horizontal_flip=True,
        ),
        "preprocessed": dict(
            featurewise_std_normalization=True, rescale=0.5, vertical_flip=True,
            preprocessing_function=lambda x: (x[..., ::-1] - [103.939, 116.779, 123.68]) / [57, 58, 59],
        ),
        "samplewise_centered": dict(samplewise_center=True, rescale=0.25, vertical_flip=True),
        "samplewise": dict(
            samplewise_std_normalization=True, rescale=1 / 255, rotation_range=30, brightness_range=[0.5, 1.5],
            preprocessing_function=lambda x: (x[..., ::-1] - [103.939, 116.779, 123.68]) / [57, 58, 59],
        ),
        "everything": dict(
            rotation_range=25.0, width_shift_range=3, height_shift_range=0.15, brightness_range=[0.6, 1.2],
            shear_range=12.0, zoom_range=[0.8, 1.3], channel_shift_range=20.0, fill_mode="constant", cval=77.0,
            horizontal_flip=True, vertical_flip=True, rescale=1 / 127.5,
        ),
    }
    for name, options in cases.items():
        keras_generator = keras.src.legacy.preprocessing.image.ImageDataGenerator(
            **options, data_format="channels_last"
        )
        keras_generator.fit(pictures)
        options = {key: value for key, value in options.items() if not callable(value)}
        for seed, epoch in (0, 0), (7, 3):
            rows = []
            for sample, picture in enumerate(pictures.astype("float32")):
                transform = random_transform(keras_generator, picture.shape, seed, epoch, sample)
                rows.append(keras_generator.standardize(keras_generator.apply_transform(picture, transform)))
            case = {"name": f"{name}_{seed}_{epoch}", "options": options, "option_set": name, "seed": seed, "epoch": epoch}
            group.add(case, {"y": np.stack(rows)})


# Datasets: chains of tf.data's stages ------------------------------------------------------------------------------


def stages(group):
    """Chains of tf.data's stages on samples 0, 1, 2, ... in batches: the sizes of the batches and what is in them."""
    random = np.random.default_rng(41)
    for number in range(150):
        samples, batch_size = int(random.integers(1, 14)), int(random.integers(1, 6))
        dataset = tf.data.Dataset.range(samples).batch(batch_size)
        chain = []
        for stage in random.choice(["take", "skip", "repeat", "rebatch", "map", "cache"], random.integers(1, 6)):
            count = int(random.integers(1, 5))
            if stage == "skip" and count >= dataset.cardinality():
                continue
            if stage == "map":
                after = dataset.map(lambda x: x * 2 + 1)
            else:
                after = getattr(dataset, stage)(*([] if stage == "cache" else [count]))
            if stage == "rebatch":  # does not tell how many there are
                after = after.apply(tf.data.experimental.assert_cardinality(len(list(after))))
            dataset = after
            chain.append([str(stage), count])
        batches = list(dataset.as_numpy_iterator())
        group.add(
            {"name": f"chain_{number}", "samples": samples, "batch_size": batch_size, "stages": chain},
            {"sizes": np.array([len(batch) for batch in batches], "int32"),
             "samples": np.concatenate(batches).astype("int32")},
        )


# VGG16 at 150x150 -------------------------------------------------------------------------------------------------


def hashed(count, layer, salt):
    """Uniform in [-0.5, 0.5) from the flat index i and the number of the convolution, 0 to 12."""
    i = np.arange(count, dtype="uint64")
    mask = np.uint64(0xFFFFFFFF)
    h = (i * np.uint64(2654435761) + np.uint64(layer * 40503 + salt)) & mask
    h ^= h >> np.uint64(16)  # the 32-bit finalizer of MurmurHash3: neighbours become independent
    h = (h * np.uint64(0x85EBCA6B)) & mask
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & mask
    h ^= h >> np.uint64(16)
    return h.astype("float64") / 2.0**32 - 0.5


def vgg16(group):
    """Weights and input from a formula, in double, then rounded: kernel = u sqrt(12) sqrt(2 / (9 c_in)), bias 0.1 u"""
    network = keras.applications.VGG16(weights=None, include_top=False, input_shape=(150, 150, 3))
    convolutions = [layer for layer in network.layers if layer.weights]
    for index, layer in enumerate(convolutions):
        kernel, bias = layer.weights
        scale = np.sqrt(12.0) * np.sqrt(2.0 / (9.0 * kernel.shape[2]))
        kernel.assign(round32(hashed(int(np.prod(kernel.shape)), index, 12345) * scale).reshape(kernel.shape))
        bias.assign(round32(0.1 * hashed(bias.shape[0], index, 54321)))
    x = round32(-120 + 250 * (hashed(150 * 150 * 3, 0, 777) + 0.5)).reshape(1, 150, 150, 3)
    outputs = [layer.output for layer in network.layers if layer.name.endswith("_pool")]
    *blocks, y = keras.Model(network.input, outputs)(x)
    summary = [[float(np.mean(block)), float(np.linalg.norm(block))] for block in (*blocks, y)]
    group.add({"name": "vgg16", "input_shape": [150, 150, 3], "block_mean_and_l2": summary}, {"y": y.numpy()})


GROUPS = {
    function.__name__: function
    for function in (
        conv2d, grouped_conv2d, conv2d_transpose, pooling, layers, normalization, schedules, optimizers, losses, metrics, jpeg, resize_pillow, resize_tensorflow,
        warps, generator, stages, training, several_outputs, mixed_bfloat16, gradients, class_weight, vgg16
    )
}


def differences(name, old, new):
    """Lines that say where two files differ by more than the last bits (threads sum in another order)."""
    (old_metadata, old_tensors), (new_metadata, new_tensors) = read(old), read(new)
    if old_metadata["cases"] != new_metadata["cases"] and name not in ("training", "mixed_bfloat16", "gradients", "vgg16"):
        yield f"{name}: the cases differ"
    for tensor in sorted(old_tensors.keys() | new_tensors.keys()):
        if tensor not in old_tensors or tensor not in new_tensors:
            yield f"{name}: {tensor} is in one file only"
        elif not np.allclose(old_tensors[tensor], new_tensors[tensor], rtol=1e-6, atol=1e-7):
            yield f"{name}: {tensor} differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"which files: {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    arguments = parser.parse_args()
    unknown = set(arguments.groups) - GROUPS.keys()
    if unknown:
        parser.error(f"unknown groups: {', '.join(sorted(unknown))}")
    problems = []
    for name in arguments.groups or GROUPS:
        group = Group()
        GROUPS[name](group)
        data, path = group.to_bytes(), FOLDER / f"{name}.safetensors"
        if arguments.check:
            problems += list(differences(name, path.read_bytes(), data))
        else:
            path.write_bytes(data)
        print(f"{name}: {len(group.cases)} cases, {len(data):,} bytes", flush=True)
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
