"""Writes whole Keras models beside this file, what weights/convert makes of them and what Keras predicts to tests/support/golden.

With Keras of tests/support/golden/requirements.txt and h5py: `python3 tests/weights/keras_models.py`.
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

random = np.random.default_rng(1)


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


def main():
    tensors = {}
    for model in (branches(), sequence()):
        for weight in model.weights:
            low = 0.5 if weight.path.endswith(("moving_variance", "gamma")) else -0.6
            weight.assign(random.uniform(low, low + 1.2, weight.shape))
        inputs = [random.uniform(-2, 2, (2, *x.shape[1:])).astype("float32") for x in model.inputs]
        outputs = model.predict(inputs, verbose=0)
        for kind, arrays in (("x", inputs), ("y", outputs if isinstance(outputs, list) else [outputs])):
            tensors.update({f"{model.name}/{kind}{number}": array for number, array in enumerate(arrays)})
        model.save(HERE / f"{model.name}.keras")
        if convert.main([str(HERE / f"{model.name}.keras"), str(GOLDEN / f"{model.name}.converted.safetensors")]):
            sys.exit(1)
    with open(GOLDEN / "keras_models.safetensors", "wb") as file:
        safetensors.write(file, tensors, {"format": "golden"})


main()
