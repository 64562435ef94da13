"""The work of examples/feature_extraction.cpp in Keras: the same pictures, the same weights, the same head.

    pip install -r bench/peers/requirements.txt
    python bench/peers/keras_feature_extraction.py --data DIR --weights FILE.safetensors --seeds 3

DIR holds train/, validation/ and test/ with one folder per class; FILE is what weights/convert wrote. One JSON object is
printed: accuracies and losses per seed, their means, and the seconds each phase took.
"""

import argparse
import glob
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from safetensors.numpy import load_file

SUBSETS = ("train", "validation", "test")


def tiny_darknet(shape):
    """The 15 convolutions below the classifier, batch normalization folded in."""
    model = keras.Sequential([keras.Input(shape)], name="tiny_darknet")
    convolutions = [(16, 3), "M", (32, 3), "M", (16, 1), (128, 3), (16, 1), (128, 3), "M", (32, 1), (256, 3), (32, 1), (256, 3),
                    "M", (64, 1), (512, 3), (64, 1), (512, 3), (128, 1)]
    number = 0
    for item in convolutions:
        if item == "M":
            model.add(layers.MaxPooling2D(2, padding="same"))
        else:
            number += 1
            model.add(layers.Conv2D(*item, padding="same", name=f"conv{number}"))
            model.add(layers.LeakyReLU(negative_slope=0.1))
    return model


def load_base(name, weights, shape):
    base = tiny_darknet(shape) if name == "tiny_darknet" else keras.applications.VGG16(
        include_top=False, weights=None, input_shape=shape)
    tensors = load_file(weights)
    for layer in base.layers:
        if layer.weights:
            layer.set_weights([tensors[f"{layer.name}/kernel"], tensors[f"{layer.name}/bias"]])
    return base


def pictures(folder, options):
    """Pixels as ImageDataGenerator reads them (nearest neighbour), class numbers."""
    x, y = [], []
    for label, name in enumerate(sorted(os.listdir(folder))):
        files = sorted(glob.glob(f"{folder}/{name}/*"))
        for file in files[:options.limit or None]:
            picture = keras.utils.load_img(file, target_size=(options.input_size,) * 2, interpolation="nearest")
            x.append(np.asarray(picture, "uint8"))
            y.append(label)
    return np.stack(x), np.array(y, "float32")


def scaled(pixels, preprocess):
    pixels = tf.cast(pixels, "float32")
    return keras.applications.vgg16.preprocess_input(pixels) if preprocess == "caffe" else pixels * (1 / 255)


def head(shape, learning_rate):
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(256, activation="relu"),
                              layers.Dropout(0.5), layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.RMSprop(learning_rate), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def transfer_parser(description):
    """The flags that all workflows on a pretrained base have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--base", choices=["tiny_darknet", "vgg16"], default="tiny_darknet")
    parser.add_argument("--preprocess", choices=["rescale", "caffe"], default="rescale")
    parser.add_argument("--input-size", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--limit", type=int, default=0, help="only the first N pictures of each class")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3, help="so many from the first on, each a training of its own")
    parser.add_argument("--threads", type=int, default=0)
    return parser


def main():
    parser = transfer_parser(__doc__)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)

    base = load_base(options.base, options.weights, (options.input_size, options.input_size, 3))
    features, labels, seconds = {}, {}, {}
    for subset in SUBSETS:
        start = time.perf_counter()
        pixels, labels[subset] = pictures(f"{options.data}/{subset}", options)
        features[subset] = np.concatenate([base.predict_on_batch(scaled(pixels[i:i + 20], options.preprocess))
                                           for i in range(0, len(pixels), 20)])
        seconds[f"features_{subset}"] = time.perf_counter() - start

    runs = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        keras.utils.set_random_seed(seed)
        model = head(features["train"].shape[1:], options.learning_rate)
        start = time.perf_counter()
        model.fit(features["train"], labels["train"], epochs=options.epochs, batch_size=options.batch_size,
                  validation_data=(features["validation"], labels["validation"]), verbose=0)
        run = {"seed": seed, "training_seconds": time.perf_counter() - start}
        for subset in SUBSETS:
            loss, accuracy = model.evaluate(features[subset], labels[subset], verbose=0)
            run[subset] = {"loss": loss, "accuracy": accuracy}
        runs.append(run)
    mean = {subset: float(np.mean([run[subset]["accuracy"] for run in runs])) for subset in SUBSETS}
    print(json.dumps({"keras": keras.__version__, "options": vars(options), "features": features["train"].shape[1:],
                      "seconds": seconds, "runs": runs, "mean_accuracy": mean}, indent=2))


if __name__ == "__main__":
    main()
