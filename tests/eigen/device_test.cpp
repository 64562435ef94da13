#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/eigen.hpp>
#include <strata/model/compare_devices.hpp>
#include <strata/training/saving.hpp>

#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using strata_test::check_close;
using strata_test::random_tensor;

namespace {

/// A convnet with one of everything that trains or draws random numbers.
template <class T>
BasicSequential<T> network() {
  // No bias in front of the batch normalization: its gradient would be rounding errors, which Adam magnifies.
  const auto conv = [](std::int64_t filters, const Activation& activation) {
    return BasicConv2D<T>({.filters = filters,
                           .kernel_size = 3,
                           .padding = Padding::same,
                           .activation = activation,
                           .use_bias = activation != Activation::linear,
                           .kernel_regularizer = L2(1e-3)});
  };
  return BasicSequential<T>(
      {BasicInput<T>({.shape = {10, 9, 3}}), conv(6, Activation::linear), BasicBatchNormalization<T>(),
       BasicLeakyReLU<T>(0.1), BasicMaxPooling2D<T>(), conv(8, Activation::tanh), BasicMaxPooling2D<T>(),
       BasicFlatten<T>(), BasicDropout<T>(0.3), BasicDense<T>({.units = 12, .activation = Activation::elu}),
       BasicDense<T>({.units = 4, .activation = Activation::softmax})},
      {.seed = 5});
}

template <class T>
struct Data {
  Tensor<T> x = random_tensor({16, 10, 9, 3}, 1).template cast<T>();
  Tensor<T> y{{16}};
  Data() {
    for (std::int64_t i = 0; i < 16; ++i) y(i) = T(i % 4);
  }
};

/// The losses of some steps.
template <class T>
std::vector<double> train(BasicModel<T>& model, const DevicePtr& device, int steps = 8) {
  model.to(device);
  model.compile({.optimizer = Adam({.learning_rate = 1e-2}),
                 .loss = BasicSparseCategoricalCrossentropy<T>(),
                 .metrics = {BasicAccuracy<T>()}});
  const Data<T> data;
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) losses.push_back(model.train_on_batch(data.x, data.y)["loss"]);
  return losses;
}

/// Trains on both devices from the same weights.
template <class T>
void check_training(const DevicePtr& eigen, const DevicePtr& other, double tolerance) {
  INFO(eigen->description() << " against " << other->description());
  BasicSequential<T> a = network<T>(), b = network<T>();
  const std::vector<double> found = train<T>(a, eigen), expected = train<T>(b, other);
  for (std::size_t step = 0; step < found.size(); ++step)
    CHECK(found[step] == Approx(expected[step]).epsilon(tolerance));
  CHECK(found.back() < found.front());
  const std::vector<Tensor<T>> weights = a.get_weights(), should = b.get_weights();
  for (std::size_t i = 0; i < weights.size(); ++i)
    check_close(concat("weight ", i), weights[i], should[i], 10 * tolerance);
  const Data<T> data;
  check_close("prediction", a.predict(data.x), b.predict(data.x), 10 * tolerance);
}

}  // namespace

TEST_CASE("A tensor as a matrix of Eigen") {
  Tensor<float> t({2, 2, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  auto matrix = eigen::map(t);
  REQUIRE(matrix.rows() == 4);
  REQUIRE(matrix.cols() == 3);
  CHECK(matrix(3, 1) == 10);
  matrix(1, 2) = 50;
  CHECK(t(0, 1, 2) == 50);

  const Tensor<float>& constant = t;
  const auto read_only = eigen::map(constant);
  STATIC_REQUIRE(std::is_same_v<decltype(read_only), const eigen::MatrixMap<const float>>);
  CHECK(read_only.data() == t.data());
  CHECK(eigen::map(t.slice(1, 2))(0, 0) == 6);

  const Tensor<double> vector({5}), scalar({}, {2.5}), none({0, 7}), hollow({7, 0});
  CHECK((eigen::map(vector).rows() == 1 && eigen::map(vector).cols() == 5));
  CHECK(eigen::map(scalar)(0, 0) == 2.5);
  CHECK((eigen::map(none).rows() == 0 && eigen::map(none).cols() == 7));
  CHECK((eigen::map(hollow).rows() == 7 && eigen::map(hollow).cols() == 0));

  const Tensor<float> apart = t.to(strata_test::reference_device({.host_accessible = false}));
  CHECK_THROWS_AS(eigen::map(apart), DeviceError);
}

TEST_CASE("Eigen's data as a tensor") {
  Eigen::MatrixXf columns(2, 3);  // column-major, as Eigen's own matrices are
  columns << 1, 2, 3, 4, 5, 6;
  CHECK(eigen::to_tensor(columns) == Tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  CHECK(eigen::to_tensor(columns.transpose() * 2) == Tensor<float>({3, 2}, {2, 8, 4, 10, 6, 12}));
  CHECK(eigen::to_tensor(columns * columns.transpose()) == Tensor<float>({2, 2}, {14, 32, 32, 77}));
  CHECK(eigen::to_tensor(Eigen::ArrayXd::Constant(3, 0.5)) == Tensor<double>({3, 1}, {0.5, 0.5, 0.5}));
  CHECK(eigen::to_tensor(columns.topRows(0)).shape() == Shape{0, 3});
  const Tensor<float> t({2, 2}, {1, 2, 3, 4});
  CHECK(eigen::to_tensor(eigen::map(t)) == t);
}

TEST_CASE("The Eigen device is host memory") {
  const DevicePtr device = eigen::device({.threads = 1});
  CHECK(device->host_accessible());
  CHECK_THAT(device->description(), Catch::StartsWith("eigen 3.") && Catch::EndsWith("(1 thread)"));
  CHECK_THAT(eigen::device({.threads = 2})->description(), Catch::EndsWith("(2 threads)"));
  CHECK_THROWS_AS(eigen::device({.threads = -1}), ConfigError);
  CHECK(Tensor<float>({3}, device).device() == nullptr);
}

TEST_CASE("A convnet trains on Eigen as on other devices") {
  const DevicePtr device = eigen::device();
  check_training<double>(device, strata_test::reference_device(), 1e-11);
  check_training<float>(device, strata_test::reference_device(), 1e-4);
  check_training<float>(device, cpu::device(), 1e-4);
}

TEST_CASE("Training on Eigen gives the same bits for any number of threads") {
  std::vector<std::vector<Tensor<float>>> results;
  for (const int threads : {1, 2, 3}) {
    Sequential model = network<float>();
    train<float>(model, eigen::device({.threads = threads}));
    results.push_back(model.get_weights());
  }
  for (const auto& result : results) CHECK(result == results[0]);
}

TEST_CASE("A model goes on where it was saved, on another device") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors";
  const DevicePtr devices[] = {eigen::device(), cpu::device()};
  const Data<float> data;
  for (const int from : {0, 1}) {
    Sequential model = network<float>();
    train<float>(model, devices[from], 3);
    save_model(model, path);
    Model loaded = load_model(path, {.device = devices[1 - from], .loss = SparseCategoricalCrossentropy()});
    CHECK(loaded.device() == devices[1 - from]);
    CHECK(loaded.get_weights() == model.get_weights());
    check_close("prediction", loaded.predict(data.x), model.predict(data.x), 1e-5);
    for (int step = 0; step < 3; ++step)
      CHECK(loaded.train_on_batch(data.x, data.y)["loss"] ==
            Approx(model.train_on_batch(data.x, data.y)["loss"]).epsilon(1e-4));
  }
}

TEST_CASE("Layer by layer, Eigen computes what the CPU does") {
  const Data<float> data;
  const DeviceComparison found = compare_devices(network<float>(), data.x, eigen::device(), cpu::device());
  INFO(found.text());
  CHECK(found.layers.size() == 7);  // batch normalization does the work of the activation behind it
  CHECK(found.worst().largest() < 1e-5);
  const DeviceComparison in_double =
      compare_devices(network<double>(), Data<double>().x, eigen::device(), strata_test::reference_device());
  CHECK(in_double.worst().largest() < 1e-13);
}
