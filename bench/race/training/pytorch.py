import torch
import torch.nn.functional as F
from network import arguments, nchw, serve
from torch_network import build

case, path, threads = arguments()
torch.set_num_threads(threads)
x = torch.from_numpy(nchw(case.load())).to(memory_format=torch.channels_last)
y = torch.from_numpy(case.labels())
model = build(case).to(memory_format=torch.channels_last)
# Keras adds 1e-14 below the square root.
optimizer = torch.optim.RMSprop([p for p in model.parameters() if p.requires_grad], 1e-5, alpha=0.9, eps=1e-7)


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = F.binary_cross_entropy_with_logits(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


serve(torch.__version__, [step() for _ in range(3)], path, step)
