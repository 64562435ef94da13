// A small convolutional network on two classes of pictures, trained from scratch.
//
// Section 5.2 of Chollet, "Deep Learning with Python", 1st edition; with --edition 2 section 8.2 of the 2nd.
// With --augment --dropout the second half of either: pictures are changed at random, anew in every epoch.

#include <strata/strata.hpp>

#include "common/training.hpp"

using namespace strata;

namespace {

/// 3,453,121 weights at 150x150.
Model first_edition(std::int64_t size, bool dropout, std::uint64_t seed) {
  Sequential model({.name = "small_convnet", .seed = seed});
  model.add(Input({.shape = {size, size, 3}}));
  for (const std::int64_t filters : {32, 64, 128, 128}) {
    model.add(Conv2D({.filters = filters, .kernel_size = 3, .activation = Activation::relu}));
    model.add(MaxPooling2D(2));
  }
  model.add(Flatten());
  if (dropout) model.add(Dropout(0.5));
  model.add(Dense({.units = 512, .activation = Activation::relu}));
  model.add(Dense({.units = 1, .activation = Activation::sigmoid}));
  return model;
}

/// 991,041 weights at 180x180.
Model second_edition(std::int64_t size, bool augment, bool dropout, std::uint64_t seed) {
  const auto inputs = Input({.shape = {size, size, 3}});
  auto x = Rescaling(1.0 / 255)(augment ? book::second_edition().data_augmentation(inputs) : inputs);
  for (const std::int64_t filters : {32, 64, 128, 256}) {
    x = Conv2D({.filters = filters, .kernel_size = 3, .activation = Activation::relu})(x);
    x = MaxPooling2D(2)(x);
  }
  x = Conv2D({.filters = 256, .kernel_size = 3, .activation = Activation::relu})(x);
  x = Flatten()(x);
  if (dropout) x = Dropout(0.5)(x);
  const auto outputs = Dense({.units = 1, .activation = Activation::sigmoid})(x);
  return Model({.inputs = {inputs}, .outputs = {outputs}, .name = "small_convnet", .seed = seed});
}

void small_convnet(int argc, char** argv) {
  examples::TrainingOptions options;
  options.run_dir = "runs/small_convnet";
  options.learning_rate = 1e-4;
  std::string edition = "1";
  bool augment = false, dropout = false;
  auto list = examples::without(options.flags(), {"--weights", "--base", "--preprocess"});
  for (examples::Flag& flag : list) {
    if (flag.name == "--input-size") flag.help = "height and width of the pictures; 180 with --edition 2";
    if (flag.name == "--batch-size") flag.help = "pictures per step; 32 with --edition 2 or --augment";
    if (flag.name == "--epochs") flag.help = "passes over the training data; 100 with --augment";
    if (flag.name == "--learning-rate") flag.help = "of RMSprop; 1e-3 with --edition 2";
  }
  list.push_back({.name = "--edition",
                  .help = "of the book: the network and how it is trained",
                  .variable = &edition,
                  .choices = {"1", "2"}});
  list.push_back(
      {.name = "--augment",
       .help = "changes the training pictures at random: in ImageDataGenerator (1st edition) or by layers",
       .variable = &augment});
  list.push_back({.name = "--dropout", .help = "a Dropout(0.5) behind the Flatten", .variable = &dropout});
  examples::Flags flags("small_convnet",
                        "Trains a small convolutional network on two classes of pictures, from scratch.",
                        list);
  if (!examples::parse(flags, options, argc, argv)) return flags.print_help();
  const bool second = edition == "2";
  if (second && !flags.given("--input-size")) options.input_size = 180;
  if ((second || augment) && !flags.given("--batch-size")) options.batch_size = 32;
  if (augment && !flags.given("--epochs")) options.epochs = 100;
  if (second && !flags.given("--learning-rate")) options.learning_rate = 1e-3;

  examples::RunDirectory run(options.run_dir, options.overwrite, options.resume);
  const DevicePtr device = options.make_device();
  std::printf("Strata " STRATA_VERSION ", a small network on %s\n", device->description().c_str());
  examples::draw_pictures(options, run);
  const auto bytes = [&](const std::string& subset) {
    const bool train = subset == "train";
    const auto edition_1 = book::first_edition();
    return examples::pictures(options, subset, train,
                              train && augment ? edition_1.augmented : edition_1.plain);
  };
  const auto floats = [&](const std::string& subset) {
    return image_dataset_from_directory(options.data + "/" + subset,
                                        {.label_mode = LabelMode::binary,
                                         .batch_size = options.batch_size,
                                         .image_size = {options.input_size, options.input_size},
                                         .shuffle = subset == "train",
                                         .seed = options.seed,
                                         .on_error = options.at_damaged_pictures(),
                                         .limit = options.limit});
  };
  const examples::Subsets data =
      second ? examples::open_subsets(options, floats) : examples::open_subsets(options, bytes);

  Model model = second ? second_edition(options.input_size, augment, dropout, options.seed)
                       : first_edition(options.input_size, dropout, options.seed);
  model.to(device);
  run.write_config(flags.json());
  model.summary();
  model.compile({.optimizer = RMSprop({.learning_rate = options.learning_rate}),
                 .loss = BinaryCrossentropy(),
                 .metrics = {Accuracy()}});
  // The 2nd edition tests the model of the best epoch.
  const Classifier classifier(model, {.class_names = data.train.class_names(),
                                      .scaling = second ? PixelScaling{} : options.scaling(),
                                      .decoder = second ? ImageDecoder::tensorflow : ImageDecoder::pillow});
  examples::train(model, data, options, run, classifier,
                  second ? examples::Keep::best_evaluated : examples::Keep::best_and_last);
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("small_convnet", [&] { small_convnet(argc, argv); });
}
