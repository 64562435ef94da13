#include "support/device_training.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

#include <strata/applications/grad_cam.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/model/compare_devices.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/gradients.hpp>
#include <strata/training/saving.hpp>

#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/temporary_directory.hpp"

namespace strata_test {

using namespace strata;

template <class T>
BasicSequential<T> small_convnet() {
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
SmallPictures<T>::SmallPictures() : x(random_tensor({16, 10, 9, 3}, 1).template cast<T>()) {
  for (std::int64_t i = 0; i < 16; ++i) y(i) = T(i % 4);
}

template <class T>
std::vector<double> train_small_convnet(BasicModel<T>& model, const DevicePtr& device, int steps) {
  model.to(device);
  model.compile({.optimizer = Adam({.learning_rate = 1e-2}),
                 .loss = BasicSparseCategoricalCrossentropy<T>(),
                 .metrics = {BasicAccuracy<T>()}});
  const SmallPictures<T> data;
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) losses.push_back(model.train_on_batch(data.x, data.y)["loss"]);
  return losses;
}

template <class T>
void check_training(const DevicePtr& device, const DevicePtr& other, double tolerance) {
  INFO(device->description() << " against " << other->description());
  BasicSequential<T> a = small_convnet<T>(), b = small_convnet<T>();
  const std::vector<double> found = train_small_convnet<T>(a, device),
                            expected = train_small_convnet<T>(b, other);
  for (std::size_t step = 0; step < found.size(); ++step)
    CHECK(found[step] == Approx(expected[step]).epsilon(tolerance));
  CHECK(found.back() < found.front());
  const std::vector<Tensor<T>> weights = a.get_weights(), should = b.get_weights();
  for (std::size_t i = 0; i < weights.size(); ++i)
    check_close(concat("weight ", i), weights[i], should[i], 10 * tolerance);
  const SmallPictures<T> data;
  check_close("prediction", a.predict(data.x), b.predict(data.x), 10 * tolerance);
}

template <class T>
BasicModel<T> residual_blocks(bool apart) {
  // Of both networks layers have the same names, whose order in the graph may differ.
  int layers = 0;
  const auto name = [&] { return concat("layer_", layers++); };
  const auto left_alone = [&](const BasicSymbol<T>& x) { return apart ? BasicDropout<T>(0)(x) : x; };
  const auto sum = [&](const BasicSymbol<T>& a, const BasicSymbol<T>& b) {
    return BasicAdd<T>({.name = name()})({left_alone(a), left_alone(b)});
  };
  const auto normalize = [&](const BasicSymbol<T>& x, BatchNormalizationOptions options = {}) {
    options.name = name();
    return BasicBatchNormalization<T>(options)(left_alone(x));
  };
  const auto activate = [&](const BasicSymbol<T>& x, const Activation& f) {
    return BasicActivationLayer<T>({.activation = f, .name = name()})(left_alone(x));
  };
  const auto convolution = [&](std::int64_t filters, int size, bool use_bias = true) {
    return BasicConv2D<T>({.filters = filters,
                           .kernel_size = size,
                           .padding = Padding::same,
                           .use_bias = use_bias,
                           .name = name()});
  };
  const BasicSymbol<T> input = BasicInput<T>({.shape = {11, 9, 5}});
  // ResNet: a convolution on the shortcut, then none.
  BasicSymbol<T> x = input;
  for (const bool shortcut : {true, false}) {
    BasicSymbol<T> y = activate(normalize(convolution(16, 1)(x)), Activation::relu);
    y = activate(normalize(convolution(16, 3)(y), {.epsilon = 1e-5}), Activation::relu);
    y = normalize(convolution(20, 1)(y));
    if (shortcut) x = normalize(convolution(20, 1)(x));
    x = activate(sum(x, y), Activation::relu);
  }
  // MobileNet: no bias, then one.
  for (const bool bias : {false, true}) {
    BasicSymbol<T> y = activate(normalize(convolution(24, 1, bias)(x), {.scale = bias}), Activation::relu6);
    y = BasicDepthwiseConv2D<T>(
        {.kernel_size = 3, .padding = Padding::same, .use_bias = bias, .name = name()})(y);
    y = activate(normalize(y, {.center = bias}), bias ? Activation::silu : Activation::relu6);
    x = sum(x, normalize(convolution(20, 1, bias)(y)));
  }
  const BasicSymbol<T> separable =
      BasicSeparableConv2D<T>({.filters = 20, .kernel_size = 3, .padding = Padding::same, .name = name()})(x);
  x = activate(sum(normalize(separable), x), Activation::elu);
  // A batch normalization for two convolutions, and a convolution in front of two.
  const BasicBatchNormalization<T> norm({.name = name()});
  const BasicConv2D<T> first = convolution(20, 3), second = convolution(20, 3);
  BasicSymbol<T> y = sum(norm(left_alone(first(x))), norm(left_alone(second(x))));
  y = sum(y, normalize(first(y)));
  y = activate(normalize(convolution(7, 3)(y)), Activation::leaky_relu(0.2));
  BasicModel<T> model(input, BasicMaxPooling2D<T>({.name = name()})(left_alone(y)));
  for (const auto& layer : model.model().graph().layers())
    for (const auto& weight : layer->weights()) {
      const bool variance = weight->name() == "moving_variance", kernel = weight->shape().rank() == 4;
      const double low = variance ? 0.2 : kernel ? -0.4 : -1;
      weight->mutate() =
          random_tensor(weight->shape(), hash_name(layer->name() + weight->name()), low, variance ? 2 : -low)
              .template cast<T>();
    }
  return model;
}

template <class T>
void check_inference(const DevicePtr& device, const DevicePtr& other, double tolerance) {
  BasicModel<T> model = residual_blocks<T>(), apart = residual_blocks<T>(true);
  model.to(device);
  apart.to(other);
  const Tensor<T> x = random_tensor({3, 11, 9, 5}, 6).template cast<T>();
  check_close("prediction", model.predict(x), apart.predict(x), tolerance);
}

void check_saving(const DevicePtr& device, const DevicePtr& other) {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors";
  const DevicePtr devices[] = {device, other};
  const SmallPictures<float> data;
  for (const int from : {0, 1}) {
    Sequential model = small_convnet<float>();
    train_small_convnet<float>(model, devices[from], 3);
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

namespace {

Model every_layer() {
  const Symbol x = Input({.shape = {12, 10, 4}});
  Symbol y = Normalization({.mean = {0.1, -0.3, 0, 1}, .variance = {0.5, 2, 1, 0.7}})(x);
  y = RandomFlip()(Rescaling({.scale = 0.5, .offset = 0.1})(y));
  y = Conv2D({.filters = 8, .kernel_size = 3, .padding = Padding::same, .activation = Activation::relu})(y);
  const Symbol wide = Conv2D({.filters = 8,
                              .kernel_size = 3,
                              .padding = Padding::same,
                              .dilation_rate = 2,
                              .activation = Activation::gelu})(y);
  const Symbol grouped = Conv2D({.filters = 8,
                                 .kernel_size = 3,
                                 .padding = Padding::same,
                                 .groups = 2,
                                 .activation = Activation::silu})(y);
  const Symbol deep =
      LeakyReLU(0.1)(BatchNormalization()(DepthwiseConv2D({.kernel_size = 3, .padding = Padding::same})(y)));
  const Symbol point = Conv2D({.filters = 8, .kernel_size = 1, .activation = Activation::tanh})(y);
  y = Add()({wide, grouped});
  y = Concatenate()({Multiply()({y, deep}), Average()({y, point}), Maximum()({y, deep}),
                     Minimum()({y, point}), Subtract()({y, deep})});
  y = SeparableConv2D({.filters = 6,
                       .kernel_size = 3,
                       .strides = 2,
                       .padding = Padding::same,
                       .activation = Activation::elu})(y);
  y = AveragePooling2D({.pool_size = 3, .strides = 2, .padding = Padding::same})(UpSampling2D()(y));
  y = Conv2DTranspose({.filters = 7,
                       .kernel_size = {3, 4},
                       .strides = 2,
                       .padding = Padding::same,
                       .activation = Activation::gelu})(y);
  y = Conv2D({.filters = 10, .kernel_size = 3, .strides = 2, .padding = Padding::same})(ZeroPadding2D(1)(y));
  const Symbol pooled = MaxPooling2D({.pool_size = 2})(y);
  y = Concatenate()({GlobalMaxPooling2D()(y), GlobalAveragePooling2D()(y), Flatten()(pooled)});
  y = Dense({.units = 9, .activation = Activation::sigmoid})(Dropout(0.5)(y));
  return Model(x, Softmax()(Dense({.units = 5, .activation = Activation::relu6})(y)));
}

}  // namespace

void check_layers(const DevicePtr& device, const DevicePtr& other, double tolerance) {
  const DeviceComparison found =
      compare_devices(every_layer(), random_tensor({5, 12, 10, 4}, 3).cast<float>(), device, other);
  INFO(found.text());
  CHECK(found.layers.size() > 20);
  CHECK(found.worst().largest() < tolerance);
}

void check_fit(const DevicePtr& device, const DevicePtr& other, double tolerance) {
  Tensor<std::uint8_t> pictures({20, 16, 16, 3});
  const Tensor<double> noise = random_tensor({20, 16, 16, 3}, 4), targets = random_tensor({20}, 5);
  for (std::int64_t i = 0; i < pictures.size(); ++i)
    pictures.data()[i] = static_cast<std::uint8_t>(127 + 100 * noise.data()[i]);
  Tensor<float> labels({20});
  for (std::int64_t i = 0; i < 20; ++i) labels(i) = targets(i) > 0;

  std::vector<double> losses[2];
  std::vector<Tensor<float>> predictions[2];
  for (const int i : {0, 1}) {
    Sequential model({Input({.shape = {16, 16, 3}}),
                      Conv2D({.filters = 8, .kernel_size = 3, .activation = Activation::relu}),
                      MaxPooling2D(), Conv2D({.filters = 8, .kernel_size = 3}), Flatten(), Dropout(0.5),
                      Dense({.units = 1, .activation = Activation::sigmoid})},
                     {.seed = 3});
    model.to(i ? other : device);
    model.compile({.optimizer = RMSprop({.learning_rate = 1e-3}),
                   .loss = BinaryCrossentropy(),
                   .metrics = {Accuracy(), AUC()}});
    const ImageDataGenerator generator({.rotation_range = 20,
                                        .width_shift_range = 0.1,
                                        .height_shift_range = 0.1,
                                        .zoom_range = 0.2,
                                        .horizontal_flip = true,
                                        .rescale = 1.0 / 255});
    // Several batches to validate: each overwrites the one before, which a device may still have to read.
    const Dataset validation =
        dataset_from_tensors(pictures, labels, {.batch_size = 3, .scaling = {.scale = 1.0f / 255}});
    const History history = model.fit(generator.flow(pictures, labels, {.batch_size = 4, .seed = 8}),
                                      {.epochs = 2, .validation_data = validation, .verbose = 0});
    losses[i].push_back(model.evaluate(validation)["loss"]);
    CHECK(losses[i].back() == history["val_loss"].back());
    for (const char* name : {"loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc"})
      for (const double value : history[name]) losses[i].push_back(value);
    // Right behind the last step, on contexts of their own.
    const Tensor<float> x = pictures.cast<float>();
    predictions[i].resize(4);
    std::vector<std::thread> threads;
    for (Tensor<float>& prediction : predictions[i])
      threads.emplace_back([&] { prediction = model.predict(x); });
    for (std::thread& thread : threads) thread.join();
    for (const Tensor<float>& prediction : predictions[i]) CHECK(prediction == predictions[i][0]);
    CHECK(model.predict(dataset_from_tensors(x, labels, {.batch_size = 20})) == predictions[i][0]);
  }
  for (std::size_t i = 0; i < losses[0].size(); ++i)
    CHECK(losses[0][i] == Approx(losses[1][i]).epsilon(tolerance));
  check_close("prediction", predictions[0][0], predictions[1][0], 10 * tolerance);
}

void check_gradients(const DevicePtr& device, const DevicePtr& other, double tolerance) {
  const Tensor<float> x = random_tensor({5, 12, 10, 4}, 3).cast<float>();
  const Tensor<float> y = random_tensor({5, 5}, 4, 0, 1).cast<float>();
  const SmallPictures<float> pictures;
  Model layers = every_layer(), convnet = small_convnet<float>();
  Gradients found[2];
  Tensor<float> heat[2];
  for (const int i : {0, 1}) {
    layers.to(i ? other : device);
    convnet.to(i ? other : device);
    found[i] = gradients(layers, x, y, {.loss = CategoricalCrossentropy()});
    heat[i] = grad_cam(convnet, pictures.x, {.class_index = 2, .logits = true});
  }
  CHECK(found[0].value == Approx(found[1].value).epsilon(tolerance));
  check_close("input", found[0].inputs.at(0), found[1].inputs.at(0), tolerance);
  CHECK(found[0].weights.size() == layers.trainable_weights().size());
  for (const auto& [name, gradient] : found[0].weights)
    check_close(name, gradient, found[1].weights.at(name), tolerance);
  check_close("heat map", heat[0], heat[1], tolerance);
  CHECK(*std::max_element(heat[1].data(), heat[1].data() + heat[1].size()) == 1);
}

void check_several_outputs(const DevicePtr& device, const DevicePtr& other, double tolerance) {
  const Tensor<float> left = random_tensor({24, 6, 5, 3}, 1).cast<float>();
  const Tensor<float> right = random_tensor({24, 4}, 2, -3, 9).cast<float>();
  Tensor<float> kinds({24}), weights({24});
  for (std::int64_t i = 0; i < 24; ++i) kinds(i) = float(i % 3), weights(i) = 0.5F + float(i % 4) / 4;
  const Tensor<float> prices = random_tensor({24, 2}, 3).cast<float>();
  History histories[2];
  std::vector<Tensor<float>> predictions[2];
  for (const int i : {0, 1}) {
    const Symbol a = Input({.shape = {6, 5, 3}}), b = Input({.shape = {4}});
    Normalization scale;
    scale.adapt(right);
    const Symbol maps = Conv2D({.filters = 6, .kernel_size = 3, .activation = Activation::gelu})(a);
    const Symbol both = Concatenate()({GlobalAveragePooling2D()(maps), scale(b)});
    Model model({.inputs = {a, b},
                 .outputs = {Dense({.units = 3, .activation = Activation::softmax, .name = "kind"})(both),
                             Dense({.units = 2, .name = "price"})(both)},
                 .seed = 5});
    model.to(i ? other : device);
    model.compile({.optimizer = Adam({.learning_rate = 1e-2}),
                   .loss = {SparseCategoricalCrossentropy(), MeanSquaredError()},
                   .loss_weights = {1, 0.25},
                   .metrics = {Accuracy(), {}}});
    histories[i] = model.fit({left, right}, {kinds, prices},
                             {.batch_size = 5, .epochs = 3, .sample_weight = weights, .verbose = 0});
    predictions[i] = model.predict(std::vector<Tensor<float>>{left, right});
  }
  CHECK(histories[0].names() == histories[1].names());
  for (const std::string& name : histories[0].names())
    for (std::size_t epoch = 0; epoch < 3; ++epoch)
      CHECK(histories[0][name][epoch] == Approx(histories[1][name][epoch]).epsilon(tolerance));
  for (const std::size_t output : {0, 1})
    check_close(concat("output ", output), predictions[0].at(output), predictions[1].at(output),
                10 * tolerance);
}

void check_frozen_prefix(const DevicePtr& device, const DevicePtr& other, double tolerance) {
  const SmallPictures<float> data;
  Tensor<float> predictions[3];
  std::vector<double> losses[3];
  for (const int i : {0, 1, 2}) {
    Sequential model({Input({.shape = {10, 9, 3}}),
                      Conv2D({.filters = 6, .kernel_size = 3, .activation = Activation::relu}),
                      BatchNormalization(), MaxPooling2D(), Flatten(), Dropout(0.3), Dense(4)},
                     {.seed = 5});
    for (const char* name : {"conv2d", "batch_normalization"}) model.layer(name).set_trainable(false);
    model.to(i == 2 ? other : device);
    model.compile({.optimizer = RMSprop({.learning_rate = 1e-2}),
                   .loss = SparseCategoricalCrossentropy({.from_logits = true})});
    const History history =
        model.fit(data.x, data.y, {.batch_size = 5, .epochs = 4, .verbose = 0, .cache_frozen = i != 1});
    losses[i] = history["loss"];
    predictions[i] = model.predict(data.x);
  }
  CHECK(losses[0] == losses[1]);
  CHECK(predictions[0] == predictions[1]);
  for (std::size_t epoch = 0; epoch < losses[0].size(); ++epoch)
    CHECK(losses[0][epoch] == Approx(losses[2][epoch]).epsilon(tolerance));
  check_close("prediction", predictions[0], predictions[2], 10 * tolerance);
}

void check_device(const DevicePtr& device, const DevicePtr& other) {
  SECTION("layer by layer") {
    check_layers(device, other, 1e-5);
  }
  SECTION("inference") {
    check_inference<float>(device, other, 1e-5);
    check_inference<float>(device, device, 2e-6);
  }
  SECTION("training") {
    check_training<float>(device, other, 1e-4);
  }
  SECTION("fit") {
    check_fit(device, other, 1e-3);
  }
  SECTION("gradients") {
    check_gradients(device, other, 1e-4);
  }
  SECTION("several outputs") {
    check_several_outputs(device, other, 1e-4);
  }
  SECTION("frozen prefix") {
    check_frozen_prefix(device, other, 1e-4);
  }
  SECTION("saving") {
    check_saving(device, other);
  }
}

template struct SmallPictures<float>;
template struct SmallPictures<double>;
template BasicSequential<float> small_convnet();
template BasicSequential<double> small_convnet();
template std::vector<double> train_small_convnet(BasicModel<float>&, const DevicePtr&, int);
template std::vector<double> train_small_convnet(BasicModel<double>&, const DevicePtr&, int);
template BasicModel<float> residual_blocks(bool);
template BasicModel<double> residual_blocks(bool);
template void check_inference<float>(const DevicePtr&, const DevicePtr&, double);
template void check_inference<double>(const DevicePtr&, const DevicePtr&, double);
template void check_training<float>(const DevicePtr&, const DevicePtr&, double);
template void check_training<double>(const DevicePtr&, const DevicePtr&, double);

}  // namespace strata_test
