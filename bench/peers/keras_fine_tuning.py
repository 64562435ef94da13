"""The work of examples/augmented_training.cpp, then of examples/fine_tuning.cpp, in Keras: the same pictures, the same
weights, the same head.

    pip install -r bench/peers/requirements.txt
    python bench/peers/keras_fine_tuning.py --data DIR --weights FILE.safetensors --seeds 3

DIR holds train/, validation/ and test/ with one folder per class; FILE is what weights/convert wrote. A line of JSON is
printed for each seed: accuracies and losses after either part, and the seconds of an epoch.
"""

import json
import statistics
import time

import keras
import tensorflow as tf
from keras import layers

from keras_feature_extraction import SUBSETS, load_base, pictures, scaled, transfer_parser


def batches(dataset, options):
    return dataset.batch(options.batch_size).map(lambda x, y: (scaled(x, options.preprocess), y)).prefetch(2)


def network(base, augment):
    model = keras.Sequential([keras.Input(base.input_shape[1:])])
    if augment:
        model.add(layers.RandomFlip("horizontal"))
        model.add(layers.RandomRotation(0.1))
        model.add(layers.RandomZoom(0.2))
    for layer in (base, layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dense(1, activation="sigmoid")):
        model.add(layer)
    return model


def freeze_below(base, name):
    """Freezes what stands below the layer `name`, or all where it is None."""
    base.trainable = True
    trained = False
    for layer in base.layers:
        trained = trained or layer.name == name
        layer.trainable = trained


class EpochSeconds(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def train(model, data, rate, epochs):
    """Trains as far as `epochs`; accuracies and losses then, and how long an epoch with its validation took."""
    clock = EpochSeconds()
    model.compile(optimizer=keras.optimizers.RMSprop(rate), loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(data["shuffled"], validation_data=data["validation"], epochs=epochs, verbose=0, callbacks=[clock])
    result = {subset: dict(zip(("loss", "accuracy"), model.evaluate(data[subset], verbose=0))) for subset in SUBSETS}
    return result | {"epochs": epochs, "epoch_seconds": statistics.median(clock.seconds),
                     "best_val_accuracy": max(history.history["val_accuracy"])}


def main():
    parser = transfer_parser(__doc__)
    parser.add_argument("--fine-tuning-epochs", type=int, default=30)
    parser.add_argument("--no-augment", action="store_true")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)

    data = {}
    for subset in SUBSETS:
        x, y = pictures(f"{options.data}/{subset}", options)
        dataset = tf.data.Dataset.from_tensor_slices((x, y))
        data[subset] = batches(dataset, options)
        if subset == "train":
            data["shuffled"] = batches(dataset.shuffle(len(x)), options)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        keras.utils.set_random_seed(seed)
        base = load_base(options.base, options.weights, (options.input_size, options.input_size, 3))
        freeze_below(base, None)
        model = network(base, not options.no_augment)
        run = {"seed": seed, "frozen": train(model, data, 2e-5, options.epochs)}
        freeze_below(base, "block5_conv1" if options.base == "vgg16" else "conv13")
        run["fine_tuned"] = train(model, data, 1e-5, options.fine_tuning_epochs)
        print(json.dumps(run), flush=True)


if __name__ == "__main__":
    main()
