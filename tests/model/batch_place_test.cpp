#include <catch2/catch.hpp>

#include <cstring>

#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

#include "support/gradient_check.hpp"

using namespace strata;
using strata_test::random_tensor;

namespace {

/// A convolution whose transformed kernel is read once for all tiles.
Model wide(const DevicePtr& device) {
  Sequential model(
      {Input({.shape = {13, 13, 160}}), Conv2D({.filters = 544, .kernel_size = 3, .padding = Padding::same}),
       GlobalAveragePooling2D(), Dense({.units = 10})},
      {.seed = 3});
  return model.to(device);
}

/// Every layer that computes, at sizes where vectors, tiles and blocks do not come out even.
Model network(const DevicePtr& device, std::int64_t size, std::int64_t filters) {
  const auto conv = [&](std::int64_t n, std::int64_t kernel, std::int64_t stride,
                        const Activation& activation) {
    return Conv2D({.filters = n,
                   .kernel_size = kernel,
                   .strides = stride,
                   .padding = Padding::same,
                   .activation = activation});
  };
  const auto in = Input({.shape = {size, size, 3}});
  auto x = conv(filters, 3, 1, Activation::relu)(Rescaling(1.0 / 127)(in));
  x = MaxPooling2D()(conv(filters, 3, 1, Activation::linear)(x));
  const auto shortcut = conv(2 * filters, 1, 1, Activation::linear)(x);
  x = BatchNormalization()(conv(2 * filters, 3, 1, Activation::silu)(x));
  x = ReLU()(Add()({shortcut, x}));
  x = DepthwiseConv2D({.kernel_size = 3, .padding = Padding::same, .activation = Activation::gelu})(x);
  x = conv(filters, 5, 2, Activation::tanh)(x);
  x = ActivationLayer(Activation::elu)(AveragePooling2D()(x));
  x = Dense({.units = 37, .activation = Activation::sigmoid})(Flatten()(x));
  x = Softmax()(Dense({.units = 10})(x));
  Model model({.inputs = {in}, .outputs = {x}, .seed = 3});
  return model.to(device);
}

}  // namespace

TEST_CASE("At one batch size a sample's result is the same bits in any place and company") {
  for (const std::string_view set : {"baseline", "avx2", "avx512"})
    for (const int threads : {1, 3}) {
      DevicePtr device;
      try {
        device = cpu::device({.threads = threads, .instruction_set = set});
      } catch (const DeviceError&) {
        continue;
      }
      const auto check = [&](const Model& model, std::int64_t batch) {
        INFO(set << ", " << threads << " threads, " << model.input_shape().to_string() << ", batch "
                 << batch);
        const std::int64_t n = 2 * batch;
        const Tensor<float> x = random_tensor(model.input_shape().with_batch(n)).cast<float>();
        Tensor<float> mixed(x.shape());
        const auto place = [&](std::int64_t i) { return (i * 17 + 3) % n; };
        for (std::int64_t i = 0; i < n; ++i)
          std::copy_n(x.data() + i * x.size() / n, x.size() / n, mixed.data() + place(i) * x.size() / n);
        const Tensor<float> y = model.predict(x, batch), other = model.predict(mixed, batch);
        for (std::int64_t i = 0; i < n; ++i)
          CHECK(std::memcmp(y.data() + 10 * i, other.data() + 10 * place(i), 10 * sizeof(float)) == 0);
      };
      for (const auto& [size, filters] : {std::pair<std::int64_t, std::int64_t>{21, 5}, {30, 16}, {13, 70}})
        for (const std::int64_t batch : {2, 7, 20}) check(network(device, size, filters), batch);
      check(wide(device), 4);
    }
}
