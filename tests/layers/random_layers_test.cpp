#include <catch2/catch.hpp>

#include <cmath>

#include <strata/cpu/device.hpp>
#include <strata/layers/registry.hpp>
#include <strata/training/saving.hpp>

#include "support/gradient_check.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Contains;

namespace {

Tensor<float> train(const Layer& layer, const Tensor<float>& x, std::uint64_t step,
                    const DevicePtr& device = default_device()) {
  const Shape shape = x.shape().without_batch();
  layer.impl()->ensure_built(std::vector{shape}, {.path = layer.name(), .device = device});
  const Tensor<float> in = x.to(device);
  Tensor<float> out = Tensor<float>::uninitialized(x.shape(), device);
  Session<float> session(device);
  const std::vector<TensorView<const float>> inputs{in};
  layer.impl()->forward(inputs, out, session.begin({.training = true, .seed = 7, .step = step}));
  return out.to(nullptr);
}

/// Pictures whose channels are their rows and columns, so that results show where they were read.
Tensor<float> places(std::int64_t batch, std::int64_t size) {
  Tensor<float> x({batch, size, size, 2});
  for (std::int64_t i = 0; i < batch * size * size; ++i) {
    x.data()[2 * i] = static_cast<float>(i / size % size);
    x.data()[2 * i + 1] = static_cast<float>(i % size);
  }
  return x;
}

/// What a layer drew, as `of(picture)` reads it from the results of many steps: within the bounds, uniform.
template <class Of>
void check_uniform(const Layer& layer, const Tensor<float>& x, double lower, double upper, Of of) {
  INFO(layer.class_name());
  const std::int64_t batch = x.shape()[0], size = x.size() / batch;
  double sum = 0, squares = 0, count = 0, least = upper, greatest = lower;
  for (std::uint64_t step = 0; step < 200; ++step) {
    const Tensor<float> y = train(layer, x, step);
    for (std::int64_t n = 0; n < batch; ++n) {
      const double value = of(y.data() + n * size);
      sum += value, squares += value * value, ++count;
      least = std::min(least, value), greatest = std::max(greatest, value);
    }
  }
  const double width = upper - lower, mean = sum / count, variance = squares / count - mean * mean;
  CHECK(least >= lower - 1e-5);
  CHECK(greatest <= upper + 1e-5);
  CHECK(least < lower + 0.02 * width);
  CHECK(greatest > upper - 0.02 * width);
  CHECK(std::abs(mean - (lower + upper) / 2) < 0.03 * width);
  CHECK(std::abs(variance - width * width / 12) < 0.01 * width * width);
}

std::vector<Layer> all() {
  return {RandomFlip(),
          RandomRotation(0.1),
          RandomZoom({.height_factor = 0.2, .width_factor = {0.1, 0.3}}),
          RandomTranslation({.height_factor = 0.2, .width_factor = 0.1, .fill_mode = FillMode::constant}),
          RandomContrast({.factor = 0.5, .value_range = {-2, 2}}),
          RandomBrightness({.factor = 0.3, .value_range = {-2, 2}})};
}

Sequential augmentation() {
  std::vector<Layer> layers{Input({.shape = {6, 7, 3}})};
  for (const Layer& layer : all()) layers.push_back(layer);
  return Sequential(layers, {.name = "augmentation", .seed = 5});
}

const Tensor<float> pictures = random_tensor({5, 6, 7, 3}).cast<float>();

}  // namespace

TEST_CASE("Random layers draw uniformly within their ranges") {
  constexpr std::int64_t batch = 8, size = 9, row = size * 2, centre = 4 * row + 4 * 2;
  const Tensor<float> x = places(batch, size);
  const auto at = [](int offset) { return [offset](const float* y) { return double(y[centre + offset]); }; };
  check_uniform(RandomTranslation({.height_factor = {0.1, 0.3}}), x, 4 - 2.7, 4 - 0.9, at(0));
  check_uniform(RandomTranslation({.width_factor = 0.2}), x, 4 - 1.8, 4 + 1.8, at(1));
  check_uniform(RandomZoom({.height_factor = {-0.4, 0.2}}), x, 0.6, 1.2,
                [](const float* y) { return double(y[centre + row] - y[centre]); });
  check_uniform(RandomZoom({.height_factor = 0, .width_factor = {-0.4, 0.2}}), x, 0.6, 1.2,
                [](const float* y) { return double(y[centre + 3] - y[centre + 1]); });
  check_uniform(RandomRotation({.factor = {-0.1, 0.2}}), x, -0.1, 0.2, [](const float* y) {
    return std::atan2(y[centre + 2] - y[centre], y[centre + row] - y[centre]) / 6.283185307179586;
  });
  const Tensor<float> two({batch, 1, 2, 1}, std::vector<float>(2 * batch, 0.f));
  check_uniform(RandomBrightness({.factor = {-0.1, 0.3}, .value_range = {-5, 5}}), two, -1, 3,
                [](const float* y) { return double(y[0]); });
  Tensor<float> pair = two;
  for (std::int64_t n = 0; n < batch; ++n) pair.data()[2 * n] = 2;  // of mean 1
  check_uniform(RandomContrast({.factor = {0.4, 0.2}, .value_range = {-5, 5}}), pair, 0.8, 1.4,
                [](const float* y) { return double(y[0] - 1); });
  check_uniform(RandomContrast({.factor = 0.4, .value_range = {-5, 5}}), pair, 1, 1.4,
                [](const float* y) { return double(y[0] - 1); });
}

TEST_CASE("A flip mirrors half of the pictures, exactly") {
  const Tensor<float> x = places(10, 5);
  for (const FlipMode mode : {FlipMode::horizontal, FlipMode::vertical, FlipMode::horizontal_and_vertical}) {
    int flipped = 0;
    for (std::uint64_t step = 0; step < 100; ++step) {
      const Tensor<float> y = train(RandomFlip(mode), x, step);
      for (std::int64_t n = 0; n < 10; ++n) {
        const float* const p = y.data() + n * 50;
        const bool flip = p[0] != 0 || p[1] != 0;
        flipped += flip;
        bool right = true;
        for (int i = 0; i < 25; ++i) {
          const int down = i / 5, across = i % 5;
          right = right && p[2 * i] == (flip && mode != FlipMode::horizontal ? 4 - down : down) &&
                  p[2 * i + 1] == (flip && mode != FlipMode::vertical ? 4 - across : across);
        }
        CHECK(right);
      }
    }
    CHECK(std::abs(flipped - 500) < 60);
  }
}

TEST_CASE("Random layers give the same bits for any number of threads, others in every step and picture") {
  for (const Layer& layer : all()) {
    INFO(layer.class_name());
    Tensor<float> same = pictures;  // five times the first
    const std::int64_t size = same.size() / 5;
    for (std::int64_t i = size; i < same.size(); ++i) same.data()[i] = same.data()[i % size];
    const Tensor<float> y = train(layer, same, 3, cpu::device({.threads = 1}));
    for (const int threads : {2, 3}) CHECK(train(layer, same, 3, cpu::device({.threads = threads})) == y);
    CHECK(train(layer, same, 4) != y);
    CHECK(!std::equal(y.data(), y.data() + 4 * size, y.data() + size));
  }
}

TEST_CASE("Random layers do nothing outside training, and train on when frozen") {
  const Sequential model = augmentation();
  CHECK(model.predict(pictures) == pictures);
  CHECK(model.predict(pictures, 2) == pictures);

  Sequential frozen = augmentation();
  const Tensor<float> trained = train(frozen, pictures, 2);
  CHECK(trained != pictures);
  frozen.set_trainable(false);
  CHECK(train(frozen, pictures, 2) == trained);
}

TEST_CASE("A model with random layers is saved, loaded and trained on") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  Sequential model({augmentation(), Flatten(), Dense(1)}, {.seed = 3});
  model.compile({.optimizer = SGD({.learning_rate = 0.01}), .loss = MeanSquaredError()});
  CHECK_THAT(augmentation().summary_text(), Contains("random_flip (RandomFlip)"));
  const Tensor<float> y({5, 1}, {0, 1, 0, 1, 1});
  model.train_on_batch(pictures, y);
  save_model(model, file);
  Model loaded = load_model(file, {.loss = MeanSquaredError()});
  CHECK(loaded.predict(pictures) == model.predict(pictures));
  for (int i = 0; i < 2; ++i) {
    model.train_on_batch(pictures, y);
    loaded.train_on_batch(pictures, y);
  }
  CHECK(loaded.get_weights() == model.get_weights());
}

TEST_CASE("Options of random layers are read as Keras writes them, and checked") {
  const auto from = [](const char* class_name, const char* config) {
    return layer_from_config<float>(
        Json::object({{"class_name", class_name}, {"config", Json::parse(config, "test")}}));
  };
  CHECK(from("RandomRotation", R"({"factor": 0.2})")->config().at("factor") == Json::array({-0.2, 0.2}));
  CHECK(from("RandomContrast", R"({"factor": 0.2})")->config().at("factor") == Json::array({0.0, 0.2}));
  const Json zoom = from("RandomZoom", R"({"height_factor": [0.3, -0.2], "width_factor": null})")->config();
  CHECK(zoom.at("height_factor") == Json::array({-0.2, 0.3}));
  CHECK(zoom.at("width_factor").is_null());
  CHECK(zoom.get<std::string>("fill_mode") == "reflect");
  CHECK(zoom.get<std::string>("interpolation") == "bilinear");
  CHECK_THROWS_WITH(from("RandomRotation", R"({"fill_mode": "mirror"})"),
                    Contains("'reflect'") && Contains("found 'mirror'"));
  CHECK_THROWS_AS(from("RandomRotation", R"({"factor": [1, 2, 3]})"), DataError);
  CHECK_THROWS_WITH(RandomRotation(1.5), Contains("expected a factor in [-1, 1]"));
  CHECK_THROWS_WITH(RandomZoom(-1), Contains("height_factor in (-1, 1]"));
  CHECK_THROWS_AS(RandomTranslation({.width_factor = 2}), ConfigError);
  CHECK_THROWS_AS(RandomFlip().impl()->output_shape(std::vector{Shape{3, 4}}), ShapeError);
}

TEST_CASE("Dropout with a noise_shape drops what its axes share, sample by sample", "[layers]") {
  const Tensor<float> x = random_tensor({64, 3, 2, 5}, 1, 1, 2).cast<float>();
  std::int64_t dropped = 0;
  for (std::uint64_t step = 0; step < 20; ++step) {
    const Tensor<float> y = train(Dropout({.rate = 0.25, .noise_shape = {1, 1, 5}}), x, step);
    for (std::int64_t n = 0; n < 64; ++n)
      for (std::int64_t c = 0; c < 5; ++c) {
        dropped += y(n, 0, 0, c) == 0;
        for (std::int64_t i = 0; i < 3; ++i)
          for (std::int64_t j = 0; j < 2; ++j)
            CHECK(y(n, i, j, c) == Approx(y(n, 0, 0, c) == 0 ? 0 : x(n, i, j, c) / 0.75));
      }
  }
  CHECK(std::abs(static_cast<double>(dropped) / (20 * 64 * 5) - 0.25) < 0.02);
  CHECK(train(Dropout({.rate = 1, .noise_shape = {1, 1, 1}}), x, 0) == Tensor<float>(x.shape()));
  CHECK_THROWS_WITH(
      Dropout({.rate = 0.5, .noise_shape = {1, 2}, .name = "drop"})(Input({.shape = {3, 2, 5}})),
      "[dropout] layer 'drop': expected a noise_shape of 1 or the input's extent along each axis of "
      "[3,2,5], found [1,2]");
}

TEST_CASE("A random layer with a seed draws the same in every model, and keeps it in files", "[layers]") {
  const TemporaryDirectory folder;
  const auto moved = [](std::optional<std::int64_t> seed, const char* name) {
    return RandomTranslation({.height_factor = 0.5, .width_factor = 0.5, .seed = seed, .name = name});
  };
  const auto result = [](const Layer& layer, std::uint64_t model_seed, std::uint64_t step) {
    Sequential model({Input({.shape = {8, 8, 2}}), layer}, {.seed = model_seed});
    const Tensor<float> x = places(4, 8);
    Tensor<float> y(x.shape());
    Session<float> session(default_device());
    const std::vector<TensorView<const float>> inputs{x};
    model.impl()->forward(inputs, y, session.begin({.training = true, .seed = model_seed, .step = step}));
    return y;
  };
  const Tensor<float> drawn = result(moved(7, "a"), 1, 3);
  CHECK(result(moved(7, "b"), 2, 3) == drawn);
  CHECK(result(moved(8, "a"), 1, 3) != drawn);
  CHECK(result(moved(7, "a"), 1, 4) != drawn);
  CHECK(result(moved({}, "a"), 1, 3) != drawn);
  CHECK(result(moved({}, "b"), 1, 3) != result(moved({}, "a"), 1, 3));

  const std::vector<Layer> seeded{RandomFlip({.seed = 1}),     RandomRotation({.seed = 2}),
                                  RandomZoom({.seed = 3}),     RandomTranslation({.seed = 4}),
                                  RandomContrast({.seed = 5}), RandomBrightness({.seed = -6})};
  Sequential model({Input({.shape = {4, 4, 3}})});
  for (const Layer& layer : seeded) model.add(layer);
  save_model(model, folder / "model.safetensors");
  const Model loaded = load_model(folder / "model.safetensors");
  for (std::size_t i = 0; i < seeded.size(); ++i)
    CHECK(loaded.layers()[i + 1].impl()->config().at("seed") == Json(i == 5 ? -6 : int(i) + 1));
  CHECK(RandomFlip().impl()->config().at("seed").is_null());

  // Called twice, it draws twice.
  const auto x = Input({.shape = {8, 8, 2}});
  const Layer twice = moved(7, "twice");
  Model both({.inputs = {x}, .outputs = {Concatenate()({twice(x), twice(x)})}});
  const Tensor<float> in = places(1, 8);
  Tensor<float> y({1, 8, 8, 4});
  Session<float> session(default_device());
  const std::vector<TensorView<const float>> inputs{in};
  both.impl()->forward(inputs, y, session.begin({.training = true}));
  bool differs = false;
  for (std::int64_t i = 0; i < 64; ++i) differs = differs || y.data()[4 * i] != y.data()[4 * i + 2];
  CHECK(differs);
}
