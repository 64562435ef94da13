#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>
#include <numbers>

#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/data/prefetch.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/model.hpp>

#include "data/pictures.hpp"
#include "support/golden.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Matchers::Contains;

namespace {

/// The option sets of `generator` in tests/support/golden/generate.py.
const std::map<std::string, ImageDataGeneratorOptions> option_sets{
    {"book",
     {.rotation_range = 40,
      .width_shift_range = 0.2,
      .height_shift_range = 0.2,
      .shear_range = 0.2,
      .zoom_range = 0.2,
      .horizontal_flip = true,
      .rescale = 1.0 / 255}},
    {"rotation", {.rotation_range = 180}},
    {"shear", {.shear_range = 35, .fill_mode = FillMode::reflect}},
    {"zoom", {.zoom_range = {0.5, 1.7}, .fill_mode = FillMode::wrap}},
    {"shift_parts", {.width_shift_range = 0.9, .height_shift_range = 0.4, .fill_mode = FillMode::wrap}},
    {"shift_pixels", {.width_shift_range = 2.5, .height_shift_range = 4, .fill_mode = FillMode::reflect}},
    {"shift_lists",
     {.width_shift_range = {0.1, 0.25, -0.4},
      .height_shift_range = {1.0, 3.5},
      .fill_mode = FillMode::constant}},
    {"flips", {.horizontal_flip = true, .vertical_flip = true}},
    {"vertical_flip", {.width_shift_range = 3, .vertical_flip = true}},
    {"brightness", {.brightness_range = {0.3, 1.9}}},
    {"channel_shift", {.channel_shift_range = 90, .rescale = 0.5}},
    {"centered", {.featurewise_center = true, .rescale = 0.25}},
    {"normalized",
     {.featurewise_std_normalization = true,
      .rotation_range = 30,
      .horizontal_flip = true,
      .rescale = 1.0 / 255}},
    {"preprocessed",
     {.featurewise_std_normalization = true,
      .vertical_flip = true,
      .rescale = 0.5,
      .preprocessing = {.mean = {103.939F, 116.779F, 123.68F},
                        .reverse_channels = true,
                        .std = {57, 58, 59, 1}}}},
    {"samplewise_centered", {.samplewise_center = true, .vertical_flip = true, .rescale = 0.25}},
    {"samplewise",
     {.samplewise_std_normalization = true,
      .rotation_range = 30,
      .brightness_range = {0.5, 1.5},
      .rescale = 1.0 / 255,
      .preprocessing = {.mean = {103.939F, 116.779F, 123.68F},
                        .reverse_channels = true,
                        .std = {57, 58, 59, 1}}}},
    {"everything",
     {.rotation_range = 25,
      .width_shift_range = 3,
      .height_shift_range = 0.15,
      .brightness_range = {0.6, 1.2},
      .shear_range = 12,
      .zoom_range = {0.8, 1.3},
      .channel_shift_range = 20,
      .fill_mode = FillMode::constant,
      .cval = 77,
      .horizontal_flip = true,
      .vertical_flip = true,
      .rescale = 1 / 127.5}}};

/// Pictures as PNG files in two class folders, half of them in each; they are read in this order.
struct PictureFolder : TemporaryDirectory {
  explicit PictureFolder(const std::vector<Tensor<std::uint8_t>>& pictures) {
    for (const char* folder : {"a", "b"}) std::filesystem::create_directories(*this / std::string(folder));
    for (std::size_t i = 0; i < pictures.size(); ++i)
      write((2 * i < pictures.size() ? "a/" : "b/") + std::to_string(i) + ".png", encode_png(pictures[i]));
  }
  static std::vector<Tensor<std::uint8_t>> drawn(int count) {
    std::vector<Tensor<std::uint8_t>> out;
    for (int i = 0; i < count; ++i) out.push_back(waves(12, 9, 3, i));
    return out;
  }
};

DirectoryDataset flow(const PictureFolder& folder, const ImageDataGenerator& generator,
                      FlowFromDirectoryOptions flow = {}) {
  flow.target_size = {12, 9};
  flow.class_mode = ClassMode::binary;
  return generator.flow_from_directory(folder.path(), flow);
}
DirectoryDataset flow(const PictureFolder& folder, const ImageDataGeneratorOptions& options,
                      const FlowFromDirectoryOptions& flow_options = {}) {
  return flow(folder, ImageDataGenerator(options), flow_options);
}

/// The first samples, in pass 2.
std::vector<DrawnSample> first(std::int64_t count) {
  std::vector<DrawnSample> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back({2, i});
  return out;
}

/// What `value` says of the warps of 4,000 pictures of 100 x 50, ascending.
template <class Value>
std::vector<double> draws(const ImageDataGeneratorOptions& options, Value value) {
  std::vector<double> out;
  for (const PixelWarp& warp : Augmentation(options).warps(1, first(4000), 100, 50))
    out.push_back(value(warp));
  std::sort(out.begin(), out.end());
  return out;
}

/// The Kolmogorov-Smirnov distance to the uniform distribution; above 0.031 one in a thousand times.
double distance_to_uniform(const std::vector<double>& sorted, double low, double high) {
  double out = 0;
  const auto count = static_cast<double>(sorted.size());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const double expected = (sorted[i] - low) / (high - low), index = static_cast<double>(i);
    out = std::max({out, std::abs(expected - index / count), std::abs(expected - (index + 1) / count)});
  }
  return out;
}

void check_uniform(const std::vector<double>& sorted, double low, double high) {
  CHECK(sorted.front() >= low - 1e-9);
  CHECK(sorted.back() <= high + 1e-9);
  CHECK(distance_to_uniform(sorted, low, high) < 0.031);
}

/// Each value's share of the draws.
std::map<double, double> shares(const std::vector<double>& values) {
  std::map<double, double> out;
  for (const double value : values)
    out[std::round(value * 1e6) / 1e6 + 0.0] += 1 / static_cast<double>(values.size());
  return out;
}

void check_shares(const std::map<double, double>& found, const std::map<double, double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (const auto& [value, share] : expected) {
    INFO(value);
    REQUIRE(found.contains(value));
    CHECK(found.at(value) == Approx(share).margin(0.03));
  }
}

template <class T>
Tensor<T> picture(const Tensor<T>& batch, std::int64_t i) {
  const TensorView<const T> row = batch.slice(i, i + 1);
  return {row.shape().without_batch(), std::span(row.data(), static_cast<std::size_t>(row.size()))};
}

bool equal(const Batch& a, const Batch& b) {
  return a.pixels == b.pixels && a.y == b.y && network_input(a) == network_input(b);
}

}  // namespace

TEST_CASE("A generator draws and changes pictures as Keras's does", "[data][augmentation]") {
  const Golden golden("generator");
  const auto pictures = golden.read<std::uint8_t>("pictures");
  std::vector<Tensor<std::uint8_t>> files;
  for (std::int64_t i = 0; i < pictures.shape()[0]; ++i) files.push_back(picture(pictures, i));
  const PictureFolder folder(files);
  CHECK(golden.cases().size() == 2 * option_sets.size());
  for (const Json& golden_case : golden.cases()) {
    INFO(Golden::name(golden_case));
    const ImageDataGeneratorOptions& options = option_sets.at(golden_case.get<std::string>("option_set"));
    const auto seed = static_cast<std::uint64_t>(golden_case.get<std::int64_t>("seed"));
    const Tensor<float> expected = golden.read<float>(golden_case, "y");
    ImageDataGenerator generator(options);
    generator.fit(pictures);
    std::vector<Dataset> datasets{flow(folder, generator, {.shuffle = false, .seed = seed}),
                                  generator.flow(pictures, {}, {.shuffle = false, .seed = seed})};
    if (options.rescale == 1)
      datasets.push_back(generator.flow(pictures.cast<float>(), {}, {.shuffle = false, .seed = seed}));
    for (const Dataset& dataset : datasets) {
      REQUIRE(dataset.batches() == 1);
      const Batch batch = dataset.batch(golden_case.get<std::int64_t>("epoch"));
      for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})}) {
        const Tensor<float> y = network_input(batch, device);
        REQUIRE(y.shape() == expected.shape());
        double error = 0;
        for (std::int64_t i = 0; i < y.size(); ++i)
          error = std::max(error, std::abs(double(y.data()[i]) - double(expected.data()[i])));
        // Divided by its deviation a picture is of the order of 1, whatever its scaling.
        CHECK(error <= (options.samplewise_std_normalization
                            ? 1e-3
                            : 255 * 1e-4 * batch.scaling.scale / batch.scaling.std[0]));
      }
    }
  }
}

TEST_CASE("A picture is standardized by itself", "[data][augmentation]") {
  Tensor<std::uint8_t> pictures({3, 4, 5, 3});
  std::fill_n(pictures.data(), 60, std::uint8_t{7});  // flat: zeros, as in Keras
  for (std::int64_t i = 60; i < 180; ++i) pictures.data()[i] = static_cast<std::uint8_t>(i * i % 251);
  const ImageDataGenerator generator({.samplewise_std_normalization = true, .rescale = 0.5});
  const Tensor<float> y = network_input(generator.flow(pictures, {}, {.shuffle = false}).batch(0));
  for (std::int64_t i = 0; i < 3; ++i) {
    double sum = 0, squares = 0;
    const Tensor<float> standardized = picture(y, i);
    for (const float value : standardized.values()) sum += value, squares += double{value} * double{value};
    CHECK(sum / 60 == Approx(0).margin(1e-6));
    CHECK(squares / 60 == Approx(i == 0 ? 0 : 1).margin(1e-5));
  }
  // By stages, too, and not by its batch.
  const Dataset data = generator.flow(pictures, {}, {.batch_size = 2, .shuffle = false});
  CHECK(network_input(data.rebatch(3).batch(0)) == y);
  CHECK(network_input(data.cache().batch(1)) == y.rows(2, 3));
}

TEST_CASE("Draws fill their ranges evenly", "[data][augmentation]") {
  const auto row = [](const PixelWarp& warp) { return warp.matrix[2]; };
  const auto column = [](const PixelWarp& warp) { return warp.matrix[5]; };
  const auto degrees = [](double x, double y) { return std::atan2(y, x) * 180 / std::numbers::pi; };

  check_uniform(
      draws({.rotation_range = 40}, [&](const PixelWarp& w) { return degrees(w.matrix[0], w.matrix[1]); }),
      -40, 40);
  check_uniform(
      draws({.shear_range = 30}, [&](const PixelWarp& w) { return degrees(w.matrix[0], w.matrix[3]); }), -30,
      30);
  check_uniform(draws({.zoom_range = 0.2}, [](const PixelWarp& w) { return w.matrix[0]; }), 0.8, 1.2);
  check_uniform(draws({.zoom_range = {1.5, 3}}, [](const PixelWarp& w) { return w.matrix[4]; }), 1.5, 3);
  check_uniform(draws({.brightness_range = {0.5, 2}}, [](const PixelWarp& w) { return w.brightness; }), 0.5,
                2);
  check_uniform(draws({.channel_shift_range = 25}, [](const PixelWarp& w) { return w.channel_shift; }), -25,
                25);
  check_uniform(draws({.width_shift_range = 0.2}, row), -10, 10);  // parts of the width 50
  check_uniform(draws({.height_shift_range = 0.2}, column), -20, 20);
  check_uniform(draws({.width_shift_range = 7.5}, row), -7.5, 7.5);

  const double fifth = 1.0 / 5, tenth = 1.0 / 10;
  check_shares(shares(draws({.height_shift_range = 5}, column)), {{0, fifth},
                                                                  {1, tenth},
                                                                  {-1, tenth},
                                                                  {2, tenth},
                                                                  {-2, tenth},
                                                                  {3, tenth},
                                                                  {-3, tenth},
                                                                  {4, tenth},
                                                                  {-4, tenth}});
  check_shares(shares(draws({.width_shift_range = {0.1, 0.5}}, row)),
               {{5, 0.25}, {-5, 0.25}, {25, 0.25}, {-25, 0.25}});
  check_shares(shares(draws({.width_shift_range = ShiftRange(std::vector<double>{2})}, row)),
               {{2, 0.5}, {-2, 0.5}});
  check_shares(shares(draws({.horizontal_flip = true},
                            [](const PixelWarp& w) { return w.flip_horizontal + 2 * w.flip_vertical; })),
               {{0, 0.5}, {1, 0.5}});
  check_shares(shares(draws({.horizontal_flip = true, .vertical_flip = true},
                            [](const PixelWarp& w) { return w.flip_horizontal + 2 * w.flip_vertical; })),
               {{0, 0.25}, {1, 0.25}, {2, 0.25}, {3, 0.25}});
}

TEST_CASE("What is drawn for a sample depends on seed, pass and sample alone", "[data][augmentation]") {
  const PictureFolder folder(PictureFolder::drawn(7));
  const ImageDataGeneratorOptions& options = option_sets.at("everything");
  const auto make = [&](std::uint64_t seed, bool shuffle, std::int64_t batch_size) {
    return flow(folder, options, {.batch_size = batch_size, .shuffle = shuffle, .seed = seed});
  };
  const auto dataset = make(4, true, 3);
  for (const int workers : {0, 1, 2, 5}) {
    PrefetchQueue queue(make(4, true, 3), 0, 9, 4, workers);
    for (std::int64_t draw = 0; draw < 9; ++draw) CHECK(equal(*queue.next(), dataset.batch(draw)));
  }
  PrefetchQueue resumed(dataset, 5, 9, 4, 2);
  CHECK(equal(*resumed.next(), dataset.batch(5)));

  // Each picture's result is among those of an unshuffled pass with other batches.
  const Tensor<float> ordered = network_input(make(4, false, 7).batch(2));
  for (std::int64_t draw = 6; draw < 9; ++draw) {
    const Tensor<float> shuffled = network_input(dataset.batch(draw));
    for (std::int64_t i = 0; i < shuffled.shape()[0]; ++i) {
      int found = 0;
      for (std::int64_t j = 0; j < 7; ++j) found += picture(shuffled, i) == picture(ordered, j);
      CHECK(found == 1);
    }
  }
  const auto whole = make(4, false, 7), other = make(5, false, 7);
  CHECK_FALSE(network_input(whole.batch(0)) == network_input(whole.batch(1)));
  CHECK_FALSE(network_input(whole.batch(0)) == network_input(other.batch(0)));
}

TEST_CASE("Without ranges pictures stay untouched", "[data][augmentation]") {
  const PictureFolder folder(PictureFolder::drawn(4));
  for (const ImageDataGeneratorOptions& options :
       {ImageDataGeneratorOptions{}, ImageDataGeneratorOptions{.fill_mode = FillMode::wrap, .rescale = 0.5},
        ImageDataGeneratorOptions{.width_shift_range = 0,
        .height_shift_range = {0.0, 0.0},
        .brightness_range = {1, 1},
        .zoom_range = {1, 1}}})
    CHECK(flow(folder, options, {.shuffle = false}).batch(3).warps.empty());
  CHECK_FALSE(flow(folder, {.vertical_flip = true}).batch(0).warps.empty());
}

TEST_CASE("Ranges of which nothing can be drawn are explained", "[data][augmentation]") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<ImageDataGeneratorOptions, const char*>> wrong{
      {{.rotation_range = -3}, "rotation_range of 0 or more, found -3"},
      {{.rotation_range = nan}, "rotation_range of 0 or more, found nan"},
      {{.width_shift_range = -0.1}, "width_shift_range of 0 or more, or a list of finite values, found -0.1"},
      {{.height_shift_range = -2}, "height_shift_range of 0 or more, or a list of finite values, found -2"},
      {{.height_shift_range = {1, infinity}}, "height_shift_range of 0 or more"},
      {{.width_shift_range = ShiftRange(std::vector<double>{})}, "width_shift_range of one value or more"},
      {{.brightness_range = {-0.5, 1}},
       "brightness_range {low, high} with 0 <= low <= high, found {-0.5, 1}"},
      {{.brightness_range = {2, 1}}, "found {2, 1}"},
      {{.brightness_range = {1, infinity}}, "found {1, inf}"},
      {{.shear_range = -1}, "shear_range of 0 or more, found -1"},
      {{.zoom_range = 1}, "zoom_range of 0 up to below 1, or {low, high} with 0 < low <= high, found {0, 2}"},
      {{.zoom_range = {1.5, 0.5}}, "found {1.5, 0.5}"},
      {{.zoom_range = {1, infinity}}, "found {1, inf}"},
      {{.channel_shift_range = -10}, "channel_shift_range of 0 or more, found -10"},
      {{.channel_shift_range = infinity}, "channel_shift_range of 0 or more, found inf"},
      {{.cval = nan}, "cval that is finite, found nan"},
      {{.brightness_range = {0.5, 1}, .cval = 300}, "cval from 0 to 255 with a brightness_range, found 300"}};
  for (const auto& [options, message] : wrong) {
    CHECK_THROWS_AS(ImageDataGenerator(options), ConfigError);
    CHECK_THROWS_WITH(ImageDataGenerator(options),
                      Contains("[ImageDataGenerator] expected a ") && Contains(message));
  }
}

TEST_CASE("Featurewise options need a fit", "[data][augmentation]") {
  const PictureFolder folder(PictureFolder::drawn(2));
  ImageDataGenerator generator({.featurewise_center = true});
  CHECK_THROWS_WITH(flow(folder, generator),
                    Contains("featurewise_center expects fit() with pictures of 3 channels, found none"));
  generator.fit(Tensor<std::uint8_t>({1, 1, 2, 1}, {10, 20}));
  CHECK_THROWS_AS(flow(folder, generator), ConfigError);
  CHECK_THROWS_WITH(generator.flow(Tensor<float>({2, 3, 3, 1})), Contains("expected bytes"));
  CHECK(generator.flow(Tensor<std::uint8_t>({2, 3, 3, 1})).batch(0).scaling.mean[0] == 15);
  CHECK_THROWS_WITH(generator.fit(Tensor<std::uint8_t>({2, 3, 1})),
                    Contains("[n,height,width,channels]") && Contains("[2,3,1]"));
  CHECK_THROWS_WITH(generator.fit(Tensor<std::uint8_t>({1, 1, 1, 5})), Contains("at most 4 channels"));

  ImageDataGenerator still({.featurewise_std_normalization = true});  // of pictures of one colour
  still.fit(Tensor<std::uint8_t>({1, 1, 2, 1}, {9, 9}));
  CHECK(network_input(still.flow(Tensor<std::uint8_t>({1, 1, 1, 1}, {9})).batch(0))(0, 0, 0, 0) == 0);
}

TEST_CASE("A model trains on drawn pictures, on any number of workers and after a break the same",
          "[data][augmentation]") {
  const PictureFolder folder(PictureFolder::drawn(8));
  const auto trained = [&](const ImageDataGeneratorOptions& options, int workers, int break_after = 0) {
    Sequential model({.name = "small", .seed = 3});
    model.add(Input({.shape = {12, 9, 3}}));
    model.add(Flatten());
    model.add(Dense({.units = 1, .activation = Activation::sigmoid}));
    model.compile({.optimizer = SGD({.learning_rate = 0.01}), .loss = BinaryCrossentropy()});
    const auto data = flow(folder, options, {.batch_size = 3, .seed = 2});
    FitOptions fit{.epochs = 3, .verbose = 0, .workers = workers};
    if (break_after > 0) {
      fit.epochs = break_after;
      model.fit(data, fit);
      fit.initial_epoch = break_after;
      fit.epochs = 3;
    }
    const History history = model.fit(data, fit);
    CHECK(std::isfinite(history.at(history.size() - 1)["loss"]));
    return model.predict(flow(folder, {.rescale = 1.0 / 255}, {.shuffle = false}));
  };
  const ImageDataGeneratorOptions& book = option_sets.at("book");
  const auto expected = trained(book, 1);
  CHECK(trained(book, 2) == expected);
  CHECK(trained(book, 5) == expected);
  CHECK(trained(book, 1, 2) == expected);
  CHECK_FALSE(trained({.rescale = book.rescale}, 1) == expected);
}

TEST_CASE("Tensors flow with their labels, in subsets, drawn anew in every pass", "[data][augmentation]") {
  const std::int64_t count = 10;
  Tensor<std::uint8_t> pictures({count, 4, 5, 1});
  Tensor<float> y({count, 1}), weight({count});
  for (std::int64_t i = 0; i < count; ++i) {
    std::fill_n(pictures.data() + i * 20, 20, static_cast<std::uint8_t>(i));
    y.data()[i] = static_cast<float>(i % 2);
    weight.data()[i] = static_cast<float>(i);
  }
  const ImageDataGenerator generator({.horizontal_flip = true, .rescale = 0.5, .validation_split = 0.35});
  const auto rows = [&](Subset subset, bool shuffle) {
    std::vector<float> out;
    const Dataset dataset = generator.flow(
        pictures, y,
        {.batch_size = 4, .shuffle = shuffle, .sample_weight = weight, .seed = 6, .subset = subset});
    for (std::int64_t draw = 0; draw < dataset.batches(); ++draw) {
      const Batch batch = dataset.batch(draw);
      const Tensor<float> x = network_input(batch);
      for (std::int64_t i = 0; i < batch.size(); ++i) {
        out.push_back(2 * x(i, 0, 0, 0));
        CHECK(batch.sample_weight(i) == out.back());
        CHECK(batch.y(i, 0) == std::fmod(out.back(), 2));
      }
    }
    return out;
  };
  CHECK(rows(Subset::validation, false) == std::vector<float>{0, 1, 2});  // as in Keras the first
  CHECK(rows(Subset::training, false) == std::vector<float>{3, 4, 5, 6, 7, 8, 9});
  CHECK(rows(Subset::all, false) == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  auto shuffled = rows(Subset::training, true);
  CHECK(shuffled != rows(Subset::training, false));
  std::sort(shuffled.begin(), shuffled.end());
  CHECK(shuffled == rows(Subset::training, false));

  const Dataset flipped = generator.flow(pictures, y, {.shuffle = false});
  const auto flips = [&](std::int64_t draw) {
    std::vector<bool> out;
    for (const PixelWarp& warp : flipped.batch(draw).warps) out.push_back(warp.flip_horizontal);
    return out;
  };
  CHECK(flips(0) == flips(0));
  CHECK(flips(0) != flips(1));

  const ImageDataGenerator whole;
  CHECK_THROWS_WITH(whole.flow(pictures, y, {.subset = Subset::training}),
                    Contains("needs a validation_split"));
  CHECK_THROWS_WITH(ImageDataGenerator({.validation_split = 1}).flow(pictures),
                    Contains("validation_split from 0 up to below 1, found 1"));
  CHECK_THROWS_WITH(
      ImageDataGenerator({.validation_split = 0.05}).flow(pictures, y, {.subset = Subset::training}),
      Contains("validation subset of the 10 pictures is empty (validation_split 0.05)"));
  CHECK_THROWS_WITH(whole.flow(pictures, Tensor<float>({3, 1})),
                    Contains("expected 10 labels") && Contains("[3,1]"));
  CHECK_THROWS_WITH(whole.flow(pictures, y, {.sample_weight = Tensor<float>({4})}),
                    Contains("expected 10 sample weights"));
  CHECK_THROWS_WITH(whole.flow(Tensor<std::uint8_t>({10, 20})),
                    Contains("expected pictures [n,height,width,channels], found [10,20]"));
  CHECK_THROWS_WITH(generator.flow(pictures.cast<float>(), y), Contains("expected bytes for rescale"));
  CHECK_THROWS_WITH(ImageDataGenerator({.samplewise_center = true}).flow(pictures.cast<float>(), y),
                    Contains("samplewise options, found floats"));
  CHECK_THROWS_WITH(ImageDataGenerator({.featurewise_center = true, .samplewise_center = true}),
                    Contains("samplewise or featurewise options, found both"));
  CHECK_THROWS_AS(ImageDataGenerator({.preprocessing = {.std = {1, 2, 1, 1}}}).flow(pictures.cast<float>()),
                  ConfigError);
  CHECK_THROWS_WITH(dataset_from_tensors(Tensor<float>({10, 20}), {},
                                         {.augmentation = Augmentation({.vertical_flip = true})}),
                    Contains("expected pictures [n,height,width,channels], found [10,20]"));

  std::fill_n(y.data(), 3, 0.0F);  // sorted by label
  CHECK_THROWS_WITH(generator.flow(pictures, y, {.subset = Subset::training}),
                    Contains("same labels in the first 3 and the other 7"));
  CHECK(generator.flow(pictures, y, {.ignore_class_split = true, .subset = Subset::training}).samples() == 7);
}
