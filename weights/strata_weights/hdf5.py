"""Keras's HDF5 files: the legacy layout, led by attributes, and that of Keras 3, led by the `name` of each `vars` group."""

import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib

import h5py
import numpy as np

from .common import Source, WeightError, add, is_path, natural

# Compression may shrink weights; a file that claims more than this is lying about its sizes.
MAX_RATIO = 100
# Keras 1 and the files published with keras.applications.
OLD_NAMES = {"W": "kernel", "b": "bias", "gamma": "gamma", "beta": "beta", "running_mean": "moving_mean",
             "running_std": "moving_variance"}
NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")
# State that is no weight: random generators, optimizers and metrics keep theirs in `vars` groups as well.
NOT_LAYERS = {"seed_generator", "optimizer", "metrics", "compile_metrics", "loss_tracker"}


def _child(group, path, file):
    """group[path] through plain links only: a soft or external link could lead anywhere on this machine."""
    node = group
    for part in path.split("/"):
        if not isinstance(node, h5py.Group) or part in ("", ".", ".."):
            raise WeightError(f"{file}: '{path}' is not below '{group.name}'")
        link = node.get(part, getlink=True)
        if link is None:
            raise WeightError(f"{file}: '{group.name}' has no '{path}', which its attributes name")
        if not isinstance(link, h5py.HardLink):
            raise WeightError(f"{file}: '{path}' is a link to elsewhere, which is not followed")
        node = node[part]
    return node


def _tensor(dataset, file, size):
    if not isinstance(dataset, h5py.Dataset):
        raise WeightError(f"{file}: '{dataset.name}' is not a dataset")
    if dataset.external or dataset.is_virtual:
        raise WeightError(f"{file}: '{dataset.name}' keeps its values in another file, which is not read")
    if dataset.shape is None or dataset.nbytes > MAX_RATIO * size:
        raise WeightError(f"{file}: '{dataset.name}' claims shape {dataset.shape} in a file of {size} bytes")
    return dataset[()]


def _names(group, attribute, file):
    """A list of names; Keras splits a long one over attribute0, attribute1, ..."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        parts = []
        while f"{attribute}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{len(parts)}"])
        if not parts:
            raise WeightError(f"{file}: '{group.name}' has no attribute {attribute}")
    names = [name.decode("utf-8") if isinstance(name, bytes) else str(name) for part in parts for name in np.ravel(part)]
    if len(set(names)) != len(names):
        raise WeightError(f"{file}: attribute {attribute} of '{group.name}' names something twice")
    return names


def _parse(text, file):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightError(f"{file}: the model's configuration is not valid JSON: {error}") from None


def _layers(root, file):
    """{"model/layer": (class name, options)} of all layers in a model's configuration, those of models inside included."""
    table = {}

    def visit(node, path):
        options = node.get("config") if isinstance(node, dict) else None
        children = options.get("layers") if isinstance(options, dict) else options
        for child in children if isinstance(children, list) else ():
            child = child if isinstance(child, dict) else {}
            config = child.get("config")
            name = config.get("name") if isinstance(config, dict) else child.get("name")
            if not is_path(name) or "/" in name:
                raise WeightError(f"{file}: the model's configuration has a layer without a usable name")
            table["/".join(path + (name,))] = child.get("class_name"), config if isinstance(config, dict) else {}
            visit(child, path + (name,))

    visit(root, ())
    return table


def _fit(path, scopes):
    """How well a layer's path fits the scopes in which a weight was made: (exact name, equal names from the end), or None."""
    if not re.fullmatch(re.escape(path[-1]) + r"(_\d+)?", scopes[-1]):  # TensorFlow 1 made a scope unique with a suffix
        return None
    differ = next((n for n, (a, b) in enumerate(zip(reversed(path), reversed(scopes))) if a != b), min(len(path), len(scopes)))
    return path[-1] == scopes[-1], differ


def _inside(group, names, file, configuration):
    """{scopes: layer's path} for the weights of a model inside, which name only the scopes in which they were made."""
    free = {tuple(path.split("/")) for path in configuration if path.startswith(group + "/")}
    left = {tuple(name.split("/")[:-1]) for name in names if "/" in name}
    result = {}
    while fits := {(scopes, path): fit for scopes in left for path in free if (fit := _fit(path, scopes))}:
        best = [pair for pair, fit in fits.items() if fit == max(fits.values())]
        sure = [(scopes, path) for scopes, path in best
                if sum(scopes == s for s, _ in best) == 1 and sum(path == p for _, p in best) == 1]
        if not sure:
            raise WeightError(f"{file}: weight '{'/'.join(best[0][0])}' of '{group}' could be that of "
                              f"{' or '.join(sorted('/'.join(path) for s, path in best if s == best[0][0]))}; "
                              "save the model as .keras")
        result.update(sure)
        left -= {scopes for scopes, _ in sure}
        free -= {path for _, path in sure}
    return result


def _legacy_name(group, name, file, inside):
    """(layer, weight) for an entry of weight_names: block1_conv1_W_1:0, block1_conv1/kernel:0, model/dense/kernel."""
    plain = name.split(":")[0]
    if "/" in plain:
        *scopes, weight = plain.split("/")
        if tuple(scopes) in inside:
            return "/".join(inside[tuple(scopes)]), weight
        if re.fullmatch(re.escape(group) + r"(_\d+)?", scopes[-1]):  # the group has the real name
            return group, weight
        if group in scopes:
            del scopes[: len(scopes) - scopes[::-1].index(group)]
        return "/".join([group, *scopes]), weight
    old = re.fullmatch(re.escape(group) + r"_(\w+?)(_\d+)?", plain)
    if old and old[1] in OLD_NAMES:
        return group, OLD_NAMES[old[1]]
    if plain in OLD_NAMES.values():
        return group, plain
    raise WeightError(f"{file}: weight '{name}' of layer '{group}' has a name of no known scheme")


def _read_legacy(root, file, size, configuration):
    layers, made, notes = {}, {}, []
    for group_name in _names(root, "layer_names", file):
        group = _child(root, group_name, file)
        if not isinstance(group, h5py.Group):
            raise WeightError(f"{file}: layer '{group_name}' is not a group")
        names, last = _names(group, "weight_names", file), group_name.split("/")[-1]
        inside = _inside(last, names, file, configuration)
        entries = [(*_legacy_name(last, name, file, inside), name) for name in names]
        separable = {layer for layer, weight, _ in entries if weight == "pointwise_kernel"}
        found, scopes = {}, {}
        for layer, weight, name in entries:
            if weight == "depthwise_kernel" and layer not in separable:  # so named before Keras 3
                weight = "kernel"
            array = _tensor(_child(group, name, file), file, size)
            if weight == "count" and _is_count(array):
                continue
            add(found, layer, weight, array, file)
            scopes[layer] = name.rpartition("/")[0]
        for layer, tensors in found.items():
            # A layer that several models share is written with each; other files have it once, with the first.
            twins = made.setdefault(scopes[layer] or layer, [])
            twin = next((twin for twin in twins if _equal(layers[twin], tensors)), None)
            if twin:
                notes.append(f"'{layer}' has the names and values of '{twin}' and is taken for the same layer; were they two, "
                             "convert the .keras file")
                continue
            twins.append(layer)
            for weight, tensor in tensors.items():
                add(layers, layer, weight, tensor, file)
    return Source("Keras legacy HDF5", layers, notes=notes)


def _equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def _variables(group, path=()):
    """Yields (path, vars group) below a group of a Keras 3 file, through plain links only."""
    for name in sorted(group, key=natural):
        if name in NOT_LAYERS or name.startswith("optimizer") or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        child = group[name]
        if isinstance(child, h5py.Group):
            if name == "vars":
                yield path, child
            else:
                yield from _variables(child, path + (name,))


def _is_count(array):
    """Whether this is the third weight of a Normalization, which it does not need."""
    return array.shape == () and array.dtype.kind in "iu"


def _weight_names(arrays, where, kind, options):
    """Keras 3 numbers a layer's variables; its class, where known, and their ranks tell which they are."""
    ranks = [array.ndim for array in arrays]
    if len(ranks) == 3 and _is_count(arrays[2]):
        return "mean", "variance"
    if ranks[0] in (2, 4) and ranks[1:] in ([], [1]):
        return ("kernel", "bias")[: len(ranks)]
    if ranks[:2] == [4, 4] and ranks[2:] in ([], [1]):
        return ("depthwise_kernel", "pointwise_kernel", "bias")[: len(ranks)]
    if ranks == [1] * len(ranks) and (kind == "BatchNormalization" or len(ranks) in (3, 4)):
        # Without the options, three are those of scale=False, as in Keras's own networks.
        present = {"gamma": options.get("scale", len(ranks) == 4), "beta": options.get("center", len(ranks) >= 3)}
        names = [name for name in NORMALIZATION if present.get(name, True)]
        if len(names) == len(ranks):
            return names
    raise WeightError(f"{where}: variables of shapes {[list(a.shape) for a in arrays]} are neither those of a convolution or "
                      "dense layer (kernel, bias), nor of a separable convolution (depthwise and pointwise kernel, bias), nor of a "
                      "batch normalization (gamma, beta, mean, variance), nor of a normalization (mean, variance, count)")


def _name(group):
    """The name of the layer or model whose `vars` group this is; None before Keras kept it."""
    name = group.attrs.get("name")
    name = name.decode("utf-8") if isinstance(name, bytes) else name
    return name if isinstance(name, str) else None


def _read_keras3(root, file, size, configuration):
    layers, named, notes, groups = {}, True, [], dict(_variables(root))
    for path, group in groups.items():
        if not len(group):
            continue
        where = f"{file}: '{group.name}'"
        indices = sorted(group, key=natural)
        if indices != [str(i) for i in range(len(indices))]:
            raise WeightError(f"{where}: expected variables 0 to {len(indices) - 1}, found {', '.join(indices)}")
        arrays = [_tensor(_child(group, index, file), file, size) for index in indices]
        names = [_name(groups[path[:depth]]) for depth in range(1, len(path) + 1) if path[:depth] in groups]
        if not names or None in names:  # written before Keras kept the names: the class and its number must do
            names, named = [part for part in path if part != "layers"], False
        if any("/" in name for name in names):
            raise WeightError(f"{where}: {names} cannot be layers' names")
        name = "/".join(names)
        if name in layers:
            raise WeightError(f"{file}: two layers are named '{name}'")
        kind, options = configuration.get(name, (None, {}))
        if kind is None and path and re.fullmatch(r"batch_normalization(_\d+)?", path[-1]):
            kind = "BatchNormalization"
        for weight, array in zip(_weight_names(arrays, where, kind, options), arrays):
            add(layers, name, weight, array, file)
        if list(layers[name]) == ["beta", "moving_mean", "moving_variance"] and not options:
            notes.append(f"'{name}' is taken for a batch normalization with scale=False; were it center=False, say --map with "
                         f'{{"{name}/beta": "{name}/gamma"}}, or convert the .keras file')
    if not layers:
        raise WeightError(f"{file}: no layer_names attribute and no vars groups with variables: "
                          "neither a legacy Keras weight file nor one of Keras 3")
    return Source("Keras 3 HDF5", layers, named=named, notes=notes)


def read(path, opened=None, configuration=None):
    """Reads a Keras HDF5 file; `opened` is its content where `path` is the archive around it, with a model's configuration."""
    size = os.path.getsize(opened or path)
    if configuration is not None:
        table = _layers(configuration, path)
    try:
        with h5py.File(opened or path, "r") as file:
            root = file
            if "model_weights" in file and "layer_names" not in file.attrs:
                root = _child(file, "model_weights", path)
            if configuration is None:
                configuration = _parse(file.attrs.get("model_config", "{}"), path)
                if configuration and isinstance(configuration, dict):
                    configuration["compile_config"] = _parse(file.attrs.get("training_config", "{}"), path)
                table = _layers(configuration, path)
            if any(name in root.attrs for name in ("layer_names", "layer_names0")):
                source = _read_legacy(root, path, size, table)
            else:
                source = _read_keras3(root, path, size, table)
    except WeightError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise WeightError(f"{path}: damaged HDF5 file: {error}") from None
    if not source.layers:
        raise WeightError(f"{path}: holds no weights")
    source.configuration = configuration or None
    return source


def read_archive(path):
    """Reads the weights inside a .keras archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "model.weights.h5" not in names:
                hint = ("; PyTorch pickles are not read, because reading one can run any code: save it with safetensors"
                        if any(name.endswith("data.pkl") for name in names) else "")
                raise WeightError(f"{path}: an archive without model.weights.h5{hint}")
            for name in {"model.weights.h5", "config.json"} & set(names):
                if archive.getinfo(name).file_size > MAX_RATIO * os.path.getsize(path):
                    raise WeightError(f"{path}: {name} claims more bytes than the archive can hold")
            configuration = _parse(archive.read("config.json") if "config.json" in names else "{}", path)
            with tempfile.TemporaryDirectory() as folder:
                extracted = os.path.join(folder, "model.weights.h5")
                with archive.open("model.weights.h5") as source, open(extracted, "wb") as target:
                    shutil.copyfileobj(source, target)
                return read(path, extracted, configuration)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise WeightError(f"{path}: damaged archive: {error}") from None
