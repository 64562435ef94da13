#include <catch2/catch.hpp>

#include <strata/strata.hpp>

using namespace strata;
using Catch::Contains;

namespace {

constexpr Activation relu = Activation::relu, sigmoid = Activation::sigmoid;

Layer conv(std::int64_t filters) {
  return Conv2D({.filters = filters, .kernel_size = 3, .activation = relu});
}

}  // namespace

// All totals are those that the book prints.
TEST_CASE("Summaries of the book's transfer learning models") {
  Model base = applications::VGG16({.include_top = false, .input_shape = {150, 150, 3}, .weights = "random"});
  CHECK(base.count_params() == 14'714'688);
  CHECK(base.output_shape() == Shape{4, 4, 512});

  Sequential dense{base, Flatten(), Dense({.units = 256, .activation = relu}),
                   Dense({.units = 1, .activation = sigmoid})};
  CHECK(dense.trainable_weights().size() == 30);
  base.set_trainable(false);
  CHECK(dense.trainable_weights().size() == 4);
  const std::string text = dense.summary_text();
  CHECK_THAT(text, Contains("vgg16 (Functional)") && Contains("(None, 4, 4, 512)") && Contains("14,714,688"));
  CHECK_THAT(text, Contains("flatten (Flatten)") && Contains("(None, 8192)"));
  CHECK_THAT(text, Contains("Total params: 16,812,353") && Contains("Trainable params: 2,097,665") &&
                       Contains("Non-trainable params: 14,714,688"));

  Sequential convolutional{base, conv(32), Flatten(), Dense({.units = 256, .activation = relu}),
                           Dense({.units = 1, .activation = sigmoid})};
  CHECK_THAT(convolutional.summary_text(),
             Contains("Total params: 14,895,457") && Contains("Trainable params: 180,769"));
}

TEST_CASE("Summaries of the book's small convnets") {
  Sequential first{Input({.shape = {150, 150, 3}}),
                   conv(32),
                   MaxPooling2D(2),
                   conv(64),
                   MaxPooling2D(2),
                   conv(128),
                   MaxPooling2D(2),
                   conv(128),
                   MaxPooling2D(2),
                   Flatten(),
                   Dense({.units = 512, .activation = relu}),
                   Dense({.units = 1, .activation = sigmoid})};
  CHECK_THAT(first.summary_text(),
             Contains("Total params: 3,453,121") && Contains("max_pooling2d_3 (MaxPooling2D)"));

  auto inputs = Input({.shape = {180, 180, 3}});
  Symbol x = Rescaling(1.0 / 255)(inputs);
  for (const std::int64_t filters : {32, 64, 128, 256}) x = MaxPooling2D(2)(conv(filters)(x));
  x = Flatten()(conv(256)(x));
  const Model second(inputs, Dense({.units = 1, .activation = sigmoid})(x));
  CHECK_THAT(second.summary_text(), Contains("Total params: 991,041") && Contains("Model: \"functional\""));
  CHECK_THAT(second.summary_text(), !Contains("Connected to"));
}

TEST_CASE("The summary of a branching model names connections") {
  auto input = Input({.shape = {4, 4, 2}});
  const Conv2D shared({.filters = 2, .kernel_size = 1, .name = "shared"});
  const Symbol a = shared(input), b = shared(a);
  const Model model(input, Add({.name = "sum"})({a, b}));
  const std::string text = model.summary_text();
  CHECK_THAT(text, Contains("Connected to") && Contains("input_layer, shared") && Contains("shared, shared"));
  CHECK_THAT(text, Contains("Total params: 6 (24.00 B)"));
}
