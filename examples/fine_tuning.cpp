// Fine-tuning: the top of the base is trained on, too, slowly, once the head on it has been.
//
// Section 5.3.2 of Chollet, "Deep Learning with Python", 1st edition: from a checkpoint of
// augmented_training.

#include <strata/strata.hpp>

#include "common/training.hpp"
#include "common/transfer.hpp"

using namespace strata;

namespace {

/// The flag --preprocess of the run that the checkpoint lies in; `otherwise` where its config.json is not
/// there.
std::string preprocess_of(const std::string& checkpoint, const std::string& otherwise) {
  const std::string config = checkpoint.substr(0, checkpoint.rfind('/') + 1) + "config.json";
  if (!std::ifstream(config).is_open()) return otherwise;
  const std::string found = Json::parse(read_file(config), config).get("preprocess", otherwise);
  require<DataError>(found == "rescale" || found == "caffe", "[fine_tuning] '", config,
                     "': expected preprocess rescale or caffe, found '", found, "'");
  return found;
}

/// How many steps the checkpoint was trained for.
std::int64_t steps_of(const std::string& checkpoint) {
  const SafetensorsFile file(checkpoint);
  const auto optimizer = file.metadata().find("optimizer");
  if (optimizer == file.metadata().end()) return 0;
  return Json::parse(optimizer->second, checkpoint).get<std::int64_t>("iterations");
}

void fine_tuning(int argc, char** argv) {
  examples::TrainingOptions options;
  options.run_dir = "runs/fine_tuning";
  options.learning_rate = 1e-5;
  std::string from;
  auto list = examples::without(options.flags(), {"--weights", "--base", "--input-size"});
  for (examples::Flag& flag : list) {
    if (flag.name == "--learning-rate") flag.help = "of RMSprop";
    if (flag.name == "--preprocess")
      flag.help += "; without it\n                               as config.json beside the checkpoint says";
  }
  list.insert(
      list.begin(),
      {"--from", "FILE", "the model.safetensors or best.safetensors of augmented_training (needed)", &from});
  examples::Flags flags(
      "fine_tuning",
      "Trains a model of augmented_training on, with the top of its base: VGG16's block 5, the\n"
      "last three convolutions of Tiny Darknet.",
      list);
  if (!examples::parse(flags, options, argc, argv)) return flags.print_help();
  if (from.empty()) throw examples::UsageError("--from is needed: a checkpoint of augmented_training");

  // Read before the run's folder is made: it may be the one to be overwritten.
  const DevicePtr device = options.make_device();
  Model model = load_model(from, {.device = device});
  Network base = examples::base_of(model, from);
  const std::int64_t steps = steps_of(from);
  if (!flags.given("--preprocess")) options.preprocess = preprocess_of(from, options.preprocess);
  options.input_size = model.input_shape()[0];

  examples::RunDirectory run(options.run_dir, options.overwrite, options.resume);
  std::printf("Strata " STRATA_VERSION ", fine-tuning on %s\n", device->description().c_str());
  examples::draw_pictures(options, run);
  const examples::Subsets data = examples::open_subsets(options);

  const std::int64_t before = examples::trained_weights(model);
  examples::unfreeze_top(base);
  run.write_config(flags.json());
  model.summary();
  std::printf("Weights that train: %lld before, %lld now\n", static_cast<long long>(before),
              static_cast<long long>(examples::trained_weights(model)));
  model.compile({.optimizer = RMSprop({.learning_rate = options.learning_rate}),
                 .loss = BinaryCrossentropy(),
                 .metrics = {Accuracy()}});
  // From 0 on, the random layers would make the same pictures again that the head has seen.
  model.trainer().set_iterations(steps);
  examples::train(model, data, options, run, examples::deployed(model, options, data));
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("fine_tuning", [&] { fine_tuning(argc, argv); });
}
