"""What every reader shares: the error type, the tensor table and the checks on it."""

import contextlib
import hashlib
import os
import re

import numpy as np


class WeightError(Exception):
    """A file cannot be converted; the message names the file and what was expected and found."""


class Source:
    """What a reader found: {layer: {weight: float32 array}} in the file's order.

    `named` is False where the file does not carry the layers' real names, so only their order counts.
    `network` is the list of layers (see networks.py) where the source tells it, else None.
    `used` lists further files that were read.
    """

    def __init__(self, format, layers, named=True, network=None, used=()):
        self.format, self.layers, self.named, self.network, self.used = format, layers, named, network, used


def natural(name):
    """Sort key in which conv2d_2 comes before conv2d_10 and conv2d before both."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def to_float32(array, where):
    """float16/32/64 -> contiguous little-endian float32; anything else, and any NaN or infinity, is an error."""
    array = np.asarray(array)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise WeightError(f"{where}: expected floating-point values, found {array.dtype}")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype="<f4")
    if not np.isfinite(result).all():
        raise WeightError(f"{where}: holds values that are not finite in float32")
    return result.reshape(array.shape)


def add(layers, layer, weight, array, file):
    """Enters one tensor; a second one of the same name is an error."""
    if not layer or "/" in layer:
        raise WeightError(f"{file}: '{layer}' cannot be a layer's name")
    tensors = layers.setdefault(layer, {})
    if weight in tensors:
        raise WeightError(f"{file}: layer '{layer}' has two tensors named '{weight}'")
    tensors[weight] = to_float32(array, f"{file}: {layer}/{weight}")


def file_digest(path):
    """(bytes, sha256) of a file."""
    digest, count = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            count += len(block)
    return count, digest.hexdigest()


@contextlib.contextmanager
def atomic_file(path):
    """A binary file that takes the place of `path` only once it is complete and on disk."""
    temporary = f"{path}.tmp.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
