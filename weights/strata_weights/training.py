"""What a Keras model was compiled with, as Strata's settings, where Strata has all of it."""

import json

from .architecture import Unknown, _name

# Strata's kinds of optimizer (OptimizerKind, include/strata/tensor/backend.hpp) and their options, which are Keras's.
OPTIMIZERS = {
    "SGD": (0, "momentum", "nesterov"),
    "RMSprop": (1, "rho", "momentum", "epsilon", "centered"),
    "Adam": (2, "beta_1", "beta_2", "epsilon", "amsgrad"),
    "AdamW": (2, "beta_1", "beta_2", "epsilon", "amsgrad"),
    "Adagrad": (3, "initial_accumulator_value", "epsilon"),
    "Nadam": (4, "beta_1", "beta_2", "epsilon"),
}
OPTIMIZER_OPTIONS = {"momentum": 0.0, "nesterov": False, "rho": 0.0, "centered": False, "beta_1": 0.0, "beta_2": 0.0, "amsgrad": False,
                     "epsilon": 0.0, "initial_accumulator_value": 0.0, "weight_decay": 0.0, "clipnorm": 0.0, "clipvalue": 0.0,
                     "global_clipnorm": 0.0}
SCHEDULES = ("ExponentialDecay", "PiecewiseConstantDecay", "PolynomialDecay", "InverseTimeDecay", "CosineDecay", "CosineDecayRestarts")
LOSSES = {"BinaryCrossentropy": ("from_logits", "label_smoothing"), "CategoricalCrossentropy": ("from_logits", "label_smoothing"),
          "SparseCategoricalCrossentropy": ("from_logits",), "MeanSquaredError": (), "MeanAbsoluteError": (), "Huber": ("delta",)}
LOSS_NAMES = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy", "mean_squared_error",
              "mean_absolute_error", "huber", "mse", "mae")
METRICS = {"BinaryAccuracy": ("threshold",), "CategoricalAccuracy": (), "SparseCategoricalAccuracy": (), "TopKCategoricalAccuracy": ("k",),
           "SparseTopKCategoricalAccuracy": ("k",), "MeanAbsoluteError": (), "MeanSquaredError": (), "Precision": ("thresholds",),
           "Recall": ("thresholds",), "AUC": ("num_thresholds", "curve")}
METRIC_NAMES = ("accuracy", "acc", "precision", "recall", "auc", "mse", "mae", "binary_accuracy", "categorical_accuracy",
                "sparse_categorical_accuracy", "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy", "mean_absolute_error",
                "mean_squared_error")
# Other options whose values change nothing (None: any).
HARMLESS = {"name": None, "dtype": None, "ema_momentum": None, "ema_overwrite_frequency": None, "reduction": ("sum_over_batch_size",),
            "axis": (-1,), "ignore_class": (None,), "summation_method": ("interpolation",), "decay": (0,)}


def _options(class_name, config, known, what):
    """Those of the options that Strata knows; raises Unknown for others that are in use."""
    result = {}
    for key, value in config.items():
        if key in known:
            result[key] = value
        elif value not in (None, False) and not (key in HARMLESS and (HARMLESS[key] is None or value in HARMLESS[key])):
            raise Unknown(f"the option {key}={json.dumps(value)} of the {what} {class_name}")
    return result


def _learning_rate(value):
    if isinstance(value, (int, float)):
        return value
    name, config = _name(value, "the learning rate")
    if name not in SCHEDULES:
        raise Unknown(f"the learning rate {name}")
    return {"class_name": name, "config": {key: option for key, option in config.items() if key != "name"}}


def _optimizer(value):
    name, config = _name(value, "the optimizer")
    if name not in OPTIMIZERS:
        raise Unknown(f"the optimizer {name}")
    kind, *own = OPTIMIZERS[name]
    shared = ("learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
    options = {key: option for key, option in _options(name, config, (*own, *shared), "optimizer").items() if option is not None}
    return {**OPTIMIZER_OPTIONS, **options, "name": name.lower(), "kind": kind, "learning_rate": _learning_rate(config["learning_rate"])}


def _loss(value):
    if isinstance(value, list) and len(value) == 1:  # of the one output
        value = value[0]
    if value in LOSS_NAMES:
        return value
    name, config = _name(value, "the loss")
    if name not in LOSSES:
        raise Unknown(f"the loss {name}")
    return {"class_name": name, "config": _options(name, config, LOSSES[name], "loss")}


def _metric(value):
    if value in METRIC_NAMES:
        return value
    name, config = _name(value, "the metric")
    if name not in METRICS:
        raise Unknown(f"the metric {name}")
    options = _options(name, config, ("name", *METRICS[name]), "metric")
    if "thresholds" in options:
        thresholds = options.pop("thresholds")
        thresholds = thresholds if isinstance(thresholds, list) else [0.5 if thresholds is None else thresholds]
        if len(thresholds) != 1:
            raise Unknown(f"the option thresholds={json.dumps(thresholds)} of the metric {name}")
        options["threshold"] = thresholds[0]
    return {"class_name": name, "config": options}


def _metrics(value):
    value = value or []
    if not isinstance(value, list):
        raise Unknown(f"metrics {json.dumps(value)}")
    if len(value) == 1 and isinstance(value[0], list):  # of the one output
        value = value[0]
    return [_metric(metric) for metric in value]


def of(compiled, outputs):
    """(Strata's settings or None, what stands in their way) for Keras's compile_config or training_config, of a model with so many
    outputs."""
    if not compiled:
        return None, []
    settings, problems = {}, []
    parts = (("optimizer", _optimizer, ("optimizer", "optimizer_config")), ("loss", _loss, ("loss",)),
             ("metrics", _metrics, ("metrics",)), ("weighted_metrics", _metrics, ("weighted_metrics",)))
    try:
        if outputs != 1:
            raise Unknown("settings of several outputs")
        if compiled.get("loss_weights") is not None:
            raise Unknown(f"loss_weights={json.dumps(compiled['loss_weights'])}")
        for part, convert, keys in parts:
            try:
                settings[part] = convert(next((compiled[key] for key in keys if key in compiled), None))
            except Unknown as problem:
                problems.append(str(problem))
    except Unknown as problem:
        problems.append(str(problem))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        problems.append("its settings are not understood")
    return (None, problems) if problems else (settings, [])
