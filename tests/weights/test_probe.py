import json
import math
import pathlib
import unittest

import numpy as np

import convert
from strata_weights import networks, probe

WEIGHTS = pathlib.Path(convert.__file__).parent


def naive_convolution(x, kernel, bias, strides, padding):
    """Keras's definition, one output at a time."""
    k = kernel.shape[0]
    rows, columns = ((n - k) // strides + 1 if padding == "valid" else math.ceil(n / strides) for n in x.shape[1:3])
    before = [max((out - 1) * strides + k - n, 0) // 2 if padding == "same" else 0
              for out, n in zip((rows, columns), x.shape[1:3])]
    y = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for n, r, c, o in np.ndindex(y.shape):
        total = float(bias[o])
        for i in range(k):
            for j in range(k):
                row, column = r * strides + i - before[0], c * strides + j - before[1]
                if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                    total += sum(float(x[n, row, column, ch]) * float(kernel[i, j, ch, o]) for ch in range(x.shape[3]))
        y[n, r, c, o] = total
    return y


class Probe(unittest.TestCase):
    def test_fixed_input(self):
        x = probe.fixed_input([1, 96, 96, 3], -120, 130)
        self.assertEqual((x.dtype, x.shape), (np.float32, (1, 96, 96, 3)))
        for i in (0, 1, 2, 12345, x.size - 1):
            self.assertEqual(x.flat[i], np.float32(-120 + 250 * ((i * 2654435761 % 2**32) / 2**32)))

    def test_convolution_against_its_definition(self):
        rng = np.random.default_rng(3)
        for height, width, k, strides, padding in ((7, 5, 3, 1, "same"), (7, 6, 3, 2, "same"), (6, 6, 3, 2, "same"),
                                                   (7, 5, 3, 1, "valid"), (8, 7, 3, 2, "valid"), (4, 4, 1, 1, "same")):
            x, kernel, bias = rng.standard_normal((2, height, width, 3)), rng.standard_normal((k, k, 3, 4)), rng.standard_normal(4)
            layer = networks.conv2d("c", 4, k, strides, padding, "linear")
            expected = naive_convolution(x, kernel, bias, strides, padding)
            np.testing.assert_allclose(probe.apply(layer, {"kernel": kernel, "bias": bias}, x), expected, atol=1e-12)
            layer["activation"] = "leaky_relu"
            np.testing.assert_allclose(probe.apply(layer, {"kernel": kernel, "bias": bias}, x),
                                       np.maximum(expected, 0.1 * expected), atol=1e-12)

    def test_pooling_at_the_edge(self):
        x = -np.arange(1.0, 10.0).reshape(1, 3, 3, 1)  # negative: a padding of zeros would win
        same = probe.apply(networks.max_pooling2d("p", padding="same"), None, x)[0, :, :, 0]
        np.testing.assert_array_equal(same, [[-1, -3], [-7, -9]])
        valid = probe.apply(networks.max_pooling2d("p"), None, x)[0, :, :, 0]
        np.testing.assert_array_equal(valid, [[-1]])

    def test_softmax_of_large_logits(self):
        np.testing.assert_allclose(probe.activate(np.array([[1000.0, 1001.0]]), "softmax"),
                                   [[1 / (1 + math.e), math.e / (1 + math.e)]])

    def test_summary(self):
        for size in (5, 16, 1000):
            y = np.arange(float(size)).reshape(1, size)
            entry = probe.summarize("y", y)
            self.assertEqual(entry["samples"], [float((2 * k + 1) * size // 32) for k in range(16)])
            self.assertAlmostEqual(entry["mean"], (size - 1) / 2)
            self.assertAlmostEqual(entry["l2"] / math.sqrt(sum(i * i for i in range(size))), 1)

    def test_digest_follows_the_names(self):
        a, b = np.ones(3, np.float32), np.zeros(2, np.float32)
        self.assertEqual(probe.weights_digest({"b": b, "a": a}), probe.weights_digest({"a": a, "b": b}))
        self.assertNotEqual(probe.weights_digest({"a": a, "b": b}), probe.weights_digest({"a": b, "b": a}))

    def test_committed_probe_fits_the_committed_network(self):
        known = json.loads((WEIGHTS / "tiny_darknet.json").read_text())
        text = (WEIGHTS / "tiny_darknet.probe.json").read_text()
        committed = json.loads(text)
        self.assertEqual(text, probe.dumps(committed))
        self.assertEqual(committed["format"], "strata-probe/1")
        self.assertEqual([layer["name"] for layer in committed["layers"]], [layer["name"] for layer in known["layers"]])
        shapes = networks.parameter_shapes(known["layers"], [1, *known["input"]["shape"]])
        self.assertEqual(sum(math.prod(shape) for weights in shapes.values() for shape in weights.values()), known["parameters"])
        for layer in committed["layers"]:
            size = math.prod(layer["shape"])
            self.assertEqual(len(layer["samples"]), 16)
            # What holds of any 16 values of a tensor with this mean and norm.
            self.assertLessEqual(abs(layer["mean"]), layer["l2"] / math.sqrt(size))
            self.assertLessEqual(sum(value**2 for value in layer["samples"]), layer["l2"] ** 2)

    def test_parameter_counts_of_vgg(self):
        for model, include_top, count in (("vgg16", 0, 14714688), ("vgg16", 1, 138357544), ("vgg19", 0, 20024384), ("vgg19", 1, 143667240)):
            network, probe_input = networks.variants(model)[include_top]
            shapes = networks.parameter_shapes(network, probe_input["shape"])
            self.assertEqual(sum(math.prod(shape) for weights in shapes.values() for shape in weights.values()), count)
