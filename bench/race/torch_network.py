"""A case as a torch.nn.Sequential."""

import numpy as np
import torch
from torch import nn

ACTIVATIONS = {"relu": lambda: [nn.ReLU(inplace=True)], "leaky_relu": lambda: [nn.LeakyReLU(0.1, inplace=True)]}


class FlattenNHWC(nn.Module):
    """As Keras flattens; of channels_last memory a view."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def convolution(layer):
    h, w, channels, filters = layer.kernel.shape
    padding = h // 2 if layer.same else 0
    if layer.kind == "depthwise":
        return nn.Conv2d(channels, channels, h, layer.stride, padding, groups=channels), layer.kernel.transpose(2, 3, 0, 1)
    return nn.Conv2d(channels, filters, h, layer.stride, padding), layer.kernel.transpose(3, 2, 0, 1)


def build(case):
    """Without a final sigmoid: the loss takes logits."""
    modules = []
    for layer in case.layers:
        if layer.kind == "pool":
            modules.append(nn.MaxPool2d(2, ceil_mode=layer.same))
        elif layer.kind == "flatten":
            modules.append(FlattenNHWC())
        else:
            module, kernel = (nn.Linear(*layer.kernel.shape), layer.kernel.T) if layer.kind == "dense" else convolution(layer)
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
                module.bias.copy_(torch.from_numpy(layer.bias))
            module.requires_grad_(not layer.frozen)
            modules += [module, *ACTIVATIONS.get(layer.activation, list)()]
    return nn.Sequential(*modules)
