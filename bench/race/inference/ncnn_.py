import ncnn
import numpy as np
from network import arguments, nchw, nhwc, serve

ACTIVATIONS = {"linear": "", "relu": "9=1", "leaky_relu": "9=2 -23310=1,0.1"}


def describe(case):
    """ncnn's .param text, and its .bin: of every kernel a zero that says float, then [out,in,h,w]; then the bias."""
    lines, weights = ["Input x 0 1 b0"], []
    for i, layer in enumerate(case.layers):
        link = f"l{i} 1 1 b{i} b{i + 1}"
        if layer.kind == "pool":
            lines.append(f"Pooling {link} 0=0 1=2 2=2 5={0 if layer.same else 1}")
            continue
        if layer.kind == "dense":
            kernel, text = layer.kernel.T, f"InnerProduct {link} 0={layer.bias.size} 1=1 2={layer.kernel.size}"
        else:
            depthwise, size = layer.kind == "depthwise", layer.kernel.shape[0]
            kernel = layer.kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
            text = f"Convolution{'DepthWise' * depthwise} {link} 0={layer.bias.size} 1={size} 3={layer.stride} " \
                   f"4={size // 2 if layer.same else 0} 5=1 6={kernel.size}" + f" 7={layer.bias.size}" * depthwise
        lines.append(f"{text} {ACTIVATIONS[layer.activation]}".rstrip())
        weights += [np.zeros(1, "float32"), kernel.ravel(), layer.bias]
    blobs = len(case.layers) + 1
    return "\n".join(["7767517", f"{blobs} {blobs}", *lines, ""]), np.concatenate(weights), f"b{blobs - 1}"


case, path, threads = arguments()
x = nchw(case.load())
param, weights, last = describe(case)
with open(f"{path}.param", "w") as file:
    file.write(param)
weights.astype("float32").tofile(f"{path}.bin")
net = ncnn.Net()
net.opt.num_threads = threads
net.opt.use_bf16_storage = case.precision == "bfloat16"
if net.load_param(f"{path}.param") or net.load_model(f"{path}.bin"):
    raise SystemExit("ncnn did not take the network")


def run():
    """ncnn has no batches: one picture after the other."""
    outputs = []
    for picture in x:
        extractor = net.create_extractor()
        extractor.input("b0", ncnn.Mat(picture))
        outputs.append(np.array(extractor.extract(last)[1]))
    return np.stack(outputs)


serve(ncnn.__version__, nhwc(run()), path, run)
