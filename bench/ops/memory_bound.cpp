// What should run at the speed of memory: elementwise functions, pooling, batch normalization, optimizers.
// GB/s counts what has to be read and written once.
#include "measure.hpp"

namespace {

using namespace strata;
using namespace strata_bench;

constexpr std::int64_t count = std::int64_t{8} << 20, channels = 64, rows = count / channels;

void activation(benchmark::State& state, Activation f) {
  const Floats x = random_floats(count, 1);
  Floats y(x.size());
  for (auto _ : state) backend().activation(f, rows, channels, x.data(), y.data());
  report_bytes(state, 8.0 * count);
}
BENCHMARK_CAPTURE(activation, relu, Activation::relu)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(activation, sigmoid, Activation::sigmoid)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(activation, softmax, Activation::softmax)->Unit(benchmark::kMillisecond)->UseRealTime();

void relu_backward(benchmark::State& state) {
  const Floats y = random_floats(count, 1), dy = random_floats(count, 2);
  Floats dx(y.size());
  for (auto _ : state)
    backend().activation_backward(Activation::relu, rows, channels, nullptr, y.data(), dy.data(), dx.data());
  report_bytes(state, 12.0 * count);
}
BENCHMARK(relu_backward)->Unit(benchmark::kMillisecond)->UseRealTime();

void dropout(benchmark::State& state) {
  const Floats x = random_floats(count, 1);
  Floats y(x.size());
  for (auto _ : state) backend().dropout(count, 0.5, RandomStream(1, Purpose::layer), x.data(), y.data());
  report_bytes(state, 8.0 * count);
}
BENCHMARK(dropout)->Unit(benchmark::kMillisecond)->UseRealTime();

void bias_gradient(benchmark::State& state) {
  const Floats dy = random_floats(count, 1);
  Floats sums(channels);
  for (auto _ : state) backend().bias_gradient(rows, channels, dy.data(), {sums.data(), false});
  report_bytes(state, 4.0 * count);
}
BENCHMARK(bias_gradient)->Unit(benchmark::kMillisecond)->UseRealTime();

void batch_norm(benchmark::State& state) {
  const Floats x = random_floats(count, 1);
  Floats y(x.size()), moments[4];
  for (Floats& values : moments) values.resize(channels);
  for (auto _ : state)
    backend().batch_norm({rows, channels, 1e-3}, 0.99, x.data(), {moments[0].data(), moments[1].data()},
                         {moments[2].data(), moments[3].data()}, y.data());
  report_bytes(state, 16.0 * count);  // x is read for the mean, the variance and the result
}
BENCHMARK(batch_norm)->Unit(benchmark::kMillisecond)->UseRealTime();

void batch_norm_backward(benchmark::State& state) {
  const Floats x = random_floats(count, 1), dy = random_floats(count, 2), mean(channels),
               variance(channels, 1);
  Floats dx(x.size()), dgamma(channels), dbeta(channels);
  for (auto _ : state)
    backend().batch_norm_backward({rows, channels, 1e-3}, x.data(), {mean.data(), variance.data()}, false,
                                  dy.data(), dx.data(), {dgamma.data(), false}, {dbeta.data(), false});
  report_bytes(state, 20.0 * count);  // x and dy are read for the sums and for the result
}
BENCHMARK(batch_norm_backward)->Unit(benchmark::kMillisecond)->UseRealTime();

constexpr Pool2DGeometry pool{8, 128, 128, 64, 64, 64, 2, 2, 2, 2, 0, 0};

void max_pool(benchmark::State& state) {
  const Floats x = random_floats(count, 1);
  Floats y(count / 4);
  for (auto _ : state) backend().pool2d(pool, PoolKind::max, x.data(), y.data());
  report_bytes(state, 5.0 * count);
}
BENCHMARK(max_pool)->Unit(benchmark::kMillisecond)->UseRealTime();

void max_pool_backward(benchmark::State& state) {
  const Floats x = random_floats(count, 1), dy = random_floats(count / 4, 2);
  Floats y(count / 4), dx(count);
  backend().pool2d(pool, PoolKind::max, x.data(), y.data());
  for (auto _ : state)
    backend().pool2d_backward(pool, PoolKind::max, Activation::relu, x.data(), y.data(), dy.data(),
                              dx.data());
  report_bytes(state, 10.0 * count);
}
BENCHMARK(max_pool_backward)->Unit(benchmark::kMillisecond)->UseRealTime();

void max_pool_argmax(benchmark::State& state) {
  const Floats x = random_floats(count, 1);
  Floats y(count / 4);
  std::vector<std::uint8_t> argmax(count / 4);
  for (auto _ : state) backend().pool2d(pool, PoolKind::max, x.data(), y.data(), argmax.data());
  report_bytes(state, 5.25 * count);
}
BENCHMARK(max_pool_argmax)->Unit(benchmark::kMillisecond)->UseRealTime();

void max_pool_argmax_backward(benchmark::State& state) {
  const Floats x = random_floats(count, 1), dy = random_floats(count / 4, 2);
  Floats y(count / 4), dx(count);
  std::vector<std::uint8_t> argmax(count / 4);
  backend().pool2d(pool, PoolKind::max, x.data(), y.data(), argmax.data());
  for (auto _ : state)
    backend().pool2d_backward(pool, PoolKind::max, Activation::relu, nullptr, y.data(), dy.data(), dx.data(),
                              argmax.data());
  report_bytes(state, 6.25 * count);
}
BENCHMARK(max_pool_argmax_backward)->Unit(benchmark::kMillisecond)->UseRealTime();

void average_pool(benchmark::State& state) {
  const Floats x = random_floats(count, 1);
  Floats y(count / 4);
  for (auto _ : state) backend().pool2d(pool, PoolKind::average, x.data(), y.data());
  report_bytes(state, 5.0 * count);
}
BENCHMARK(average_pool)->Unit(benchmark::kMillisecond)->UseRealTime();

void average_pool_backward(benchmark::State& state) {
  const Floats dy = random_floats(count / 4, 1);
  Floats dx(count);
  for (auto _ : state)
    backend().pool2d_backward(pool, PoolKind::average, Activation::linear, nullptr, nullptr, dy.data(),
                              dx.data());
  report_bytes(state, 5.0 * count);
}
BENCHMARK(average_pool_backward)->Unit(benchmark::kMillisecond)->UseRealTime();

void optimizer(benchmark::State& state, OptimizerSpec spec, int slots) {
  const Floats gradient = random_floats(count, 1);
  Floats value = random_floats(count, 2);
  std::vector<Floats> memory(static_cast<std::size_t>(slots), Floats(count));
  OptimizerUpdate<float> update{count, value.data(), gradient.data()};
  for (int i = 0; i < slots; ++i) update.slots[i] = memory[static_cast<std::size_t>(i)].data();
  OptimizerState steps{.learning_rate = 1e-5, .iteration = 2};
  for (auto _ : state) backend().optimizer_step(spec, &steps, {&update, 1});
  report_bytes(state, (12.0 + 8.0 * slots) * count);
}
constexpr OptimizerSpec rmsprop{.kind = OptimizerKind::rmsprop, .rho = 0.9, .epsilon = 1e-7};
constexpr OptimizerSpec adam{.kind = OptimizerKind::adam, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7};
BENCHMARK_CAPTURE(optimizer, rmsprop, rmsprop, 1)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(optimizer, adam, adam, 2)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
