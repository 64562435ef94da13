// Feature extraction: pictures -> a pretrained base -> features on disk -> a small classifier.
//
// Section 5.3.1 of Chollet, "Deep Learning with Python": the base sees every picture once; only the
// classifier on its features is trained.

#include <strata/data/prefetch.hpp>
#include <strata/io/npy.hpp>
#include <strata/io/progress.hpp>
#include <strata/strata.hpp>

#include "common/run_directory.hpp"
#include "common/sample_pictures.hpp"
#include "common/training.hpp"

using namespace strata;

namespace {

constexpr const char* subsets[] = {"train", "validation", "test"};

/// The base's result for every picture, batch by batch into NAME_features.npy and NAME_labels.npy.
void extract_features(const Model& base, const Dataset& pictures, const std::string& subset,
                      const examples::RunDirectory& run) {
  NpyWriter features(run.file(subset + "_features.npy")), labels(run.file(subset + "_labels.npy"));
  PrefetchQueue queue(pictures, 0, pictures.batches());
  ProgressBar progress(pictures.samples(), subset + " ");
  std::int64_t done = 0;
  while (const auto batch = queue.next()) {
    features.append(base.predict(network_input(*batch), batch->size()));
    labels.append(batch->y);
    progress.update(done += batch->size());
  }
  features.close();
  labels.close();
  progress.finish("");
}

void feature_extraction(int argc, char** argv) {
  examples::TrainingOptions options;
  options.run_dir = "runs/feature_extraction";
  examples::Flags flags("feature_extraction",
                        "Trains a classifier of two classes of pictures on features of a pretrained network.",
                        options.flags());
  if (!flags.parse(argc, argv)) return flags.print_help();

  examples::RunDirectory run(options.run_dir);
  const DevicePtr device = options.make_device();
  std::printf("Strata " STRATA_VERSION ", feature extraction on %s\n", device->description().c_str());

  const bool drawn = options.data.empty();
  if (drawn) {
    options.data = run.file("pictures");
    sample_pictures::write(options.data);
    std::printf("\nNo --data was given: the pictures are drawn, balloons and kites, into %s\n",
                options.data.c_str());
    if (!flags.given("--input-size")) options.input_size = 64;  // they are small, and so is the wait
  }
  std::vector<DirectoryDataset> pictures;
  for (const char* subset : subsets) pictures.push_back(examples::pictures(options, subset));
  const auto classes = pictures[0].class_names();
  for (std::size_t i = 0; i < 3; ++i)
    require<DataError>(pictures[i].class_names() == classes, "[feature_extraction] the class folders of '",
                       options.data, "/", subsets[i], "' are not those of train/");
  std::printf("\n%s and %s: %lld pictures to train, %lld to validate, %lld to test\n", classes[0].c_str(),
              classes[1].c_str(), static_cast<long long>(pictures[0].samples()),
              static_cast<long long>(pictures[1].samples()), static_cast<long long>(pictures[2].samples()));

  const Model base = examples::make_base(options, device);
  // The values of random features are tiny.
  if (drawn && options.weights == "random" && !flags.given("--learning-rate")) options.learning_rate = 3e-3;
  run.write_config(options.json());
  std::printf("\nThe base, weights: %s\n", options.weights.c_str());
  base.summary();
  for (std::size_t i = 0; i < 3; ++i)
    run.phase(concat("features_", subsets[i]), pictures[i].samples(),
              [&] { extract_features(base, pictures[i], subsets[i], run); });

  const auto features = [&](const std::string& subset, bool shuffle) {
    return dataset_from_npy(run.file(subset + "_features.npy"), run.file(subset + "_labels.npy"),
                            {.batch_size = options.batch_size, .shuffle = shuffle, .seed = options.seed});
  };
  Sequential classifier({Input({.shape = base.output_shape()}), Flatten(),
                         Dense({.units = 256, .activation = Activation::relu}), Dropout(0.5),
                         Dense({.units = 1, .activation = Activation::sigmoid})},
                        {.name = "classifier", .seed = options.seed});
  classifier.to(device);
  classifier.compile({.optimizer = RMSprop({.learning_rate = options.learning_rate}),
                      .loss = BinaryCrossentropy(),
                      .metrics = {Accuracy()}});
  std::printf("\nThe classifier\n");
  classifier.summary();
  std::printf("RMSprop with learning rate %g, batches of %lld, %lld epochs\n", options.learning_rate,
              static_cast<long long>(options.batch_size), static_cast<long long>(options.epochs));

  History history;
  run.phase("training", pictures[0].samples() * options.epochs, [&] {
    history = classifier.fit(features("train", true), {.epochs = static_cast<int>(options.epochs),
                                                       .validation_data = features("validation", false),
                                                       .callbacks = {TerminateOnNaN({.raise_error = true})},
                                                       .verbose = examples::verbosity()});
  });
  Logs validation, test;
  run.phase("evaluation", pictures[1].samples() + pictures[2].samples(), [&] {
    validation = classifier.evaluate(features("validation", false));
    test = classifier.evaluate(features("test", false));
  });

  save_model(classifier, run.file("model.safetensors"));
  run.write_history(history);
  run.write_curves(history);
  run.write_metrics(history.at(history.size() - 1), validation, test, pictures[2].samples());
  std::printf(
      "\nIn %s: curves.svg, metrics.json, history.csv, config.json, the features (*.npy) and\nthe trained "
      "classifier (model.safetensors)\n",
      options.run_dir.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("feature_extraction", [&] { feature_extraction(argc, argv); });
}
