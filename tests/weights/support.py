"""Makes small weight files of every kind, and runs the converter on them."""

import contextlib
import io
import json
import os
import pathlib
import struct
import tempfile
import unittest

import h5py
import numpy as np

import convert
from strata_weights import safetensors


class ConverterTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.output = self.folder / "out.safetensors"
        self.rng = np.random.default_rng(1)

    def random(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def run_convert(self, source, *options):
        """(exit status, what went to stderr)."""
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            status = convert.main([str(source), str(self.output), *map(str, options)])
        return status, errors.getvalue()

    def converted(self, source, *options):
        """The tensors of a conversion that must succeed."""
        status, errors = self.run_convert(source, *options)
        self.assertEqual(status, 0, errors)
        return safetensors.read(self.output)[0]

    def refused(self, source, *parts, options=()):
        """The conversion must fail with one message naming the file and every one of `parts`, and leave no output."""
        status, errors = self.run_convert(source, *options)
        self.assertEqual(status, 1, f"{source} was converted")
        self.assertEqual(errors.count("\n"), 1, errors)
        for part in (str(source), *parts):
            self.assertIn(part, errors)
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name.startswith("out.")], [])

    def provenance(self):
        return json.loads(safetensors.read(self.output)[1]["provenance"])

    def assert_tensors(self, found, expected):
        self.assertEqual(sorted(found), sorted(expected))
        for name, tensor in expected.items():
            np.testing.assert_array_equal(found[name], tensor, err_msg=name, strict=True)


def strata_data(*parts):
    """A path below $STRATA_DATA; skips the test where there is none."""
    root = os.environ.get("STRATA_DATA")
    if not root:
        raise unittest.SkipTest("STRATA_DATA is not set")
    path = pathlib.Path(root, *parts)
    if not path.is_file():
        raise unittest.SkipTest(f"$STRATA_DATA/{'/'.join(parts)} is not there")
    return path


def write_legacy(path, layers, scheme="{layer}/{weight}:0", root=None):
    """A legacy Keras file; layers are {layer: {name in the file: array}}, `scheme` forms the entry of weight_names."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = np.array([layer.encode() for layer in layers])
        for layer, weights in layers.items():
            names = [scheme.format(layer=layer, weight=weight) for weight in weights]
            child = group.create_group(layer)
            child.attrs["weight_names"] = np.array([name.encode() for name in names], dtype="S" if names else "S1")
            for name, array in zip(names, weights.values()):
                child.create_dataset(name, data=array)


def write_keras3(path, layers, named=True):
    """A Keras 3 file; layers are [(path of the group, name, [arrays])]."""
    with h5py.File(path, "w") as file:
        for group, name, arrays in layers:
            variables = file.create_group(f"{group}/vars")
            if named:
                variables.attrs["name"] = name
            for index, array in enumerate(arrays):
                variables[str(index)] = array


def write_safetensors(path, tensors, header=None):
    """An independent writer: little-endian tensors in the order given; `header` replaces the true one."""
    entries, data = {}, b""
    types = {"float32": "F32", "float64": "F64", "float16": "F16", "uint16": "BF16", "int64": "I64"}
    for name, array in tensors.items():
        content = np.ascontiguousarray(array).tobytes()
        entries[name] = {"dtype": types[str(array.dtype)], "shape": list(array.shape),
                         "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(entries).encode() if header is None else header
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


DARKNET_CFG = """\
[net]
height=9
width=9
channels=3

[convolutional]  # the first
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=5
size=1
stride=1
pad=1
activation=linear

[avgpool]

[softmax]
groups=1
"""


def write_darknet(path, rng, version=(0, 1, 0)):
    """NAME.weights and NAME.cfg with random values; returns them by name, kernels OIHW."""
    values = {"beta": rng.standard_normal(4), "gamma": rng.standard_normal(4), "mean": rng.standard_normal(4),
              "variance": rng.random(4) + 0.01, "kernel1": rng.standard_normal((4, 3, 3, 3)),
              "bias2": rng.standard_normal(5), "kernel2": rng.standard_normal((5, 4, 1, 1))}
    values = {name: value.astype("<f4") for name, value in values.items()}
    header = struct.pack("<iii", *version) + (b"\7" * 8 if version[:2] >= (0, 2) else b"\7" * 4)
    path.write_bytes(header + b"".join(value.tobytes() for value in values.values()))
    path.with_suffix(".cfg").write_text(DARKNET_CFG)
    return values
