"""A case as a keras.Sequential on TensorFlow."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf
from keras import layers

VERSION = f"{keras.__version__} on TensorFlow {tf.__version__}"


def activation(name):
    return layers.LeakyReLU(negative_slope=0.1) if name == "leaky_relu" else name


def build(case, threads):
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if case.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = keras.Sequential([keras.Input(case.shape[1:], case.shape[0])])
    for layer in case.layers:
        padding = "same" if layer.same else "valid"
        if layer.kind == "pool":
            model.add(layers.MaxPooling2D(2, padding=padding))
        elif layer.kind == "flatten":
            model.add(layers.Flatten())
        elif layer.kind == "dense":
            model.add(layers.Dense(layer.kernel.shape[1], activation(layer.activation)))
        elif layer.kind == "depthwise":
            model.add(layers.DepthwiseConv2D(layer.kernel.shape[0], layer.stride, padding, activation=activation(layer.activation)))
        else:
            model.add(layers.Conv2D(layer.kernel.shape[3], layer.kernel.shape[0], layer.stride, padding,
                                    activation=activation(layer.activation)))
        if layer.kernel is not None:
            model.layers[-1].set_weights([layer.kernel, layer.bias])
        model.layers[-1].trainable = not layer.frozen
    return model
