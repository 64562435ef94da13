import hashlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import zipfile

import h5py
import numpy as np

import convert
from strata_weights import architecture, common, networks, probe, safetensors, training
from support import ConverterTest, strata_data, write_darknet, write_keras3, write_legacy, write_safetensors

VGG16 = networks.parameter_shapes(networks.vgg((2, 2, 3, 3, 3), False), [1, 96, 96, 3])


class Legacy(ConverterTest):
    def layers(self):
        return {"block1_conv1": {"kernel": self.random(3, 3, 3, 4), "bias": self.random(4)}, "block1_pool": {},
                "fc1": {"kernel": self.random(36, 2), "bias": self.random(2)}}

    def expected(self, layers):
        return {f"{layer}/{weight}": array for layer, weights in layers.items() for weight, array in weights.items()}

    def test_scheme_of_the_published_files(self):
        layers, old = self.layers(), {"kernel": "W", "bias": "b"}
        for suffix in ("_1:0", ":0", ""):
            renamed = {layer: {old[weight]: array for weight, array in weights.items()} for layer, weights in layers.items()}
            write_legacy(self.folder / "old.h5", renamed, "{layer}_{weight}" + suffix)
            self.assert_tensors(self.converted(self.folder / "old.h5"), self.expected(layers))

    def test_newer_scheme(self):
        layers = self.layers()
        for scheme in ("{layer}/{weight}:0", "{layer}_2/{weight}:0", "sequential/{layer}/{weight}"):
            write_legacy(self.folder / "new.h5", layers, scheme)
            self.assert_tensors(self.converted(self.folder / "new.h5"), self.expected(layers))

    def test_whole_model_ignores_the_optimizer(self):
        layers = self.layers()
        write_legacy(self.folder / "model.h5", layers, root="model_weights")
        with h5py.File(self.folder / "model.h5", "a") as file:
            file["optimizer_weights/momentum"] = np.zeros(3)
        self.assert_tensors(self.converted(self.folder / "model.h5"), self.expected(layers))

    def test_model_inside_a_model(self):
        inner = {"conv_a/kernel": self.random(1, 1, 2, 3), "conv_b/kernel": self.random(1, 1, 3, 2)}
        write_legacy(self.folder / "nested.h5", {"vgg16": inner}, "{weight}:0")
        self.assert_tensors(self.converted(self.folder / "nested.h5"), {f"vgg16/{name}": array for name, array in inner.items()})

    def test_batch_normalization(self):
        weights = {name: self.random(5) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
        write_legacy(self.folder / "bn.h5", {"bn": weights})
        self.assert_tensors(self.converted(self.folder / "bn.h5"), {f"bn/{name}": array for name, array in weights.items()})

    def test_depthwise_and_separable_convolutions(self):
        depthwise, bias = self.random(3, 3, 4, 2), self.random(8)
        separable = {"depthwise_kernel": self.random(3, 3, 4, 1), "pointwise_kernel": self.random(1, 1, 4, 5), "bias": self.random(5)}
        for name in ("kernel", "depthwise_kernel"):  # Keras 3, and before
            write_legacy(self.folder / "net.h5", {"dw": {name: depthwise, "bias": bias}, "sep": separable})
            self.assert_tensors(self.converted(self.folder / "net.h5"),
                                self.expected({"dw": {"kernel": depthwise, "bias": bias}, "sep": separable}))
        write_legacy(self.folder / "net.h5", {"dw": {"kernel": depthwise, "depthwise_kernel": depthwise}})
        self.output.unlink()
        self.refused(self.folder / "net.h5", "two tensors named 'kernel'")

    def test_long_list_of_names_is_split(self):
        layers = self.layers()
        write_legacy(self.folder / "split.h5", layers)
        with h5py.File(self.folder / "split.h5", "a") as file:
            names = file.attrs["layer_names"]
            del file.attrs["layer_names"]
            file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:1], names[1:]
        self.assert_tensors(self.converted(self.folder / "split.h5"), self.expected(layers))

    def test_order_is_that_of_layer_names(self):
        layers = {name: {"kernel": self.random(1, 1, 1, 1)} for name in ("z", "a", "m10", "m2")}
        write_legacy(self.folder / "order.h5", layers)
        self.converted(self.folder / "order.h5")
        self.assertEqual([layer["name"] for layer in self.provenance()["layers"]], ["z", "a", "m10", "m2"])


class Keras3(ConverterTest):
    def stack(self, count=13):
        """Groups conv2d, conv2d_1, ..., the value of each telling its number; listed by HDF5 as 0, 1, 10, 11, 12, 2."""
        return [("layers/conv2d" + (f"_{i}" if i else ""), f"stage{i}", [np.full((1, 1, 2, 2), i, np.float32), self.random(2)])
                for i in range(count)]

    def test_names_come_from_the_vars_groups(self):
        layers = self.stack()
        write_keras3(self.folder / "k.weights.h5", layers)
        found = self.converted(self.folder / "k.weights.h5")
        self.assert_tensors(found, {f"{name}/{weight}": array for _, name, arrays in layers
                                    for weight, array in zip(("kernel", "bias"), arrays)})

    def test_without_names_the_class_and_its_number_count(self):
        layers = self.stack()
        write_keras3(self.folder / "k.weights.h5", layers, named=False)
        found = self.converted(self.folder / "k.weights.h5")
        self.assert_tensors(found, {f"{path[7:]}/{weight}": array for path, _, arrays in layers
                                    for weight, array in zip(("kernel", "bias"), arrays)})
        self.assertEqual([layer["name"] for layer in self.provenance()["layers"]], [path[7:] for path, _, _ in layers])

    def test_depthwise_and_separable_convolutions(self):
        depthwise = {"kernel": self.random(3, 3, 4, 2), "bias": self.random(8)}
        separable = {"depthwise_kernel": self.random(3, 3, 4, 1), "pointwise_kernel": self.random(1, 1, 4, 5), "bias": self.random(5)}
        plain = {name: separable[name] for name in ("depthwise_kernel", "pointwise_kernel")}
        layers = {"dw": depthwise, "sep": separable, "plain": plain}
        write_keras3(self.folder / "k.weights.h5", [(f"layers/{name}", name, list(weights.values())) for name, weights in layers.items()])
        self.assert_tensors(self.converted(self.folder / "k.weights.h5"),
                            {f"{layer}/{name}": array for layer, weights in layers.items() for name, array in weights.items()})

    def test_vgg16_without_names_is_matched_by_number(self):
        layers = [("layers/functional/layers/conv2d" + (f"_{i}" if i else ""), "", [np.full(s["kernel"], i, np.float32),
                                                                                    np.full(s["bias"], i, np.float32)])
                  for i, s in enumerate(VGG16.values())]
        write_keras3(self.folder / "vgg.weights.h5", layers, named=False)
        found = self.converted(self.folder / "vgg.weights.h5", "--no-probe")
        self.assertEqual({name: float(found[f"{name}/kernel"].flat[0]) for name in VGG16},
                         {name: float(i) for i, name in enumerate(VGG16)})
        self.assertEqual(safetensors.read(self.output)[1]["model"], "vgg16")

    def test_archive_dense_batch_normalization_and_random_state(self):
        bn = [self.random(4) for _ in range(4)]
        kernel = self.random(6, 3)
        layers = [("layers/batch_normalization", "bn", bn), ("layers/dense", "head", [kernel]),
                  ("layers/dropout/seed_generator", "seed_generator", [np.zeros(2, np.uint32)]),
                  ("optimizer", "adam", [np.int64(3)])]
        write_keras3(self.folder / "model.weights.h5", layers)
        with zipfile.ZipFile(self.folder / "m.keras", "w") as archive:
            archive.writestr("config.json", "{}")
            archive.write(self.folder / "model.weights.h5", "model.weights.h5")
        found = self.converted(self.folder / "m.keras")
        self.assert_tensors(found, {"bn/gamma": bn[0], "bn/beta": bn[1], "bn/moving_mean": bn[2], "bn/moving_variance": bn[3],
                                    "head/kernel": kernel})


    def test_batch_normalization_without_gamma_or_beta(self):
        three, two = [self.random(4) for _ in range(3)], [self.random(4) for _ in range(2)]
        layers = [("layers/batch_normalization", "a", three), ("layers/batch_normalization_1", "b", two)]
        write_keras3(self.folder / "model.weights.h5", layers)
        statistics = {f"{layer}/moving_{name}": array for layer, pair in (("a", three[1:]), ("b", two))
                      for name, array in zip(("mean", "variance"), pair)}
        self.assert_tensors(self.converted(self.folder / "model.weights.h5"), {"a/beta": three[0], **statistics})
        self.assertIn("scale=False", self.run_convert(self.folder / "model.weights.h5")[1])
        mapping = self.folder / "map.json"
        mapping.write_text('{"a/beta": "a/gamma"}')
        self.assert_tensors(self.converted(self.folder / "model.weights.h5", "--map", mapping), {"a/gamma": three[0], **statistics})

        def config(name, **options):
            return {"class_name": "BatchNormalization", "config": {"name": name, **options}}

        with zipfile.ZipFile(self.folder / "m.keras", "w") as archive:
            archive.writestr("config.json", json.dumps({"config": {"name": "m", "layers": [
                config("a", scale=True, center=False), config("b", scale=False, center=False)]}}))
            archive.write(self.folder / "model.weights.h5", "model.weights.h5")
        self.assert_tensors(self.converted(self.folder / "m.keras"), {"a/gamma": three[0], **statistics})


class WrittenByKeras(ConverterTest):
    """What Keras itself wrote (keras_files.py beside this): models in models, some of them or of their layers used twice."""

    def assert_numbered(self, name, names, options=()):
        """The tensors of a file, of which every one holds its number."""
        found = self.converted(pathlib.Path(__file__).parent / name, *options)
        self.assertEqual({name: set(array.flat) for name, array in found.items()},
                         {name: {1.0 + names.index(name)} for name in names})

    def test_models_inside_models(self):
        names = ["head/kernel", "head/bias", "base/conv/kernel", "base/conv/bias", "base/bn/beta", "base/bn/moving_mean",
                 "base/bn/moving_variance", "mid/conv/kernel", "mid/conv/bias", "mid/block/conv/kernel",
                 "mid/block/bn/gamma", "mid/block/bn/moving_mean", "mid/block/bn/moving_variance"]
        for kind in ("h5", "weights.h5", "keras"):
            with self.subTest(kind):
                options = []
                if kind == "weights.h5":  # does not tell gamma from beta
                    options = ["--map", self.folder / "map.json"]
                    options[1].write_text('{"mid/block/bn/beta": "mid/block/bn/gamma"}')
                self.assert_numbered(f"nested.{kind}", names, options)

    def test_what_models_share_comes_once(self):
        names = ["left/shared/kernel", "left/shared/bias", "left/own/kernel", "left/own/bias", "middle/block/conv/kernel",
                 "middle/block/bn/gamma", "middle/block/bn/beta", "middle/block/bn/moving_mean", "middle/block/bn/moving_variance",
                 "middle/own/kernel", "middle/own/bias", "right/own/kernel", "right/own/bias"]
        for kind in ("h5", "weights.h5", "keras"):
            with self.subTest(kind):
                self.assert_numbered(f"shared.{kind}", names)
        errors = self.run_convert(pathlib.Path(__file__).parent / "shared.h5")[1]
        self.assertIn("'right/block/conv' has the names and values of 'middle/block/conv'", errors)


class WholeModels(ConverterTest):
    HERE = pathlib.Path(__file__).parent

    def architecture(self, name):
        """(the architecture that the output carries or None, what convert printed)."""
        result, errors = self.run_convert(self.HERE / name)
        self.assertEqual(result, 0, errors)
        text = safetensors.read(self.output)[1].get("architecture")
        return text and json.loads(text), errors

    def archive(self, change):
        """sequence.keras with another configuration."""
        path = self.folder / "changed.keras"
        with zipfile.ZipFile(self.HERE / "sequence.keras") as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                content = source.read(name)
                if name == "config.json":
                    config = json.loads(content)
                    change(config["config"], {layer["config"]["name"]: layer for layer in config["config"]["layers"]})
                    content = json.dumps(config)
                target.writestr(name, content)
        return path

    def test_golden_files_are_what_the_converter_makes(self):
        for name in ("branches", "sequence", "efficient", "compiled_sgd", "compiled_adamw", "compiled_rmsprop"):
            with self.subTest(name):
                architecture, _ = self.architecture(f"{name}.keras")
                made, golden = (safetensors.read(path) for path in (
                    self.output, self.HERE.parent / f"support/golden/{name}.converted.safetensors"))
                self.assertEqual(architecture, json.loads(golden[1]["architecture"]))
                self.assertEqual(made[1].get("compile"), golden[1].get("compile"))
                self.assertEqual("compile" in golden[1], name.startswith("compiled"))
                self.assertEqual(made[0].keys(), golden[0].keys())
                self.assertTrue(all(np.array_equal(made[0][key], golden[0][key]) for key in golden[0]))

    def test_both_formats_and_models_inside_models(self):
        models = [self.architecture(f"nested.{kind}")[0] for kind in ("keras", "h5")]
        self.assertEqual(models[0], models[1])
        config = models[0]["config"]
        self.assertEqual([models[0]["class_name"], config["inputs"], config["outputs"]], ["Functional", [0, 2], [7]])
        inside = {layer["config"]["name"]: layer for layer in config["layers"]}
        self.assertEqual(inside["mid"]["class_name"], "Functional")
        self.assertIsNone(self.architecture("nested.weights.h5")[0])

    def test_an_efficient_net_comes_by_all_routes(self):
        """Normalization, stochastic depth, scales by channel, Conv2DTranspose."""
        models, tensors = {}, {}
        for route in ("keras", "h5", "weights.h5"):
            models[route], errors = self.architecture(f"efficient.{route}")
            tensors[route] = safetensors.read(self.output)[0]
            self.assertEqual(errors.count("\n"), 1, errors)
        self.assertEqual(models["h5"], models["keras"])
        for route in ("h5", "weights.h5"):
            self.assert_tensors(tensors[route], tensors["keras"])
        self.assertEqual({name for name in tensors["keras"] if name.startswith(("normalization", "up"))},
                         {"normalization/mean", "normalization/variance", "up/kernel", "up/bias"})
        self.assertEqual(tensors["keras"]["up/kernel"].shape, (3, 3, 5, 4))
        layers = {layer["config"]["name"]: layer for layer in models["keras"]["config"]["layers"]}
        self.assertEqual(layers["dropout"]["config"]["noise_shape"], [1, 1, 1])
        self.assertEqual(layers["normalization_2"]["config"],
                         {"name": "normalization_2", "trainable": True, "mean": [0.1], "variance": [2.0], "invert": True})
        self.assertEqual(layers["rescaling"]["class_name"], "Normalization")
        np.testing.assert_allclose(layers["rescaling"]["config"]["variance"], np.array([22.9, 22.4, 22.5]) ** 2, rtol=1e-14)

    def test_settings_of_a_compiled_model_come_by_both_formats(self):
        for name in ("sgd", "adamw", "rmsprop"):
            settings = {}
            for route in ("keras", "h5"):
                errors = self.architecture(f"compiled_{name}.{route}")[1]
                self.assertRegex(errors, "^wrote .*: a compiled model, 2 layers of custom from [^\\n]*\\n$")
                settings[route] = safetensors.read(self.output)[1]["compile"]
            self.assertEqual(settings["h5"], settings["keras"])

    def test_settings_that_strata_does_not_have_are_listed_in_the_line(self):
        def changed(**settings):
            path = self.folder / "changed.keras"
            with zipfile.ZipFile(self.HERE / "compiled_sgd.keras") as source, zipfile.ZipFile(path, "w") as target:
                for name in source.namelist():
                    config = json.loads(source.read(name)) if name == "config.json" else None
                    if config:
                        config["compile_config"].update(settings)
                    target.writestr(name, json.dumps(config) if config else source.read(name))
            return path

        def keras_object(class_name, **config):
            return {"class_name": class_name, "config": config}

        cases = [({"optimizer": keras_object("Lion", learning_rate=1.0)}, "the optimizer Lion"),
                 ({"optimizer": keras_object("SGD", learning_rate=1.0, use_ema=True)}, "the option use_ema=true of the optimizer SGD"),
                 ({"optimizer": keras_object("SGD", learning_rate=keras_object("Mine"))}, "the learning rate Mine"),
                 ({"loss": "kl_divergence"}, "the loss kl_divergence"),
                 ({"loss": keras_object("MeanSquaredError", reduction="sum")}, 'the option reduction="sum" of the loss MeanSquaredError'),
                 ({"loss": ["mse", "mae"]}, "the loss"), ({"loss_weights": [2.0]}, "loss_weights=[2.0]"),
                 ({"metrics": ["accuracy", keras_object("F1Score")]}, "the metric F1Score"),
                 ({"metrics": [keras_object("AUC", multi_label=True)]}, "the option multi_label=true of the metric AUC"),
                 ({"metrics": [keras_object("Recall", thresholds=[0.1, 0.2])]}, "thresholds=[0.1, 0.2]"),
                 ({"loss": "mine", "weighted_metrics": ["its"]}, "the loss mine; the metric its)"),
                 ({"optimizer": keras_object("SGD")}, "its settings are not understood"), ({"metrics": 7}, "metrics 7")]
        for settings, expected in cases:
            with self.subTest(expected):
                result, errors = self.run_convert(changed(**settings))
                self.assertEqual((result, errors.count("\n")), (0, 1))
                self.assertIn("a model (not compiled, Strata does not have: ", errors)
                self.assertIn(expected, errors)
                metadata = safetensors.read(self.output)[1]
                self.assertIn("architecture", metadata)
                self.assertNotIn("compile", metadata)
        self.assertEqual(training.of({"optimizer": None, "loss": None}, 2)[1], ["settings of several outputs"])
        for empty in (None, {}):
            self.assertEqual(training.of(empty, 1), (None, []))

    def test_settings_are_those_of_the_library(self):
        include = self.HERE.parents[1] / "include/strata"
        backend = (include / "tensor/backend.hpp").read_text()
        kinds = [kind.strip() for kind in backend.split("enum class OptimizerKind {")[1].split("}")[0].split(",")]
        for name, (kind, *_) in training.OPTIMIZERS.items():
            self.assertEqual(kinds[kind], "adam" if name == "AdamW" else name.lower())
        written = (include / "training/optimizers.ipp").read_text().split("Optimizer::config()")[1].split("}});")[0]
        self.assertEqual({*training.OPTIMIZER_OPTIONS, "name", "kind", "learning_rate"},
                         {part.split('"')[0] for part in written.split('{"')[1:]})
        text = {name: (include / f"training/{name}").read_text() for name in ("losses.ipp", "metrics.ipp", "schedules.hpp")}
        for name, known in (("losses.ipp", (*training.LOSSES, *training.LOSS_NAMES)), ("metrics.ipp", training.METRICS),
                            ("schedules.hpp", training.SCHEDULES)):
            for word in known:
                self.assertIn(f'"{word}"', text[name])
        rows = (include / "tensor/metric_sums.hpp").read_text()
        for name in training.METRIC_NAMES:
            self.assertIn(f'"{name}"', text["metrics.ipp"] + rows)

    def test_what_strata_does_not_have_is_listed(self):
        architecture, errors = self.architecture("shared.keras")
        self.assertIsNone(architecture)
        self.assertIn("'middle/shared' is shared by several models", errors)

        def layer(name, **options):
            return lambda _, layers: layers[name]["config"].update(options)

        def named(name, class_name):
            return lambda _, layers: layers[name].update(class_name=class_name)

        cases = [(named("flatten", "LSTM"), "'flatten': the class LSTM"),
                 (layer("dense", activation="hard_shrink"), "'dense': the activation 'hard_shrink'"),
                 (layer("dense", activation={"class_name": "Mine"}), "'dense': the activation 'mine'"),
                 (layer("dense", kernel_regularizer={"class_name": "OrthogonalRegularizer", "config": {}}), "OrthogonalRegularizer"),
                 (layer("dense", kernel_constraint={"class_name": "MaxNorm"}), "the option kernel_constraint="),
                 (layer("conv2d_2", data_format="channels_first"), 'the option data_format="channels_first"'),
                 (layer("softmax", axis=1), "the option axis=1"),
                 (layer("re_lu_1", max_value=3.0), "ReLU with max_value=3.0 and negative_slope=0.2"),
                 (layer("rescaling", scale=[1, -2, 3]), "Rescaling with scale=[1, -2, 3]"),
                 (layer("input_layer_1", batch_shape=[None, None, 8, 3]), "sizes must be known"),
                 (lambda config, _: config.update(build_input_shape=[None, None, 8, 3]), "sizes must be known"),
                 (lambda config, _: config.update(layers=7), "is not understood"),
                 (lambda config, _: config["layers"].pop(), None),
                 (lambda config, layers: config["layers"].remove(layers["dense"]), "'dense' is shared by several models, or")]
        for change, expected in cases:
            with self.subTest(expected):
                result, errors = self.run_convert(self.archive(change))
                self.assertEqual(result, 0)
                self.assertEqual("architecture" in safetensors.read(self.output)[1], expected is None)
                self.assertIn(expected or "a model, ", errors)
        # All of it at once.
        path = self.archive(lambda _, layers: (layers["flatten"].update(class_name="LSTM"), layers["dense"]["config"].update(activation="x")))
        errors = self.run_convert(path)[1]
        self.assertIn("'flatten': the class LSTM; 'dense': the activation 'x'", errors)

    def test_the_last_axis_under_its_number(self):
        with zipfile.ZipFile(self.HERE / "branches.keras") as archive:
            root = json.loads(archive.read("config.json"))
        weighted = ["base/conv2d", "base/batch_normalization", "base/conv2d_1", "shared", "code", "classes"]
        model, problems = architecture.of(root, weighted)
        self.assertEqual(problems, [])
        base = next(layer for layer in root["config"]["layers"] if layer["config"]["name"] == "base")
        norm = next(layer for layer in base["config"]["layers"] if layer["class_name"] == "BatchNormalization")
        for axis in (3, [3]):
            norm["config"]["axis"] = axis
            self.assertEqual(architecture.of(root, weighted), (model, []))
        norm["config"]["axis"] = 1
        self.assertEqual(architecture.of(root, weighted),
                         (None, ["'base/batch_normalization': the option axis=1 of BatchNormalization"]))

    def test_options_by_channel_or_sample(self):
        def layer(class_name, options):
            return architecture._layer(class_name, options)[1]

        self.assertEqual(layer("Rescaling", {"scale": [2, 0.5], "offset": 1}), {"mean": [-0.5, -2.0], "variance": [0.25, 4.0]})
        self.assertEqual(layer("Rescaling", {"scale": 2, "offset": [1, 4]}), {"mean": [-0.5, -2.0], "variance": [0.25, 0.25]})
        for class_name, options in (("Rescaling", {"scale": [1, 0]}), ("Rescaling", {"scale": [[1, 2]]}),
                                    ("Normalization", {"mean": [[1, 2]], "variance": [[1, 2]]}),
                                    ("Normalization", {"axis": [1]}), ("Normalization", {"axis": []}),
                                    ("Dropout", {"rate": 0.5, "noise_shape": [1, 1, 1, 1]}),
                                    ("Dropout", {"rate": 0.5, "noise_shape": [None, 1, None, 1]})):
            with self.subTest(options), self.assertRaises(architecture.Unknown):
                layer(class_name, options)

    def test_names_are_those_of_the_library(self):
        include = self.HERE.parents[1] / "include/strata"
        names = (include / "tensor/activation.hpp").read_text().split("activation_names[] = {")[1].split("}")[0]
        self.assertLessEqual(set(architecture.ACTIVATIONS), {name.strip(' \n"') for name in names.split(",")})
        headers = "".join(path.read_text() for path in sorted((include / "layers").glob("*.hpp")))
        for class_name, options in architecture.LAYERS.items():
            self.assertIn(f'"{class_name}"', headers)
            for option in options:
                self.assertIn(f'f("{option}"', headers)


class PyTorch(ConverterTest):
    def network(self):
        return {"features.0.weight": self.random(4, 3, 3, 3), "features.0.bias": self.random(4),
                "classifier.0.weight": self.random(7, 4 * 5 * 6), "classifier.0.bias": self.random(7)}

    def test_forward_through_a_flatten_is_the_same(self):
        tensors = self.network()
        write_safetensors(self.folder / "net.safetensors", tensors)
        found = self.converted(self.folder / "net.safetensors", "--flatten", "classifier.0=4,5,6")
        x = self.random(2, 3, 5, 6).astype(np.float64)  # NCHW

        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        y = np.zeros((2, 4, 5, 6))
        for n, o, i, j in np.ndindex(y.shape):
            y[n, o, i, j] = (padded[n, :, i : i + 3, j : j + 3] * tensors["features.0.weight"][o]).sum()
        y = np.maximum(y + tensors["features.0.bias"][:, None, None], 0)
        expected = y.reshape(2, -1) @ tensors["classifier.0.weight"].T + tensors["classifier.0.bias"]

        layers = [networks.conv2d("features.0", 4, 3), {"name": "flatten", "type": "flatten"},
                  networks.dense("classifier.0", 7, "linear")]
        weights = {}
        for name, array in found.items():
            layer, weight = name.split("/")
            weights.setdefault(layer, {})[weight] = array
        *_, (_, result) = probe.forward(layers, weights, x.transpose(0, 2, 3, 1))
        np.testing.assert_allclose(result, expected, rtol=1e-12)

    def test_a_flatten_is_never_guessed(self):
        write_safetensors(self.folder / "net.safetensors", self.network())
        self.refused(self.folder / "net.safetensors", "--flatten", "classifier.0")
        self.refused(self.folder / "net.safetensors", "120 rows", options=("--flatten", "classifier.0=4,5,5"))
        status, errors = self.run_convert(self.folder / "net.safetensors", "--flatten", "elsewhere=4,5,6")
        self.assertEqual(status, 1)
        self.assertIn("expected LAYER=CHANNELS,HEIGHT,WIDTH", errors)
        found = self.converted(self.folder / "net.safetensors", "--flatten", "none")
        self.assertEqual(found["classifier.0/kernel"].shape, (120, 7))

    def test_vgg_top_rows(self):
        rows = np.arange(512 * 7 * 7, dtype=np.float32)
        layers = {"fc1": {"kernel": rows[:, None]}}
        convert.flatten_rows(layers, networks.vgg((2, 2, 3, 3, 3), True), None, "vgg.safetensors")
        kernel = layers["fc1"]["kernel"][:, 0]
        for h, w, c in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (3, 5, 100), (6, 6, 511)):
            self.assertEqual(kernel[(h * 7 + w) * 512 + c], c * 49 + h * 7 + w)

    def test_torchvision_vgg16_is_recognised(self):
        tensors, position = {}, 0
        for i, shapes in enumerate(VGG16.values()):
            tensors[f"features.{position}.weight"] = np.full(shapes["kernel"][:1:-1] + shapes["kernel"][:2], i, np.float32)
            tensors[f"features.{position}.bias"] = np.full(shapes["bias"], i, np.float32)
            position += 3 if i in (1, 3, 6, 9) else 2  # a pooling layer takes a number as well
        write_safetensors(self.folder / "vgg16.safetensors", dict(sorted(tensors.items())))
        found = self.converted(self.folder / "vgg16.safetensors", "--no-probe")
        self.assertEqual({name: float(found[f"{name}/kernel"].flat[0]) for name in VGG16},
                         {name: float(i) for i, name in enumerate(VGG16)})

    def test_batch_normalization_and_value_types(self):
        values = self.random(4)
        bf16 = (values.view(np.uint32) >> 16).astype(np.uint16)
        tensors = {"bn.weight": values.astype(np.float16), "bn.bias": values.astype(np.float64), "bn.running_mean": bf16,
                   "bn.running_var": values, "bn.num_batches_tracked": np.int64(5)}
        write_safetensors(self.folder / "bn.safetensors", tensors)
        self.assert_tensors(self.converted(self.folder / "bn.safetensors"),
                            {"bn/gamma": values.astype(np.float16).astype(np.float32), "bn/beta": values,
                             "bn/moving_mean": (bf16.astype(np.uint32) << 16).view(np.float32), "bn/moving_variance": values})

    def test_own_output_comes_back_unchanged(self):
        tensors = {"a/kernel": self.random(2, 3, 4, 5), "a/bias": self.random(5)}
        write_safetensors(self.folder / "own.safetensors", tensors)
        self.assert_tensors(self.converted(self.folder / "own.safetensors"), tensors)

    def test_map_renames_layers(self):
        write_safetensors(self.folder / "net.safetensors", {"stem.weight": self.random(2, 3, 1, 1), "tail.weight": self.random(2, 2, 1, 1)})
        mapping = self.folder / "map.json"
        mapping.write_text('{"stem": "conv_stem"}')
        self.assertEqual(sorted(self.converted(self.folder / "net.safetensors", "--map", mapping)), ["conv_stem/kernel", "tail/kernel"])
        os.unlink(self.output)
        for text, message in (('{"steam": "x"}', "steam"), ('{"stem": "tail"}', "same name"), ("[]", "JSON object"), ("{", "JSON")):
            mapping.write_text(text)
            status, errors = self.run_convert(self.folder / "net.safetensors", "--map", mapping)
            self.assertEqual(status, 1)
            self.assertIn(str(mapping), errors)
            self.assertIn(message, errors)
        self.assertFalse(self.output.exists())


class Darknet(ConverterTest):
    def test_folded_batch_normalization(self):
        for version in ((0, 1, 0), (0, 2, 5)):
            path = self.folder / "net.weights"
            raw = {name: value.astype(np.float64) for name, value in write_darknet(path, self.rng, version).items()}
            found = self.converted(path)
            x = self.random(1, 9, 9, 3).astype(np.float64)
            # Darknet's own order of work, on OIHW kernels.
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            y = np.zeros((1, 9, 9, 4))
            for n, i, j, o in np.ndindex(y.shape):
                y[n, i, j, o] = (padded[n, i : i + 3, j : j + 3].transpose(2, 0, 1) * raw["kernel1"][o]).sum()
            y = (y - raw["mean"]) / (np.sqrt(raw["variance"]) + 1e-6) * raw["gamma"] + raw["beta"]
            y = np.where(y > 0, y, 0.1 * y)
            pooled = np.array([[[y[0, i : i + 2, j : j + 2].reshape(-1, 4).max(0) for j in range(0, 9, 2)] for i in range(0, 9, 2)]])
            expected = pooled @ raw["kernel2"][:, :, 0, 0].T + raw["bias2"]

            layers = {name: {weight: found[f"{name}/{weight}"] for weight in ("kernel", "bias")} for name in ("conv1", "conv2")}
            network = [networks.conv2d("conv1", 4, 3, activation="leaky_relu"), networks.max_pooling2d("pool1", padding="same"),
                       networks.conv2d("conv2", 5, 1, activation="linear")]
            *_, (_, result) = probe.forward(network, layers, x)
            self.assertEqual(result.shape, (1, 5, 5, 5))
            np.testing.assert_allclose(result, expected, atol=1e-6 * np.abs(expected).max())
            written = json.loads((self.folder / "out.probe.json").read_text())
            self.assertEqual([layer["name"] for layer in written["layers"]], ["conv1", "pool1", "conv2"])
            self.assertEqual(self.provenance()["used"][0]["file"], "net.cfg")

    def test_bad_files(self):
        path, cfg = self.folder / "net.weights", self.folder / "net.cfg"
        write_darknet(path, self.rng)
        whole, text = path.read_bytes(), cfg.read_text()
        for content, message in ((whole[:-4], "asks for"), (whole + b"\0\0\0\0", "asks for"), (whole[:-1], "asks for"),
                                 (whole[:10], "not a Darknet"), (b"\xff" * 600, "not a Darknet"), (b"", "not a Darknet")):
            path.write_bytes(content)
            self.refused(path, message)
        path.write_bytes(whole[:16] + struct.pack("<f", float("nan")) + whole[20:])
        self.refused(path, "conv1/bias", "finite")
        negative = 16 + 4 * 12
        path.write_bytes(whole[:negative] + struct.pack("<f", -1.0) + whole[negative + 4 :])
        self.refused(path, "conv1", "negative variance")
        path.write_bytes(whole)
        for old, new, message in (("[avgpool]", "[shortcut]", "[shortcut]"), ("activation=leaky", "activation=swish", "swish"),
                                  ("filters=4", "filters=-4", "filters=-4"), ("filters=4", "filters=many", "many"),
                                  ("[net]", "[nothing]", "[net]"), ("size=2", "size=3", "pooling"), ("height=9", "height", "key=value"),
                                  ("filters=4\nsize=3\nstride=1", "filters=4\nsize=3\nstride=2", "padding")):
            cfg.write_text(text.replace(old, new, 1))
            status, errors = self.run_convert(path)
            self.assertEqual(status, 1, new)
            self.assertIn("net.cfg", errors)
            self.assertIn(message, errors)
        cfg.unlink()
        self.refused(path, "--cfg")

    def test_real_tiny_darknet(self):
        path = strata_data("tiny_darknet", "tiny.weights")
        found = self.converted(path)
        committed = json.loads((pathlib.Path(convert.__file__).parent / "tiny_darknet.probe.json").read_text())
        written = json.loads((self.folder / "out.probe.json").read_text())
        self.assertEqual(sum(tensor.size for tensor in found.values()), 1039912)
        self.assertEqual({key: value for key, value in written.items() if key != "layers"},
                         {key: value for key, value in committed.items() if key != "layers"})
        self.assertEqual(len(written["layers"]), 20)
        for mine, theirs in zip(written["layers"], committed["layers"], strict=True):
            self.assertEqual((mine["name"], mine["shape"]), (theirs["name"], theirs["shape"]))
            rms = theirs["l2"] / np.sqrt(np.prod(theirs["shape"]))
            np.testing.assert_allclose([mine["mean"], mine["l2"], *mine["samples"]],
                                       [theirs["mean"], theirs["l2"], *theirs["samples"]], rtol=1e-9, atol=1e-9 * rms)


class Output(ConverterTest):
    def test_format(self):
        path = self.folder / "net.weights"
        write_darknet(path, self.rng)
        self.converted(path, "--model", "mine")
        content = self.output.read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        self.assertEqual(length % 8, 0)
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__")
        self.assertEqual((metadata["format"], metadata["model"]), ("strata-weights/1", "mine"))
        self.assertEqual(list(header), sorted(header))
        self.assertEqual({entry["dtype"] for entry in header.values()}, {"F32"})
        written = json.loads((self.folder / "out.probe.json").read_text())
        # The data of the file is the tensors in name order, so its digest is the one in the probe.
        self.assertEqual(written["weights_sha256"], hashlib.sha256(content[8 + length :]).hexdigest())
        record = json.loads(metadata["provenance"])
        self.assertEqual(record["source"], {"file": "net.weights", "format": "darknet", "bytes": path.stat().st_size,
                                            "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        self.assertEqual(record["layers"][0], {"name": "conv1", "kernel": [3, 3, 3, 4], "bias": [4]})
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["net.cfg", "net.weights", "out.probe.json", "out.safetensors"])

    def test_failure_leaves_the_old_file(self):
        self.output.write_bytes(b"precious")
        (self.folder / "bad.h5").write_bytes(b"nonsense")
        self.assertEqual(self.run_convert(self.folder / "bad.h5")[0], 1)
        self.assertEqual(self.output.read_bytes(), b"precious")

    def test_stale_probe_goes(self):
        write_darknet(self.folder / "net.weights", self.rng)
        self.converted(self.folder / "net.weights")
        self.assertTrue((self.folder / "out.probe.json").exists())
        write_safetensors(self.folder / "own.safetensors", {"a/kernel": self.random(2, 2)})
        self.converted(self.folder / "own.safetensors")
        self.assertFalse((self.folder / "out.probe.json").exists())

    def test_command(self):
        command = ["bash", str(pathlib.Path(convert.__file__).parent / "convert")]
        self.assertIn("OUT.safetensors", subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout)
        write_darknet(self.folder / "net.weights", self.rng)
        done = subprocess.run([*command, self.folder / "net.weights", self.output], check=True, capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("", f"wrote {self.output}: 2 layers of custom from darknet, with out.probe.json\n"))
        done = subprocess.run([*command, self.folder / "net.weights", self.output, "--verbose"], check=True, capture_output=True,
                              text=True)
        self.assertEqual(json.loads(done.stdout), self.provenance())

    def test_weights_and_probe_are_replaced_together(self):
        write_darknet(self.folder / "net.weights", self.rng)
        self.converted(self.folder / "net.weights")
        before = {path: path.read_bytes() for path in self.folder.iterdir()}
        write_darknet(self.folder / "net.weights", self.rng)
        (self.folder / "out.probe.json.tmp").mkdir()
        self.assertEqual(self.run_convert(self.folder / "net.weights")[0], 1)
        (self.folder / "out.probe.json.tmp").rmdir()
        for name in ("out.safetensors", "out.probe.json"):
            self.assertEqual((self.folder / name).read_bytes(), before[self.folder / name], name)
        self.assertEqual(sorted(self.folder.iterdir()), sorted(before))

    def test_a_stopped_conversion_leaves_nothing(self):
        program = ("import convert, os, signal, sys; from strata_weights import safetensors\n"
                   "signal.signal(signal.SIGTERM, convert.stop)\n"
                   "safetensors.write = lambda *_: os.kill(os.getpid(), int(sys.argv[3]))\n"
                   "convert.main(sys.argv[1:3])")
        write_darknet(self.folder / "net.weights", self.rng)
        for number in (signal.SIGTERM, signal.SIGKILL):
            done = subprocess.run([sys.executable, "-B", "-c", program, self.folder / "net.weights", self.output, str(int(number))],
                                  cwd=pathlib.Path(convert.__file__).parent, check=False)
            self.assertEqual(done.returncode, 143 if number == signal.SIGTERM else -9)
            left = [path.name for path in self.folder.iterdir() if path.name.startswith("out.")]
            self.assertEqual(sorted(left), [] if number == signal.SIGTERM else ["out.probe.json.tmp", "out.safetensors.tmp"])
        self.converted(self.folder / "net.weights")  # takes over what the killed one left
        self.assertEqual(list(self.folder.glob("*.tmp*")), [])

    def test_two_conversions_into_one_file(self):
        write_darknet(self.folder / "net.weights", self.rng)
        with common.atomic_files(self.output):
            status, errors = self.run_convert(self.folder / "net.weights")
        self.assertEqual((status, errors), (1, f"error: {self.output}: another conversion is writing it\n"))


class Hostile(ConverterTest):
    def test_hdf5(self):
        path = self.folder / "bad.h5"
        good = {"conv": {"kernel": self.random(3, 3, 2, 2), "bias": self.random(2)}}

        def spoiled(change):
            write_legacy(path, good)
            with h5py.File(path, "a") as file:
                change(file)
            return path

        def external_link(file):
            del file["conv/conv/kernel:0"]
            file["conv/conv/kernel:0"] = h5py.ExternalLink("other.h5", "/x")

        def external_data(file):
            del file["conv/conv/kernel:0"]
            file["conv/conv"].create_dataset("kernel:0", (2, 2), "<f4", external=[(str(path) + ".raw", 0, 16)])

        def huge(file):
            del file["conv/conv/kernel:0"]
            file["conv/conv"].create_dataset("kernel:0", (1 << 30, 1 << 10), "<f4", chunks=(1024, 1024))

        for change, *message in (
                (lambda file: file.attrs.__delitem__("layer_names"), "layer_names"),
                (lambda file: file["conv"].attrs.__delitem__("weight_names"), "weight_names", "conv"),
                (lambda file: file["conv/conv"].__delitem__("kernel:0"), "kernel:0"),
                (lambda file: file.attrs.create("layer_names", [b"conv", b"ghost"]), "ghost"),
                (lambda file: file.attrs.create("layer_names", [b"conv", b"conv"]), "twice"),
                (lambda file: file.attrs.create("layer_names", [b"../conv"]), "../conv"),
                (lambda file: file["conv"].attrs.create("weight_names", [b"mystery:0"]), "mystery"),
                (lambda file: file["conv/conv/bias:0"].write_direct(np.array([np.inf, 0], np.float32)), "conv/bias", "finite"),
                (lambda file: (file["conv/conv"].__delitem__("bias:0"), file.__setitem__("conv/conv/bias:0", np.arange(2))), "int64"),
                (external_link, "link"), (external_data, "another file"), (huge, "claims")):
            self.refused(spoiled(change), *message)
        write_legacy(path, good)
        content = path.read_bytes()
        for size in range(8, len(content), len(content) // 16):
            path.write_bytes(content[:size])
            self.refused(path)

    def test_keras3(self):
        path = self.folder / "bad.weights.h5"
        one = [self.random(1, 1, 2, 2)]
        for layers, message in (([("layers/conv2d", "same", one), ("layers/conv2d_1", "same", one)], "'same'"),
                                ([("layers/odd", "odd", [self.random(2), self.random(2)])], "[[2], [2]]"),
                                ([("layers/odd", "odd", [self.random(2, 2, 2)])], "odd"),
                                ([("layers/conv2d", "up/../it", one)], "up/../it"),
                                ([("layers/input", "input", [])], "no layer_names")):
            write_keras3(path, layers)
            self.refused(path, message)
        write_keras3(path, [("layers/conv2d", "conv", one)])
        with h5py.File(path, "a") as file:
            file["layers/conv2d/vars"].move("0", "1")
        self.refused(path, "expected variables 0 to 0")

    def test_real_file_without_attributes(self):
        self.refused(strata_data("vgg16_blocks1-2", "vgg16_partial.h5"), "no layer_names attribute")

    def test_archives(self):
        path = self.folder / "bad.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
        self.refused(path, "model.weights.h5")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", b"")
        self.refused(path, "safetensors")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.weights.h5", b"\0" * 10_000_000)
        self.refused(path, "claims more bytes")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n nothing")
        self.refused(path, "damaged")
        path.write_bytes(path.read_bytes()[:40])
        self.refused(path, "damaged")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.weights.h5", self.rng.bytes(1000) + b"\0" * 1000)
        content = path.read_bytes()
        path.write_bytes(content[:60] + b"\xff" * 40 + content[100:])  # no deflate stream any more
        self.refused(path, "damaged archive")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", b"")
            archive.writestr("config.json", "{")
        self.refused(path, "configuration is not valid JSON")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", b"")
            archive.writestr("config.json", '{"config": {"layers": ["a"]}}')
        self.refused(path, "without a usable name")

    def test_safetensors(self):
        path = self.folder / "bad.safetensors"
        tensors = {"a.weight": self.random(2, 2), "b.weight": self.random(2, 2)}
        write_safetensors(path, tensors)
        content = path.read_bytes()
        for size in range(9, len(content), 7):
            path.write_bytes(content[:size])
            self.refused(path)
        path.write_bytes(content + b"\0")
        self.refused(path, "1 bytes of data belong to no tensor")
        path.write_bytes(struct.pack("<Q", 1 << 62) + content[8:])
        self.refused(path, "claims")

        def entry(**changes):
            return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}

        second = entry(data_offsets=[16, 32])
        for header, message in (
                ({"a.weight": entry(), "b.weight": entry()}, "begins at byte 0"),
                ({"a.weight": entry(data_offsets=[8, 24]), "b.weight": second}, "begins at byte 8"),
                ({"a.weight": entry(shape=[2, 3]), "b.weight": second}, "needs 24 bytes"),
                ({"a.weight": entry(shape=[1 << 40, 1 << 40]), "b.weight": second}, "needs"),
                ({"a.weight": entry(shape=[-2, -2]), "b.weight": second}, "bad shape"),
                ({"a.weight": entry(shape=[2.0, 2]), "b.weight": second}, "bad shape"),
                ({"a.weight": entry(data_offsets=[16, 0]), "b.weight": second}, "data_offsets"),
                ({"a.weight": entry(data_offsets=[0]), "b.weight": second}, "data_offsets"),
                ({"a.weight": entry(data_offsets=[32, 48]), "b.weight": second}, "data_offsets"),
                ({"a.weight": entry(dtype="F8"), "b.weight": second}, "F8"),
                ({"a.weight": entry(dtype="I32"), "b.weight": second}, "int32"),
                ({"a.weight": {"dtype": "F32"}, "b.weight": second}, "expected dtype"),
                ({"a.weight": 3, "b.weight": second}, "expected dtype"),
                ({"__metadata__": {"x": 1}, "a.weight": entry(), "b.weight": second}, "__metadata__")):
            write_safetensors(path, tensors, json.dumps(header).encode())
            self.refused(path, message)
        whole = json.dumps({"a.weight": entry()})[:-1]
        write_safetensors(path, tensors, f'{whole}, "a.weight": {json.dumps(second)}}}'.encode())
        self.refused(path, "twice")
        write_safetensors(path, tensors, b'{"a": ' + b"[" * 100_000)
        self.refused(path, "JSON")
        write_safetensors(path, tensors, b'{"\xff": 1}')
        self.refused(path, "JSON")
        write_safetensors(path, {"ambiguous": self.random(2, 2)})
        self.refused(path, "--layout")
        write_safetensors(path, {"norm.weight": self.random(2)})
        self.refused(path, "'norm'")
        write_safetensors(path, {})
        self.refused(path, "no tensor")

    def test_other_files(self):
        for name, content in (("empty", b""), ("text", b"hello"), ("image.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 100)):
            (self.folder / name).write_bytes(content)
            self.refused(self.folder / name, "not a Keras HDF5 file")
        self.refused(self.folder / "absent.h5", "no such file")
        self.refused(self.folder, "no such file")

    def test_weights_of_another_network(self):
        write_legacy(self.folder / "small.h5", {"block1_conv1": {"kernel": self.random(3, 3, 3, 8), "bias": self.random(8)},
                                                "extra": {"kernel": self.random(2, 2)}})
        self.refused(self.folder / "small.h5", "missing block5_conv3/kernel [3, 3, 512, 512]", "unexpected extra/kernel",
                     "block1_conv1/kernel is [3, 3, 3, 8], expected [3, 3, 3, 64]", options=("--model", "vgg16"))
