"""ImageDataGenerator as the book uses it, on one thread; image_dataset_from_directory on all."""

import contextlib
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from network import serve
from pictures import BATCH, COMPARED, SIDE, arguments

BOOK = {"rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 0.2, "shear_range": 0.2, "zoom_range": 0.2,
        "horizontal_flip": True, "fill_mode": "nearest"}
work, folder, path, threads = arguments()


def generator(interpolation, **augmentation):
    with contextlib.redirect_stdout(sys.stderr):  # it says what it finds
        return ImageDataGenerator(rescale=1 / 255, **augmentation).flow_from_directory(
            folder, target_size=(SIDE, SIDE), batch_size=BATCH, class_mode="binary", shuffle=bool(augmentation),
            interpolation=interpolation)


def epoch(batches):
    return [next(batches)[0] for _ in range(len(batches))]


if work == "tensorflow":
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    batches = keras.utils.image_dataset_from_directory(folder, label_mode="binary", image_size=(SIDE, SIDE), batch_size=BATCH,
                                                       shuffle=False, verbose=False).with_options(options)
    result = np.concatenate([x.numpy() for x, _ in batches])[:COMPARED] / 255

    def run():
        for x, _ in batches:
            x.numpy()
else:
    interpolation = "bilinear" if work == "pillow" else "nearest"
    result = np.concatenate(epoch(generator(interpolation)))[:COMPARED]
    batches = generator(interpolation, **(BOOK if work != "pillow" else {}))

    def run():
        epoch(batches)

serve(f"{keras.__version__} on TensorFlow {tf.__version__}", 255 * result, path, run)
