"""The work of bench/gpu/steps.cpp in PyTorch, under the same names.

    python bench/peers/torch_gpu.py [--filter REGEX] [--seconds 0.2]

Everything is channels_last and lies on the card; a measurement ends when the card is done. Each benchmark runs with
cudnn.benchmark off and on. One JSON object is printed.
"""

import argparse
import json
import re
import time

import torch
import torch.nn.functional as F
from torch import nn

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
LAST = torch.channels_last
CALLS = 10  # of a single operation: one takes less than waiting for it


def vgg16():
    layers, channels = [], 3
    for filters, count in BLOCKS:
        for _ in range(count):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def small_convnet():
    layers, channels = [], 3
    for filters in (32, 64, 128, 128):
        layers += [nn.Conv2d(channels, filters, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        channels = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(7 * 7 * 128, 512), nn.ReLU(inplace=True), nn.Linear(512, 1))


def pictures(batch, size, channels=3):
    return torch.randn(batch, channels, size, size, device="cuda").to(memory_format=LAST)


def inference(size, batch):
    model, x = vgg16().cuda().to(memory_format=LAST).eval(), pictures(batch, size)

    def work():
        with torch.inference_mode():
            model(x)
    return work, batch, "images/s"


def training(model, size, batch):
    model = model.cuda().to(memory_format=LAST)
    x, y = pictures(batch, size), (torch.arange(batch, device="cuda") % 2 == 0).float()[:, None]
    optimizer = torch.optim.RMSprop([p for p in model.parameters() if p.requires_grad], 1e-5, alpha=0.9, eps=1e-7)

    def work():
        optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(model(x), y).backward()
        optimizer.step()
    return work, batch, "images/s"


def vgg16_step(part, size, batch):
    base = vgg16()
    if part == "block5":
        base[:24].requires_grad_(False)
    side = size // 32
    return training(nn.Sequential(base, nn.Flatten(), nn.Linear(512 * side * side, 256), nn.ReLU(inplace=True), nn.Linear(256, 1)),
                    size, batch)


def repeated(call):
    def work():
        with torch.inference_mode():
            for _ in range(CALLS):
                call()
    return work, CALLS, "calls/s"


def convolution(which, size, channels, filters, kernel, stride):
    x, dy, pad = pictures(32, size, channels), pictures(32, size // stride, filters), kernel // 2
    w = torch.randn(filters, channels, kernel, kernel, device="cuda").to(memory_format=LAST)
    bias = torch.randn(filters, device="cuda")
    if which == "forward":
        return repeated(lambda: F.conv2d(x, w, bias, stride, pad).relu_())
    mask = [which == "backward_input", which == "backward_kernel", False]
    return repeated(lambda: torch.ops.aten.convolution_backward(dy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1,
                                                                mask))


def dense(which, inputs, outputs):
    x, dy = torch.randn(32, inputs, device="cuda"), torch.randn(32, outputs, device="cuda")
    w, bias = torch.randn(outputs, inputs, device="cuda"), torch.randn(outputs, device="cuda")
    if which == "forward":
        return repeated(lambda: F.linear(x, w, bias).relu_())
    return repeated((lambda: dy @ w) if which == "backward_input" else (lambda: dy.T @ x))


def max_pool(which, size, channels):
    x = pictures(32, size, channels)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    if which == "forward":
        return repeated(lambda: F.max_pool2d(x, 2))
    return repeated(lambda: torch.ops.aten.max_pool2d_with_indices_backward(y, x, [2, 2], [2, 2], [0, 0], [1, 1], False, indices))


def benchmarks():
    """(name, precision, how to make the work), in the order of bench/gpu/steps.cpp."""
    passes = ("forward", "backward_input", "backward_kernel")
    for precision in ("tf32", "fp32"):
        for size in (150, 224):
            for batch in (1, 32, 128):
                yield f"vgg16_inference/{size}px/batch {batch}/{precision}", precision, inference, (size, batch)
            for part in ("block5", "all"):
                yield f"vgg16_step_{part}/{size}px/batch 32/{precision}", precision, vgg16_step, (part, size, 32)
        for batch in (32, 128):
            yield (f"small_convnet_step/150px/batch {batch}/{precision}", precision,
                   lambda n: training(small_convnet(), 150, n), (batch,))
    for precision in ("tf32", "fp32"):
        for size, channels, filters, kernel, stride in (
                (150, 3, 32, 3, 1), (150, 3, 64, 3, 1), (224, 3, 64, 7, 2), (150, 64, 64, 3, 1), (75, 128, 128, 3, 1),
                (37, 256, 256, 3, 1), (18, 512, 512, 3, 1), (9, 512, 512, 3, 1)):
            for which in passes:
                if which != "backward_input" or channels > 3:
                    yield (f"conv2d_{which}/{size}px {channels} to {filters} {kernel}x{kernel} by {stride}/batch 32/{precision}",
                           precision, convolution, (which, size, channels, filters, kernel, stride))
        for inputs, outputs in ((8192, 256), (25088, 4096)):
            for which in passes:
                yield f"dense_{which}/{inputs} to {outputs}/batch 32/{precision}", precision, dense, (which, inputs, outputs)
    for which in ("forward", "backward"):
        for size, channels in ((150, 64), (37, 256)):
            yield f"max_pool_{which}/{size}px {channels}/batch 32/fp32", "fp32", max_pool, (which, size, channels)


def rate(work, count, seconds):
    """How many of `count` per second; every repetition waits for the card, as in steps.cpp."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    start, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds or done == 0:
        work()
        torch.cuda.synchronize()
        done += 1
    return done * count / passed if passed else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", help="only the benchmarks whose name matches")
    parser.add_argument("--seconds", type=float, default=0.2, help="that one benchmark is measured for")
    parser.add_argument("--budget", type=float, default=600, help="seconds after which it stops and prints what it has")
    parser.add_argument("--list", action="store_true", help="only the names")
    options = parser.parse_args()
    if options.list:
        return print("\n".join(name for name, *_ in benchmarks()))
    start, rows, complete = time.perf_counter(), [], True
    for name, precision, make, arguments in benchmarks():
        if not re.search(options.filter, name):
            continue
        if time.perf_counter() - start > options.budget:
            complete = False
            break
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        for setting in (False, True):
            if setting and name.startswith(("dense", "max_pool")):
                continue  # means nothing to these
            torch.backends.cudnn.benchmark = setting
            try:
                work, count, unit = make(*arguments)
                rows.append({"name": name, "setting": "on" if setting else "off", "unit": unit, "rate": rate(work, count, options.seconds)})
            except torch.OutOfMemoryError as error:
                rows.append({"name": name, "error": str(error).split("\n")[0]})
            work = None
    print(json.dumps({"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "card": torch.cuda.get_device_name(),
                      "complete": complete, "benchmarks": rows}, indent=1))


if __name__ == "__main__":
    main()
