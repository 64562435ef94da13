import torch
from network import arguments, nchw, nhwc, serve
from torch_network import build

case, path, threads = arguments()
torch.set_num_threads(threads)
x = torch.from_numpy(nchw(case.load()))
model = build(case).eval()
bfloat16 = case.precision == "bfloat16"
if bfloat16:
    model = model.to(torch.bfloat16)
if x.ndim == 4:
    model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)


def run():
    with torch.inference_mode():
        return model(x.to(torch.bfloat16)).float() if bfloat16 else model(x)


serve(torch.__version__, nhwc(run().numpy()), path, run)
