// Dense layers in all three directions: the shapes of classifier heads and of large products.
#include "measure.hpp"

#include <string>

namespace {

using namespace strata;
using namespace strata_bench;

const DenseGeometry shapes[] = {{20, 8192, 256},   {20, 6272, 512},   {1, 8192, 256},  {1, 25088, 4096},
                                {1, 4096, 1000},   {20, 256, 1},      {128, 512, 512}, {81, 512, 512},
                                {1600, 4608, 512}, {2048, 2048, 2048}};

void forward(benchmark::State& state, DenseGeometry s) {
  const Floats x = random_floats(s.rows * s.in, 1), w = random_floats(s.in * s.out, 2);
  Floats y(static_cast<std::size_t>(s.rows * s.out));
  PackedWeights packed;
  for (auto _ : state) backend().dense(s, x.data(), {w.data(), 1, &packed}, {}, y.data());
  report_flops(state, static_cast<double>(s.flops()));
  const std::int64_t samples = std::min<std::int64_t>(200, static_cast<std::int64_t>(y.size()));
  const std::int64_t step = static_cast<std::int64_t>(y.size()) / samples;
  state.counters["error"] = relative_error(
      samples, [&](std::int64_t i) { return y[static_cast<std::size_t>(i * step)]; },
      [&](std::int64_t i) {
        double sum = 0;
        for (std::int64_t k = 0; k < s.in; ++k)
          sum += static_cast<double>(x[static_cast<std::size_t>(i * step / s.out * s.in + k)]) *
                 static_cast<double>(w[static_cast<std::size_t>(k * s.out + i * step % s.out)]);
        return sum;
      });
}

void backward_input(benchmark::State& state, DenseGeometry s) {
  const Floats dy = random_floats(s.rows * s.out, 1), w = random_floats(s.in * s.out, 2);
  Floats dx(static_cast<std::size_t>(s.rows * s.in));
  for (auto _ : state)  // a trained weight is new in every step
    backend().dense_backward_input(s, dy.data(), {w.data()}, {dx.data()});
  report_flops(state, static_cast<double>(s.flops()));
}
void backward_kernel(benchmark::State& state, DenseGeometry s) {
  const Floats x = random_floats(s.rows * s.in, 1), dy = random_floats(s.rows * s.out, 2);
  Floats dw(static_cast<std::size_t>(s.in * s.out));
  for (auto _ : state) backend().dense_backward_kernel(s, x.data(), dy.data(), {dw.data(), false});
  report_flops(state, static_cast<double>(s.flops()));
}

const bool registered = [] {
  for (const DenseGeometry& s : shapes) {
    const std::string shape =
        std::to_string(s.rows) + "x" + std::to_string(s.in) + "x" + std::to_string(s.out);
    const auto add = [&](const char* name, auto function) {
      benchmark::RegisterBenchmark((name + shape).c_str(), function, s)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    };
    add("dense/", forward);
    add("dense_backward_input/", backward_input);
    add("dense_backward_kernel/", backward_kernel);
  }
  return true;
}();

}  // namespace
