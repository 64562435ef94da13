#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <strata/applications/classifier.hpp>
#include <strata/applications/grad_cam.hpp>
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
#include <strata/training/most_wrong.hpp>
#include <strata/training/phase_logger.hpp>
#include <strata/training/saving.hpp>
#include <strata/training/tensorboard.hpp>

#include "flags.hpp"
#include "report.hpp"
#include "run_directory.hpp"
#include "sample_pictures.hpp"

/// What every training example has: its flags, the pretrained base, the pictures and the training itself.
namespace examples {

struct TrainingOptions {
  std::string data, weights, base = "vgg16", preprocess = "rescale", device = "cpu", policy = "float32",
                             autotune, on_error = "raise", run_dir, tensorboard;
  std::int64_t input_size = 150, epochs = 30, batch_size = 20, threads = 0, workers = 1, limit = 0;
  double learning_rate = 2e-5;
  std::uint64_t seed = 0;
  bool tf32 = true, profile = false, overwrite = false, resume = false;

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
        {"--workers", "N", "threads that load batches to train on, beside those; 0: none", &workers, 0, 1024},
        {.name = "--device",
         .help = "what computes: Strata's own kernels on the CPU, an NVIDIA card, or Eigen",
         .variable = &device,
         .choices = {"cpu", "cuda", "eigen"}},
        {.name = "--tf32",
         .help = "an NVIDIA card may round what it multiplies to TF32, which is several times as fast",
         .variable = &tf32},
        {.name = "--policy",
         .help = "the CPU may round what it multiplies to bfloat16: faster outside 3x3, with AMX everywhere",
         .variable = &policy,
         .choices = {"float32", "mixed_bfloat16"}},
        {"--autotune", "FILE",
         "the CPU measures the ways of computing each convolution, and keeps the fastest there", &autotune},
        {.name = "--on-error",
         .help = "a damaged picture ends the run, or is left out and counted",
         .variable = &on_error,
         .choices = {"raise", "skip"}},
        {"--limit", "N", "only the first N pictures of each class; 0: all", &limit, 0},
        {"--run-dir", "DIR", "where the results go, a folder for each run", &run_dir},
        {"--tensorboard", "DIR", "where logs for TensorBoard go, a folder for each run; without it none",
         &tensorboard},
        {.name = "--profile",
         .help = "tells at the end what the time of the training went to, and writes profile.csv",
         .variable = &profile},
        {.name = "--overwrite", .help = "replaces a run that lies there", .variable = &overwrite},
        {.name = "--resume",
         .help = "goes on with the run that lies there, with its flags; --epochs, --threads and --workers\n"
                 "                               may differ",
         .variable = &resume}};
  }

  strata::OnError at_damaged_pictures() const {
    return on_error == "skip" ? strata::OnError::skip : strata::OnError::raise;
  }
  strata::PixelScaling scaling() const {
    return preprocess == "caffe" ? strata::applications::caffe_scaling
                                 : strata::applications::rescale_scaling;
  }
  /// Throws UsageError for a device that the examples were built without.
  strata::DevicePtr make_device() const {
    const int count = static_cast<int>(threads);
    if (policy != "float32" && device != "cpu")
      throw UsageError("--policy " + policy + " is for --device cpu, found --device " + device);
    if (!autotune.empty() && device != "cpu")
      throw UsageError("--autotune is for --device cpu, found --device " + device);
    if (device == "cuda") {
#if STRATA_EXAMPLES_CUDA
      return strata::cuda::device({.tf32 = tf32});
#else
      throw UsageError(
          "--device cuda needs the CUDA toolkit 12.8 with cuDNN 9.8 when the examples are built");
#endif
    }
    if (device == "cpu")
      return strata::cpu::device({.threads = count, .policy = strata::policy(policy), .autotune = autotune});
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
  const strata::Json config = run.read("config.json");
  strata::Json kept = strata::Json::object();
  for (const auto& [name, value] : config.as_object())
    if (name != "run_dir" && name != "overwrite" && name != "resume") kept[name] = value;
  flags.restore(kept, run.file("config.json"), {"--epochs", "--threads", "--workers"});
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
      .weights = options.weights,
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
                                    .on_error = options.at_damaged_pictures(),
                                    .limit = options.limit});
}

struct Subsets {
  strata::Dataset train = {}, validation = {}, test = {};
  std::vector<std::string> test_files = {};  ///< in the order of `test`, within --data; none: not known
  strata::Dataset test_pictures = {};        ///< what `test` was made of, where it has no pictures
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

/// Tells how many files of a folder are left out, and which.
inline void tell_skipped(const std::string& folder, const std::vector<strata::SkippedFile>& skipped) {
  constexpr std::size_t most = 5;
  if (skipped.empty()) return;
  std::printf("\n%zu files in %s are left out:\n", skipped.size(), folder.c_str());
  for (std::size_t i = 0; i < std::min(most, skipped.size()); ++i)
    std::printf("  %s\n", skipped[i].reason.c_str());
  if (skipped.size() > most) std::printf("  and %zu more\n", skipped.size() - most);
}

/// The three folders of --data as `open(subset)` reads them. Tells how many pictures there are; throws
/// DataError where their classes are not the same.
template <class Open>
Subsets open_subsets(const TrainingOptions& options, Open open) {
  const strata::DirectoryDataset train = open("train"), validation = open("validation"), test = open("test");
  for (const auto& [name, subset] :
       {std::pair{"train", &train}, std::pair{"validation", &validation}, std::pair{"test", &test}})
    tell_skipped(options.data + "/" + name, subset->skipped());
  Subsets data{.train = train, .validation = validation, .test = test};
  data.test_files = test.files();
  for (std::string& file : data.test_files) file.erase(0, options.data.size() + 1);
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

inline std::int64_t trained_weights(const strata::Model& model) {
  std::int64_t count = 0;
  for (const auto& weight : model.trainable_weights()) count += weight->shape().size();
  return count;
}

using Picture = strata::Tensor<std::uint8_t>;

/// Values from 0 to 255 [n,height,width,channels] as pictures.
inline std::vector<Picture> as_pictures(const strata::Tensor<float>& values) {
  std::vector<Picture> out;
  for (std::int64_t i = 0; i < values.shape()[0]; ++i) {
    const auto from = values.slice(i, i + 1);
    out.emplace_back(values.shape().without_batch());
    std::transform(from.data(), from.data() + from.size(), out.back().data(), [](float value) {
      return static_cast<std::uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
    });
  }
  return out;
}

/// The batch as the network sees it, but neither scaled nor standardized.
inline strata::Tensor<float> unscaled(strata::Batch batch) {
  batch.scaling = {};
  batch.standardization = {};
  return network_input(batch);
}

/// The layers in front of a model that change pictures at random.
inline std::vector<strata::Layer> random_layers(const strata::Model& model) {
  const auto random = [](const auto& layer) { return layer.class_name().starts_with("Random"); };
  std::vector<strata::Layer> out;
  for (const strata::Layer& layer : model.layers()) {
    if (layer.class_name() == "InputLayer") continue;
    const auto inside = layer.impl()->sublayers();
    if (!random(layer) && (inside.empty() || !std::all_of(inside.begin(), inside.end(), [&](const auto& one) {
                             return random(*one) || one->class_name() == "InputLayer";
                           })))
      break;
    out.push_back(layer);
  }
  return out;
}

/// Three training pictures, each as it is and five times as it is augmented, in the generator or by the
/// model's first layers; nothing where it is not. (Those layers see scaled pictures otherwise, which is the
/// same to flips, turns and zooms.)
inline std::vector<std::vector<Picture>> augmented_samples(const strata::Model& model,
                                                           const strata::Dataset& train, std::uint64_t seed) {
  const std::int64_t rows = std::min<std::int64_t>(3, train.samples()), columns = 5;
  std::vector<std::int64_t> draws(static_cast<std::size_t>(rows * columns));
  std::iota(draws.begin(), draws.end(), 0);
  const strata::Batch drawn = train.source().gather(draws);
  const std::vector<strata::Layer> layers = random_layers(model);
  if (drawn.warps.empty() && layers.empty()) return {};

  // What is drawn for a picture does not depend on what it shows.
  strata::Batch plain = drawn;
  plain.warps.clear();
  const strata::Tensor<float> pictures = unscaled(plain);
  strata::Batch batch;
  batch.x = strata::Tensor<float>(pictures.shape());
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const auto from = pictures.slice(i / columns, i / columns + 1);
    std::copy_n(from.data(), from.size(), batch.x.slice(i, i + 1).data());
  }
  batch.warps = drawn.warps;
  batch.sampling = drawn.sampling;
  strata::Tensor<float> changed = network_input(batch);
  if (!layers.empty()) {
    const strata::DevicePtr device = model.device();
    strata::Sequential front(layers);
    front.to(device);
    front.build(changed.shape().without_batch());
    const strata::Tensor<float> x = changed.to(device);
    strata::Tensor<float> y(x.shape(), device);
    strata::Session<float> session(device);
    const std::vector<strata::TensorView<const float>> inputs{x};
    front.impl()->forward(inputs, y, session.begin({.training = true, .seed = seed}));
    changed = session.download(y);
  }
  std::vector<std::vector<Picture>> out;
  const std::vector<Picture> originals = as_pictures(pictures), all = as_pictures(changed);
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
    out.push_back({originals[i]});
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(i) * columns;
    out.back().insert(out.back().end(), first, first + columns);
  }
  return out;
}

/// Adds the test pictures that the model gets most wrong, and where the classifier looks in them.
inline void add_most_wrong(Report& report, const strata::Model& model, const Subsets& data,
                           const strata::Classifier& classifier) {
  constexpr std::size_t shown = 12;
  const auto wrong = most_wrong(model, data.test, data.test.samples());
  const strata::Dataset& pictures = data.test_pictures ? data.test_pictures : data.test;
  const strata::Model& network = classifier.model();
  bool convolution = true;
  try {
    last_convolution(network);
  } catch (const strata::ConfigError&) {
    convolution = false;
  }
  report.test_pictures = data.test.samples();
  report.wrong = std::ssize(wrong);
  for (const strata::WrongSample& sample : wrong) {
    if (report.most_wrong.size() == shown) break;
    const std::array draws{sample.sample};
    const strata::Batch batch = pictures.source().gather(draws);
    WrongPicture out{.picture = as_pictures(unscaled(batch)).at(0),
                     .label = classifier.class_names()[static_cast<std::size_t>(sample.label)],
                     .predicted = classifier.class_names()[static_cast<std::size_t>(sample.predicted)],
                     .label_score = sample.label_score,
                     .predicted_score = sample.predicted_score};
    if (!data.test_files.empty()) out.file = data.test_files[static_cast<std::size_t>(sample.sample)];
    if (convolution) {
      // From before a softmax: a network this sure of itself leaves no gradient behind it.
      const auto heat =
          grad_cam(network, network_input(batch), {.class_index = sample.predicted, .logits = true});
      const std::int64_t channels = out.picture.shape()[2];
      Picture rgb({out.picture.shape()[0], out.picture.shape()[1], 3});
      for (std::int64_t i = 0; i < rgb.size(); ++i)
        rgb.data()[i] = out.picture.data()[i / 3 * channels + (channels < 3 ? 0 : i % 3)];
      out.heat_map = overlay_heat_map(rgb, heat.view().reshaped({heat.shape()[1], heat.shape()[2]}));
    }
    report.most_wrong.push_back(std::move(out));
  }
}

/// Writes report.html: all of the run in one page. Where it was stopped, in front of metrics.json, without
/// what is tested.
inline void write_report(const strata::Model& model, const Subsets& data, const TrainingOptions& options,
                         const RunDirectory& run, const strata::Classifier& classifier,
                         const strata::History& history, bool best_tested, bool stopped = false) {
  Report report{.run_dir = run.path(),
                .network = classifier.model().name(),
                .device = model.device()->description(),
                .config = run.read("config.json"),
                .metrics = stopped ? strata::Json() : run.read("metrics.json"),
                .history = history,
                .charts = RunDirectory::charts(history),
                .trained_weights = trained_weights(model),
                .weights = classifier.model().count_params(),
                .best_tested = best_tested};
  if (!stopped) add_most_wrong(report, model, data, classifier);
  report.augmented = augmented_samples(model, data.train, options.seed);
  strata::write_file_atomically(run.file("report.html"), report_html(report));
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
/// that was evaluated, deploy.safetensors and report.html. Goes on where the folder has a backup, which is
/// there until all is written. Throws Interrupted after SIGINT, with report.html as far as the run went.
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
  const strata::PhaseLogger profile({.filename = options.profile ? run.file("profile.csv") : ""});
  if (options.profile) callbacks.push_back(profile);
  callbacks.push_back(strata::LambdaCallback(
      {.on_train_batch_end = [&](strata::FitState& state, std::int64_t, const strata::Logs&) {
        if (!InterruptGuard::came()) return;
        backup.impl().save(state);
        throw Interrupted{options.run_dir};
      }}));
  callbacks.push_back(backup);
  run.phase("training", trained, [&] {
    const InterruptGuard guard;
    try {
      history = model.fit(data.train, {.epochs = static_cast<int>(options.epochs),
                                       .validation_data = data.validation,
                                       .callbacks = callbacks,
                                       .verbose = verbosity(),
                                       .workers = static_cast<int>(options.workers)});
    } catch (const Interrupted&) {
      if (history.size()) write_report(model, data, options, run, classifier, history, false, true);
      throw;
    }
  });
  if (options.profile) std::printf("\n%s\n", profile.impl().times().to_string().c_str());
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
  write_report(model, data, options, run, classifier, history, keep == Keep::best_evaluated);
  backup.impl().remove();
  std::printf(
      "\nIn %s: report.html, curves.svg, metrics.json, history.csv, config.json and the trained model\n%s\n",
      options.run_dir.c_str(),
      keep == Keep::last
          ? "(model.safetensors)"
          : "(best.safetensors, of the least validation loss, and model.safetensors, the last)");
  std::printf("To use it: bash examples/run predict %s PICTURES...\n",
              run.file("deploy.safetensors").c_str());
}

}  // namespace examples
