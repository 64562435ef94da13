#include <catch2/catch.hpp>

#include <vector>

#include <strata/layers/layers.hpp>
#include <strata/training/saving.hpp>

#include "support/temporary_directory.hpp"

using namespace strata;

namespace {

Tensor<float> values(const Shape& shape, std::uint64_t path) {
  const RandomStream random(7, Purpose::user, path);
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = 2 * random.uniform(static_cast<std::uint64_t>(i)) - 1;
  return out;
}

constexpr int side = 3, rows = 4;
constexpr double rate = 0.1, momentum = 0.9;
using Matrix = std::vector<double>;  // [rows or side, side]

Matrix matrix(const Tensor<float>& tensor) {
  return {tensor.data(), tensor.data() + tensor.size()};
}

/// Two square layers y = x A B under the mean square, trained by hand.
struct ByHand {
  Matrix weights[2], velocity[2]{Matrix(side * side), Matrix(side*side)};

  static Matrix product(const Matrix& a, const Matrix& b, bool a_turned, bool b_turned) {
    const int inner = a_turned ? static_cast<int>(a.size()) / side : side;
    const int height = a_turned ? side : static_cast<int>(a.size()) / side;
    Matrix out(static_cast<std::size_t>(height * side));
    for (int i = 0; i < height; ++i)
      for (int j = 0; j < side; ++j)
        for (int k = 0; k < inner; ++k)
          out[static_cast<std::size_t>(i * side + j)] +=
              a[static_cast<std::size_t>(a_turned ? k * side + i : i * side + k)] *
              b[static_cast<std::size_t>(b_turned ? j * side + k : k * side + j)];
    return out;
  }
  void step(const Matrix& x, const Matrix& target, bool first, bool second) {
    const Matrix hidden = product(x, weights[0], false, false);
    Matrix dy = product(hidden, weights[1], false, false);
    for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = 2 * (dy[i] - target[i]) / (rows * side);
    const Matrix gradients[2]{product(x, product(dy, weights[1], false, true), true, false),
                              product(hidden, dy, true, false)};
    const bool trains[2]{first, second};
    for (int w = 0; w < 2; ++w)
      for (std::size_t i = 0; trains[w] && i < side * side; ++i) {
        velocity[w][i] = momentum * velocity[w][i] - rate * gradients[w][i];
        weights[w][i] += velocity[w][i];
      }
  }
};

void check_close(const Tensor<float>& found, const Matrix& expected) {
  REQUIRE(found.size() == static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(found.data()[i] == Approx(expected[i]).epsilon(1e-4).margin(1e-6));
}

/// y = x * w, whose gradient exists only while `gives` is set.
struct ScaleOptions {
  std::string name = {};
  template <class Fields>
  void fields(Fields&) {}
};
class ScaleImpl final : public LayerBase<ScaleImpl, float, ScaleOptions> {
 public:
  static constexpr const char* type = "Scale";
  explicit ScaleImpl(ScaleOptions options) : LayerBase(std::move(options)) {}
  Shape output_shape(Shapes inputs) const override { return single(inputs); }
  void build(Shapes) override { weight_ = add_weight("scale", {1}, initializers::ones()); }
  void forward(Inputs x, Output y, Context& context) const override {
    context.backend().affine(y.size(), weight_->value().data()[0], 0, x[0].data(), y.data());
  }
  void backward(Inputs, View, View, InputGradients, Context& context) const override {
    if (gives) context.gradient(*weight_).data[0] = 1;
  }
  bool gives = true;

 private:
  ParameterPtr<float> weight_;
};

}  // namespace

TEST_CASE("Weights of one shape keep their own gradients and momenta: frozen, thawed, saved and loaded") {
  Sequential model({Input({.shape = {side}}), Dense({.units = side, .use_bias = false, .name = "a"}),
                    Dense({.units = side, .use_bias = false, .name = "b"})},
                   {.seed = 3});
  const auto optimizer = SGD({.learning_rate = rate, .momentum = momentum});
  model.compile({.optimizer = optimizer, .loss = MeanSquaredError()});
  ByHand expected{{matrix(model.get_weights()[0]), matrix(model.get_weights()[1])}};
  const Tensor<float> x = values({rows, side}, 1), y = values({rows, side}, 2);
  const auto train = [&](Model& trained, bool first, bool second) {
    trained.layer("a").set_trainable(first);
    trained.layer("b").set_trainable(second);
    for (int i = 0; i < 3; ++i) {
      trained.train_on_batch(x, y);
      expected.step(matrix(x), matrix(y), first, second);
    }
    for (std::size_t w = 0; w < 2; ++w) check_close(trained.get_weights()[w], expected.weights[w]);
  };
  train(model, false, true);
  train(model, true, true);
  train(model, true, false);
  train(model, false, true);  // as many of the same shape, but others
  train(model, true, true);

  const TemporaryDirectory directory;
  save_model(model, directory / "m.safetensors");
  const SafetensorsFile file(directory / "m.safetensors");
  check_close(file.read<float>("optimizer/0/a/kernel"), expected.velocity[0]);
  check_close(file.read<float>("optimizer/0/b/kernel"), expected.velocity[1]);
  Model loaded = load_model(directory / "m.safetensors", {.loss = MeanSquaredError()});
  train(loaded, true, true);
}

TEST_CASE("A gradient that a layer does not give is 0, not that of an earlier step") {
  const auto layer = std::make_shared<ScaleImpl>(ScaleOptions{});
  Sequential model{Input({.shape = {2}}), Layer(layer), Dense({.units = 1})};
  model.compile({.optimizer = SGD({.learning_rate = 0.25}), .loss = MeanSquaredError()});
  const Tensor<float> x = values({4, 2}, 1), y = values({4, 1}, 2);
  model.train_on_batch(x, y);
  CHECK(layer->weights()[0]->value()(0) == 0.75f);
  layer->gives = false;
  for (int i = 0; i < 2; ++i) model.train_on_batch(x, y);
  CHECK(layer->weights()[0]->value()(0) == 0.75f);
  layer->gives = true;
  model.train_on_batch(x, y);
  CHECK(layer->weights()[0]->value()(0) == 0.5f);
}

TEST_CASE("The loss of an epoch is the mean of samples, not of batches") {
  Sequential model{Input({.shape = {1}}), Dense({.units = 1, .use_bias = false})};
  model.compile({.optimizer = SGD({.learning_rate = 0}), .loss = MeanSquaredError()});
  model.set_weights({Tensor<float>({1, 1}, {1})});
  // Batches of 2, 2 and 1 with means of 0, 0 and 100.
  const Tensor<float> x({5, 1}, {0, 0, 0, 0, 10}), y({5, 1});
  const History history = model.fit(x, y,
                                    {.batch_size = 2,
                                     .validation_data = dataset_from_tensors(x, y, {.batch_size = 3}),
                                     .shuffle = false,
                                     .verbose = 0});
  CHECK(history["loss"][0] == Approx(20));
  CHECK(history["val_loss"][0] == Approx(20));
  CHECK(model.evaluate(x, y, {.batch_size = 4, .verbose = 0})["loss"] == Approx(20));
}

TEST_CASE("Steps past 2^32 draw anew") {
  Sequential model{Input({.shape = {64}}), Dropout(0.5), Dense({.units = 1, .use_bias = false})};
  model.compile({.optimizer = SGD({.learning_rate = 0}), .loss = MeanSquaredError()});
  const Tensor<float> x = values({4, 64}, 1), y({4, 1});
  const auto loss_at = [&](std::int64_t step) {
    model.trainer().set_iterations(step);
    return model.train_on_batch(x, y)["loss"];
  };
  const std::int64_t turn = std::int64_t{1} << 32;
  CHECK(loss_at(5) == loss_at(5));
  CHECK(loss_at(5) != loss_at(5 + turn));
  CHECK(loss_at(5 + turn) != loss_at(5 + 2 * turn));
}
