// Handwritten digits: a small convolutional network, trained from scratch on MNIST.
//
// Section 8.1 of Chollet, "Deep Learning with Python", 2nd edition: the functional API, labels as class
// numbers.

#include <algorithm>

#include <strata/data/mnist.hpp>
#include <strata/strata.hpp>

#include "common/training.hpp"

using namespace strata;

namespace {

// The book has no validation set; here the last training pictures are one.
constexpr std::int64_t validated = 5000;

Dataset digits(const MNIST& mnist, std::int64_t begin, std::int64_t end,
               const examples::TrainingOptions& options, bool shuffle = false) {
  return dataset_from_tensors(mnist.pixels.rows(begin, end), mnist.labels.rows(begin, end),
                              {.batch_size = options.batch_size,
                               .shuffle = shuffle,
                               .seed = options.seed,
                               .scaling = options.scaling()});
}

Model network(std::uint64_t seed) {
  const auto inputs = Input({.shape = {28, 28, 1}});
  auto x = Conv2D({.filters = 32, .kernel_size = 3, .activation = Activation::relu})(inputs);
  x = MaxPooling2D(2)(x);
  x = Conv2D({.filters = 64, .kernel_size = 3, .activation = Activation::relu})(x);
  x = MaxPooling2D(2)(x);
  x = Conv2D({.filters = 128, .kernel_size = 3, .activation = Activation::relu})(x);
  x = Flatten()(x);
  const auto outputs = Dense({.units = 10, .activation = Activation::softmax})(x);
  return Model({.inputs = {inputs}, .outputs = {outputs}, .name = "mnist_convnet", .seed = seed});
}

void mnist_convnet(int argc, char** argv) {
  examples::TrainingOptions options;
  options.run_dir = "runs/mnist_convnet";
  options.epochs = 5;
  options.batch_size = 64;
  options.learning_rate = 1e-3;
  auto shared = examples::without(options.flags(), {"--weights", "--base", "--preprocess", "--input-size"});
  for (examples::Flag& flag : shared) {
    if (flag.name == "--data") flag.help = "the four official files of MNIST, gzipped or not (needed)";
    if (flag.name == "--learning-rate") flag.help = "of RMSprop";
    if (flag.name == "--limit") flag.help = "only the first N training and test pictures; 0: all";
  }
  examples::Flags flags("mnist_convnet", "Trains a small convolutional network on MNIST's digits.", shared);
  if (!examples::parse(flags, options, argc, argv)) return flags.print_help();
  if (options.data.empty())
    throw examples::UsageError(
        "--data is needed: a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte,\n"
        "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each as it is or with .gz");

  const MNIST train = load_mnist(options.data, MNISTSubset::train);
  const MNIST test = load_mnist(options.data, MNISTSubset::test);
  const auto count = [&](const MNIST& set) {
    const std::int64_t all = set.labels.shape()[0];
    return options.limit > 0 ? std::min(all, options.limit) : all;
  };
  // A small --limit leaves a tenth to validate.
  const std::int64_t held = std::min(validated, count(train) / 10), trained = count(train) - held;
  require<DataError>(held > 0, "[mnist_convnet] expected at least 10 training pictures, found ",
                     count(train));

  examples::RunDirectory run(options.run_dir, options.overwrite, options.resume);
  const DevicePtr device = options.make_device();
  std::printf("Strata " STRATA_VERSION ", MNIST on %s\n", device->description().c_str());
  std::printf("%lld digits to train, %lld to validate, %lld to test\n", static_cast<long long>(trained),
              static_cast<long long>(held), static_cast<long long>(count(test)));
  run.write_config(flags.json());

  Model model = network(options.seed);
  model.to(device);
  model.summary();
  model.compile({.optimizer = RMSprop({.learning_rate = options.learning_rate}),
                 .loss = SparseCategoricalCrossentropy(),
                 .metrics = {Accuracy()}});

  std::vector<std::string> names;
  for (int digit = 0; digit < 10; ++digit) names.push_back(std::to_string(digit));
  examples::train(model,
                  {digits(train, 0, trained, options, true), digits(train, trained, trained + held, options),
                   digits(test, 0, count(test), options)},
                  options, run, Classifier(model, {.class_names = names, .scaling = options.scaling()}),
                  examples::Keep::last);
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("mnist_convnet", [&] { mnist_convnet(argc, argv); });
}
