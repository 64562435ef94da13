import openvino
from network import arguments, nchw, nhwc, onnx_model, serve

case, path, threads = arguments()
x = nchw(case.load())
core = openvino.Core()
hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
         "INFERENCE_PRECISION_HINT": "bf16" if case.precision == "bfloat16" else "f32"}
request = core.compile_model(core.read_model(onnx_model(case)), "CPU", hints).create_infer_request()


def run():
    return request.infer({0: x}, share_inputs=True)[0]


serve(openvino.__version__.split("-")[0], nhwc(run()), path, run)
