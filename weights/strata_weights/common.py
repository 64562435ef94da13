"""What every reader shares: the error type, the tensor table and the checks on it."""

import contextlib
import fcntl
import hashlib
import os
import re

import numpy as np


class WeightError(Exception):
    """A file cannot be converted; the message names the file and what was expected and found."""


class Source:
    """What a reader found: {layer: {weight: float32 array}} in the file's order; a layer of a model inside is "model/layer".

    `named` is False where the file does not carry the layers' real names, so only their order counts.
    `network` is the list of layers (see networks.py) where the source tells it, else None.
    `used` lists further files that were read, `notes` what the user should know.
    `configuration` is that of a Keras model, where the source has it.
    """

    def __init__(self, format, layers, named=True, network=None, used=(), notes=()):
        self.format, self.layers, self.named, self.network, self.used, self.notes = format, layers, named, network, used, notes
        self.configuration = None


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


def is_path(layer):
    """Whether this can be a layer's name, "model/layer" where it is inside a model."""
    return isinstance(layer, str) and all(part not in ("", ".", "..") for part in layer.split("/"))


def add(layers, layer, weight, array, file):
    """Enters one tensor; a second one of the same name is an error."""
    if not is_path(layer):
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


def _locked(path):
    """The file `path`.tmp, empty and held by this process alone; what a killed one left is taken over."""
    temporary = f"{path}.tmp"
    while True:
        file = open(temporary, "ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(temporary)):
                file.truncate(0)
                return file
        except BlockingIOError:
            file.close()
            raise WeightError(f"{path}: another conversion is writing it") from None
        except FileNotFoundError:  # the one that held it has just finished
            pass
        file.close()


def _remove(file):
    """Unlinks what _locked opened, unless it has been renamed and another process holds a new one."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)):
            os.unlink(file.name)


@contextlib.contextmanager
def atomic_files(*paths):
    """Binary files that take the places of `paths` only once all of them are complete and on disk."""
    with contextlib.ExitStack() as stack:
        files = []
        for path in paths:
            file = stack.enter_context(_locked(path))
            stack.callback(_remove, file)
            files.append(file)
        yield files
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        # An old file of another name must not lie beside a new one, whenever this is cut off.
        for path in paths[1:]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        for path, file in zip(paths, files):
            os.replace(file.name, path)
        directory = os.open(os.path.dirname(os.path.abspath(paths[0])), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
