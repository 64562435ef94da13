// Convolutions of VGG16 at 150x150, of a small convnet, and geometries that Winograd does not serve,
// depthwise ones among them, in all three directions. Counted are the operations of the plain sum, so
// Winograd may pass 1 of the FMA peak.
#include "measure.hpp"

#include <string>

#include <strata/cpu/planner.hpp>

namespace {

using namespace strata;
using namespace strata_bench;

struct Layer {
  const char* name;
  std::int64_t size, in_c, out_c, kernel = 3, stride = 1;
  bool max_pool = false;
  std::int64_t groups = 1;
};
const Layer layers[] = {{"vgg16/block1_conv1", 150, 3, 64},
                        {"vgg16/block1_conv2+pool", 150, 64, 64, 3, 1, true},
                        {"vgg16/block2_conv1", 75, 64, 128},
                        {"vgg16/block2_conv2+pool", 75, 128, 128, 3, 1, true},
                        {"vgg16/block3_conv1", 37, 128, 256},
                        {"vgg16/block3_conv2", 37, 256, 256},
                        {"vgg16/block3_conv3+pool", 37, 256, 256, 3, 1, true},
                        {"vgg16/block4_conv1", 18, 256, 512},
                        {"vgg16/block4_conv2", 18, 512, 512},
                        {"vgg16/block4_conv3+pool", 18, 512, 512, 3, 1, true},
                        {"vgg16/block5_conv1", 9, 512, 512},
                        {"vgg16/block5_conv3+pool", 9, 512, 512, 3, 1, true},
                        {"convnet/conv1", 148, 3, 32},
                        {"convnet/conv2", 72, 32, 64},
                        {"convnet/conv3", 34, 64, 128},
                        {"convnet/conv4", 15, 128, 128},
                        {"direct/1x1", 37, 256, 128, 1},
                        {"direct/1x1, many filters", 55, 64, 256, 1},
                        {"direct/5x5", 37, 64, 128, 5},
                        {"direct/3x3, stride 2", 75, 64, 128, 3, 2},
                        {"few/7x7, stride 2", 150, 3, 64, 7, 2},
                        {"few/3x3, stride 2", 224, 3, 32, 3, 2},
                        {"few/1 channel", 148, 1, 32},
                        {"few/8 channels", 75, 8, 32},
                        {"few/8 filters", 148, 3, 8},
                        {"depthwise/3x3", 56, 144, 144, 3, 1, false, 144},
                        {"depthwise/3x3, stride 2", 56, 144, 144, 3, 2, false, 144},
                        {"depthwise/3x3, small", 14, 384, 384, 3, 1, false, 384},
                        {"depthwise/7x7", 28, 192, 192, 7, 1, false, 192},
                        {"grouped/3x3, 32 groups", 28, 256, 256, 3, 1, false, 32}};

Conv2DGeometry geometry_of(const Layer& layer, std::int64_t batch) {
  Conv2DGeometry g;
  g.batch = batch;
  g.in_h = g.in_w = layer.size;
  g.in_c = layer.in_c;
  g.out_c = layer.out_c;
  g.groups = layer.groups;
  g.kernel_h = g.kernel_w = layer.kernel;
  g.stride_h = g.stride_w = layer.stride;
  g.pad_top = g.pad_left = layer.kernel / 2;
  g.out_h = g.out_w = (layer.size - 1) / layer.stride + 1;
  return g;
}

/// One element of the plain convolution, in double.
double exact(const Conv2DGeometry& g, const Floats& x, const Floats& w, std::int64_t n, std::int64_t oy,
             std::int64_t ox, std::int64_t o) {
  double sum = 0;
  const std::int64_t from = o / g.group_out() * g.group_in();  // the group's first channel of x
  for (std::int64_t ky = 0; ky < g.kernel_h; ++ky)
    for (std::int64_t kx = 0; kx < g.kernel_w; ++kx) {
      const std::int64_t y = oy * g.stride_h - g.pad_top + ky, c = ox * g.stride_w - g.pad_left + kx;
      if (y < 0 || c < 0 || y >= g.in_h || c >= g.in_w) continue;
      const std::int64_t pixel = ((n * g.in_h + y) * g.in_w + c) * g.in_c + from;
      for (std::int64_t i = 0; i < g.group_in(); ++i)
        sum += static_cast<double>(x[static_cast<std::size_t>(pixel + i)]) *
               static_cast<double>(
                   w[static_cast<std::size_t>(((ky * g.kernel_w + kx) * g.group_in() + i) * g.out_c + o)]);
    }
  return sum;
}

/// Depthwise convolutions have little to compute for what they read and write.
void report(benchmark::State& state, const Conv2DGeometry& g) {
  report_flops(state, static_cast<double>(g.flops()));
  if (g.group_in() == 1 && g.groups > 1)
    report_bytes(
        state, 4.0 * static_cast<double>(g.batch * (g.in_h * g.in_w * g.in_c + g.out_h * g.out_w * g.out_c)));
}

/// What was chosen: convolutions in groups are not planned.
std::string label_of(const Conv2DGeometry& g, const cpu::ConvolutionPlan& plan) {
  return g.groups == 1 ? plan.to_string() : g.group_in() == 1 ? "depthwise" : "grouped";
}

void forward(benchmark::State& state, Layer layer, std::int64_t batch) {
  const Conv2DGeometry g = geometry_of(layer, batch);
  const Floats x = random_floats(batch * g.in_h * g.in_w * g.in_c, 1);
  const float scale = std::sqrt(2.f / static_cast<float>(layer.kernel * layer.kernel * g.group_in()));
  const Floats w = random_floats(g.kernel_h * g.kernel_w * g.group_in() * g.out_c, 2, scale);
  Floats y(static_cast<std::size_t>(batch * g.out_h * g.out_w * g.out_c));
  PackedWeights packed;
  auto& backend = strata_bench::backend();
  const auto run = [&](bool pool) {
    backend.conv2d(g, x.data(), {w.data(), 1, &packed}, {nullptr, Activation::linear, pool}, y.data());
  };
  run(layer.max_pool);  // packs the weight and allocates the workspace
  for (auto _ : state) run(layer.max_pool);
  report(state, g);
  run(false);  // its error, at 500 outputs spread over the result
  const std::int64_t samples = 500, step = static_cast<std::int64_t>(y.size()) / samples;
  state.counters["error"] = relative_error(
      samples, [&](std::int64_t i) { return y[static_cast<std::size_t>(i * step)]; },
      [&](std::int64_t i) {
        const std::int64_t at = i * step, pixel = at / g.out_c;
        return exact(g, x, w, pixel / (g.out_h * g.out_w), pixel / g.out_w % g.out_h, pixel % g.out_w,
                     at % g.out_c);
      });
  state.SetLabel(label_of(
      g, cpu::plan_convolution({cpu::ConvolutionPass::forward, g, layer.max_pool}, cpu::kernels(), {})));
}

void backward_input(benchmark::State& state, Layer layer, std::int64_t batch) {
  const Conv2DGeometry g = geometry_of(layer, batch);
  const Floats dy = random_floats(batch * g.out_h * g.out_w * g.out_c, 1);
  const Floats w = random_floats(g.kernel_h * g.kernel_w * g.group_in() * g.out_c, 2);
  Floats dx(static_cast<std::size_t>(batch * g.in_h * g.in_w * g.in_c));
  PackedWeights packed;
  const auto run = [&] {
    backend().conv2d_backward_input(g, dy.data(), {w.data(), 1, &packed}, {dx.data()});
  };
  run();
  for (auto _ : state) run();
  report(state, g);
  state.SetLabel(
      label_of(g, cpu::plan_convolution({cpu::ConvolutionPass::input_gradient, g}, cpu::kernels(), {})));
}

void backward_kernel(benchmark::State& state, Layer layer, std::int64_t batch) {
  const Conv2DGeometry g = geometry_of(layer, batch);
  const Floats x = random_floats(batch * g.in_h * g.in_w * g.in_c, 1);
  const Floats dy = random_floats(batch * g.out_h * g.out_w * g.out_c, 2);
  Floats dw(static_cast<std::size_t>(g.kernel_h * g.kernel_w * g.group_in() * g.out_c));
  const auto run = [&] { backend().conv2d_backward_kernel(g, x.data(), dy.data(), {dw.data(), false}); };
  run();
  for (auto _ : state) run();
  report(state, g);
  state.SetLabel(
      label_of(g, cpu::plan_convolution({cpu::ConvolutionPass::kernel_gradient, g}, cpu::kernels(), {})));
}

const bool registered = [] {
  const auto add = [](const std::string& name, auto function, const Layer& layer, std::int64_t batch) {
    benchmark::RegisterBenchmark(name.c_str(), function, layer, batch)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  for (const Layer& layer : layers)
    for (const std::int64_t batch : {20, 1}) {
      const std::string name = std::string(layer.name) + "/batch " + std::to_string(batch);
      add("forward/" + name, forward, layer, batch);
      if (batch == 1) continue;
      add("backward_input/" + name, backward_input, layer, batch);
      add("backward_kernel/" + name, backward_kernel, layer, batch);
    }
  return true;
}();

}  // namespace
