#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

#include <strata/layers/layers.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/monitoring.hpp>
#include <strata/training/saving.hpp>

#include "support/golden.hpp"
#include "support/reference/memory.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Contains;

namespace {

const Tensor<float> x({6, 2}, {1, 0, 0, 1, 1, 1, 0.5F, 2, 2, 0.5F, 3, 1}), y({6, 1}, {0, 1, 2, 1, 0, 2});
const CosineDecay cosine{
    .initial_learning_rate = 0.01, .decay_steps = 7, .warmup_target = 0.1, .warmup_steps = 4};

Sequential network(const Optimizer& optimizer) {
  Sequential model({Input({.shape = {2}}), Dense({.units = 1})}, {.seed = 3});
  model.compile({.optimizer = optimizer, .loss = "mse"});
  return model;
}

const std::vector<LearningRate> each_kind{
    0.5,
    ExponentialDecay({.initial_learning_rate = 0.1, .decay_steps = 10, .decay_rate = 0.9, .staircase = true}),
    PiecewiseConstantDecay({.boundaries = {10, 20}, .values = {1e-1, 1e-2, 0}}),
    PolynomialDecay({.initial_learning_rate = 0.1, .decay_steps = 10, .power = 0.5, .cycle = true}),
    InverseTimeDecay({.initial_learning_rate = 0.1, .decay_steps = 10, .decay_rate = 0.5}),
    cosine,
    CosineDecay({.initial_learning_rate = 0.1, .decay_steps = 10, .alpha = 0.1}),
    CosineDecayRestarts({.initial_learning_rate = 0.1, .first_decay_steps = 10, .t_mul = 1, .m_mul = 0.9}),
};

}  // namespace

TEST_CASE("Schedules have Keras's rates", "[training][golden]") {
  const Golden golden("schedules");
  for (const Json& golden_case : golden.cases()) {
    INFO(Golden::name(golden_case));
    const LearningRate rate = LearningRate::from_config(golden_case.at("schedule"));
    const auto steps = golden.read<std::int32_t>(golden_case, "steps");
    const auto rates = golden.read<double>(golden_case, "rates");
    for (std::int64_t i = 0; i < steps.size(); ++i) {
      INFO("step " << steps(i));
      CHECK(rate.at(steps(i)) == Approx(rates(i)).epsilon(1e-12).margin(1e-15));
    }
  }
}

TEST_CASE("A schedule comes back from its config, and its steps do not wrap") {
  for (const LearningRate& rate : each_kind) {
    const std::string text = rate.config().dump();
    INFO(text);
    const LearningRate again = LearningRate::from_config(Json::parse(text));
    CHECK(again.config() == rate.config());
    for (const std::int64_t step : {std::int64_t{0}, std::int64_t{15}, std::int64_t{1} << 40,
                                    std::numeric_limits<std::int64_t>::max()}) {
      CHECK(again.at(step) == rate.at(step));
      CHECK((rate.at(step) >= 0 && rate.at(step) <= 0.5));
    }
  }
}

TEST_CASE("Each update has its own rate: those of a number set before it") {
  for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})})
    for (const LearningRate& rate : each_kind) {
      Sequential scheduled = network(Adam({.learning_rate = rate})), set = network(Adam());
      scheduled.to(device);
      set.to(device);
      CHECK(scheduled.optimizer().follows_schedule() == !rate.is_constant());
      for (int step = 0; step < 25; ++step) {
        set.optimizer().set_learning_rate(rate.at(step));
        CHECK(scheduled.optimizer().learning_rate() == rate.at(step));
        scheduled.train_on_batch(x, y);
        set.train_on_batch(x, y);
      }
      CHECK(scheduled.optimizer().iterations() == 25);
      CHECK(scheduled.get_weights() == set.get_weights());
      scheduled.compile({.optimizer = scheduled.optimizer(), .loss = "mse"});
      CHECK(scheduled.optimizer().learning_rate() == rate.at(0));
    }
}

TEST_CASE("A steady step by a schedule allocates nothing and asks the host for nothing") {
  const DevicePtr device = reference_device({.host_accessible = false});
  Sequential model = network(SGD({.learning_rate = cosine, .momentum = 0.9}));
  model.to(device);
  const DeviceBatch<float> batch{x.to(device), y.to(device), {}};
  model.trainer().train_step(model.model(), batch);
  auto& counts = memory_of(device).counts;
  const std::int64_t allocations = counts.allocations, downloads = counts.downloads;
  for (int step = 0; step < 20; ++step) model.trainer().train_step(model.model(), batch);
  CHECK(counts.allocations == allocations);
  CHECK(counts.downloads == downloads);
}

TEST_CASE("A saved model goes on with its schedule") {
  const TemporaryDirectory folder;
  for (const Optimizer& optimizer : {SGD({.learning_rate = cosine}), RMSprop({.learning_rate = cosine}),
                                     Adam({.learning_rate = cosine}), AdamW({.learning_rate = cosine})}) {
    Sequential model = network(optimizer);
    for (int step = 0; step < 5; ++step) model.train_on_batch(x, y);
    save_model(model, folder / "model.safetensors");
    Model again = load_model(folder / "model.safetensors", {.loss = "mse"});
    CHECK(again.optimizer().config() == optimizer.config());
    CHECK(again.optimizer().learning_rate() == LearningRate(cosine).at(5));
    for (int step = 0; step < 5; ++step) {
      model.train_on_batch(x, y);
      again.train_on_batch(x, y);
    }
    CHECK(again.get_weights() == model.get_weights());
  }
}

TEST_CASE("A run that is broken off goes on with its schedule") {
  const TemporaryDirectory folder;
  const auto train = [&](const LearningRate& rate, std::int64_t break_at) {
    Sequential model = network(Adam({.learning_rate = rate}));
    const LambdaCallback breaks({.on_train_batch_begin = [&](FitState& state, std::int64_t batch) {
      if (state.epoch * 3 + batch == break_at) throw std::runtime_error("power cut");
    }});
    model.fit(x, y,
              {.batch_size = 2,
               .epochs = 4,
               .callbacks = {breaks, BackupAndRestore({.backup_dir = folder / "backup", .save_freq = 1})},
               .verbose = 0});
    return model.get_weights();
  };
  const auto whole = train(cosine, -1);
  for (const std::int64_t at : {2, 3, 7}) {
    CHECK_THROWS_WITH(train(cosine, at), "power cut");
    CHECK_THROWS_WITH(train(0.01, -1), Contains("is the backup of a run with another optimizer"));
    CHECK(train(cosine, -1) == whole);
  }
}

TEST_CASE("The rate of a schedule cannot be set, nor by a callback: told before the first step") {
  Sequential model = network(Adam({.learning_rate = cosine}));
  CHECK_THROWS_WITH(model.optimizer().set_learning_rate(0.1),
                    Contains("[adam] the learning rate of adam follows a schedule and cannot be set"));
  const auto fit = [&](const Callback& callback) {
    model.fit(x, y, {.callbacks = {callback}, .verbose = 0});
  };
  CHECK_THROWS_WITH(fit(LearningRateScheduler([](int, double rate) { return rate; })),
                    Contains("[learning_rate_scheduler] the learning rate of adam follows a schedule"));
  CHECK_THROWS_WITH(fit(ReduceLROnPlateau({.monitor = "loss"})),
                    Contains("[reduce_lr_on_plateau] the learning rate of adam follows a schedule"));
  CHECK(model.optimizer().iterations() == 0);
}

TEST_CASE("Options that make no schedule are refused, in programs and in files") {
  const auto refused = [](auto schedule, const std::string& why) {
    CHECK_THROWS_AS(SGD({.learning_rate = schedule}), ConfigError);
    CHECK_THROWS_WITH(SGD({.learning_rate = schedule}), Contains(why));
    ConfigWriter writer;
    schedule.fields(writer);
    Json config = SGD().config();
    Json values = writer.take();
    config["learning_rate"] = Json::object({{"class_name", schedule.type}, {"config", values}});
    CHECK_THROWS_AS(Optimizer::from_config(config), DataError);
    CHECK_THROWS_WITH(Optimizer::from_config(config), Contains(why));
  };
  const double nan = std::nan(""), infinite = std::numeric_limits<double>::infinity();
  refused(ExponentialDecay(), "[exponential_decay] expected decay_steps of 1 or more, found 0");
  refused(ExponentialDecay({.initial_learning_rate = -1, .decay_steps = 1}),
          "expected initial_learning_rate of 0 or more, found -1");
  refused(ExponentialDecay({.initial_learning_rate = nan, .decay_steps = 1}), "found nan");
  refused(ExponentialDecay({.decay_steps = 1, .decay_rate = infinite}), "decay_rate of 0 or more, found inf");
  refused(PiecewiseConstantDecay(),
          "expected boundaries and one value more, found 0 boundaries and 0 values");
  refused(PiecewiseConstantDecay({.boundaries = {1, 2}, .values = {1, 2}}), "2 boundaries and 2 values");
  refused(PiecewiseConstantDecay({.boundaries = {2, 2}, .values = {1, 2, 3}}),
          "[piecewise_constant_decay] expected rising boundaries, found 2 before 2");
  refused(PiecewiseConstantDecay({.boundaries = {2}, .values = {1, -2}}), "values of 0 or more, found -2");
  refused(PolynomialDecay({.decay_steps = -5}), "[polynomial_decay] expected decay_steps of 1 or more");
  refused(PolynomialDecay({.decay_steps = 1, .end_learning_rate = -1}), "end_learning_rate of 0 or more");
  refused(PolynomialDecay({.decay_steps = 1, .power = -1}), "power of 0 or more");
  refused(InverseTimeDecay({.decay_steps = 1, .decay_rate = -1}), "[inverse_time_decay] expected decay_rate");
  refused(CosineDecay({.decay_steps = 1, .alpha = -1}), "[cosine_decay] expected alpha of 0 or more");
  refused(CosineDecay({.decay_steps = 1, .warmup_target = -1}), "warmup_target of 0 or more");
  refused(CosineDecay({.decay_steps = 1, .warmup_steps = -1}), "warmup_steps of 0 or more");
  refused(CosineDecayRestarts(), "[cosine_decay_restarts] expected first_decay_steps of 1 or more");
  refused(CosineDecayRestarts({.first_decay_steps = 1, .t_mul = 0.5}), "expected t_mul of 1 or more");
  refused(CosineDecayRestarts({.first_decay_steps = 1, .m_mul = -1}), "m_mul of 0 or more");

  const auto hostile = [](const char* rate, const std::string& why) {
    Json config = SGD().config();
    config["learning_rate"] = Json::parse(rate);
    CHECK_THROWS_AS(Optimizer::from_config(config), DataError);
    CHECK_THROWS_WITH(Optimizer::from_config(config), Contains(why));
  };
  hostile("-1", "[sgd] expected a learning_rate of 0 or more, found -1");
  hostile("[1]", "expected");
  hostile("null", "expected");
  hostile(R"({"class_name": "Linear", "config": {}})", "'Linear' is not a learning rate schedule");
  hostile(R"({"class_name": "ExponentialDecay"})", "config");
  hostile(R"({"class_name": "CosineDecay", "config": 3})", "expected");
  hostile(R"({"class_name": "CosineDecay", "config": {"decay_steps": 1e300}})", "option 'decay_steps'");
  hostile(R"({"class_name": "CosineDecay", "config": {"decay_steps": 5, "steps": 5}})",
          "[cosine_decay] unexpected option 'steps'");
}
