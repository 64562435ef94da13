"""safetensors with PyTorch's names: convolutions OIHW -> HWIO, Linear (out, in) -> (in, out)."""

from . import safetensors
from .common import Source, WeightError, add, natural

NORMALIZATION = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def read(path, layout="auto"):
    """Reads either PyTorch's names and layout or Keras's (`layer/kernel`); `layout` settles it where both could be."""
    tensors, metadata = safetensors.read(path)
    if not tensors:
        raise WeightError(f"{path}: holds no tensor")
    if layout == "auto":
        keras = all("/" in name for name in tensors)
        pytorch = all("/" not in name and "." in name for name in tensors)
        if keras == pytorch:
            raise WeightError(f"{path}: the names ({', '.join(list(tensors)[:3])}, ...) are neither PyTorch's (layer.weight) "
                              "nor Keras's (layer/kernel); say --layout pytorch or --layout keras")
        layout = "keras" if keras else "pytorch"
    layers = {}
    if layout == "keras":
        for name in tensors:
            layer, _, weight = name.rpartition("/")
            add(layers, layer, weight, tensors[name], path)
        return Source("safetensors, Keras layout", layers)

    groups = {}
    for name in sorted(tensors, key=natural):
        layer, _, weight = name.rpartition(".")
        groups.setdefault(layer, {})[weight] = tensors[name]
    for layer, weights in groups.items():
        weights.pop("num_batches_tracked", None)
        where = f"{path}: layer '{layer}'"
        if not layer:
            raise WeightError(f"{path}: tensor '{next(iter(weights))}' belongs to no layer")
        if "running_mean" in weights:
            names = NORMALIZATION
        else:
            names = {"weight": "kernel", "bias": "bias"}
            if "weight" not in weights or weights["weight"].ndim not in (2, 4):
                raise WeightError(f"{where}: expected the weight of a convolution (4 axes), of a Linear (2 axes) or of a "
                                  f"batch normalization, found {({n: list(t.shape) for n, t in weights.items()})}")
        for weight, tensor in weights.items():
            if weight not in names:
                raise WeightError(f"{where}: unknown weight '{weight}'")
            if names[weight] == "kernel":
                tensor = tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
            add(layers, layer, names[weight], tensor, path)
    return Source("safetensors, PyTorch layout", layers, named=False)


def permute_flatten(kernel, channels, height, width, where):
    """Reorders the rows of a dense kernel from the CHW order of PyTorch's Flatten to the HWC order of Keras's."""
    rows, units = kernel.shape
    if rows != channels * height * width:
        raise WeightError(f"{where}: has {rows} rows, but {channels}x{height}x{width} = {channels * height * width}")
    return kernel.reshape(channels, height, width, units).transpose(1, 2, 0, 3).reshape(rows, units)
