"""Writes nested and shared, as .h5, .weights.h5 and .keras, beside this file, with Keras (tests/support/golden/requirements.txt).

Every weight holds one number, which tells it apart: test_convert.py has the lists.
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


def write(model, ordered, name):
    for number, weight in enumerate(ordered, 1):
        weight.assign(keras.ops.full(weight.shape, number))
    path = pathlib.Path(__file__).resolve().parent / name
    model.save(f"{path}.h5")
    model.save_weights(f"{path}.weights.h5")
    model.save(f"{path}.keras")


write(model, ordered, "nested")

# One layer and one model that several models share, and layers that have only the name in common.
shared = layers.Conv2D(2, 1, name="shared")
block = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(2, 1, use_bias=False, name="conv"), layers.BatchNormalization(name="bn")],
                         name="block")
left = keras.Sequential([keras.Input(SHAPE), shared, layers.Conv2D(2, 1, name="own")], name="left")
inputs = [keras.Input(SHAPE) for _ in range(3)]
middle = keras.Model(inputs[0], layers.Conv2D(2, 1, name="own")(block(shared(inputs[0]))), name="middle")
right = keras.Model(inputs[1], layers.Conv2D(2, 1, name="own")(block(inputs[1])), name="right")
model = keras.Model(inputs[2], layers.Add()([part(inputs[2]) for part in (left, middle, right)]), name="top")
write(model, model.weights, "shared")
