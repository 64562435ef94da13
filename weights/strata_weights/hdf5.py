"""Keras's HDF5 files: the legacy layout, led by attributes, and that of Keras 3, led by the `name` of each `vars` group."""

import os
import re
import shutil
import tempfile
import zipfile

import h5py
import numpy as np

from .common import Source, WeightError, add, natural

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


def _legacy_name(group, name, file):
    """(layer, weight) for an entry of weight_names: block1_conv1_W_1:0, block1_conv1/kernel:0, model/dense/kernel."""
    plain = name.split(":")[0]
    if "/" in plain:
        *_, parent, weight = plain.split("/")
        # TensorFlow 1 made a scope unique with a suffix: the group has the real name then.
        return (group if re.fullmatch(re.escape(group) + r"_\d+", parent) else parent), weight
    old = re.fullmatch(re.escape(group) + r"_(\w+?)(_\d+)?", plain)
    if old and old[1] in OLD_NAMES:
        return group, OLD_NAMES[old[1]]
    if plain in OLD_NAMES.values():
        return group, plain
    raise WeightError(f"{file}: weight '{name}' of layer '{group}' has a name of no known scheme")


def _read_legacy(root, file, size):
    layers = {}
    for group_name in _names(root, "layer_names", file):
        group = _child(root, group_name, file)
        if not isinstance(group, h5py.Group):
            raise WeightError(f"{file}: layer '{group_name}' is not a group")
        for name in _names(group, "weight_names", file):
            layer, weight = _legacy_name(group_name.split("/")[-1], name, file)
            add(layers, layer, weight, _tensor(_child(group, name, file), file, size), file)
    return Source("Keras legacy HDF5", layers)


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


def _weight_names(arrays, where):
    """Keras 3 numbers a layer's variables; their ranks tell which layer it is."""
    ranks = [array.ndim for array in arrays]
    if ranks[0] in (2, 4) and ranks[1:] in ([], [1]):
        return ("kernel", "bias")[: len(ranks)]
    if ranks == [1, 1, 1, 1]:
        return NORMALIZATION
    raise WeightError(f"{where}: variables of shapes {[list(a.shape) for a in arrays]} are neither those of a convolution or "
                      "dense layer (kernel, bias) nor of a batch normalization (gamma, beta, mean, variance)")


def _read_keras3(root, file, size):
    layers, named = {}, True
    for path, group in _variables(root):
        if not len(group):
            continue
        where = f"{file}: '{group.name}'"
        indices = sorted(group, key=natural)
        if indices != [str(i) for i in range(len(indices))]:
            raise WeightError(f"{where}: expected variables 0 to {len(indices) - 1}, found {', '.join(indices)}")
        arrays = [_tensor(_child(group, index, file), file, size) for index in indices]
        name = group.attrs.get("name")
        if isinstance(name, bytes):
            name = name.decode("utf-8")
        if not isinstance(name, str):  # written before Keras kept the names: the class and its number must do
            name, named = (path[-1] if path else ""), False
        if name in layers:
            raise WeightError(f"{file}: two layers are named '{name}'; save the inner model by itself")
        for weight, array in zip(_weight_names(arrays, where), arrays):
            add(layers, name, weight, array, file)
    if not layers:
        raise WeightError(f"{file}: no layer_names attribute and no vars groups with variables: "
                          "neither a legacy Keras weight file nor one of Keras 3")
    return Source("Keras 3 HDF5", layers, named=named)


def read(path, opened=None):
    """Reads a Keras HDF5 file; `opened` is its content where `path` is the archive around it."""
    size = os.path.getsize(opened or path)
    try:
        with h5py.File(opened or path, "r") as file:
            root = file
            if "model_weights" in file and "layer_names" not in file.attrs:
                root = _child(file, "model_weights", path)
            if any(name in root.attrs for name in ("layer_names", "layer_names0")):
                source = _read_legacy(root, path, size)
            else:
                source = _read_keras3(root, path, size)
    except WeightError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise WeightError(f"{path}: damaged HDF5 file: {error}") from None
    if not source.layers:
        raise WeightError(f"{path}: holds no weights")
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
            if archive.getinfo("model.weights.h5").file_size > MAX_RATIO * os.path.getsize(path):
                raise WeightError(f"{path}: model.weights.h5 claims more bytes than the archive can hold")
            with tempfile.TemporaryDirectory() as folder:
                extracted = os.path.join(folder, "model.weights.h5")
                with archive.open("model.weights.h5") as source, open(extracted, "wb") as target:
                    shutil.copyfileobj(source, target)
                return read(path, extracted)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise WeightError(f"{path}: damaged archive: {error}") from None
