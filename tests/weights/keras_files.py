"""Writes nested.h5, nested.weights.h5 and nested.keras beside this file, with Keras (tests/support/golden/requirements.txt).

Every weight holds one number, which tells it apart: test_convert.py has the list.
"""

import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
from keras import layers  # noqa: E402

SHAPE = (6, 6, 2)
base = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(2, 1, name="conv"), layers.BatchNormalization(scale=False, name="bn")],
                        name="base")
block = keras.Sequential([layers.Conv2D(2, 1, use_bias=False, name="conv"), layers.BatchNormalization(center=False, name="bn")], name="block")
mid_input = keras.Input(SHAPE)
mid = keras.Model(mid_input, layers.Conv2D(2, 1, name="conv")(block(mid_input)), name="mid")
left, right = keras.Input(SHAPE), keras.Input(SHAPE)
joined = layers.Add()([mid(base(left)), base(right)])
model = keras.Model([left, right], layers.Dense(3, name="head")(layers.Flatten()(joined)), name="top")

head, shared = model.get_layer("head"), base.get_layer
ordered = [head.kernel, head.bias, shared("conv").kernel, shared("conv").bias, shared("bn").beta, shared("bn").moving_mean,
           shared("bn").moving_variance, mid.get_layer("conv").kernel, mid.get_layer("conv").bias, block.get_layer("conv").kernel,
           block.get_layer("bn").gamma, block.get_layer("bn").moving_mean, block.get_layer("bn").moving_variance]
for number, weight in enumerate(ordered, 1):
    weight.assign(keras.ops.full(weight.shape, number))
folder = pathlib.Path(__file__).resolve().parent
model.save(folder / "nested.h5")
model.save_weights(folder / "nested.weights.h5")
model.save(folder / "nested.keras")
