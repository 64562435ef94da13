// A new head on a frozen pretrained base, trained end to end on augmented pictures.
//
// Section 5.3.1 of Chollet, "Deep Learning with Python", 1st edition, with the random layers of 8.3 in the
// 2nd. Slower than feature_extraction, as the base sees every picture in every epoch, and each time another.

#include <strata/strata.hpp>

#include "common/training.hpp"
#include "common/transfer.hpp"

using namespace strata;

namespace {

void augmented_training(int argc, char** argv) {
  examples::TrainingOptions options;
  options.run_dir = "runs/augmented_training";
  bool augment = true, conv_head = false;
  auto list = options.flags();
  list.push_back({.name = "--augment",
                  .help = "flips, turns and zooms the training pictures at random",
                  .variable = &augment});
  list.push_back({.name = "--conv-head",
                  .help = "a Conv2D(32) in front of the dense layers: few weights",
                  .variable = &conv_head});
  examples::Flags flags("augmented_training",
                        "Trains a new head on a frozen pretrained network, end to end, with augmentation.",
                        list);
  if (!examples::parse(flags, options, argc, argv)) return flags.print_help();

  examples::RunDirectory run(options.run_dir, options.overwrite, options.resume);
  const DevicePtr device = options.make_device();
  std::printf("Strata " STRATA_VERSION ", training with a frozen base on %s\n",
              device->description().c_str());
  const bool drawn = examples::draw_pictures(options, run);
  if (drawn && !flags.given("--input-size")) options.input_size = 64;  // they are small, and so is the wait
  const examples::Subsets data = examples::open_subsets(options);

  const Model base = examples::make_base(options, device);
  // The values of random features are tiny.
  if (drawn && options.weights == "random" && !flags.given("--learning-rate")) options.learning_rate = 3e-3;
  std::printf("\nThe base's weights: %s\n", options.weights.c_str());
  Model model = examples::transfer_network(base, augment, conv_head, options.seed);
  model.to(device);
  run.write_config(flags.json());
  model.summary();
  model.compile({.optimizer = RMSprop({.learning_rate = options.learning_rate}),
                 .loss = BinaryCrossentropy(),
                 .metrics = {Accuracy()}});
  examples::train(model, data, options, run, examples::deployed(model, options, data));
  std::printf("To go on: bash examples/run fine_tuning --from %s\n", run.file("model.safetensors").c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("augmented_training", [&] { augmented_training(argc, argv); });
}
