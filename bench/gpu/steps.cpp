// A card's speed: VGG16's base, training steps of VGG16 and of the book's small convnet, and single
// operations, in TF32 and in float. Weights and pictures are random and lie on the card; a measurement ends
// when the card is done. bench/peers/torch_gpu.py does the same under the same names.
#include <benchmark/benchmark.h>

#include <string>

#include <strata/cuda.hpp>
#include <strata/strata.hpp>

#include "../models/networks.hpp"
#include "../ops/measure.hpp"

using namespace strata;

namespace {

const DevicePtr& card(bool tf32) {
  static const DevicePtr devices[] = {cuda::device({.tf32 = false}), cuda::device({.tf32 = true})};
  return devices[tf32];
}

/// A million random numbers, repeated: making them takes longer than measuring.
Tensor<float> random_tensor(const Shape& shape, const DevicePtr& device) {
  static const strata_bench::Floats values = strata_bench::random_floats(1 << 20, 1);
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < shape.size(); ++i)
    out.data()[i] = values[static_cast<std::size_t>(i) % values.size()];
  return out.to(device);
}

/// Runs `work` until plans are made and memory is taken, then measures it, waiting for `wait` each time.
template <class Work, class Wait>
void measure(benchmark::State& state, Work work, Wait wait, const char* unit, std::int64_t count) {
  for (int i = 0; i < 3; ++i) work();
  wait();
  for (auto _ : state) {
    work();
    wait();
  }
  state.counters[unit] =
      benchmark::Counter(static_cast<double>(state.iterations() * count), benchmark::Counter::kIsRate);
}

Model vgg16(std::int64_t size, bool tf32) {
  Model base =
      applications::VGG16({.include_top = false, .input_shape = {size, size, 3}, .weights = "random"});
  base.to(card(tf32));
  return base;
}

/// Not `predict`, which takes its input from the host and brings the result there.
void inference(benchmark::State& state, std::int64_t size, std::int64_t batch, bool tf32) {
  const Model base = vgg16(size, tf32);
  const Tensor<float> x = random_tensor({batch, size, size, 3}, card(tf32));
  Tensor<float> y(base.output_shape().with_batch(batch), card(tf32));
  const TensorView<const float> in = x.view();
  const TensorView<float> out = y.view();
  const auto session = base.model().session();
  measure(
      state,
      [&] {
        base.model().graph().forward({&in, 1}, {&out, 1}, session->begin({}));
      },
      [&] { session->backend().synchronize(); }, "images/s", batch);
}

void train(benchmark::State& state, Sequential model, std::int64_t size, std::int64_t batch, bool tf32) {
  model.to(card(tf32));
  model.compile({.optimizer = RMSprop({.learning_rate = 1e-5}), .loss = BinaryCrossentropy()});
  Tensor<float> y({batch, 1});
  for (std::int64_t i = 0; i < batch; i += 2) y(i, 0) = 1;
  const DeviceBatch<float> data{random_tensor({batch, size, size, 3}, card(tf32)), y.to(card(tf32)), {}};
  measure(
      state, [&] { model.trainer().train_step(model.model(), data); }, [&] { card(tf32)->synchronize(); },
      "images/s", batch);
}

/// Layers from `first` on train, "": all.
void vgg16_step(benchmark::State& state, const char* first, std::int64_t size, std::int64_t batch,
                bool tf32) {
  Model base = vgg16(size, tf32);
  if (*first) base.trainable_from(first);
  train(state, strata_bench::with_head(base), size, batch, tf32);
}

void small_convnet_step(benchmark::State& state, std::int64_t batch, bool tf32) {
  train(state, strata_bench::small_convnet(), 150, batch, tf32);
}

// One operation takes less than waiting for it, so a measurement is of ten.
constexpr std::int64_t calls = 10;

template <class Call>
void operation(benchmark::State& state, Backend<float>& backend, Call call) {
  measure(
      state,
      [&] {
        for (std::int64_t i = 0; i < calls; ++i) call();
      },
      [&] { backend.synchronize(); }, "calls/s", calls);
}

enum class Pass { forward, backward_input, backward_kernel };
constexpr Pass passes[] = {Pass::forward, Pass::backward_input, Pass::backward_kernel};
const char* name_of(Pass pass) {
  return pass == Pass::forward          ? "forward"
         : pass == Pass::backward_input ? "backward_input"
                                        : "backward_kernel";
}

void conv2d(benchmark::State& state, Pass pass, const Conv2DGeometry& g, bool tf32) {
  const auto backend = card(tf32)->make_backend<float>();
  const Tensor<float> x = random_tensor({g.batch, g.in_h, g.in_w, g.in_c}, card(tf32));
  const Tensor<float> w = random_tensor({g.kernel_h, g.kernel_w, g.in_c, g.out_c}, card(tf32));
  const Tensor<float> dy = random_tensor({g.batch, g.out_h, g.out_w, g.out_c}, card(tf32));
  const Tensor<float> bias = random_tensor({g.out_c}, card(tf32));
  Tensor<float> to(pass == Pass::forward          ? dy.shape()
                   : pass == Pass::backward_input ? x.shape()
                                                  : w.shape(),
                   card(tf32));
  PackedWeights packed;
  const WeightView<float> kernel{w.data(), 1, &packed};
  operation(state, *backend, [&] {
    if (pass == Pass::forward)
      backend->conv2d(g, x.data(), kernel, {.bias = bias.data(), .activation = Activation::relu}, to.data());
    else if (pass == Pass::backward_input)
      backend->conv2d_backward_input(g, dy.data(), kernel, {to.data()});
    else
      backend->conv2d_backward_kernel(g, x.data(), dy.data(), {to.data()});
  });
}

void dense(benchmark::State& state, Pass pass, const DenseGeometry& g, bool tf32) {
  const auto backend = card(tf32)->make_backend<float>();
  const Tensor<float> x = random_tensor({g.rows, g.in}, card(tf32));
  const Tensor<float> w = random_tensor({g.in, g.out}, card(tf32));
  const Tensor<float> dy = random_tensor({g.rows, g.out}, card(tf32));
  const Tensor<float> bias = random_tensor({g.out}, card(tf32));
  Tensor<float> to(pass == Pass::forward          ? dy.shape()
                   : pass == Pass::backward_input ? x.shape()
                                                  : w.shape(),
                   card(tf32));
  PackedWeights packed;
  const WeightView<float> kernel{w.data(), 1, &packed};
  operation(state, *backend, [&] {
    if (pass == Pass::forward)
      backend->dense(g, x.data(), kernel, {.bias = bias.data(), .activation = Activation::relu}, to.data());
    else if (pass == Pass::backward_input)
      backend->dense_backward_input(g, dy.data(), kernel, {to.data()});
    else
      backend->dense_backward_kernel(g, x.data(), dy.data(), {to.data()});
  });
}

/// 2x2 with stride 2 of [32,size,size,channels].
void max_pool(benchmark::State& state, bool backward, std::int64_t size, std::int64_t channels) {
  const DevicePtr& device = card(true);
  const auto backend = device->make_backend<float>();
  const std::int64_t out = size / 2;
  const Pool2DGeometry g{.batch = 32,
                         .in_h = size,
                         .in_w = size,
                         .channels = channels,
                         .out_h = out,
                         .out_w = out,
                         .pool_h = 2,
                         .pool_w = 2,
                         .stride_h = 2,
                         .stride_w = 2};
  const Tensor<float> x = random_tensor({32, size, size, channels}, device);
  Tensor<float> y({32, out, out, channels}, device), dx(x.shape(), device);
  backend->pool2d(g, PoolKind::max, x.data(), y.data());
  operation(state, *backend, [&] {
    if (backward)
      backend->pool2d_backward(g, PoolKind::max, Activation::linear, x.data(), y.data(), y.data(), dx.data());
    else
      backend->pool2d(g, PoolKind::max, x.data(), y.data());
  });
}

template <class Function, class... Arguments>
void add(const std::string& name, Function function, Arguments... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { function(state, arguments...); })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

void add_networks(bool tf32) {
  const std::string precision = tf32 ? "/tf32" : "/fp32";
  for (const std::int64_t size : {150, 224}) {
    const std::string pixels = concat("/", size, "px");
    for (const std::int64_t batch : {1, 32, 128})
      add(concat("vgg16_inference", pixels, "/batch ", batch, precision), inference, size, batch, tf32);
    for (const auto& [name, first] : {std::pair{"block5", "block5_conv1"}, std::pair{"all", ""}})
      add(concat("vgg16_step_", name, pixels, "/batch 32", precision), vgg16_step, first, size,
          std::int64_t{32}, tf32);
  }
  for (const std::int64_t batch : {32, 128})
    add(concat("small_convnet_step/150px/batch ", batch, precision), small_convnet_step, batch, tf32);
}

void add_operations(bool tf32) {
  const std::string precision = tf32 ? "/tf32" : "/fp32";
  struct Layer {
    std::int64_t size, in, out, kernel = 3, stride = 1;
  };
  for (const auto& [size, in, out, kernel, stride] :
       {Layer{150, 3, 32}, Layer{150, 3, 64}, Layer{224, 3, 64, 7, 2}, Layer{150, 64, 64},
        Layer{75, 128, 128}, Layer{37, 256, 256}, Layer{18, 512, 512}, Layer{9, 512, 512}})
    for (const Pass pass : passes) {
      if (pass == Pass::backward_input && in == 3) continue;  // nobody asks for it
      const Conv2DGeometry g{.batch = 32,
                             .in_h = size,
                             .in_w = size,
                             .in_c = in,
                             .out_h = size / stride,
                             .out_w = size / stride,
                             .out_c = out,
                             .kernel_h = kernel,
                             .kernel_w = kernel,
                             .stride_h = stride,
                             .stride_w = stride,
                             .pad_top = kernel / 2,
                             .pad_left = kernel / 2};
      add(concat("conv2d_", name_of(pass), "/", size, "px ", in, " to ", out, " ", kernel, "x", kernel,
                 " by ", stride, "/batch 32", precision),
          conv2d, pass, g, tf32);
    }
  for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{8192, 256}, {25088, 4096}})
    for (const Pass pass : passes)
      add(concat("dense_", name_of(pass), "/", in, " to ", out, "/batch 32", precision), dense, pass,
          DenseGeometry{32, in, out}, tf32);
}

const bool registered = [] {
  if (cuda::device_count() == 0) {
    add("no_card", [](benchmark::State& state) { state.SkipWithError("there is no NVIDIA card"); });
    return false;
  }
  for (const bool tf32 : {true, false}) add_networks(tf32);
  for (const bool tf32 : {true, false}) add_operations(tf32);
  for (const bool backward : {false, true})
    for (const auto& [size, channels] : {std::pair<std::int64_t, std::int64_t>{150, 64}, {37, 256}})
      add(concat("max_pool_", backward ? "backward" : "forward", "/", size, "px ", channels,
                 "/batch 32/fp32"),
          max_pool, backward, size, channels);
  return true;
}();

}  // namespace
