// Convolutions of VGG16 at 150x150, of a small convnet, and geometries that Winograd does not serve,
// depthwise ones among them, in all three directions. Counted are the operations of the plain sum, so
// Winograd may pass 1 of the FMA peak.
#include "convolution_layers.hpp"
#include "measure.hpp"

#include <cmath>
#include <string>

#include <strata/cpu/planner.hpp>
#include <strata/cpu/winograd.hpp>

namespace {

using namespace strata;
using namespace strata_bench;

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

void forward(benchmark::State& state, ConvolutionLayer layer, std::int64_t batch) {
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
  state.SetLabel(label_of(g, cpu::plan_convolution({cpu::ConvolutionPass::forward, g, layer.max_pool},
                                                   cpu::kernels(), plan_limits())));
}

void backward_input(benchmark::State& state, ConvolutionLayer layer, std::int64_t batch) {
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
  state.SetLabel(label_of(
      g, cpu::plan_convolution({cpu::ConvolutionPass::input_gradient, g}, cpu::kernels(), plan_limits())));
}

void backward_kernel(benchmark::State& state, ConvolutionLayer layer, std::int64_t batch) {
  const Conv2DGeometry g = geometry_of(layer, batch);
  const Floats x = random_floats(batch * g.in_h * g.in_w * g.in_c, 1);
  Floats dy = random_floats(batch * g.out_h * g.out_w * g.out_c, 2);
  // A pooling of an odd size has no window at the last row and column.
  for (std::int64_t i = 0; layer.max_pool && i < static_cast<std::int64_t>(dy.size()); ++i) {
    const std::int64_t pixel = i / g.out_c, column = pixel % g.out_w, row = pixel / g.out_w % g.out_h;
    if (row >= g.out_h / 2 * 2 || column >= g.out_w / 2 * 2) dy[static_cast<std::size_t>(i)] = 0;
  }
  Floats dw(static_cast<std::size_t>(g.kernel_h * g.kernel_w * g.group_in() * g.out_c));
  const auto run = [&] { backend().conv2d_backward_kernel(g, x.data(), dy.data(), {dw.data(), false}); };
  run();
  for (auto _ : state) run();
  report(state, g);
  state.SetLabel(label_of(g, cpu::plan_convolution({cpu::ConvolutionPass::kernel_gradient,
                                                    cpu::without_zero_border(g, dy.data())},
                                                   cpu::kernels(), plan_limits())));
}

const bool registered = [] {
  const auto add = [](const std::string& name, auto function, const ConvolutionLayer& layer,
                      std::int64_t batch) {
    benchmark::RegisterBenchmark(name.c_str(), function, layer, batch)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  for (const ConvolutionLayer& layer : convolution_layers)
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
