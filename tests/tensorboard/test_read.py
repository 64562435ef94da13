"""What the TensorBoard callback wrote (tests/training/tensorboard_test.cpp), as the real TensorBoard reads it."""

import csv
import io
import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import numpy as np
import PIL.Image
from google.protobuf import text_format
from tensorboard import program
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.histogram import summary_v2 as histogram
from tensorboard.util.tensor_util import make_ndarray

from strata_weights import safetensors

LOGS = pathlib.Path(os.environ["STRATA_TENSORBOARD_LOGS"])
WEIGHTS = ["base/conv/kernel", "base/conv/bias", "base/norm/gamma", "base/norm/beta", "base/norm/moving_mean",
           "base/norm/moving_variance", "grey/kernel", "grey/bias", "wide/kernel", "wide/bias", "two/kernel", "two/bias",
           "left/kernel", "left/bias", "right/kernel", "right/bias", "shared/kernel", "shared/bias", "dense/kernel",
           "dense/bias"]
# Keras makes no picture of a single number, nor of a kernel [2,2,6,2], whose filters cannot be colours.
PICTURED = [name for name in WEIGHTS if name not in ("grey/bias", "dense/bias", "two/kernel")]


def load(folder):
    """{tag: (plugin, [(step, value)])} of a folder of logs."""
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {tag: (accumulator.SummaryMetadata(tag).plugin_data.plugin_name,
                  [(event.step, make_ndarray(event.tensor_proto)) for event in accumulator.Tensors(tag)])
            for tag in accumulator.Tags()["tensors"]}


def rows(name):
    """The rows of a CSV file, as numbers."""
    with open(LOGS / "whole" / name) as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def weights(epoch):
    return safetensors.read(LOGS / "whole" / f"weights-{epoch}.safetensors")[0]


def keras_pictures(weight):
    """Keras 3.15's TensorBoard._log_weight_as_image, and tf.summary.image behind it."""
    image = np.squeeze(weight)
    if image.ndim == 1:
        image = image.reshape(1, -1, 1, 1)
    elif image.ndim == 2:
        image = image.T if image.shape[0] > image.shape[1] else image
        image = image[None, :, :, None]
    elif image.ndim == 3:
        image = image.transpose(2, 0, 1)[..., None]
    return np.clip(image[:3] * np.float32(255.5), 0, 255).astype(np.uint8)


def decode(value):
    """The pictures of an event: width, height, then PNG files."""
    width, height, *files = value
    pictures = []
    for data in files:
        picture = np.asarray(PIL.Image.open(io.BytesIO(data)))
        pictures.append(picture if picture.ndim == 3 else picture[..., None])
    found = np.stack(pictures)
    assert found.shape[1:3] == (int(height), int(width)), (found.shape, height, width)
    return found


class Read(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.train, cls.validation = load(LOGS / "whole/logs/train"), load(LOGS / "whole/logs/validation")

    def scalars(self, run, tag):
        plugin, events = run[tag]
        self.assertEqual(plugin, "scalars")
        return [(step, value.dtype, float(value)) for step, value in events]

    def expect_scalars(self, run, tag, steps, values):
        expected = [(int(step), np.float32, float(np.float32(value))) for step, value in zip(steps, values, strict=True)]
        self.assertEqual(self.scalars(run, tag), expected, tag)

    def test_tags_are_those_of_keras(self):
        scalars = ["batch_accuracy", "batch_loss", "epoch_accuracy", "epoch_learning_rate", "epoch_loss"]
        images = ["sample", "samples"]
        self.assertEqual(sorted(self.train), sorted(
            scalars + images + [f"{name}/histogram" for name in WEIGHTS] + [f"{name}/image" for name in PICTURED]))
        self.assertEqual(sorted(self.validation), ["epoch_accuracy", "epoch_loss", "evaluation_accuracy_vs_iterations",
                                                   "evaluation_loss_vs_iterations"])

    def test_scalars_of_epochs(self):
        history = rows("history.csv")
        epochs = [0, 1, 2]
        self.assertEqual([row["epoch"] for row in history], epochs)
        for name in "loss", "accuracy":
            self.expect_scalars(self.train, f"epoch_{name}", epochs, [row[name] for row in history])
            validation = [row[f"val_{name}"] for row in history]
            self.assertNotEqual([row[name] for row in history], validation)
            self.expect_scalars(self.validation, f"epoch_{name}", epochs, validation)
            self.expect_scalars(self.validation, f"evaluation_{name}_vs_iterations", [4, 8, 12], validation)
        self.expect_scalars(self.train, "epoch_learning_rate", epochs, [0.01 * 0.5 ** (n / 10) for n in (4, 8, 12)])

    def test_scalars_of_every_third_batch(self):
        batches = [row for row in rows("batches.csv") if row["step"] % 3 == 0]
        for name in "loss", "accuracy":
            self.expect_scalars(self.train, f"batch_{name}", [3, 6, 9, 12], [row[name] for row in batches])

    def test_histograms(self):
        values = {epoch: weights(epoch) for epoch in (0, 2)}
        self.assertEqual(sorted(values[0]), sorted(WEIGHTS))
        for name in WEIGHTS:
            plugin, events = self.train[f"{name}/histogram"]
            self.assertEqual((plugin, [step for step, _ in events]), ("histograms", [0, 2]))
            for epoch, found in events:
                weight = values[epoch][name]
                expected = make_ndarray(histogram.histogram_pb("", weight).value[0].tensor)
                self.assertEqual(found.dtype, np.float64)
                self.assertEqual(found[:, 2].sum(), weight.size)
                np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=1e-12, atol=1e-15, err_msg=name)
                np.testing.assert_array_equal(found[:, 2], expected[:, 2], err_msg=name)

    def test_pictures_of_weights(self):
        for name in PICTURED:
            plugin, events = self.train[f"{name}/image"]
            self.assertEqual((plugin, [step for step, _ in events]), ("images", [0, 2]))
            for epoch, found in events:
                np.testing.assert_array_equal(decode(found), keras_pictures(weights(epoch)[name]), name, strict=True)

    def test_pictures_of_the_users_own(self):
        pictures = np.load(LOGS / "whole/pictures.npy")
        plugin, [(step, found)] = self.train["samples"]
        self.assertEqual((plugin, step), ("images", 0))
        np.testing.assert_array_equal(decode(found), pictures, strict=True)
        plugin, events = self.train["sample"]
        self.assertEqual([step for step, _ in events], [0, 1, 2])
        for _, found in events:
            np.testing.assert_array_equal(decode(found), pictures[1:], strict=True)

    def test_wall_times(self):
        folder = LOGS / "whole/logs/train"
        times = [event.wall_time for path in folder.iterdir() for event in event_file_loader.EventFileLoader(str(path)).Load()]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[0], time.time() - 600)
        self.assertLessEqual(times[-1], time.time())

    def test_a_resumed_training_reads_like_a_whole_one(self):
        self.assertGreater(len(list((LOGS / "resumed/logs/train").iterdir())), 1)
        for name, whole in ("train", self.train), ("validation", self.validation):
            resumed = load(LOGS / "resumed/logs" / name)
            self.assertEqual(sorted(resumed), sorted(whole))
            for tag, (plugin, events) in whole.items():
                self.assertEqual(resumed[tag][0], plugin)
                self.assertEqual([step for step, _ in resumed[tag][1]], [step for step, _ in events], tag)
                for (_, found), (_, expected) in zip(resumed[tag][1], events):
                    np.testing.assert_array_equal(found, expected, tag)

    def test_tensorboard_minds_the_checksums(self):
        [path] = (LOGS / "whole/logs/train").iterdir()
        data = bytearray(path.read_bytes())
        data[-8] ^= 1
        with tempfile.TemporaryDirectory() as folder:
            damaged = pathlib.Path(folder, path.name)
            damaged.write_bytes(data)
            whole, cut = (list(event_file_loader.EventFileLoader(str(file)).Load()) for file in (path, damaged))
            self.assertEqual(len(cut), len(whole) - 1)


class Server(unittest.TestCase):
    """The program `tensorboard` itself, whose files a data server of its own reads."""

    @classmethod
    def setUpClass(cls):
        board = program.TensorBoard()
        board.configure(argv=["", "--logdir", str(LOGS / "whole/logs"), "--host", "127.0.0.1", "--port", "0",
                              "--load_fast", "true", "--samples_per_plugin", "images=100"])
        cls.url = board.launch()
        for _ in range(100):
            if len(cls.get("scalars/tags")) == 2 and cls.get("graphs/info"):
                break
            time.sleep(0.1)

    @classmethod
    def get(cls, path, **arguments):
        path += "?" * ("?" not in path) + urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{cls.url}data/plugin/{path}", timeout=30) as answer:
            data = answer.read()
            return json.loads(data) if answer.headers["Content-Type"].startswith("application/json") else data

    def test_scalars(self):
        tags = self.get("scalars/tags")
        self.assertEqual(sorted(tags), ["train", "validation"])
        self.assertIn("epoch_learning_rate", tags["train"])
        for run, name in ("train", "loss"), ("validation", "val_loss"):
            points = self.get("scalars/scalars", run=run, tag="epoch_loss")
            self.assertEqual([step for _, step, _ in points], [0, 1, 2])
            np.testing.assert_array_equal([value for *_, value in points],
                                          [np.float32(row[name]) for row in rows("history.csv")])

    def test_histograms(self):
        points = self.get("histograms/histograms", run="train", tag="base/conv/kernel/histogram")
        self.assertEqual([(step, len(buckets), sum(count for *_, count in buckets)) for _, step, buckets in points],
                         [(0, 30, 108), (2, 30, 108)])

    def test_images(self):
        [entry] = [entry for entry in self.get("images/images", run="train", tag="samples", sample=1)]
        picture = self.get("images/individualImage?" + entry["query"])
        np.testing.assert_array_equal(PIL.Image.open(io.BytesIO(picture)), np.load(LOGS / "whole/pictures.npy")[1])

    def test_graph(self):
        self.assertEqual(self.get("graphs/info")["train"]["run_graph"], True)
        graph = text_format.Parse(self.get("graphs/graph", run="train", limit_attr_size=1024, large_attrs_key="_too_large"),
                                  GraphDef())
        nodes = {node.name: node for node in graph.node}
        self.assertEqual({name: (node.op, list(node.input)) for name, node in nodes.items()}, {
            "pictures": ("InputLayer", []),
            "base/conv": ("Conv2D", ["pictures"]),
            "base/norm": ("BatchNormalization", ["base/conv"]),
            "grey": ("Conv2D", ["base/norm"]),
            "wide": ("Conv2D", ["grey"]),
            "two": ("Conv2D", ["wide"]),
            "flat": ("Flatten", ["two"]),
            "left": ("Dense", ["flat"]),
            "right": ("Dense", ["flat"]),
            "shared": ("Dense", ["left"]),
            "shared/call_1": ("Dense", ["right"]),
            "add": ("Add", ["shared", "shared/call_1"]),
            "dense": ("Dense", ["add"])})
        shapes = {name: [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim] for name, node in nodes.items()}
        self.assertEqual({name: shapes[name] for name in ("pictures", "base/norm", "flat", "dense")},
                         {"pictures": [-1, 8, 8, 3], "base/norm": [-1, 6, 6, 4], "flat": [-1, 8], "dense": [-1, 1]})
        self.assertEqual(nodes["left"].attr["activation"].s, b'"relu"')
        self.assertEqual((nodes["left"].attr["parameters"].i, nodes["left"].attr["trainable"].b), (27, True))


if __name__ == "__main__":
    unittest.main()
