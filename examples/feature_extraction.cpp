// Feature extraction: pictures -> a pretrained base -> features on disk -> a small classifier.
//
// Section 5.3.1 of Chollet, "Deep Learning with Python": the base sees every picture once; only the
// classifier on its features is trained.

#include <strata/io/npy.hpp>
#include <strata/io/progress.hpp>
#include <strata/strata.hpp>

#include "common/training.hpp"

using namespace strata;

namespace {

/// The base's result for every picture, batch by batch into NAME_features.npy and NAME_labels.npy.
void extract_features(const Model& base, const Dataset& pictures, const std::string& subset,
                      const examples::RunDirectory& run) {
  NpyWriter features(run.file(subset + "_features.npy")), labels(run.file(subset + "_labels.npy"));
  ProgressBar progress(pictures.samples(), subset + " ");
  std::int64_t done = 0;
  for (const Batch& batch : pictures) {
    features.append(base.predict(network_input(batch), batch.size()));
    labels.append(batch.y);
    progress.update(done += batch.size());
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
  if (!examples::parse(flags, options, argc, argv)) return flags.print_help();

  examples::RunDirectory run(options.run_dir, options.overwrite, options.resume);
  const DevicePtr device = options.make_device();
  std::printf("Strata " STRATA_VERSION ", feature extraction on %s\n", device->description().c_str());

  const bool drawn = examples::draw_pictures(options, run);
  if (drawn && !flags.given("--input-size")) options.input_size = 64;  // they are small, and so is the wait
  const examples::Subsets pictures = examples::open_subsets(
      options, [&](const std::string& subset) { return examples::pictures(options, subset); });

  const Model base = examples::make_base(options, device);
  // The values of random features are tiny.
  if (drawn && options.weights == "random" && !flags.given("--learning-rate")) options.learning_rate = 3e-3;
  run.write_config(flags.json());
  std::printf("\nThe base, weights: %s\n", options.weights.c_str());
  base.summary();
  for (const auto& [subset, data] :
       {std::pair{"train", &pictures.train}, std::pair{"validation", &pictures.validation},
        std::pair{"test", &pictures.test}})
    run.phase(concat("features_", subset), data->samples(),
              [&, subset = subset, data = data] { extract_features(base, *data, subset, run); });

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
  // From the picture to the class, the weights shared with both.
  const Sequential whole({base, classifier}, {.name = "feature_extraction"});
  std::printf("\nThe classifier\n");
  classifier.summary();
  examples::train(classifier,
                  {features("train", true), features("validation", false), features("test", false),
                   pictures.test_files, pictures.test},
                  options, run, examples::deployed(whole, options, pictures), examples::Keep::last);
  std::printf("The features are there, too (*.npy)\n");
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("feature_extraction", [&] { feature_extraction(argc, argv); });
}
