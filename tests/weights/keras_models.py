"""Writes whole Keras models beside this file, what weights/convert makes of them and what Keras predicts to tests/support/golden.

With Keras of tests/support/golden/requirements.txt and h5py: `python3 tests/weights/keras_models.py [GOLDEN FILE...]`.
"""

import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "support/golden"
sys.path.insert(0, str(HERE.parents[1] / "weights"))

import convert  # noqa: E402
from strata_weights import safetensors  # noqa: E402


def branches():
    """A frozen model inside, a layer and a model called twice, merges, two inputs, two outputs."""
    base = keras.Sequential(
        [keras.Input((8, 6, 2)), layers.ZeroPadding2D(1), layers.Conv2D(4, 3, kernel_initializer="he_normal", use_bias=False),
         layers.BatchNormalization(scale=False, epsilon=1e-2), layers.ReLU(6), layers.MaxPooling2D(), layers.Conv2D(
             4, (3, 2), dilation_rate=2, padding="same", activation="leaky_relu", kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02))],
        name="base")
    base.trainable = False
    shared = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="swish", name="shared")
    left, right = keras.Input((8, 6, 2), name="left"), keras.Input((8, 6, 2), name="right")
    a, b = shared(base(left, training=False)), shared(base(right, training=False))
    joined = layers.Concatenate()([layers.Add()([a, b, a]), layers.Multiply()([a, b]), layers.Subtract()([a, b])])
    pooled = layers.Average()([layers.GlobalAveragePooling2D()(joined), layers.GlobalMaxPooling2D()(joined)])
    code = layers.Dense(5, activation="tanh", name="code")(layers.Dropout(0.5)(pooled))
    largest = layers.Maximum()([code, layers.Minimum()([layers.Activation("gelu")(code), code])])
    return keras.Model([left, right], [layers.Dense(3, activation="softmax", name="classes")(largest), code], name="branches")


def sequence():
    """One behind the other, all layers of one input that `branches` lacks."""
    return keras.Sequential(
        [keras.Input((9, 8, 3)), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.2),
         layers.RandomTranslation(0.1, (-0.2, 0.1), fill_mode="nearest"), layers.RandomContrast(0.2), layers.RandomBrightness(0.1),
         layers.Rescaling(1 / 127.5, offset=-1), layers.SeparableConv2D(5, 3, strides=2, padding="same", activation=keras.activations.elu),
         layers.Conv2DTranspose(4, (3, 2), strides=(1, 2), padding="same", output_padding=(0, 1), activation="relu"),
         layers.UpSampling2D(2, interpolation="bilinear"), layers.AveragePooling2D((3, 2), strides=1, padding="same"), layers.LeakyReLU(0.1),
         layers.Conv2D(4, 3, groups=1, activation=layers.LeakyReLU(0.3)), layers.ReLU(negative_slope=0.2), layers.ELU(), layers.Flatten(),
         layers.Dense(12), layers.Reshape((2, 2, 3)), layers.Activation("relu"), layers.Flatten(), layers.Dense(4), layers.Softmax()],
        name="sequence")


def efficient():
    """The parts of an EfficientNet, with moments that it was given and that it has as weights, and a transposed convolution."""
    inputs = keras.Input((12, 10, 3))
    x = layers.Rescaling([0.01 / 0.229, 0.01 / 0.224, 0.01 / 0.225])(layers.Normalization(axis=3)(layers.Rescaling(1 / 255)(inputs)))
    x = layers.Conv2D(4, 3, strides=2, use_bias=False, name="stem")(layers.ZeroPadding2D(((0, 1), (1, 1)))(x))
    x = block = layers.Activation("swish")(layers.BatchNormalization(axis=3)(x))
    for convolution in (layers.Conv2D(8, 1, use_bias=False), layers.DepthwiseConv2D(3, padding="same", use_bias=False)):
        x = layers.Activation("swish")(layers.BatchNormalization(axis=3)(convolution(x)))
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="swish")(gate))
    x = layers.Conv2D(4, 1, use_bias=False)(layers.Multiply()([x, gate]))
    x = layers.Add()([layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(layers.BatchNormalization(axis=3)(x)), block])
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="relu", name="up")(x)
    x = layers.Normalization(mean=[0.1, -0.2, 0, 1, 0.5], variance=[1, 2, 0.5, 1, 3])(x)
    x = layers.Normalization(mean=0.1, variance=2.0, invert=True)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="efficient")


def compiled(name, **settings):
    model = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten(),
                              layers.Dense(4, activation="softmax")], name=name)
    model.compile(**settings)
    return model


def compiled_sgd():
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5, staircase=True)
    return compiled("compiled_sgd", optimizer=keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, clipvalue=0.05, weight_decay=0.1),
                    loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
                    metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(k=2, name="top2")], weighted_metrics=["mae"])


def compiled_adamw():
    return compiled("compiled_adamw", optimizer=keras.optimizers.AdamW(0.01, amsgrad=True, global_clipnorm=0.1), loss="mse",
                    metrics=["categorical_accuracy", keras.metrics.MeanAbsoluteError(name="error")])


def compiled_rmsprop():
    curve = keras.metrics.AUC(num_thresholds=20, curve="PR")
    return compiled("compiled_rmsprop", optimizer=keras.optimizers.RMSprop(0.01, rho=0.8, momentum=0.5, centered=True),
                    loss=[keras.losses.Huber(delta=0.3)], metrics=[[keras.metrics.Precision(thresholds=0.3), keras.metrics.Recall(), curve]])


def training(model, inputs, random):
    """What `evaluate` gives, then the losses of two steps and the weights behind them."""
    target = np.eye(4, dtype="float32")[random.integers(0, 4, len(inputs[0]))]
    evaluated = model.evaluate(inputs[0], target, verbose=0, return_dict=True)
    steps = [model.train_on_batch(inputs[0], target, return_dict=True)["loss"] for _ in range(2)]
    tensors = {"target": target, "losses": np.float32(steps)}
    tensors |= {f"evaluate/{name}": np.float32([value]) for name, value in evaluated.items()}
    return tensors | {f"after/{layer.name}/{weight.name}": weight.numpy() for layer in model.layers for weight in layer.weights}


def write(model, random, routes):
    """Saves the model and what is made of it; returns its inputs and outputs."""
    for weight in model.weights:
        if weight.name != "count":
            low = 0.5 if weight.name in ("moving_variance", "gamma", "variance") else -0.6
            weight.assign(random.uniform(low, low + 1.2, weight.shape))
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    inputs = [random.uniform(-2, 2, (12 if model.compiled else 2, *x.shape[1:])).astype("float32") for x in model.inputs]
    outputs = model.predict(inputs, verbose=0)
    for route in routes:
        (model.save_weights if route == "weights.h5" else model.save)(HERE / f"{model.name}.{route}")
    if convert.main([str(HERE / f"{model.name}.keras"), str(GOLDEN / f"{model.name}.converted.safetensors")]):
        sys.exit(1)
    tensors = {f"{kind}{number}": array
               for kind, arrays in (("x", inputs), ("y", outputs if isinstance(outputs, list) else [outputs]))
               for number, array in enumerate(arrays)}
    if model.compiled:
        tensors |= training(keras.saving.load_model(HERE / f"{model.name}.keras"), inputs, random)
    return {f"{model.name}/{name}": array for name, array in tensors.items()}


FILES = {"keras_models": ((branches, sequence), ("keras",)), "efficient": ((efficient,), ("keras", "h5", "weights.h5")),
         "compiled": ((compiled_sgd, compiled_adamw, compiled_rmsprop), ("keras", "h5"))}


def main():
    for name in sys.argv[1:] or FILES:
        random, (models, routes) = np.random.default_rng(1), FILES[name]
        tensors = {}
        for model in [make() for make in models]:
            tensors |= write(model, random, routes)
        with open(GOLDEN / f"{name}.safetensors", "wb") as file:
            safetensors.write(file, tensors, {"format": "golden"})


main()
