"""A Keras model's configuration as that of a Strata model, where Strata has all its layers."""

import json

import numpy as np

# Strata's activations, include/strata/tensor/activation.hpp.
ACTIVATIONS = ("linear", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "relu6", "silu", "gelu", "selu", "softplus", "softsign",
               "hard_sigmoid", "mish", "softmax")
INITIALIZERS = {"Zeros": "zeros", "Ones": "ones", "GlorotUniform": "glorot_uniform", "GlorotNormal": "glorot_normal",
                "HeUniform": "he_uniform", "HeNormal": "he_normal", "LecunUniform": "lecun_uniform", "LecunNormal": "lecun_normal"}
CONVOLUTION = ("kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias", "bias_initializer", "bias_regularizer")
RANDOM = ("fill_mode", "interpolation", "fill_value")
MODELS = ("Functional", "Sequential", "Model")

# The options of each class, by Keras's names, which are Strata's.
LAYERS = {
    "Conv2D": ("filters", "groups", "kernel_initializer", "kernel_regularizer", *CONVOLUTION),
    "Conv2DTranspose": ("filters", "output_padding", "kernel_initializer", "kernel_regularizer", *CONVOLUTION),
    "DepthwiseConv2D": ("depth_multiplier", "depthwise_initializer", "depthwise_regularizer", *CONVOLUTION),
    "SeparableConv2D": ("filters", "depth_multiplier", "depthwise_initializer", "depthwise_regularizer", "pointwise_initializer",
                        "pointwise_regularizer", *CONVOLUTION),
    "Dense": ("units", "activation", "use_bias", "kernel_initializer", "kernel_regularizer", "bias_initializer", "bias_regularizer"),
    "BatchNormalization": ("momentum", "epsilon", "center", "scale"),
    "Normalization": ("mean", "variance", "invert"),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "GlobalMaxPooling2D": ("keepdims",),
    "GlobalAveragePooling2D": ("keepdims",),
    "Activation": ("activation",),
    "LeakyReLU": ("negative_slope",),
    "Softmax": (),
    "Dropout": ("rate", "noise_shape"),
    "Flatten": (),
    "Reshape": ("target_shape",),
    "Rescaling": ("scale", "offset"),
    "ZeroPadding2D": ("padding",),
    "UpSampling2D": ("size", "interpolation"),
    "Add": (), "Subtract": (), "Multiply": (), "Average": (), "Maximum": (), "Minimum": (),
    "Concatenate": ("axis",),
    "RandomFlip": ("mode", "seed"),
    "RandomRotation": ("factor", *RANDOM, "seed"),
    "RandomZoom": ("height_factor", "width_factor", *RANDOM, "seed"),
    "RandomTranslation": ("height_factor", "width_factor", *RANDOM, "seed"),
    "RandomContrast": ("factor", "value_range", "seed"),
    "RandomBrightness": ("factor", "value_range", "seed"),
}
WITH_WEIGHTS = ("Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "Dense", "BatchNormalization", "Normalization")
# Values of other options that change nothing (None: any): of random numbers, of weights that are read anyway, of what Strata does always.
HARMLESS = {"data_format": ("channels_last",), "axis": (-1, [-1]), "threshold": (0,), "groups": (1,), "renorm_momentum": None,
            "seed": None, "batch_input_shape": None, "beta_initializer": None, "gamma_initializer": None,
            "moving_mean_initializer": None, "moving_variance_initializer": None, "kernel_initializer": None}


class Unknown(Exception):
    """Strata has no such thing; the message says what."""


def _name(value, where):
    """(class name, options) of something that Keras serialized: "relu", {"class_name": "L2", "config": {...}}."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and isinstance(value.get("class_name"), str):
        config = value.get("config")
        if value["class_name"] == "function" and isinstance(config, str):
            return config, {}
        return value["class_name"], config if isinstance(config, dict) else {}
    raise Unknown(f"{where} {json.dumps(value)}")


def _activation(value):
    name, options = _name(value, "the activation")
    if name == "LeakyReLU":
        return {"name": "leaky_relu", "negative_slope": options.get("negative_slope", options.get("alpha", 0.3))}
    name = {"swish": "silu"}.get(name.lower(), name.lower())
    if name not in ACTIVATIONS:
        raise Unknown(f"the activation '{name}'")
    return name


def _initializer(value):
    """None for one that Strata does not have: the weights are read."""
    name, _ = _name(value, "the initializer")
    return INITIALIZERS.get(name, name if name in INITIALIZERS.values() else None)


def _regularizer(value):
    name, options = _name(value, "the regularizer")
    if name not in ("L1", "L2", "L1L2"):
        raise Unknown(f"the regularizer '{name}'")
    return {key: options.get(key) or 0 for key in ("l1", "l2")}


def _shape(batch_shape):
    if not isinstance(batch_shape, list) or len(batch_shape) < 2 or not all(isinstance(n, int) for n in batch_shape[1:]):
        raise Unknown(f"an input of shape {json.dumps(batch_shape)}: sizes must be known")
    return batch_shape[1:]


def _option(key, value):
    if key == "activation":
        return _activation(value)
    if key.endswith("_initializer"):
        return _initializer(value)
    if key.endswith("_regularizer"):
        return value and _regularizer(value)
    if key in ("mean", "variance") and value is not None:
        value = value if isinstance(value, list) else [value]
        if not all(isinstance(number, (int, float)) for number in value):
            raise Unknown(f"the option {key}={json.dumps(value)}")
    if key == "noise_shape" and value is not None:
        if value[0] is not None or None in value[1:]:
            raise Unknown(f"the option {key}={json.dumps(value)}")
        value = value[1:]
    if key == "axis" and not isinstance(value, int):
        raise Unknown(f"the option {key}={json.dumps(value)}")
    return value


def _rank(layer):
    """Of a layer's input, with the batch axis: what the file says of its shape, and that of pictures where it says nothing."""
    built = layer.get("build_config")
    shape = built.get("input_shape") if isinstance(built, dict) else None
    nodes = layer.get("inbound_nodes") or [{}]
    if shape is None and isinstance(nodes[0], dict) and nodes[0].get("args"):  # the .h5 files of Keras 3
        shape = nodes[0]["args"][0]["config"]["shape"]
    return len(shape) if isinstance(shape, list) else 4


def _without_last_axis(layer):
    """The options of a layer but for an axis that is the last one under its number, as Keras's own networks write it."""
    options = layer["config"]
    if options.get("axis") in (_rank(layer) - 1, [_rank(layer) - 1]):
        return {key: value for key, value in options.items() if key != "axis"}
    return options


def _rectifier(options):
    """(class, options) of Keras's ReLU, which Strata has as three."""
    top, slope = options.pop("max_value", None), options.pop("negative_slope", 0) or 0
    if slope and top is None:
        return "LeakyReLU", {**options, "negative_slope": slope}
    if not slope and top in (None, 6):
        return "Activation", {**options, "activation": "relu6" if top else "relu"}
    raise Unknown(f"ReLU with max_value={top} and negative_slope={slope}")


def _rescaling(options):
    """(class, options) of Keras's Rescaling, which is a Normalization where every channel has a scale of its own."""
    scale, offset = options.pop("scale", 1), options.pop("offset", 0)
    if not isinstance(scale, list) and not isinstance(offset, list):
        return "Rescaling", {**options, "scale": scale, "offset": offset}
    pairs = np.broadcast_arrays(np.asarray(scale, float), np.asarray(offset, float))
    if pairs[0].ndim != 1 or not np.all(pairs[0] > 0):
        raise Unknown(f"Rescaling with scale={json.dumps(scale)} and offset={json.dumps(offset)}")
    return "Normalization", {**options, "mean": (-pairs[1] / pairs[0]).tolist(), "variance": (pairs[0] ** -2).tolist()}


def _layer(class_name, options):
    """(class, options) of Strata for Keras's."""
    options = {key: value for key, value in options.items() if key not in ("name", "trainable", "dtype")}
    if class_name == "InputLayer":
        return class_name, {"shape": _shape(options.get("batch_shape", options.get("batch_input_shape")))}
    if class_name == "ReLU":
        class_name, options = _rectifier(options)
    if class_name == "Rescaling":
        class_name, options = _rescaling(options)
    if class_name == "ELU" and options.pop("alpha", 1) == 1:
        class_name, options = "Activation", {**options, "activation": "elu"}
    if class_name == "LeakyReLU" and "alpha" in options:  # Keras 2
        options["negative_slope"] = options.pop("alpha")
    if class_name not in LAYERS:
        raise Unknown(f"the class {class_name}")
    result = {}
    for key, value in options.items():
        if key in LAYERS[class_name]:
            if (converted := _option(key, value)) is not None:
                result[key] = converted
        elif value not in (None, False) and not (key in HARMLESS and (HARMLESS[key] is None or value in HARMLESS[key])):
            raise Unknown(f"the option {key}={json.dumps(value)} of {class_name}")
    return class_name, result


def _calls(layer):
    """The inputs of each call of a layer, [(layer, call), ...]."""
    calls = []
    for node in layer.get("inbound_nodes", []):
        tensors = []

        def visit(value):
            if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
                tensors.append(value["config"]["keras_history"])
            elif isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str):  # Keras 2
                tensors.append(value[:3])
                visit_options(value[3] if len(value) == 4 else {})
            elif isinstance(value, list):
                for item in value:
                    visit(item)
            elif value is not None:
                raise Unknown(f"a call of '{layer['name']}' with {json.dumps(value)}")

        def visit_options(options):
            for key, value in options.items():
                if value is not None and (key, value) != ("training", False):
                    raise Unknown(f"a call of '{layer['name']}' with {key}={json.dumps(value)}")

        if isinstance(node, dict):
            visit(node.get("args", []))
            visit_options(node.get("kwargs", {}))
        else:
            visit(node)
        if any(index for _, _, index in tensors):
            raise Unknown("a model inside of several outputs")
        calls.append([(name, call) for name, call, _ in tensors])
    return calls


def _ends(value):
    """[(layer, call), ...] of input_layers and output_layers, of which a single one is not in a list."""
    return [(name, call) for name, call, _ in ([value] if value and isinstance(value[0], str) else value)]


def _graph(config):
    """Calls in an order in which each follows its inputs, and the numbers of inputs and outputs."""
    waiting = [(layer["name"], call, inputs) for layer in config["layers"]
               for call, inputs in enumerate(_calls(layer) or [[]])]
    numbers, nodes = {}, []
    while waiting:
        left = []
        for name, call, inputs in waiting:
            if all(source in numbers for source in inputs):
                numbers[name, call] = len(nodes)
                nodes.append({"layer": name, "inputs": [numbers[source] for source in inputs]})
            else:
                left.append((name, call, inputs))
        if len(left) == len(waiting):
            raise Unknown(f"'{left[0][0]}', whose inputs are not in the model")
        waiting = left
    return {"nodes": nodes, "inputs": [numbers[end] for end in _ends(config["input_layers"])],
            "outputs": [numbers[end] for end in _ends(config["output_layers"])]}


def _model(class_name, config, path, problems, weighted):
    """The configuration of a model; what Strata does not have goes to `problems`, layers with weights to `weighted`."""
    layers = []
    for layer in config["layers"]:
        kind, options = layer["class_name"], layer["config"]
        name = options["name"]
        entry = {"name": name, "trainable": bool(options.get("trainable", True))}
        where = "/".join((*path, name))
        try:
            if kind in MODELS:
                kind = "Sequential" if kind == "Sequential" else "Functional"
                entry.update(_model(kind, options, (*path, name), problems, weighted))
            else:
                kind, converted = _layer(kind, _without_last_axis(layer) if kind.endswith("Normalization") else options)
                entry.update(converted)
                if kind in WITH_WEIGHTS and "mean" not in converted:
                    weighted.append(where)
        except Unknown as problem:
            problems.append(f"'{where}': {problem}")
        layers.append({"class_name": kind, "config": entry})
    result = {"seed": "0", "layers": layers}
    if class_name != "Sequential":
        return {**result, **_graph(config)}
    result["sequence"] = [layer["config"]["name"] for layer in layers]
    first = config["layers"][0]["config"] if layers else {}
    built = config.get("build_input_shape") or first.get("batch_shape") or first.get("batch_input_shape")
    if built:
        result["input_shape"] = _shape(built)
    elif not path:
        raise Unknown("a model that was not built")
    return result


def of(root, layers):
    """(Strata's configuration of the model or None, what stands in its way) for Keras's and the names of layers with weights."""
    problems, weighted = [], []
    try:
        class_name, config = root["class_name"], root["config"]
        if class_name not in MODELS:
            raise Unknown(f"the model class {class_name}")
        class_name = "Sequential" if class_name == "Sequential" else "Functional"
        model = {"class_name": class_name, "name": config["name"], "trainable": bool(config.get("trainable", True)),
                 "config": _model(class_name, config, (), problems, weighted)}
    except Unknown as problem:
        problems.append(str(problem))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        problems.append("its configuration is not understood")
    if not problems and sorted(weighted) != sorted(layers):
        odd = sorted(set(weighted) ^ set(layers)) or sorted(name for name in weighted if weighted.count(name) > 1)
        problems.append(f"'{odd[0]}' is shared by several models, or the weights are those of another model")
    return (None, problems) if problems else (model, [])
