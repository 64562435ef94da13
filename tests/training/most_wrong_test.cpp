#include <catch2/catch.hpp>

#include <array>
#include <cmath>
#include <limits>

#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/most_wrong.hpp>

using namespace strata;
using Catch::Contains;

namespace {

/// The scores of the classes are the softmax, or the sigmoid, of what comes in.
Model scores_of(std::int64_t width, const char* activation) {
  return Sequential({Input({.shape = {width}}), ActivationLayer(activation)});
}

std::vector<std::int64_t> samples(const std::vector<WrongSample>& wrong) {
  std::vector<std::int64_t> out;
  for (const WrongSample& sample : wrong) out.push_back(sample.sample);
  return out;
}

}  // namespace

TEST_CASE("most_wrong of one sigmoid unit orders by the score of the sample's own class") {
  // Logits; targets. 0.5 is class 0, as in Keras's binary accuracy.
  const Tensor<float> x({8, 1}, {-3, 2, -1, 3, 0, 1, 0, -3}), y({8, 1}, {1, 0, 1, 0, 1, 1, 0, 1});
  for (const std::int64_t batch_size : {1, 3, 8}) {
    const auto wrong =
        most_wrong(scores_of(1, "sigmoid"), dataset_from_tensors(x, y, {.batch_size = batch_size}));
    // 0, 3 and 7 are equally wrong, 4 has 0.5; 5 and 6 are right.
    REQUIRE(samples(wrong) == std::vector<std::int64_t>{0, 3, 7, 1, 2, 4});
    const double score = 1 / (1 + std::exp(2.0));
    CHECK((wrong[0].label == 1 && wrong[0].predicted == 0));
    CHECK((wrong[3].label == 0 && wrong[3].predicted == 1));
    CHECK(wrong[3].label_score == Approx(score).epsilon(1e-6));
    CHECK(wrong[3].predicted_score == Approx(1 - score).epsilon(1e-6));
    CHECK(wrong[5].label_score == Approx(0.5));
  }
  // Scores of 0 and 1 to the last bit.
  const Tensor<float> sure({4, 1}, {150, 200, -300, 100}), labels({4, 1}, {0, 0, 1, 0});
  CHECK(samples(most_wrong(scores_of(1, "sigmoid"), dataset_from_tensors(sure, labels))) ==
        std::vector<std::int64_t>{2, 1, 0, 3});

  const Dataset data = dataset_from_tensors(x, y);
  CHECK(samples(most_wrong(scores_of(1, "sigmoid"), data, 2)) == std::vector<std::int64_t>{0, 3});
  CHECK(most_wrong(scores_of(1, "sigmoid"), data, 0).empty());
}

TEST_CASE("most_wrong of several classes takes class numbers and one-hot targets") {
  const Tensor<float> x({5, 3}, {1, 2, 0,    // says 1
                                 4, 0, 0,    // says 0
                                 2, 2, 0,    // says 0, the first of equal ones
                                 0, 1, 2,    // says 2
                                 0, 9, 0});  // says 1
  const Tensor<float> numbers({5}, {0, 2, 1, 2, 0});
  Tensor<float> one_hot({5, 3});
  for (std::int64_t i = 0; i < 5; ++i) one_hot(i, static_cast<std::int64_t>(numbers(i))) = 1;
  for (const Tensor<float>& y : {numbers, Tensor<float>({5, 1}, {0, 2, 1, 2, 0}), one_hot}) {
    const auto wrong = most_wrong(scores_of(3, "softmax"), dataset_from_tensors(x, y, {.batch_size = 2}));
    REQUIRE(samples(wrong) == std::vector<std::int64_t>{4, 1, 0, 2});
    CHECK((wrong[1].label == 2 && wrong[1].predicted == 0));
    CHECK(wrong[1].label_score == Approx(1 / (std::exp(4.0) + 2)).epsilon(1e-6));
    CHECK(wrong[1].predicted_score == Approx(std::exp(4.0) / (std::exp(4.0) + 2)).epsilon(1e-6));
    CHECK(wrong[3].label_score == wrong[3].predicted_score);
  }
  // Several sigmoid units: scores of their own.
  const auto wrong = most_wrong(scores_of(3, "sigmoid"), dataset_from_tensors(x, one_hot));
  REQUIRE(samples(wrong) == std::vector<std::int64_t>{1, 4, 0, 2});
  CHECK(wrong[0].label_score == Approx(0.5));
  CHECK(wrong[3].predicted_score == Approx(1 / (1 + std::exp(-2.0))).epsilon(1e-6));
}

TEST_CASE("most_wrong numbers samples as the dataset gives them") {
  Tensor<float> x({64, 1}), y({64, 1});
  for (std::int64_t i = 0; i < 64; ++i) x(i, 0) = static_cast<float>(i) / 8, y(i, 0) = 0;
  const Dataset data = dataset_from_tensors(x, y, {.batch_size = 10, .shuffle = true, .seed = 5});
  const auto wrong = most_wrong(scores_of(1, "sigmoid"), data, 3);
  REQUIRE(wrong.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::array draws{wrong[i].sample};
    CHECK(data.source().gather(draws).x(0, 0) == static_cast<float>(63 - i) / 8);
  }
}

TEST_CASE("most_wrong refuses what has no classes") {
  const Tensor<float> x({2, 3}, {0, 1, 2, 3, 4, 5});
  const auto with = [&](const Tensor<float>& pictures, const Tensor<float>& y) {
    return most_wrong(scores_of(3, "softmax"), dataset_from_tensors(pictures, y));
  };
  CHECK_THROWS_WITH(with(x, {}), Contains("targets"));
  CHECK_THROWS_WITH(with(x, Tensor<float>({2, 2})), Contains("one-hot of 3"));
  CHECK_THROWS_WITH(with(x, Tensor<float>({2}, {0, 3})), Contains("sample 1") && Contains("found 3"));
  CHECK_THROWS_WITH(with(x, Tensor<float>({2}, {-1, 0})), Contains("sample 0") && Contains("found -1"));
  Tensor<float> broken = x;
  broken(1, 2) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(with(broken, Tensor<float>({2}, {0, 0})), DataError);
  const Dataset data = dataset_from_tensors(x, Tensor<float>({2}, {0, 1}));
  CHECK_THROWS_WITH(most_wrong(scores_of(3, "relu"), data), Contains("'relu'"));
  CHECK_THROWS_WITH(most_wrong(scores_of(3, "softmax"), data, -1), Contains("found -1"));
}
