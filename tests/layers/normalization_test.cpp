#include <catch2/catch.hpp>

#include <cmath>

#include <strata/data/prefetch.hpp>
#include <strata/training/saving.hpp>

#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;
using strata_test::random_tensor;

namespace {

/// The example of Keras's documentation: means 1, 8, 5 and variances of 1.
const Tensor<float> documented({4, 3}, {0, 7, 4, 2, 9, 6, 0, 7, 4, 2, 9, 6});

/// Mean and variance of a channel, in double and two passes.
std::pair<double, double> moments(const Tensor<float>& x, std::int64_t channel) {
  const std::int64_t channels = x.shape().back(), rows = x.size() / channels;
  double mean = 0, variance = 0;
  for (std::int64_t i = channel; i < x.size(); i += channels) mean += double(x.data()[i]) / double(rows);
  for (std::int64_t i = channel; i < x.size(); i += channels)
    variance += std::pow(double(x.data()[i]) - mean, 2) / double(rows);
  return {mean, variance};
}

Tensor<float> rows(const Tensor<float>& x, std::int64_t first, std::int64_t last) {
  const auto view = x.slice(first, last);
  return {view.shape(), std::span(view.data(), static_cast<std::size_t>(view.size()))};
}

}  // namespace

TEST_CASE("Normalization adapts before and after it has weights", "[normalization]") {
  for (const bool before : {true, false}) {
    Normalization normalization;
    if (before) normalization.adapt(documented);
    const Sequential model{Input({.shape = {3}}), normalization};
    if (!before) {
      CHECK(model.predict(documented) == documented);  // mean 0, variance 1
      normalization.adapt(documented);
    }
    CHECK(normalization.get_weights() ==
          std::vector<Tensor<float>>{Tensor<float>({3}, {1, 8, 5}), Tensor<float>({3}, {1, 1, 1})});
    CHECK(normalization.trainable_weights().empty());
    const Tensor<float> x({1, 3}, {1, 2, 3});
    CHECK(model.predict(x) == Tensor<float>({1, 3}, {0, -6, -2}));

    Normalization inverse({.invert = true});
    inverse.adapt(documented);
    CHECK(Sequential{Input({.shape = {3}}), inverse}.predict(x) == Tensor<float>({1, 3}, {2, 10, 8}));
  }
}

TEST_CASE("Normalization adapts to many batches and to the pictures of a dataset", "[normalization]") {
  const Tensor<float> x = random_tensor({50, 6, 5, 3}, 1, 999, 1001).cast<float>();
  Normalization whole, parts;
  whole.adapt(x);
  std::vector<Tensor<float>> batches;
  for (std::int64_t first = 0; first < 50; first += 20)
    batches.push_back(rows(x, first, std::min<std::int64_t>(first + 20, 50)));
  parts.adapt(batches);
  const Sequential model{Input({.shape = {6, 5, 3}}), whole}, other{Input({.shape = {6, 5, 3}}), parts};
  CHECK(whole.get_weights() == parts.get_weights());
  for (std::int64_t channel = 0; channel < 3; ++channel) {
    const auto [mean, variance] = moments(x, channel);
    CHECK(whole.get_weights()[0](channel) == Approx(mean).epsilon(1e-7));
    CHECK(whole.get_weights()[1](channel) == Approx(variance).epsilon(1e-6));
    const auto [zero, one] = moments(model.predict(x), channel);
    CHECK(std::abs(zero) < 1e-4);
    CHECK(one == Approx(1).epsilon(1e-4));
  }

  Tensor<std::uint8_t> pixels({7, 4, 4, 3});
  Tensor<float> scaled({7, 4, 4, 3});
  for (std::int64_t i = 0; i < pixels.size(); ++i) {
    pixels.data()[i] = static_cast<std::uint8_t>(i * i % 251);
    scaled.data()[i] = static_cast<float>(pixels.data()[i]) / 255;
  }
  const Dataset dataset =
      dataset_from_tensors(pixels, {}, {.batch_size = 3, .scaling = {.scale = 1.0f / 255}});
  Normalization pictures;
  pictures.adapt(dataset);
  const Sequential third{Input({.shape = {4, 4, 3}}), pictures};
  for (std::int64_t channel = 0; channel < 3; ++channel) {
    CHECK(pictures.get_weights()[0](channel) == Approx(moments(scaled, channel).first));
    CHECK(pictures.get_weights()[1](channel) == Approx(moments(scaled, channel).second));
  }
}

TEST_CASE("What Normalization adapted to or was given is copied, saved and moved", "[normalization]") {
  Normalization adapted, waiting;
  adapted.adapt(documented);
  waiting.adapt(documented);
  const Normalization given({.mean = {1, 8, 5}, .variance = {4}});
  CHECK_THROWS_WITH(Sequential({Input({.shape = {3}}), given}),
                    Contains("expected a mean and a variance of each of 3 channels, or one of each for all, "
                             "found 3 and 1"));
  const Sequential model{Input({.shape = {3}}), adapted, Dense(2),
                         Normalization({.mean = {0.5}, .variance = {0.25}})};
  const Tensor<float> x = random_tensor({5, 3}, 2, -9, 9).cast<float>(), y = model.predict(x);
  CHECK(model.clone().predict(x) == y);
  CHECK(Sequential{waiting}.clone().predict(x) == Sequential{Input({.shape = {3}}), adapted}.predict(x));

  const TemporaryDirectory folder;
  save_model(model, folder.path() + "/model.safetensors");
  const Model loaded = load_model(folder.path() + "/model.safetensors");
  CHECK(loaded.predict(x) == y);

  const DevicePtr device = strata_test::reference_device({.host_accessible = false});
  Model there = model.clone();
  there.to(device);
  const Tensor<float> elsewhere = there.predict(x);
  for (std::int64_t i = 0; i < y.size(); ++i)
    CHECK(elsewhere.data()[i] == Approx(y.data()[i]).epsilon(1e-5).margin(1e-5));
  dynamic_cast<NormalizationImpl<float>&>(*there.layers()[1].impl()).adapt({{0, 0, 0}, {1, 1, 1}});
  CHECK(there.predict(x) != elsewhere);
}

TEST_CASE("Normalization says what it cannot adapt to", "[normalization]") {
  Normalization given({.mean = {1}, .variance = {4}, .name = "norm"}), adapting({.name = "norm"});
  CHECK_THROWS_WITH(given.adapt(documented),
                    "[normalization] layer 'norm': has its mean and variance from the options, found adapt");
  CHECK_THROWS_WITH(adapting.adapt(std::vector<Tensor<float>>{}),
                    Contains("expected data to adapt to, found none"));
  CHECK_THROWS_WITH(adapting.adapt(Tensor<float>({0, 3})), Contains("expected data to adapt to, found none"));
  CHECK_THROWS_WITH(adapting.adapt(std::vector{Tensor<float>({1, 3}), Tensor<float>({1, 2})}),
                    Contains("expected data of 3 channels, found [1,2]"));
  const Sequential model{Input({.shape = {2}}), adapting};
  CHECK_THROWS_WITH(adapting.adapt(documented),
                    Contains("each of 2 channels, or one of each for all, found 3 and 3"));
  Normalization one;
  one.adapt(documented);
  CHECK_THROWS_WITH(Sequential({Input({.shape = {2}}), one}), Contains("each of 2 channels"));
}
