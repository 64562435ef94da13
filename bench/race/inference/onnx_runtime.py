import onnxruntime
from network import arguments, nchw, nhwc, onnx_model, serve, unsupported

case, path, threads = arguments()
if case.precision != "float32":
    unsupported("has no bfloat16 kernels for x86")
x = nchw(case.load())
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(onnx_model(case), options, providers=["CPUExecutionProvider"])


def run():
    return session.run(None, {"x": x})[0]


serve(onnxruntime.__version__, nhwc(run()), path, run)
