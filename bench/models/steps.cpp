// Whole networks: features of VGG16's base and the training steps of the book's workflows, at 150x150, and
// stages of ResNet50 and MobileNetV2, from random weights and pictures.
#include <benchmark/benchmark.h>

#include <strata/strata.hpp>

#include "../ops/measure.hpp"
#include "networks.hpp"

using namespace strata;

namespace {

constexpr std::int64_t batch = 20;

const DevicePtr& bench_device() {
  static const DevicePtr device = cpu::device({.threads = strata_bench::thread_count()});
  return device;
}

Tensor<float> random_tensor(const Shape& shape) {
  return {shape, strata_bench::random_floats(shape.size(), 1)};
}

Model vgg16() {
  Model base = applications::VGG16({.include_top = false, .input_shape = {150, 150, 3}, .weights = "random"});
  base.to(bench_device());
  return base;
}

void report_pictures(benchmark::State& state, std::int64_t pictures) {
  state.counters["pictures/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * pictures), benchmark::Counter::kIsRate);
}

void vgg16_features(benchmark::State& state) {
  const Model base = vgg16();
  const Tensor<float> x = random_tensor({state.range(0), 150, 150, 3});
  base.predict(x, state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(base.predict(x, state.range(0)));
  report_pictures(state, state.range(0));
}
BENCHMARK(vgg16_features)->Arg(batch)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

void stage(benchmark::State& state, Model (*make)()) {
  Model model = make();
  model.to(bench_device());
  const Tensor<float> x = random_tensor(model.input_shape().with_batch(state.range(0)));
  model.predict(x, state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(model.predict(x, state.range(0)));
  report_pictures(state, state.range(0));
}
BENCHMARK_CAPTURE(stage, resnet, strata_bench::resnet_stage)
    ->Arg(batch)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(stage, mobilenet, strata_bench::mobilenet_stage)
    ->Arg(batch)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void train(benchmark::State& state, Sequential model) {
  model.to(bench_device());
  model.compile(
      {.optimizer = RMSprop({.learning_rate = 1e-5}), .loss = BinaryCrossentropy(), .metrics = {Accuracy()}});
  const Tensor<float> x = random_tensor({batch, 150, 150, 3});
  Tensor<float> y({batch, 1});
  for (std::int64_t i = 0; i < batch; i += 2) y(i, 0) = 1;
  model.train_on_batch(x, y);
  for (auto _ : state) model.train_on_batch(x, y);
  report_pictures(state, batch);
}

void small_convnet_step(benchmark::State& state) {
  train(state, strata_bench::small_convnet());
}
BENCHMARK(small_convnet_step)->Unit(benchmark::kMillisecond)->UseRealTime();

/// A classifier on VGG16's base, of which the layers from `first` on are trained; null: none, "": all.
void vgg16_step(benchmark::State& state, const char* first) {
  Model base = vgg16();
  if (!first)
    base.set_trainable(false);
  else if (*first)
    base.trainable_from(first);
  train(state, strata_bench::with_head(base));
}
BENCHMARK_CAPTURE(vgg16_step, frozen, nullptr)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(vgg16_step, from_block5, "block5_conv1")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(vgg16_step, all, "")->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
