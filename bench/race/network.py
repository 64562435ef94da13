"""What the contenders in Python share: the case that race.py wrote to a folder, and the conversation with race.py.

`python network.py FOLDER` writes a case's random weights and input and prints what the work is.
"""

import dataclasses
import json
import sys
import time

import numpy as np


@dataclasses.dataclass
class Layer:
    kind: str  # conv, depthwise, pool, flatten, dense
    stride: int = 1
    same: bool = False
    activation: str = "linear"  # leaky_relu: with slope 0.1
    kernel: np.ndarray = None  # [h,w,in,out], [h,w,in,1], [in,out]
    bias: np.ndarray = None
    frozen: bool = False


class Case:
    """case.txt, and where they are there weights.f32 and input.f32."""

    def __init__(self, folder):
        self.folder, self.layers, self.precision = folder, [], "float32"
        with open(f"{folder}/case.txt") as file:
            lines = [line.split() for line in file]
        self.flops, self.bytes = 0, 0  # of a forward run: multiplications and additions; numbers read and written once
        shape = None
        for kind, *words in lines:
            if kind == "precision":
                self.precision = words[0]
            elif kind == "input":
                self.shape = shape = tuple(map(int, words))
            elif kind == "freeze":
                for layer in self.layers:
                    layer.frozen = True
            else:
                before, shape = shape, self.add(kind, words, shape)
                self.count(before, shape)
        self.output_shape = shape

    def add(self, kind, words, shape):
        layer = Layer(kind)
        self.layers.append(layer)
        if kind == "flatten":
            return shape[0], int(np.prod(shape[1:]))
        if kind == "dense":
            units, layer.activation = int(words[0]), words[1]
            layer.kernel = np.empty((shape[1], units), "float32")
            layer.bias = np.empty(units, "float32")
            return shape[0], units
        layer.same = "same" in words
        size = layer.stride = 2
        channels = shape[3]
        if kind != "pool":
            filters = [channels, 1] if kind == "depthwise" else [channels, int(words.pop(0))]
            size, layer.stride, layer.activation = int(words[0]), int(words[1]), words[3]
            layer.kernel = np.empty((size, size, *filters), "float32")
            channels = channels * filters[1] if kind == "depthwise" else filters[1]
            layer.bias = np.empty(channels, "float32")
        sides = [-(-n // layer.stride) if layer.same else (n - size) // layer.stride + 1 for n in shape[1:3]]
        return shape[0], *sides, channels

    def count(self, before, after):
        kernel = self.layers[-1].kernel
        if kernel is not None:
            per_output = kernel[..., 0, 0].size if self.layers[-1].kind == "depthwise" else kernel[..., 0].size
            self.flops += 2 * per_output * int(np.prod(after))
            self.bytes += 4 * (kernel.size + int(np.prod(before)) + int(np.prod(after)))

    def arrays(self):
        return [array for layer in self.layers for array in (layer.kernel, layer.bias) if array is not None]

    def load(self):
        """Fills the weights; returns the input [n,h,w,c]."""
        with open(f"{self.folder}/weights.f32", "rb") as file:
            for array in self.arrays():
                array[...] = np.fromfile(file, "float32", array.size).reshape(array.shape)
        return np.fromfile(f"{self.folder}/input.f32", "float32").reshape(self.shape)

    def make(self):
        """Weights as He et al. draw them, so that numbers keep their size through any number of layers."""
        random = np.random.default_rng(1)
        with open(f"{self.folder}/weights.f32", "wb") as file:
            for array in self.arrays():
                fan_in = array[..., 0, 0].size if array.shape[-1] == 1 and array.ndim == 4 else array[..., 0].size
                scale = 0.1 if array.ndim == 1 else (2 / fan_in) ** 0.5
                (scale * random.standard_normal(array.shape, "float32")).astype("float32").tofile(file)
        random.standard_normal(self.shape, "float32").tofile(f"{self.folder}/input.f32")

    def labels(self):
        return (np.arange(self.shape[0]) % 2 == 0).astype("float32")[:, None]


def arguments():
    """The case, where its output goes, threads."""
    return Case(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def unsupported(why):
    """Ends a contender that does not do the case at all."""
    print(f"unsupported: {why}", flush=True)
    sys.exit()


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def nhwc(y):
    return np.ascontiguousarray(y.transpose(0, 2, 3, 1)) if y.ndim == 4 else y


def serve(version, output, path, run):
    """Leaves the output [n,h,w,c] in a file and times `run` once for every line that comes."""
    np.asarray(output, "float32").tofile(path)
    print(f"ready {version}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(f"{1e3 * (time.perf_counter() - start):.4f}", flush=True)


def onnx_model(case):
    """The network as ONNX's bytes, with input and output [n,c,h,w]."""
    from onnx import TensorProto, helper, numpy_helper
    nodes, tensors, blob = [], [], "x"

    def node(kind, inputs, **attributes):
        nonlocal blob
        constants = [f"w{len(tensors) + i}" for i in range(len(inputs))]
        tensors.extend(numpy_helper.from_array(np.ascontiguousarray(array), name) for array, name in zip(inputs, constants))
        nodes.append(helper.make_node(kind, [blob, *constants], [f"y{len(nodes)}"], **attributes))
        blob = f"y{len(nodes) - 1}"

    for layer in case.layers:
        window = {"strides": [layer.stride] * 2, "auto_pad": "SAME_UPPER" if layer.same else "VALID"}
        if layer.kind == "pool":
            node("MaxPool", [], kernel_shape=[2, 2], **window)
        elif layer.kind == "dense":
            node("Gemm", [layer.kernel, layer.bias])
        else:
            axes, group = ((2, 3, 0, 1), layer.kernel.shape[2]) if layer.kind == "depthwise" else ((3, 2, 0, 1), 1)
            node("Conv", [layer.kernel.transpose(axes), layer.bias], kernel_shape=layer.kernel.shape[:2], group=group, **window)
        if layer.activation == "relu":
            node("Relu", [])
        elif layer.activation == "leaky_relu":
            node("LeakyRelu", [], alpha=0.1)

    def value(name, shape):
        shape = [shape[0], shape[3], *shape[1:3]] if len(shape) == 4 else shape
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "race", [value("x", case.shape)], [value(blob, case.output_shape)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


if __name__ == "__main__":
    made = Case(sys.argv[1])
    made.make()
    print(json.dumps({"flops": made.flops, "bytes": made.bytes}))
