#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include <strata/applications/classifier.hpp>
#include <strata/applications/imagenet.hpp>
#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>

#include "data/pictures.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Matchers::Contains;
using strata_test::waves;

namespace {

/// Two classes of pictures of different sizes.
struct Pictures : TemporaryDirectory {
  Pictures() {
    int seed = 0;
    for (const char* name : {"cats/0.png", "cats/1.png", "dogs/2.png", "dogs/3.png", "dogs/4.png"}) {
      std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
      files.push_back(write(name, encode_png(waves(20 + 3 * seed, 31 - 2 * seed, 3, seed))));
      ++seed;
    }
  }
  std::vector<std::string> files;
};

Model network(std::int64_t classes, const Activation& last, std::int64_t channels = 3) {
  return Sequential({Input({.shape = {12, 10, channels}}), Conv2D({.filters = 4, .kernel_size = 3}),
                     Flatten(), Dense({.units = classes, .activation = last})},
                    {.seed = 3});
}
Model two_classes() {
  return network(1, Activation::sigmoid);
}
const std::vector<std::string> names{"cats", "dogs"};

std::vector<float> flat(const Tensor<float>& x) {
  return {x.data(), x.data() + x.size()};
}
std::vector<float> second(const std::vector<Classification>& all) {
  std::vector<float> out;
  for (const Classification& one : all) out.push_back(one.probabilities()[1]);
  return out;
}

}  // namespace

TEST_CASE("A classifier reads pictures as ImageDataGenerator does") {
  const Pictures pictures;
  const Model model = two_classes();
  for (const PixelScaling& scaling : {applications::rescale_scaling, applications::caffe_scaling})
    for (const bool crop : {false, true}) {
      const auto data = ImageDataGenerator({.preprocessing = scaling})
                            .flow_from_directory(pictures.path(), {.target_size = {12, 10},
                                                                   .class_mode = ClassMode::binary,
                                                                   .shuffle = false,
                                                                   .interpolation = PillowFilter::bicubic,
                                                                   .keep_aspect_ratio = crop});
      const Classifier classifier(model, {.class_names = data.class_names(),
                                          .scaling = scaling,
                                          .filter = PillowFilter::bicubic,
                                          .aspect_ratio = crop ? AspectRatio::crop : AspectRatio::stretch});
      CHECK(second(classifier(pictures.files)) == flat(model.predict(data)));
    }
}

TEST_CASE("A classifier reads pictures as image_dataset_from_directory does") {
  const Pictures pictures;
  const Model model = two_classes();
  const auto data = image_dataset_from_directory(pictures.path(), {.label_mode = LabelMode::binary,
                                                                   .image_size = {12, 10},
                                                                   .shuffle = false,
                                                                   .pad_to_aspect_ratio = true});
  const Classifier classifier(
      model, {.class_names = names, .decoder = ImageDecoder::tensorflow, .aspect_ratio = AspectRatio::pad});
  CHECK(second(classifier(pictures.files)) == flat(model.predict(data)));
}

TEST_CASE("One picture is classified as many are, from a file or from its pixels") {
  const Pictures pictures;
  const Classifier classifier(two_classes(),
                              {.class_names = names, .scaling = applications::rescale_scaling});
  const auto all = classifier(pictures.files);
  std::vector<std::vector<float>> here(pictures.files.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < here.size(); ++i)
    threads.emplace_back([&, i] { here[i] = classifier(pictures.files[i]).probabilities(); });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < here.size(); ++i) {
    for (int c = 0; c < 2; ++c) CHECK(here[i][c] == Approx(all[i].probabilities()[c]).epsilon(1e-5));
    CHECK(classifier(read_image(pictures.files[i])).probabilities() == here[i]);
  }
  CHECK(classifier(std::vector<std::string>{}).empty());
  // More than one batch.
  std::vector<std::string> many;
  for (int i = 0; i < 40; ++i) many.push_back(pictures.files[static_cast<std::size_t>(i) % 5]);
  const auto results = classifier(many);
  REQUIRE(results.size() == 40);
  for (std::size_t i = 0; i < 40; ++i)
    CHECK(results[i].probabilities()[1] == Approx(all[i % 5].probabilities()[1]).epsilon(1e-5));
}

TEST_CASE("The most probable classes come first, equal ones in their order") {
  const auto labels =
      std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"a", "b", "c", "d"});
  const Classification one({0.1F, 0.4F, 0.1F, 0.4F}, labels);
  CHECK(one.ranking() == std::vector<std::int64_t>{1, 3, 0, 2});
  std::string text;
  for (const auto& [label, probability] : one.top(3))
    text += concat(label, " ", probability > 0.3 ? "high" : "low", ", ");
  CHECK(text == "b high, d high, a low, ");
  CHECK(one.top().size() == 1);
  CHECK(one.top(9).size() == 4);
  CHECK(one.top(0).empty());

  const Pictures pictures;
  const Classifier classifier(two_classes(), {.class_names = names});
  const Classification cat = classifier(pictures.files[0]);
  CHECK(cat.probabilities()[0] + cat.probabilities()[1] == 1);
  CHECK(cat.top(1)[0].label == (cat.probabilities()[1] > cat.probabilities()[0] ? "dogs" : "cats"));
}

TEST_CASE("A saved classifier gives the same bits, and is a model file") {
  const Pictures pictures;
  const TemporaryDirectory folder;
  const std::string file = folder / "deploy.safetensors";
  Model model = network(3, Activation::softmax, 4);
  const Classifier before(
      model,
      {.class_names = {"a", "b \"quoted\"", "ü"},
       .scaling = {.scale = 0.1F, .mean = {1, 2, 3, 0.7F}, .reverse_channels = true, .std = {0.3F, 1, 2, 3}},
       .decoder = ImageDecoder::tensorflow,
       .filter = PillowFilter::hamming,
       .interpolation = TfInterpolation::mitchellcubic,
       .aspect_ratio = AspectRatio::crop});
  before.save(file);
  const Classifier after = Classifier::load(file);
  CHECK(after.class_names() == before.class_names());
  for (const std::string& picture : pictures.files)
    CHECK(after(picture).probabilities() == before(picture).probabilities());
  const Tensor<float> x({1, 12, 10, 4});
  CHECK(flat(load_model(file).predict(x)) == flat(model.predict(x)));

  // The optimizer's slots stay out of it, and the model is as it was.
  model.compile({.optimizer = Adam(), .loss = CategoricalCrossentropy()});
  model.train_on_batch(Tensor<float>({2, 12, 10, 4}), Tensor<float>({2, 3}));
  Classifier(model, {.class_names = {"a", "b", "c"}}).save(file);
  const SafetensorsFile saved(file);
  for (const SafetensorsInfo& tensor : saved.tensors())
    CHECK_THAT(tensor.name, Catch::StartsWith("weights/"));
  CHECK(model.compiled());
}

TEST_CASE("What does not fit a classifier is named") {
  CHECK_THROWS_WITH(Classifier(two_classes(), {.class_names = {"one"}}),
                    Contains("expected 2 class names") && Contains("found 1"));
  CHECK_THROWS_WITH(Classifier(network(3, Activation::linear), {.class_names = {"a", "b", "c"}}),
                    Contains("ends in softmax or sigmoid") && Contains("'linear'"));
  CHECK_THROWS_WITH(Classifier(network(1, Activation::sigmoid, 2), {.class_names = names}),
                    Contains("[12,10,2]"));
  CHECK_THROWS_WITH(Classifier(two_classes(), {.class_names = names, .aspect_ratio = AspectRatio::pad}),
                    Contains("does not pad"));
  CHECK_THROWS_WITH(Classifier(two_classes(), {.class_names = names, .scaling = {.std = {1, 0, 1, 1}}}),
                    Contains("std of 0"));

  const TemporaryDirectory folder;
  const Classifier classifier(two_classes(), {.class_names = names});
  const std::string text = folder.write("text.jpg", "no picture");
  CHECK_THROWS_WITH(classifier(text), Contains("text.jpg"));
  CHECK_THROWS_WITH(classifier(std::vector{text}), Contains("text.jpg"));
  CHECK_THROWS_WITH(classifier(folder / "absent.jpg"), Contains("absent.jpg"));
  CHECK_THROWS_AS(classifier(Tensor<std::uint8_t>({5, 5, 1})), ShapeError);
}

TEST_CASE("Hostile classifier files are DataErrors that name the file") {
  const TemporaryDirectory folder;
  const std::string file = folder / "m.safetensors";
  const Model model = two_classes();
  save_model(model, file);
  CHECK_THROWS_WITH(Classifier::load(file), Contains("m.safetensors") && Contains("is no classifier"));
  for (const auto& [config, found] : std::vector<std::pair<std::string, std::string>>{
           {"{", "m.safetensors"},
           {"[]", "m.safetensors"},
           {R"({"class_names": ["cats"]})", "expected 2 class names"},
           {R"({"class_names": [1, 2]})", "class_names"},
           {R"({"class_names": ["cats", "dogs"], "mean": [1, 2]})", "expected 4 values, found 2"},
           {R"({"class_names": ["cats", "dogs"], "std": [1, 0, 1, 1]})", "std of 0"},
           {R"({"class_names": ["cats", "dogs"], "filter": "nearst"})", "'nearst'"},
           {R"({"class_names": ["cats", "dogs"], "colour": 1})", "unexpected option 'colour'"}}) {
    save_model(model, file, {.metadata = {{"classifier", config}}});
    CAPTURE(config);
    CHECK_THROWS_AS(Classifier::load(file), DataError);
    CHECK_THROWS_WITH(Classifier::load(file), Contains("m.safetensors") && Contains(found));
  }
}
