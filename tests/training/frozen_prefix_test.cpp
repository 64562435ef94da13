#include <catch2/catch.hpp>

#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include <strata/cpu/device.hpp>
#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/logging.hpp>

#include "data/pictures.hpp"
#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;
using strata_test::random_tensor;

namespace {

struct CountedOptions {
  std::string name = {};
  template <class Fields>
  void fields(Fields&) {}
};

/// Passes its input on and counts the calls: a user's own layer that says that it may be kept.
class CountedImpl final : public LayerBase<CountedImpl, float, CountedOptions> {
 public:
  static constexpr const char* type = "Counted";
  explicit CountedImpl(CountedOptions options) : LayerBase(std::move(options)) {}
  Shape output_shape(Shapes inputs) const override { return single(inputs); }
  bool repeats(bool) const override { return honest; }
  void forward(Inputs x, Output y, Context& context) const override {
    ++calls;
    context.backend().affine(y.size(), 1, 0, x[0].data(), y.data());
  }
  void backward(Inputs, View, View dy, InputGradients dx, Context& context) const override {
    if (dx[0]) context.backend().affine(dy.size(), 1, 0, dy.data(), dx[0].data());
  }
  bool honest = true;
  mutable std::atomic<int> calls = 0;
};

constexpr std::int64_t count = 23, batch_size = 5;
const Tensor<float> pictures = random_tensor({count, 9, 9, 3}).cast<float>();
const Tensor<float> others = random_tensor({11, 9, 9, 3}, 7).cast<float>();

Tensor<float> labels(std::int64_t n) {
  Tensor<float> out({n, 1});
  for (std::int64_t i = 0; i < n; ++i) out.data()[i] = static_cast<float>(i * 7 % 3 == 0);
  return out;
}
Tensor<float> sample_weights(std::int64_t n) {
  Tensor<float> out({n});
  for (std::int64_t i = 0; i < n; ++i) out.data()[i] = 0.5F + 0.1F * static_cast<float>(i % 4);
  return out;
}

/// Gives what another dataset gives, and counts the samples whose inputs were read, and those of them that
/// were not loaded ahead.
struct CountedSource final : BatchSource {
  explicit CountedSource(Dataset dataset) : from(std::move(dataset)) {}
  std::int64_t samples() const override { return from.samples(); }
  std::int64_t batch_size() const override { return from.batch_size(); }
  Shape element_shape() const override { return from.element_shape(); }
  Batch gather(std::span<const std::int64_t> draws) const override {
    read += static_cast<int>(draws.size());
    if (std::this_thread::get_id() == owner) read_late += static_cast<int>(draws.size());
    return from.source().gather(draws);
  }
  Batch targets(std::span<const std::int64_t> draws) const override { return from.source().targets(draws); }
  std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const override {
    return from.source().numbers(draws);
  }
  Dataset from;
  std::thread::id owner = std::this_thread::get_id();
  mutable std::atomic<int> read = 0, read_late = 0;
};

struct Transfer {
  std::shared_ptr<CountedImpl> counted = std::make_shared<CountedImpl>(CountedOptions{});
  Sequential base{Input({.shape = {9, 9, 3}}),
                  Layer(counted),
                  Conv2D({.filters = 6, .kernel_size = 3, .padding = Padding::same}),
                  BatchNormalization(),
                  ReLU(),
                  Dropout(0),
                  MaxPooling2D(),
                  Conv2D({.filters = 5, .kernel_size = 3, .activation = Activation::silu})};
  Model model;

  explicit Transfer(const DevicePtr& device = default_device()) {
    base.set_trainable(false);
    base.to(device);
    Sequential whole({base, Flatten(), Dropout(0.4), Dense({.units = 4, .activation = Activation::tanh}),
                      Dense({.units = 1, .activation = Activation::sigmoid})},
                     {.seed = 4});
    model = whole;
    model.compile({.optimizer = Adam({.learning_rate = 0.01}),
                   .loss = BinaryCrossentropy(),
                   .metrics = {Accuracy()},
                   .weighted_metrics = {Accuracy()}});
  }
};

Dataset training_data(bool shuffle = true) {
  return dataset_from_tensors(
      pictures, labels(count),
      {.batch_size = batch_size, .shuffle = shuffle, .seed = 2, .sample_weight = sample_weights(count)});
}
Dataset validation_data() {
  return dataset_from_tensors(others, labels(11), {.batch_size = 4, .sample_weight = sample_weights(11)});
}

struct Outcome {
  std::vector<Tensor<float>> weights;
  std::vector<std::vector<double>> curves;
  int calls = 0;
};

/// What a run ends with; `calls` of the first layer.
Outcome run(FitOptions options, const Dataset& data = training_data(), Transfer network = Transfer()) {
  options.verbose = 0;
  const History history = network.model.fit(data, options);
  Outcome out{network.model.get_weights(), {}, network.counted->calls};
  for (const std::string name : {"loss", "accuracy", "weighted_accuracy"}) {
    out.curves.push_back(history[name]);
    if (options.validation_data) out.curves.push_back(history["val_" + name]);
  }
  return out;
}

void check_same(const Outcome& a, const Outcome& b) {
  CHECK(a.weights == b.weights);
  CHECK(a.curves == b.curves);
}

}  // namespace

TEST_CASE("A run that keeps what frozen layers make gives the bits of one that computes it in every step") {
  const bool shuffle = GENERATE(false, true);
  for (const int threads : {1, 3}) {
    const DevicePtr device = cpu::device({.threads = threads});
    const FitOptions kept{.epochs = 5, .validation_data = validation_data(), .workers = 2};
    FitOptions computed = kept;
    computed.cache_frozen = false;
    const Outcome with = run(kept, training_data(shuffle), Transfer(device));
    const Outcome without = run(computed, training_data(shuffle), Transfer(device));
    check_same(with, without);
    CHECK(without.calls == 5 * (5 + 3));
    // The first epoch, each part's smaller last batch filled up, and that anew where it holds others.
    CHECK(with.calls == 5 + 1 + (shuffle ? 4 : 0) + 3 + 1);
  }
}

TEST_CASE("Inputs of samples whose results are kept are not read again") {
  const bool shuffle = GENERATE(false, true), classes = GENERATE(false, true);
  for (const int workers : {0, 1, 3}) {
    const auto data = std::make_shared<CountedSource>(
        classes ? dataset_from_tensors(pictures, labels(count),
                                       {.batch_size = batch_size, .shuffle = shuffle, .seed = 2})
                : training_data(shuffle));
    const auto validation = std::make_shared<CountedSource>(validation_data());
    FitOptions options{.epochs = 5, .validation_data = Dataset(validation), .workers = workers};
    if (classes) options.class_weight = {{0, 1.5}, {1, 0.5}};
    const Outcome with = run(options, Dataset(data));
    // Once each, and the pictures of a smaller last batch that shuffling makes another one in every epoch.
    CHECK(data->read == count + (shuffle ? 4 * (count % batch_size) : 0));
    CHECK(validation->read == 11);
    options.cache_frozen = false;
    check_same(with, run(options, Dataset(data)));
  }
}

TEST_CASE("After a change of frozen weights inputs are loaded ahead once more") {
  const auto data = std::make_shared<CountedSource>(training_data(false));
  Transfer network;
  const auto change = [&](FitState&, int epoch, Logs&) {
    if (epoch != 1) return;
    auto weights = network.base.get_weights();
    for (float& value : weights[0].values()) value *= 1.5F;
    network.base.set_weights(weights);
  };
  run({.epochs = 4, .callbacks = {LambdaCallback({.on_epoch_end = change})}, .prefetch = 1}, Dataset(data),
      network);
  CHECK(data->read_late <= 2 * batch_size);  // what the loader had begun, and reads once more
  CHECK(data->read == 2 * count + data->read_late);
}

TEST_CASE("Pictures in a directory are decoded once where frozen layers are kept") {
  const TemporaryDirectory directory;
  for (const char* folder : {"training", "validation"})
    for (const char* name : {"cats", "dogs"}) {
      std::filesystem::create_directories(directory / folder + "/" + name);
      for (int i = 0; i < 4; ++i)
        directory.write(concat(folder, "/", name, "/", i, ".bmp"),
                        strata_test::encode_bmp(strata_test::waves(9, 9, 3, i + (name[0] == 'c' ? 0 : 9))));
    }
  const bool floats = GENERATE(false, true);
  const auto open = [&](const char* folder) -> Dataset {
    if (floats)
      return image_dataset_from_directory(
          directory / folder,
          {.label_mode = LabelMode::binary, .batch_size = 4, .image_size = {9, 9}, .cache_bytes = 0});
    return ImageDataGenerator({.rescale = 1 / 255.F})
        .flow_from_directory(
            directory / folder,
            {.target_size = {9, 9}, .batch_size = 4, .class_mode = ClassMode::binary, .cache_bytes = 0});
  };
  const FitOptions options{.epochs = 4, .validation_data = open("validation")};
  FitOptions computed = options, without = options;
  computed.cache_frozen = false;
  const Outcome expected = run(computed, open("training"));
  without.callbacks = {LambdaCallback({.on_epoch_end = [&](FitState&, int, Logs&) {
    for (const char* folder : {"training", "validation"}) std::filesystem::remove_all(directory / folder);
  }})};
  check_same(run(without, open("training")), expected);
}

TEST_CASE("What frozen layers made is computed anew when their weights change, or which they are") {
  const auto train = [](std::optional<bool> cache, int what) {
    Transfer network;
    const auto change = [&, what](FitState&, int epoch, Logs&) {
      if (epoch == 1 && what == 0) {
        auto weights = network.base.get_weights();
        for (float& value : weights[0].values()) value *= 1.5F;
        network.base.set_weights(weights);
      }
      if (epoch == 1 && what == 1) network.base.layers().back().set_trainable(true);
      if (epoch == 1 && what == 2) network.base.set_trainable(true);
      if (epoch == 3 && what == 2) network.base.set_trainable(false);
      if (epoch == 1 && what == 3) network.counted->honest = false;
    };
    auto steps = std::make_shared<int>(0);
    const auto within = [&, what, steps](FitState&, std::int64_t, const Logs&) {
      ++*steps;
      if (what == 4 && *steps == 7) network.base.layers().back().set_trainable(true);
      if (what == 4 && *steps == 18) network.base.layers().back().set_trainable(false);
    };
    return run({.epochs = 6,
                .validation_data = validation_data(),
                .callbacks = {LambdaCallback({.on_epoch_end = change, .on_train_batch_end = within})},
                .cache_frozen = cache},
               training_data(), network);
  };
  for (const int what : {0, 1, 2, 3, 4}) {
    INFO(what);
    const Outcome with = train({}, what), without = train(false, what);
    check_same(with, without);
    CHECK(with.calls < without.calls);
  }
}

TEST_CASE("A run that resumes inside an epoch gives the same bits with frozen layers kept") {
  const TemporaryDirectory directory;
  const auto options = [&](int stop_after, std::optional<bool> cache) {
    auto steps = std::make_shared<int>(0);
    return FitOptions{
        .epochs = 4,
        .validation_data = validation_data(),
        .callbacks = {LambdaCallback({.on_train_batch_end =
                                          [=](FitState&, std::int64_t, const Logs&) {
                                            if (++*steps == stop_after) throw DataError("stop");
                                          }}),
                      BackupAndRestore({.backup_dir = directory.path() + "/backup", .save_freq = 3})},
        .verbose = 0,
        .cache_frozen = cache};
  };
  CHECK_THROWS_WITH(run(options(8, {})), "stop");
  const auto data = std::make_shared<CountedSource>(training_data());
  const Outcome resumed = run(options(-1, {}), Dataset(data));
  const Outcome whole = run({.epochs = 4, .validation_data = validation_data(), .cache_frozen = false});
  check_same(resumed, whole);
  CHECK(resumed.calls < whole.calls);
  // 8 tell the backup that the data is the same. The second epoch goes on behind its first batch, the third
  // may meet those samples anywhere.
  CHECK(data->read <= 8 + (count - batch_size) + count + count % batch_size);
}

TEST_CASE("Samples that may differ from epoch to epoch are never kept, and cache makes them the same") {
  const auto calls = [](const Dataset& data) { return run({.epochs = 3}, data).calls; };
  const auto changed = [](Batch batch) {
    for (float& value : batch.x.values()) value += 1;
    return batch;
  };
  const Dataset augmented = dataset_from_tensors(
      pictures, labels(count), {.batch_size = 4, .augmentation = Augmentation({.rotation_range = 20})});
  const Dataset made = dataset_from_function(count, 4, [](std::int64_t sample, std::int64_t pass) {
    Batch out;
    out.x = pictures.rows(sample, sample + 1);
    for (float& value : out.x.values()) value += static_cast<float>(pass);
    out.y = labels(1);
    return out;
  });
  const Dataset plain = dataset_from_tensors(pictures, labels(count), {.batch_size = 4});
  for (const Dataset& data : {augmented, made, plain.map(changed), plain.map(changed).shuffle(1)}) {
    CHECK(calls(data) == 18);
    CHECK(calls(data.cache()) == 7);
    CHECK_THROWS_WITH(run({.epochs = 3, .cache_frozen = true}, data),
                      Contains("the training data is not known to be the same in every epoch"));
  }
  CHECK(calls(plain) == 7);
  for (const Dataset& data : {plain.shuffle(3), plain.take(4), plain.skip(1), plain.repeat(2),
                              plain.rebatch(6).shuffle(2, false), plain.shuffle(3).take(3), plain.pass(2),
                              plain.map(changed).cache().shuffle(1), augmented.cache().rebatch(7)}) {
    const Outcome with = run({.epochs = 3}, data), without = run({.epochs = 3, .cache_frozen = false}, data);
    check_same(with, without);
    CHECK(with.calls < without.calls);
  }
}

TEST_CASE("Where memory does not suffice nothing is kept, or it goes to disk, or all is computed again") {
  const TemporaryDirectory directory;
  setenv("TMPDIR", directory.path().c_str(), 1);
  const Outcome without = run({.epochs = 4, .cache_frozen = false});
  const Outcome unkept = run({.epochs = 4, .cache_bytes = 1000});
  CHECK(unkept.calls == without.calls);
  const Outcome on_disk = run({.epochs = 4, .cache_frozen = true, .cache_bytes = 1000});
  check_same(on_disk, without);
  CHECK(on_disk.calls == 5 + 1 + 3);

  rlimit limit{}, small{};
  getrlimit(RLIMIT_FSIZE, &limit);
  small = limit;
  small.rlim_cur = 500;
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const Outcome full = run({.epochs = 4, .cache_frozen = true, .cache_bytes = 100});
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  check_same(full, without);
  CHECK(full.calls == without.calls);

  setenv("TMPDIR", (directory.path() + "/absent").c_str(), 1);
  check_same(run({.epochs = 4, .cache_frozen = true, .cache_bytes = 1000}), without);
  unsetenv("TMPDIR");
}

TEST_CASE("Frozen layers are kept on devices of their own memory, by themselves only where that is exact") {
  const DevicePtr apart = strata_test::reference_device({.host_accessible = false});
  const Outcome without = run({.epochs = 3, .cache_frozen = false}, training_data(), Transfer(apart));
  const Outcome with = run({.epochs = 3, .cache_frozen = true}, training_data(), Transfer(apart));
  check_same(with, without);
  CHECK(with.calls == 5 + 1 + 2);
  CHECK(run({.epochs = 3}, training_data(), Transfer(apart)).calls == without.calls);
  const DevicePtr shared = cpu::device({.share_tiles = true});
  CHECK(run({.epochs = 3}, training_data(), Transfer(shared)).calls == without.calls);
  CHECK(run({.epochs = 1}).calls == 5);  // nothing comes again
}

TEST_CASE("The frozen prefix ends where something trains, draws, or reads past it") {
  const auto in = Input({.shape = {6, 6, 2}});
  const auto conv = [](bool trainable, const char* name) {
    Conv2D layer({.filters = 2, .kernel_size = 3, .padding = Padding::same, .name = name});
    layer.set_trainable(trainable);
    return layer;
  };
  const auto prefix = [&](const BasicSymbol<float>& out, bool training = true) -> std::string {
    const Model model({.inputs = {in}, .outputs = {out}});
    const auto& graph = model.model().graph();
    const auto path = graph.frozen_prefix({.training = training, .recording = training});
    return path.empty() ? "" : graph.node_at(path).layer->name();
  };
  const auto end = [&](const BasicSymbol<float>& x) { return conv(true, "end")(x); };
  const auto a = conv(false, "a")(in), b = conv(false, "b")(a);
  CHECK(prefix(end(b)) == "b");
  CHECK(prefix(b) == "a");  // the output is never part of it
  CHECK(prefix(conv(false, "c")(conv(true, "d")(b))) == "b");
  CHECK(prefix(end(in)).empty());
  CHECK(prefix(end(ReLU({.name = "r"})(in))).empty());  // nothing that costs
  // A shortcut around b, inside the prefix and across its end.
  CHECK(prefix(end(Add({.name = "sum"})({a, b}))) == "sum");
  CHECK(prefix(Add({.name = "sum"})({a, end(b)})) == "a");
  CHECK(prefix(Add({.name = "sum"})({in, end(b)})).empty());
  // A model inside that trains in part, alone and behind what is frozen; where it is not all that reads it.
  const auto inner_in = Input({.shape = {6, 6, 2}});
  const auto inner = [&](bool front_trains) {
    return Model({.inputs = {inner_in}, .outputs = {end(conv(front_trains, "inner")(inner_in))}});
  };
  CHECK(prefix(inner(false)(in)) == "inner");
  CHECK(prefix(ReLU()(inner(false)(b))) == "inner");
  CHECK(prefix(ReLU()(inner(true)(b))) == "b");
  CHECK(prefix(Add({.name = "sum"})({b, inner(false)(b)})) == "b");
  // What is random in training.
  CHECK(prefix(end(Dropout({.rate = 0.5, .name = "drop"})(b))) == "b");
  CHECK(prefix(end(Dropout({.rate = 0.5, .name = "drop"})(b)), false) == "drop");
  CHECK(prefix(end(b)) == "b");
  CHECK(prefix(end(conv(false, "c")(RandomFlip(FlipMode::horizontal)(in)))).empty());
  CHECK(prefix(end(conv(false, "c")(RandomFlip(FlipMode::horizontal)(in))), false) == "c");
  // A batch normalization that is not frozen moves its averages, even without weights that train.
  const BatchNormalization moving({.center = false, .scale = false, .name = "norm"});
  CHECK(prefix(end(moving(b))) == "b");
  CHECK(prefix(end(moving(b)), false) == "a");  // one call computes both
  BatchNormalization frozen({.name = "norm"});
  frozen.set_trainable(false);
  CHECK(prefix(end(ReLU({.name = "r"})(frozen(b)))) == "r");
}

TEST_CASE("Of a model inside that trains in part, what is frozen in front is kept, with the same bits") {
  const int depth = GENERATE(1, 2);
  const bool apart = GENERATE(false, true);
  const auto train = [&](std::optional<bool> cache) {
    Transfer network(apart ? strata_test::reference_device({.host_accessible = false}) : default_device());
    network.base.set_trainable(true);
    auto layers = network.base.layers();
    for (std::size_t i = 0; i + 1 < layers.size(); ++i) layers[i].set_trainable(false);
    if (depth == 2) {
      Sequential middle{network.base, Conv2D({.filters = 3, .kernel_size = 2}), BatchNormalization()};
      network.model = Sequential({middle, Flatten(), Dropout(0.4), Dense({.units = 1})}, {.seed = 4});
      network.model.to(network.base.device());
      network.model.compile({.optimizer = Adam({.learning_rate = 0.01}),
                             .loss = BinaryCrossentropy({.from_logits = true}),
                             .metrics = {Accuracy()},
                             .weighted_metrics = {Accuracy()}});
    }
    return run({.epochs = 4, .validation_data = validation_data(), .workers = 2, .cache_frozen = cache},
               training_data(), network);
  };
  const Outcome with = train(true), without = train(false);
  check_same(with, without);
  CHECK(without.calls == 4 * (5 + 3));
  CHECK(with.calls == 5 + 1 + 3 + 3 + 1);
}

TEST_CASE("cache_frozen says when there is nothing to keep") {
  Transfer network;
  network.base.set_trainable(true);
  CHECK_THROWS_WITH(run({.epochs = 2, .cache_frozen = true}, training_data(), network),
                    Contains("expected frozen layers in front"));
}
