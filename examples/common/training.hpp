#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include <strata/applications/imagenet.hpp>
#include <strata/applications/tiny_darknet.hpp>
#include <strata/applications/vgg.hpp>
#include <strata/cpu/device.hpp>
#include <strata/data/directory.hpp>
#include <strata/training/fit.hpp>

#if STRATA_EXAMPLES_EIGEN
#include <strata/eigen/device.hpp>
#endif

#include "flags.hpp"

/// What every training example has: its flags, the pretrained base and the pictures.
namespace examples {

struct TrainingOptions {
  std::string data, weights, base = "vgg16", preprocess = "rescale", device = "cpu", run_dir;
  std::int64_t input_size = 150, epochs = 30, batch_size = 20, threads = 0, limit = 0;
  double learning_rate = 2e-5;
  std::uint64_t seed = 0;

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
         .help = "what computes: Strata's own kernels, or Eigen",
         .variable = &device,
         .choices = {"cpu", "eigen"}},
        {"--limit", "N", "only the first N pictures of each class; 0: all", &limit, 0},
        {"--run-dir", "DIR", "where the results go", &run_dir}};
  }

  strata::Json json() const {
    return strata::Json::object({{"data", data},
                                 {"weights", weights},
                                 {"base", base},
                                 {"preprocess", preprocess},
                                 {"input_size", input_size},
                                 {"epochs", epochs},
                                 {"batch_size", batch_size},
                                 {"learning_rate", learning_rate},
                                 {"seed", strata::concat(seed)},  // 64 bits: more than a JSON number holds
                                 {"threads", threads},
                                 {"device", device},
                                 {"limit", limit},
                                 {"run_dir", run_dir},
                                 {"version", STRATA_VERSION}});
  }

  strata::PixelScaling scaling() const {
    return preprocess == "caffe" ? strata::applications::caffe_scaling
                                 : strata::applications::rescale_scaling;
  }
  /// Throws UsageError for Eigen where the examples were built without it.
  strata::DevicePtr make_device() const {
    const int count = static_cast<int>(threads);
    if (device == "cpu") return strata::cpu::device({.threads = count});
#if STRATA_EXAMPLES_EIGEN
    return strata::eigen::device({.threads = count});
#else
    throw UsageError("--device eigen needs Eigen 3.4 when the examples are built (Debian: libeigen3-dev)");
#endif
  }
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

/// Pictures of one subset in the order of their names.
inline strata::DirectoryDataset pictures(const TrainingOptions& options, const std::string& subset,
                                         bool shuffle = false) {
  return strata::ImageDataGenerator({.preprocessing = options.scaling()})
      .flow_from_directory(options.data + "/" + subset,
                           {.target_size = {options.input_size, options.input_size},
                            .batch_size = options.batch_size,
                            .class_mode = strata::ClassMode::binary,
                            .shuffle = shuffle,
                            .seed = options.seed,
                            .limit = options.limit});
}

/// A progress bar on a terminal, a line per epoch elsewhere.
inline int verbosity() {
  return isatty(STDERR_FILENO) ? 1 : 2;
}

}  // namespace examples
