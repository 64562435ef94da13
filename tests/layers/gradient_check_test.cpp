#include <catch2/catch.hpp>

#include <functional>
#include <map>

#include <strata/layers/registry.hpp>

#include "support/gradient_check.hpp"

using namespace strata;
using strata_test::check_gradients;
using strata_test::layer_test;

namespace {

using Conv2D64 = BasicConv2D<double>;
using Dense64 = BasicDense<double>;

const Activation activations[] = {Activation::linear,       Activation::relu,     Activation::leaky_relu(0.2),
                                  Activation::elu,          Activation::sigmoid,  Activation::tanh,
                                  Activation::relu6,        Activation::silu,     Activation::gelu,
                                  Activation::selu,         Activation::softplus, Activation::softsign,
                                  Activation::hard_sigmoid, Activation::mish,     Activation::softmax};

void conv2d() {
  layer_test(Conv2D64({.filters = 4, .kernel_size = 3}), {{5, 6, 3}});
  layer_test(Conv2D64({.filters = 2, .kernel_size = {2, 3}, .strides = {2, 1}, .padding = Padding::same}),
             {{5, 4, 2}});
  layer_test(Conv2D64({.filters = 3, .kernel_size = 3, .strides = 3, .padding = Padding::same}), {{7, 8, 1}});
  layer_test(Conv2D64({.filters = 3, .kernel_size = 3, .padding = Padding::same, .dilation_rate = 2}),
             {{6, 7, 3}});
  layer_test(Conv2D64({.filters = 3, .kernel_size = 3, .padding = Padding::same, .use_bias = false}),
             {{4, 4, 3}});
  layer_test(Conv2D64({.filters = 6, .kernel_size = 3, .padding = Padding::same, .groups = 2}), {{4, 5, 4}});
  layer_test(Conv2D64({.filters = 6, .kernel_size = {2, 3}, .strides = 2, .groups = 3}), {{5, 6, 3}});
  for (const Activation& activation : activations)
    layer_test(Conv2D64({.filters = 3, .kernel_size = 1, .activation = activation}), {{3, 2, 3}});
}

void conv2d_transpose() {
  using Transpose = BasicConv2DTranspose<double>;
  layer_test(Transpose({.filters = 4, .kernel_size = 3}), {{3, 4, 3}});
  layer_test(Transpose({.filters = 3, .kernel_size = {2, 3}, .strides = 2, .padding = Padding::same}),
             {{3, 2, 2}});
  layer_test(Transpose({.filters = 2,
                        .kernel_size = 2,
                        .strides = {3, 2},
                        .output_padding = {2, 0},
                        .activation = Activation::silu}),
             {{2, 3, 3}});
  layer_test(Transpose({.filters = 2, .kernel_size = 3, .dilation_rate = {1, 2}, .use_bias = false}),
             {{3, 4, 1}});
}

void depthwise_conv2d() {
  using Depthwise = BasicDepthwiseConv2D<double>;
  layer_test(Depthwise({.kernel_size = 3}), {{5, 6, 3}});
  layer_test(
      Depthwise({.kernel_size = {2, 3}, .strides = 2, .padding = Padding::same, .depth_multiplier = 2}),
      {{5, 4, 2}});
  layer_test(Depthwise({.kernel_size = 3, .padding = Padding::same, .dilation_rate = 2, .use_bias = false}),
             {{6, 5, 2}});
  layer_test(Depthwise({.kernel_size = 2, .depth_multiplier = 3, .activation = Activation::silu}),
             {{3, 4, 1}});
}

void separable_conv2d() {
  using Separable = BasicSeparableConv2D<double>;
  layer_test(Separable({.filters = 3, .kernel_size = 3, .padding = Padding::same}), {{4, 5, 3}});
  layer_test(Separable({.filters = 4, .kernel_size = {2, 3}, .strides = 2, .depth_multiplier = 2}),
             {{5, 6, 2}});
  layer_test(Separable({.filters = 2,
                        .kernel_size = 3,
                        .padding = Padding::same,
                        .dilation_rate = 2,
                        .activation = Activation::gelu,
                        .use_bias = false}),
             {{5, 4, 2}});
}

void dense() {
  layer_test(Dense64({.units = 1}), {{7}});
  layer_test(Dense64({.units = 4, .use_bias = false}), {{3, 4}});
  for (const Activation& activation : activations)
    layer_test(Dense64({.units = 5, .activation = activation}), {{5}});
}

template <PoolKind kind>
void pooling() {
  using Pooling = LayerHandle<Pooling2DImpl<double, kind>>;
  for (const Padding padding : {Padding::valid, Padding::same}) {
    layer_test(Pooling({.pool_size = 2, .padding = padding}), {{5, 4, 3}});
    layer_test(Pooling({.pool_size = 3, .strides = {1, 2}, .padding = padding}), {{5, 6, 2}});
    layer_test(Pooling({.pool_size = {3, 2}, .strides = 1, .padding = padding}), {{4, 5, 2}});
  }
}

template <PoolKind kind>
void global_pooling() {
  using Pooling = LayerHandle<GlobalPooling2DImpl<double, kind>>;
  layer_test(Pooling(), {{3, 4, 2}});
  layer_test(Pooling({.keepdims = true}), {{2, 3, 3}});
}

void batch_normalization() {
  layer_test(BasicBatchNormalization<double>(), {{4, 3, 2}});
  layer_test(BasicBatchNormalization<double>({.epsilon = 0.1, .center = false}), {{5}});
  layer_test(BasicBatchNormalization<double>({.scale = false}), {{5}});
  layer_test(BasicBatchNormalization<double>({.center = false, .scale = false}), {{3, 2}});
}

template <MergeKind kind>
void merge() {
  using Merge = LayerHandle<MergeImpl<double, kind>>;
  layer_test(Merge(), {{3, 2}, {3, 2}});
  layer_test(Merge(), {{1, 2, 1}, {3, 1, 2}});
  layer_test(Merge(), {{3, 4}, {4}});
  if (kind == MergeKind::subtract) return;
  layer_test(Merge(), {{4}, {4}, {4}});
  layer_test(Merge(), {{3, 2, 4}, {3, 1, 1}, {4}});
}

void concatenate() {
  layer_test(BasicConcatenate<double>(), {{3, 2}, {3, 4}});
  layer_test(BasicConcatenate<double>(), {{2, 3, 1}, {2, 3, 2}, {2, 3, 3}});
  layer_test(BasicConcatenate<double>({.axis = 1}), {{2, 3}, {4, 3}});
  layer_test(BasicConcatenate<double>({.axis = 2}), {{2, 1, 3}, {2, 2, 3}});
}

/// A warp has no gradient and says so; outside training, and where it draws only 0, it is the identity.
template <class Layer>
void random_transform(const Layer& moving, const Layer& still) {
  layer_test(still, {{4, 5, 2}});
  const BasicInput<double> x({.shape = {4, 5, 2}});
  const BasicModel<double> model(x, moving(x), {});
  check_gradients(model, {.training = false});
  CHECK_THROWS_WITH(check_gradients(model), Catch::Contains("has no gradient"));
}

// By class, so that one which is missing shows.
const std::map<std::string, std::function<void()>> checks{
    {"Conv2D", conv2d},
    {"Conv2DTranspose", conv2d_transpose},
    {"DepthwiseConv2D", depthwise_conv2d},
    {"SeparableConv2D", separable_conv2d},
    {"Dense", dense},
    {"MaxPooling2D", pooling<PoolKind::max>},
    {"AveragePooling2D", pooling<PoolKind::average>},
    {"GlobalMaxPooling2D", global_pooling<PoolKind::max>},
    {"GlobalAveragePooling2D", global_pooling<PoolKind::average>},
    {"Flatten",
     [] {
       layer_test(BasicFlatten<double>(), {{3, 2, 2}});
     }},
    {"Reshape",
     [] {
       layer_test(BasicReshape<double>({.target_shape = {3, -1}}), {{3, 2, 2}});
       layer_test(BasicReshape<double>({.target_shape = {2, 2, 3}}), {{12}});
     }},
    // The mask is a function of seed, step and layer, so that differences see the same one.
    {"Dropout",
     [] {
       layer_test(BasicDropout<double>(0.5), {{20}});
       layer_test(BasicDropout<double>(0.0), {{4, 3}});
       layer_test(BasicDropout<double>({.rate = 0.5, .noise_shape = {1, 3}}), {{4, 3}});
     }},
    {"Activation",
     [] {
       for (const Activation& activation : activations)
         layer_test(BasicActivationLayer<double>(activation), {{3, 4}});
     }},
    {"ReLU", [] { layer_test(BasicReLU<double>(), {{6}}); }},
    {"LeakyReLU",
     [] {
       layer_test(BasicLeakyReLU<double>(0.1), {{2, 3, 2}});
     }},
    {"Softmax", [] { layer_test(BasicSoftmax<double>(), {{4}}); }},
    {"BatchNormalization", batch_normalization},
    {"Normalization",
     [] {
       layer_test(BasicNormalization<double>(), {{2, 3}});
       layer_test(BasicNormalization<double>({.mean = {0.5, -2}, .variance = {0.3, 4}}), {{3, 2, 2}});
       layer_test(BasicNormalization<double>({.mean = {0.5}, .variance = {0.3}, .invert = true}), {{2, 3}});
     }},
    {"Rescaling",
     [] {
       layer_test(BasicRescaling<double>({.scale = 1.0 / 255, .offset = -0.5}), {{2, 3}});
     }},
    {"ZeroPadding2D",
     [] {
       layer_test(BasicZeroPadding2D<double>(), {{3, 2, 2}});
       layer_test(BasicZeroPadding2D<double>({.padding = {1, 0, 2, 3}}), {{2, 3, 1}});
     }},
    {"UpSampling2D",
     [] {
       for (const Interpolation how : {Interpolation::nearest, Interpolation::bilinear}) {
         layer_test(BasicUpSampling2D<double>({.interpolation = how}), {{3, 4, 2}});
         layer_test(BasicUpSampling2D<double>({.size = {3, 1}, .interpolation = how}), {{2, 1, 3}});
       }
     }},
    {"RandomFlip",
     [] {
       layer_test(BasicRandomFlip<double>(), {{3, 4, 2}});
       layer_test(BasicRandomFlip<double>(FlipMode::vertical), {{4, 3, 1}});
     }},
    {"RandomRotation",
     [] { random_transform(BasicRandomRotation<double>(0.2), BasicRandomRotation<double>(0.0)); }},
    {"RandomZoom", [] { random_transform(BasicRandomZoom<double>(0.2), BasicRandomZoom<double>(0.0)); }},
    {"RandomTranslation",
     [] {
       random_transform(BasicRandomTranslation<double>({.width_factor = 0.2}),
                        BasicRandomTranslation<double>(0.0));
     }},
    {"RandomContrast",
     [] {
       layer_test(BasicRandomContrast<double>({.factor = {0.4, 0.8}, .value_range = {-0.8, 0.9}}),
                  {{4, 3, 2}});
     }},
    {"RandomBrightness",
     [] {
       layer_test(BasicRandomBrightness<double>({.factor = 0.3, .value_range = {-0.8, 0.9}}), {{4, 3, 2}});
     }},
    {"Add", merge<MergeKind::add>},
    {"Subtract", merge<MergeKind::subtract>},
    {"Multiply", merge<MergeKind::multiply>},
    {"Average", merge<MergeKind::average>},
    {"Maximum", merge<MergeKind::maximum>},
    {"Minimum", merge<MergeKind::minimum>},
    {"Concatenate", concatenate}};

}  // namespace

TEST_CASE("Every layer of the list has the gradients that differences show") {
  for (const auto& factory : builtin_layers<double>()) {
    if (factory.class_name == InputImpl<double>::type) continue;
    INFO(factory.class_name);
    const auto check = checks.find(factory.class_name);
    REQUIRE(check != checks.end());
    check->second();
  }
}
