#pragma once

#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include <strata/applications/classifier.hpp>
#include <strata/applications/imagenet.hpp>
#include <strata/applications/tiny_darknet.hpp>
#include <strata/applications/vgg.hpp>
#include <strata/cpu/device.hpp>
#include <strata/cuda/device.hpp>
#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/eigen/device.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/monitoring.hpp>
#include <strata/training/saving.hpp>
#include <strata/training/tensorboard.hpp>

#include "flags.hpp"
#include "run_directory.hpp"
#include "sample_pictures.hpp"

/// What every training example has: its flags, the pretrained base, the pictures and the training itself.
namespace examples {

struct TrainingOptions {
  std::string data, weights, base = "vgg16", preprocess = "rescale", device = "cpu", run_dir, tensorboard;
  std::int64_t input_size = 150, epochs = 30, batch_size = 20, threads = 0, limit = 0;
  double learning_rate = 2e-5;
  std::uint64_t seed = 0;
  bool tf32 = true, overwrite = false, resume = false;

  std::vector<Flag> flags() {
    return {
        {"--data", "DIR",
         "train/, validation/ and test/ with a folder per class; without it pictures are drawn", &data},
        {"--weights", "FILE",
         "the base's weights, safetensors (see docs/weights.md), 'imagenet' or 'random'; without\n"
         "                               it those that weights/fetch left, or random ones where there are "
         "none",
         &weights},
        {.name = "--base",
         .help = "the network below the classifier",
         .variable = &base,
         .choices = {"vgg16", "tiny_darknet"}},
        {.name = "--preprocess",
         .help = "pixels to [0,1], or to BGR less the ImageNet mean",
         .variable = &preprocess,
         .choices = {"rescale", "caffe"}},
        {"--input-size", "PIXELS", "height and width of the pictures for the base; 64 where they are drawn",
         &input_size, 1, 8192},
        {"--epochs", "N", "passes over the training data", &epochs, 1, 1000000},
        {"--batch-size", "N", "pictures per step", &batch_size, 1, 1000000},
        {"--learning-rate", "RATE", "of RMSprop; 3e-3 for drawn pictures and random weights", &learning_rate,
         0},
        {"--seed", "N", "of everything random", &seed},
        {"--threads", "N", "of the CPU; 0: all", &threads, 0, 1024},
        {.name = "--device",
         .help = "what computes: Strata's own kernels on the CPU, an NVIDIA card, or Eigen",
         .variable = &device,
         .choices = {"cpu", "cuda", "eigen"}},
        {.name = "--tf32",
         .help = "an NVIDIA card may round what it multiplies to TF32, which is several times as fast",
         .variable = &tf32},
        {"--limit", "N", "only the first N pictures of each class; 0: all", &limit, 0},
        {"--run-dir", "DIR", "where the results go, a folder for each run", &run_dir},
        {"--tensorboard", "DIR", "where logs for TensorBoard go, a folder for each run; without it none",
         &tensorboard},
        {.name = "--overwrite", .help = "replaces a run that lies there", .variable = &overwrite},
        {.name = "--resume",
         .help = "goes on with the run that lies there, with its flags; --epochs and --threads may differ",
         .variable = &resume}};
  }

  strata::PixelScaling scaling() const {
    return preprocess == "caffe" ? strata::applications::caffe_scaling
                                 : strata::applications::rescale_scaling;
  }
  /// Throws UsageError for a device that the examples were built without.
  strata::DevicePtr make_device() const {
    const int count = static_cast<int>(threads);
    if (device == "cuda") {
#if STRATA_EXAMPLES_CUDA
      return strata::cuda::device({.tf32 = tf32});
#else
      throw UsageError(
          "--device cuda needs the CUDA toolkit 12.8 with cuDNN 9.8 when the examples are built");
#endif
    }
    if (device == "cpu") return strata::cpu::device({.threads = count});
#if STRATA_EXAMPLES_EIGEN
    return strata::eigen::device({.threads = count});
#else
    throw UsageError("--device eigen needs Eigen 3.4 when the examples are built (Debian: libeigen3-dev)");
#endif
  }
};

/// Sets the flags from the command line and, with --resume, from the run's config.json. Returns false where
/// --help was asked for. Throws UsageError.
inline bool parse(Flags& flags, const TrainingOptions& options, int argc, char** argv) {
  if (!flags.parse(argc, argv)) return false;
  if (!options.resume) return true;
  const RunDirectory run(options.run_dir, options.overwrite, true);
  const std::string path = run.file("config.json");
  const strata::Json config = strata::Json::parse(strata::read_file(path), path);
  strata::Json kept = strata::Json::object();
  for (const auto& [name, value] : config.as_object())
    if (name != "run_dir" && name != "overwrite" && name != "resume") kept[name] = value;
  flags.restore(kept, path, {"--epochs", "--threads"});
  return true;
}

/// While it lives, SIGINT only notes that it came; a second one ends the program.
class InterruptGuard {
 public:
  InterruptGuard() {
    came() = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { came() = 1; };
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptGuard() { sigaction(SIGINT, &before_, nullptr); }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static volatile std::sig_atomic_t& came() {
    static volatile std::sig_atomic_t signal = 0;
    return signal;
  }

 private:
  struct sigaction before_ {};
};

/// The base without its top. Where `weights` names none, those in the cache, or, saying so, random ones;
/// `weights` then tells which.
inline strata::Model make_base(TrainingOptions& options, const strata::DevicePtr& device) {
  namespace applications = strata::applications;
  const bool vgg = options.base == "vgg16";
  if (options.weights.empty()) {
    try {
      options.weights = applications::detail::weights_file("imagenet", vgg ? "vgg16_notop" : "tiny_darknet");
    } catch (const strata::WeightError& error) {
      std::printf(
          "\nNo pretrained weights were found, so the base is RANDOM (seed %llu): its\nfeatures know "
          "nothing of the world, and accuracy stays far below that of a pretrained base.\n%s\n",
          static_cast<unsigned long long>(options.seed), error.what());
      options.weights = "random";
    }
  }
  const applications::ApplicationOptions application{
      .include_top = false,
      .input_shape = {options.input_size, options.input_size, 3},
      .weights = options.weights == "random" ? "" : options.weights,
      .seed = options.seed};
  strata::Model base = vgg ? applications::VGG16(application) : applications::TinyDarknet(application);
  base.to(device);
  base.set_trainable(false);
  return base;
}

/// Pictures of one subset, in the order of their names unless shuffled; `changes` is what happens to them
/// at random, they are scaled as the options say.
inline strata::DirectoryDataset pictures(const TrainingOptions& options, const std::string& subset,
                                         bool shuffle = false,
                                         strata::ImageDataGeneratorOptions changes = {}) {
  changes.rescale = 1;
  changes.preprocessing = options.scaling();
  return strata::ImageDataGenerator(changes).flow_from_directory(
      options.data + "/" + subset, {.target_size = {options.input_size, options.input_size},
                                    .batch_size = options.batch_size,
                                    .class_mode = strata::ClassMode::binary,
                                    .shuffle = shuffle,
                                    .seed = options.seed,
                                    .limit = options.limit});
}

struct Subsets {
  strata::Dataset train, validation, test;
};

/// Draws pictures into the run's folder where --data names none; whether it did.
inline bool draw_pictures(TrainingOptions& options, const RunDirectory& run) {
  if (!options.data.empty()) return false;
  options.data = run.file("pictures");
  sample_pictures::write(options.data);
  std::printf("\nNo --data was given: the pictures are drawn, balloons and kites, into %s\n",
              options.data.c_str());
  return true;
}

/// The three folders of --data as `open(subset)` reads them. Tells how many pictures there are; throws
/// DataError where their classes are not the same.
template <class Open>
Subsets open_subsets(const TrainingOptions& options, Open open) {
  const Subsets data{open("train"), open("validation"), open("test")};
  const auto classes = data.train.class_names();
  for (const auto& [subset, name] :
       {std::pair{&data.validation, "validation"}, std::pair{&data.test, "test"}})
    strata::require<strata::DataError>(subset->class_names() == classes, "[examples] the class folders of '",
                                       options.data, "/", name, "' are not those of train/");
  std::printf("\n%s and %s: %lld pictures to train, %lld to validate, %lld to test\n", classes[0].c_str(),
              classes[1].c_str(), static_cast<long long>(data.train.samples()),
              static_cast<long long>(data.validation.samples()), static_cast<long long>(data.test.samples()));
  return data;
}
/// As the base wants them; the training pictures shuffled.
inline Subsets open_subsets(const TrainingOptions& options) {
  return open_subsets(
      options, [&](const std::string& subset) { return pictures(options, subset, subset == "train"); });
}

/// What a run leaves for use: a model of pictures that were read as `pictures` reads them.
inline strata::Classifier deployed(const strata::Model& model, const TrainingOptions& options,
                                   const Subsets& data) {
  return {model, {.class_names = data.train.class_names(), .scaling = options.scaling()}};
}

/// A progress bar on a terminal, a line per epoch elsewhere.
inline int verbosity() {
  return isatty(STDERR_FILENO) ? 1 : 2;
}

/// Which models a run keeps, and which of them is evaluated at its end.
enum class Keep {
  last,            ///< model.safetensors, at the end
  best_and_last,   ///< best.safetensors (validation loss) and model.safetensors, after every epoch
  best_evaluated,  ///< the same, and the best is evaluated
};

/// Trains a compiled model, evaluates it and leaves all of a run in its folder, numbers before weights:
/// history.csv after every epoch, then the models that are kept; metrics.json, curves.svg and, of the model
/// that was evaluated, deploy.safetensors. Goes on where the folder has a backup, which is there until all is
/// written. Throws Interrupted after SIGINT.
inline void train(strata::Model model, const Subsets& data, const TrainingOptions& options, RunDirectory& run,
                  const strata::Classifier& classifier, Keep keep = Keep::best_and_last) {
  std::printf("RMSprop with learning rate %g, batches of %lld, %lld epochs\n", options.learning_rate,
              static_cast<long long>(options.batch_size), static_cast<long long>(options.epochs));
  strata::History history;
  std::int64_t trained = 0;  // pictures
  const strata::BackupAndRestore backup({.backup_dir = run.file("backup"), .delete_checkpoint = false});
  std::vector<strata::Callback> callbacks{
      strata::TerminateOnNaN({.raise_error = true}),
      strata::LambdaCallback({.on_epoch_end =
                                  [&](strata::FitState& state, int epoch, strata::Logs& logs) {
                                    history = state.history;
                                    history.add(epoch, logs);
                                    run.write_history(history);
                                    run.write_curves(history);
                                  },
                              .on_train_batch_begin =
                                  [&](strata::FitState& state, std::int64_t) {
                                    if (trained == 0)
                                      trained = data.train.samples() * (state.epochs - state.epoch) -
                                                data.train.batch_size() * state.step;
                                  }})};
  if (keep != Keep::last) {
    callbacks.push_back(
        strata::ModelCheckpoint({.filepath = run.pattern("best.safetensors"), .save_best_only = true}));
    callbacks.push_back(strata::ModelCheckpoint({.filepath = run.pattern("model.safetensors")}));
  }
  if (!options.tensorboard.empty())
    callbacks.push_back(strata::TensorBoard({.log_dir = options.tensorboard, .histogram_freq = 1}));
  callbacks.push_back(strata::LambdaCallback(
      {.on_train_batch_end = [&](strata::FitState& state, std::int64_t, const strata::Logs&) {
        if (!InterruptGuard::came()) return;
        backup.impl().save(state);
        throw Interrupted{options.run_dir};
      }}));
  callbacks.push_back(backup);
  run.phase("training", trained, [&] {
    const InterruptGuard guard;
    history = model.fit(data.train, {.epochs = static_cast<int>(options.epochs),
                                     .validation_data = data.validation,
                                     .callbacks = callbacks,
                                     .verbose = verbosity()});
  });
  if (keep == Keep::best_evaluated)
    strata::load_weights(model, strata::SafetensorsFile(run.file("best.safetensors")),
                         {.prefix = "weights/"});
  strata::Logs validation, test;
  run.phase("evaluation", data.validation.samples() + data.test.samples(), [&] {
    validation = model.evaluate(data.validation);
    test = model.evaluate(data.test);
  });
  run.write_metrics(history.at(history.size() - 1), validation, test, data.test.samples());
  if (keep == Keep::last) strata::save_model(model, run.file("model.safetensors"));
  classifier.save(run.file("deploy.safetensors"));
  backup.impl().remove();
  std::printf("\nIn %s: curves.svg, metrics.json, history.csv, config.json and the trained model\n%s\n",
              options.run_dir.c_str(),
              keep == Keep::last
                  ? "(model.safetensors)"
                  : "(best.safetensors, of the least validation loss, and model.safetensors, the last)");
  std::printf("To use it: bash examples/run predict %s PICTURES...\n",
              run.file("deploy.safetensors").c_str());
}

}  // namespace examples
