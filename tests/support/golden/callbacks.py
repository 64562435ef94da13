"""Prints the tables of tests/training/callbacks_test.cpp: what Keras's callbacks decide on given figures.

Run it with the environment that `check` makes: ~/.cache/strata/golden-venv/bin/python callbacks.py
"""

import math
import os
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

nan = math.nan
SEQUENCES = {
    "falls": [0.9, 0.7, 0.71, 0.69, 0.7, 0.7, 0.7, 0.65, 0.66, 0.66, 0.66, 0.66],
    "flat": [0.5] * 12,
    "rises": [0.5, 0.6, 0.55, 0.7, 0.7, 0.65, 0.71, 0.6, 0.6, 0.6, 0.8, 0.6],
    "gaps": [0.5, nan, 0.4, nan, 0.45, 0.39, nan, nan, 0.5, 0.6, 0.3, 0.2],
}
EARLY_STOPPING = [
    ("falls", {"monitor": "loss"}),
    ("falls", {"monitor": "loss", "patience": 2}),
    ("falls", {"monitor": "loss", "patience": 3}),
    ("falls", {"monitor": "loss", "min_delta": 0.03, "patience": 3}),
    ("falls", {"monitor": "loss", "patience": 4}),
    ("falls", {"monitor": "loss", "patience": 3, "baseline": 0.68}),
    ("falls", {"monitor": "loss", "patience": 8, "baseline": 0.68}),
    ("falls", {"monitor": "loss", "patience": 2, "start_from_epoch": 4}),
    ("falls", {"monitor": "loss", "patience": 2, "mode": "max"}),
    ("flat", {"monitor": "loss"}),
    ("flat", {"monitor": "loss", "patience": 20}),
    ("rises", {"monitor": "accuracy", "patience": 2}),
    ("rises", {"monitor": "accuracy", "patience": 4}),
    ("rises", {"monitor": "accuracy", "min_delta": -0.06, "patience": 4}),
    ("rises", {"monitor": "accuracy", "patience": 2, "mode": "min"}),
    ("rises", {"monitor": "accuracy", "patience": 3, "baseline": 0.9}),
    ("gaps", {"monitor": "loss", "patience": 2}),
    ("gaps", {"monitor": "loss", "patience": 3}),
]
REDUCE_LR_ON_PLATEAU = [
    ("falls", {"monitor": "loss", "patience": 2}),
    ("falls", {"monitor": "loss", "factor": 0.5, "patience": 1}),
    ("falls", {"monitor": "loss", "factor": 0.5, "patience": 1, "cooldown": 2}),
    ("falls", {"monitor": "loss", "factor": 0.5, "patience": 0}),
    ("falls", {"monitor": "loss", "factor": 0.5, "patience": 2, "min_delta": 0.1}),
    ("flat", {"monitor": "loss", "factor": 0.5, "patience": 2, "min_lr": 0.02}),
    ("flat", {"monitor": "loss", "factor": 0.2, "patience": 3, "cooldown": 1}),
    ("rises", {"monitor": "accuracy", "factor": 0.5, "patience": 2}),
    ("rises", {"monitor": "accuracy", "factor": 0.5, "patience": 2, "mode": "min"}),
    ("gaps", {"monitor": "loss", "factor": 0.5, "patience": 1}),
]
MODEL_CHECKPOINT = [
    ("falls", {"monitor": "loss"}),
    ("falls", {"monitor": "loss", "save_best_only": True}),
    ("falls", {"monitor": "loss", "save_best_only": True, "mode": "max"}),
    ("rises", {"monitor": "accuracy", "save_best_only": True}),
    ("rises", {"monitor": "accuracy", "save_best_only": True, "initial_value_threshold": 0.65}),
    ("gaps", {"monitor": "loss", "save_best_only": True}),
]
FORMATS = ["d", "02d", "5d", ".2f", "8.3f", "08.3f", ".3e", "g", ".3g", "f", "012.2e"]

model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["accuracy"])
model.fit(np.zeros((1, 1)), np.zeros((1, 1)), verbose=0)  # now the metrics have names


def train(callback, sequence):
    """Last epoch, the weight afterwards (each epoch's is its number), learning rates after each epoch."""
    model.stop_training = False
    model.optimizer.learning_rate = 0.1
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(SEQUENCES[sequence]):
        model.set_weights([np.full((1, 1), float(epoch))])
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": value, "accuracy": value})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch, int(model.get_weights()[0].item()), rates


def cpp(options):
    def text(name, value):
        if name == "mode":
            return "MonitorMode::" + value
        return f'"{value}"' if isinstance(value, str) else str(value).lower()

    return ", ".join(f".{name} = {text(name, options[name])}" for name in options)


print("// EarlyStopping: last epoch, epoch whose weights are restored")
for sequence, options in EARLY_STOPPING:
    last, restored, _ = train(keras.callbacks.EarlyStopping(restore_best_weights=True, **options), sequence)
    print(f"{{{sequence}, {{{cpp(options)}}}, {last}, {restored}}},")
print("// ReduceLROnPlateau: learning rate after each epoch")
for sequence, options in REDUCE_LR_ON_PLATEAU:
    _, _, rates = train(keras.callbacks.ReduceLROnPlateau(**options), sequence)
    print(f"{{{sequence}, {{{cpp(options)}}}, {{{', '.join('%.6g' % rate for rate in rates)}}}}},")
print("// ModelCheckpoint: files")
for sequence, options in MODEL_CHECKPOINT:
    with tempfile.TemporaryDirectory() as folder:
        train(keras.callbacks.ModelCheckpoint(folder + "/{epoch:02d}-{loss:.2f}.keras", **options), sequence)
        files = " ".join(sorted(name.removesuffix(".keras") for name in os.listdir(folder)))
    print(f'{{{sequence}, {{{cpp(options)}}}, "{files}"}},')
print("// formats of 7 (d) and 0.03125")
for spec in FORMATS:
    print(f'{{"{spec}", "{format(7 if spec.endswith("d") else 0.03125, spec)}"}},')
