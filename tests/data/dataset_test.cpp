#include <algorithm>
#include <catch2/catch.hpp>

#include <strata/core/random.hpp>
#include <strata/data/dataset.hpp>
#include <strata/io/npy.hpp>

#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Matchers::Contains;

namespace {

Tensor<float> counting(Shape shape) {
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = static_cast<float>(i);
  return out;
}

/// The first value of every sample of a pass.
std::vector<float> drawn(const Dataset& dataset, std::int64_t pass) {
  std::vector<float> out;
  for (std::int64_t i = 0; i < dataset.batches(); ++i) {
    const Batch batch = dataset.batch(pass * dataset.batches() + i);
    const std::int64_t size = batch.x.size() / batch.size();
    for (std::int64_t row = 0; row < batch.size(); ++row) out.push_back(batch.x.data()[row * size]);
  }
  return out;
}

}  // namespace

TEST_CASE("batches follow each other and the last one is smaller", "[data][dataset]") {
  const auto x = counting({7, 2}), y = counting({7, 1});
  const Dataset dataset = dataset_from_tensors(
      x, y, {.batch_size = 3, .sample_weight = Tensor<float>({7}, {1, 2, 3, 4, 5, 6, 7})});
  CHECK(dataset.samples() == 7);
  CHECK(dataset.batches() == 3);
  CHECK(dataset.element_shape() == Shape{2});
  CHECK(dataset.batch(1).x == Tensor<float>({3, 2}, {6, 7, 8, 9, 10, 11}));
  CHECK(dataset.batch(2).y == Tensor<float>({1, 1}, {6}));
  CHECK(dataset.batch(2).sample_weight == Tensor<float>({1}, {7}));
  CHECK(dataset.batch(5).x == dataset.batch(2).x);
  CHECK(dataset.batch(2).size() == 1);
  CHECK(dataset_from_tensors(x).batch(0).y.empty());
}

TEST_CASE("every pass is a new permutation that the seed decides", "[data][dataset]") {
  const auto x = counting({50, 1});
  const auto with = [&](std::uint64_t seed, std::int64_t batch_size) {
    return dataset_from_tensors(x, {}, {.batch_size = batch_size, .shuffle = true, .seed = seed});
  };
  const Dataset dataset = with(1, 8);
  const auto first = drawn(dataset, 0), second = drawn(dataset, 1);
  CHECK(first != second);
  CHECK(first != drawn(with(2, 8), 0));
  CHECK(first == drawn(with(1, 5), 0));
  auto sorted = second;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) REQUIRE(sorted[i] == static_cast<float>(i));

  // Passes may be revisited in any order.
  const auto tenth = drawn(dataset, 9);
  CHECK(drawn(dataset, 1) == second);
  CHECK(drawn(dataset, 9) == tenth);
  const auto order = RandomStream(1, Purpose::shuffle, 0, 9).permutation(50);
  CHECK(std::equal(tenth.begin(), tenth.end(), order.begin()));
}

TEST_CASE("pixels stay bytes", "[data][dataset]") {
  const Tensor<std::uint8_t> pixels({1, 1, 2, 3}, {10, 20, 30, 40, 50, 60});
  const Dataset dataset = dataset_from_tensors(
      pixels, {}, {.scaling = {.scale = 0.5f, .mean = {1, 2, 3, 0}, .reverse_channels = true}});
  const Batch batch = dataset.batch(0);
  CHECK(batch.pixels == pixels);
  CHECK(batch.x.empty());
  CHECK(batch.scaling.mean[2] == 3);
}

TEST_CASE("npy files give the same batches as tensors", "[data][dataset]") {
  const TemporaryDirectory folder;
  const auto x = counting({11, 2, 3}), y = counting({11, 1});
  save_npy(folder / "x.npy", x);
  save_npy(folder / "y.npy", y);
  const TensorDatasetOptions options{.batch_size = 4, .shuffle = true, .seed = 3};
  const Dataset memory = dataset_from_tensors(x, y, options);
  const Dataset disk = dataset_from_npy(folder / "x.npy", folder / "y.npy", options);
  CHECK(disk.element_shape() == Shape{2, 3});
  for (std::int64_t draw = 0; draw < 6; ++draw) {
    CHECK(disk.batch(draw).x == memory.batch(draw).x);
    CHECK(disk.batch(draw).y == memory.batch(draw).y);
  }
  save_npy(folder / "short.npy", counting({10, 1}));
  CHECK_THROWS_WITH(dataset_from_npy(folder / "x.npy", folder / "short.npy"),
                    Contains("short.npy") && Contains("11 labels"));
  CHECK_THROWS_AS(dataset_from_npy(folder / "absent.npy"), DataError);
}

TEST_CASE("datasets that do not fit together are refused", "[data][dataset]") {
  const auto x = counting({4, 2});
  CHECK_THROWS_AS(dataset_from_tensors(x, counting({3, 1})), ShapeError);
  CHECK_THROWS_AS(dataset_from_tensors(x, {}, {.sample_weight = counting({3})}), ShapeError);
  CHECK_THROWS_AS(dataset_from_tensors(x, {}, {.batch_size = 0}), ConfigError);
  CHECK_THROWS_AS(dataset_from_tensors(Tensor<float>({0, 2})), DataError);
  CHECK_THROWS_AS(dataset_from_tensors(Tensor<std::uint8_t>({4, 2})), ShapeError);
  CHECK_THROWS_AS(Dataset().batches(), DataError);
  CHECK_THROWS_AS(dataset_from_tensors(x).batch(-1), DataError);
}
