#include <limits>

#include "support/conformance/case.hpp"

namespace strata_test {

using namespace strata;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
}  // namespace

void normalization_cases(Cases& cases) {
  for (const std::int64_t rows : {1, 2, 7, 900})
    for (const std::int64_t channels : {1, 3, 8, 17, 64})
      for (const int parameters : {0, 1, 2, 3}) {
        const std::int64_t count = rows * channels;
        const double epsilon = parameters % 2 ? 1e-3 : 1e-5;
        const std::string description = concat("[", rows, ",", channels, "]", parameters & 1 ? ", gamma" : "",
                                               parameters & 2 ? ", beta" : "");
        const auto gamma = [&] { return parameters & 1 ? cases.random(channels, 0.5, 2) : cases.null(); };
        const auto beta = [&] { return parameters & 2 ? cases.random(channels) : cases.null(); };
        // The values are off centre, so that the variance is not simply the mean square.
        for (const Activation& f :
             {Activation::linear, Activation::relu, Activation::silu, Activation::softmax}) {
          const std::string with = concat(description, ", ", name_of(f));
          cases.add(
              "batch_norm", with,
              {gamma(), beta(), cases.random(count, 3, 5), cases.output(channels), cases.output(channels),
               cases.random_output(channels), cases.random_output(channels), cases.output(count)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.batch_norm({rows, channels, epsilon, a[0], a[1], f}, 0.9, a[2], {a[3], a[4]},
                                   {a[5], a[6]}, a[7]);
              });
          cases.add("batch_norm_inference", with,
                    {gamma(), beta(), cases.random(count), cases.random(channels),
                     cases.random(channels, 0.1, 2), cases.output(count)},
                    [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                      backend.batch_norm_inference({rows, channels, epsilon, a[0], a[1], f}, a[2],
                                                   {a[3], a[4]}, a[5]);
                    });
        }
        for (const bool fixed : {false, true})
          for (const int outputs : {7, 1, 6}) {  // dx, dgamma, dbeta
            const bool accumulate = outputs == 6;
            const auto gradient = [&](int bit, std::int64_t size) {
              return !(outputs & bit)         ? cases.null()
                     : accumulate && bit != 1 ? cases.random_output(size)
                                              : cases.output(size);
            };
            cases.add("batch_norm_backward",
                      concat(description, fixed ? ", fixed statistics" : "",
                             accumulate ? ", accumulated" : "", outputs == 1 ? ", dx only" : ""),
                      {gamma(), cases.random(count), cases.random(channels, -0.2, 0.2),
                       cases.random(channels, 0.2, 0.5), cases.random(count), gradient(1, count),
                       gradient(2, channels), gradient(4, channels)},
                      [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                        backend.batch_norm_backward({rows, channels, epsilon, a[0]}, a[1], {a[2], a[3]},
                                                    fixed, a[4], a[5], {a[6], accumulate},
                                                    {a[7], accumulate});
                      });
          }
      }
}

void loss_cases(Cases& cases) {
  using enum LossKind;
  const auto add = [&](const LossSpec& spec, std::int64_t rows, std::int64_t classes, Operand prediction,
                       Operand target, Operand weight, bool gradient, const std::string& description,
                       bool float_oracle = false) {
    const double scale = 1.0 / double(rows > 0 ? rows : 1);
    cases.add("loss",
              concat(description, " [", rows, ",", classes, "]", spec.from_logits ? ", logits" : "",
                     spec.label_smoothing > 0 ? ", smoothed" : "", weight.null ? "" : ", weighted"),
              {std::move(prediction), std::move(target), std::move(weight), cases.output(rows),
               gradient ? cases.output(rows * classes) : cases.null()},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.loss(spec, {rows, classes, a[0], a[1], a[2]}, scale, a[3], a[4]);
              },
              {.elementwise = true, .floor = 0.1, .float_oracle = float_oracle});
  };
  const char* names[] = {"binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy",
                         "mean_squared_error",  "mean_absolute_error",      "huber"};

  for (const LossKind kind : {binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy,
                              mean_squared_error, mean_absolute_error, huber})
    for (const bool logits : {false, true})
      for (const double smoothing : {0.0, 0.1})
        for (const std::int64_t classes : {1, 2, 3, 10, 1000})
          for (const std::int64_t rows : {0, 1, 3, 33}) {
            const bool sparse = kind == sparse_categorical_crossentropy;
            const bool difference =
                kind == mean_squared_error || kind == mean_absolute_error || kind == huber;
            if ((difference && logits) || ((difference || sparse) && smoothing > 0)) continue;
            // The probability of an only class is 1, which float clips elsewhere than double.
            const bool saturated = kind == categorical_crossentropy && classes == 1 && !logits;
            const auto row = [&](std::int64_t r) { return static_cast<std::size_t>(r * classes); };
            Operand target =
                sparse ? cases.random(rows, 0, double(classes)) : cases.random(rows * classes, 0, 1);
            Operand prediction =
                logits ? cases.random(rows * classes, -8, 8) : cases.random(rows * classes, 0.01, 0.99);
            for (float& t : target.values)
              if (sparse || (kind == binary_crossentropy && rows == 3)) t = float(int(sparse ? t : t * 2));
            if (kind == categorical_crossentropy)  // rows that add up to one
              for (std::int64_t r = 0; r < rows; ++r) {
                double sum = 0;
                for (std::int64_t c = 0; c < classes; ++c) sum += target.values[row(r) + std::size_t(c)];
                for (std::int64_t c = 0; c < classes; ++c)
                  target.values[row(r) + std::size_t(c)] /= float(sum);
              }
            add({kind, logits, smoothing, 0.3}, rows, classes, prediction, target,
                rows == 3 ? cases.of({0, 1, 2.5f}) : cases.null(), true, names[int(kind)], saturated);
            if (rows == 33)
              add({kind, logits, smoothing, 0.3}, rows, classes, std::move(prediction), std::move(target),
                  cases.random(rows, 0, 2), false, concat(names[int(kind)], " without gradient"), saturated);
          }

  // Logits far beyond exp's range, right and wrong.
  add({binary_crossentropy, true}, 12, 1,
      cases.of({0, -0.0f, 20, -20, 90, -90, 1000, -1000, 1e30f, -1e30f, 1000, -1000}),
      cases.of({0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1}), cases.null(), true, "binary_crossentropy, extreme");
  for (const bool sparse : {false, true})
    add({sparse ? sparse_categorical_crossentropy : categorical_crossentropy, true}, 6, 3,
        cases.of({1000, 0, -1000, 1000, 0, -1000, -1e30f, 0, 1e30f, -500, -501, -502, 88, 89, 90, 5, 5, 5}),
        sparse ? cases.of({0, 2, 2, 1, 0, 1})
               : cases.of({1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0}),
        cases.null(), true,
        sparse ? "sparse_categorical_crossentropy, extreme" : "categorical_crossentropy, extreme");
  add({binary_crossentropy, true}, 4, 1, cases.of({nan, 1, infinity, -infinity}), cases.of({1, nan, 1, 0}),
      cases.null(), false, "binary_crossentropy, not finite");

  // Probabilities at and beyond the ends; Keras clips them to [1e-7, 1 - 1e-7] as float rounds these.
  add({binary_crossentropy, false}, 10, 1,
      cases.of({0, 1, 0, 1, 1e-8f, 0.99999994f, 1e-6f, 0.999999f, -0.5f, 1.5f}),
      cases.of({0, 1, 1, 0, 1, 0, 1, 0, 1, 0}), cases.null(), true, "binary_crossentropy, saturated", true);
  for (const bool sparse : {false, true})
    add({sparse ? sparse_categorical_crossentropy : categorical_crossentropy, false}, 4, 3,
        cases.of({1, 0, 0, 1, 0, 0, 0.5f, 0.25f, 0.25f, 2, 1, 1}),
        sparse ? cases.of({0, 2, 1, 0}) : cases.of({1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0}), cases.null(), true,
        sparse ? "sparse_categorical_crossentropy, saturated" : "categorical_crossentropy, saturated", true);
  for (const LossKind kind : {mean_squared_error, mean_absolute_error, huber})
    add({kind, false, 0, 2}, 8, 1, cases.of({1e18f, -1e18f, -1e-30f, nan, 0, 2, -2, 2.0000002f}),
        cases.of({0, 0, 0, 0, 0, 0, 0, 0}), cases.null(), true, concat(names[int(kind)], ", extreme"));
}

void optimizer_cases(Cases& cases) {
  using enum OptimizerKind;
  const auto add = [&](const OptimizerSpec& spec, const OptimizerState& state, int slots,
                       const std::string& description) {
    // Many weights in one call, as in a model; slot s is null unless bit s of `slots` is set.
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{}, {1}, {17, 0, 3, 1000}, {40000, 8, 1, 64, 4097}, {33, 64}}) {
      // The last are at the first step, with gradients so small that epsilon counts.
      const bool fresh = sizes.size() == 2;
      std::vector<Operand> operands;
      for (const std::int64_t size : sizes) {
        operands.push_back(cases.random_output(size));
        operands.push_back(fresh ? cases.random(size, -1e-4, 1e-4) : cases.random(size));
        if (fresh) operands.back().values[0] = 0;
        for (int s = 0; s < 3; ++s) {
          // Velocity exceeds the squared mean gradient, as it does in a real run.
          const bool second = ((spec.kind == rmsprop || spec.kind == adagrad) && s == 0) ||
                              ((spec.kind == adam || spec.kind == nadam) && s > 0);
          operands.push_back(!(slots >> s & 1) ? cases.null()
                             : fresh           ? Operand{std::vector<float>(std::size_t(size)), true}
                             : second          ? cases.random_output(size, 0.3, 1)
                                               : cases.random_output(size, -0.5, 0.5));
        }
      }
      cases.add("optimizer_step", concat(description, ", ", sizes.size(), " weights", fresh ? ", fresh" : ""),
                std::move(operands),
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  std::vector<OptimizerUpdate<T>> updates;
                  for (std::size_t i = 0; i < sizes.size(); ++i)
                    updates.push_back({.size = sizes[i],
                                       .value = a[5 * i],
                                       .gradient = a[5 * i + 1],
                                       .slots = {a[5 * i + 2], a[5 * i + 3], a[5 * i + 4]},
                                       .squares = a.sums + 2 + i});
                  for (std::size_t i = 0; i < sizes.size() && spec.clip_norm > 0; ++i)
                    backend.add_sum_of_squares(sizes[i], a[5 * i + 1], a.sums + 2 + i);
                  backend.upload(a.sums, &state, sizeof state);
                  backend.optimizer_step(spec, reinterpret_cast<OptimizerState*>(a.sums), updates);
                },
                {.elementwise = true, .floor = 0.05});
    }
  };
  const auto for_limits = [](auto use) {
    for (const double decay : {0.0, 0.01})
      for (const auto& [clip, norm] : {std::pair{0.0, 0.0}, {0.3, 0.0}, {0.0, 1.5}})
        use(decay, clip, norm,
            concat(decay > 0 ? ", weight decay" : "", clip > 0 ? ", clipped" : "",
                   norm > 0 ? ", clipped by norm" : ""));
  };
  for_limits([&](double decay, double clip, double norm, const std::string& suffix) {
    OptimizerSpec spec{.kind = sgd, .weight_decay = decay, .clip_value = clip, .clip_norm = norm};
    add(spec, {0.1, 0}, 0, "sgd" + suffix);
    spec.momentum = 0.9;
    add(spec, {0.1, 0}, 1, "sgd, momentum" + suffix);
    spec.nesterov = true;
    add(spec, {0.1, 0}, 1, "sgd, nesterov" + suffix);

    spec = {.kind = rmsprop,
            .rho = 0.9,
            .epsilon = 1e-7,
            .weight_decay = decay,
            .clip_value = clip,
            .clip_norm = norm};
    add(spec, {0.01, 0}, 1, "rmsprop" + suffix);
    spec.momentum = 0.9;
    add(spec, {0.01, 0}, 3, "rmsprop, momentum" + suffix);
    spec.centered = true;
    add(spec, {0.01, 0}, 7, "rmsprop, momentum, centered" + suffix);
    spec.momentum = 0;
    add(spec, {0.01, 0}, 5, "rmsprop, centered" + suffix);

    spec = {.kind = adam,
            .beta_1 = 0.9,
            .beta_2 = 0.999,
            .epsilon = 1e-7,
            .weight_decay = decay,
            .clip_value = clip,
            .clip_norm = norm};
    for (const double done : {0.0, 1.0, 999.0}) {
      spec.amsgrad = false;
      add(spec, {0.01, done}, 3, concat("adam, step ", done + 1, suffix));
      spec.amsgrad = true;
      add(spec, {0.01, done}, 7, concat("adam, amsgrad, step ", done + 1, suffix));
    }
  });
  for_limits([&](double decay, double clip, double norm, const std::string& suffix) {
    OptimizerSpec spec{.kind = nadam,
                       .beta_1 = 0.9,
                       .beta_2 = 0.999,
                       .epsilon = 1e-7,
                       .weight_decay = decay,
                       .clip_value = clip,
                       .clip_norm = norm};
    for (const double done : {0.0, 1.0, 20.0, 999.0})
      add(spec, {0.01, done}, 3, concat("nadam, step ", done + 1, suffix));

    spec = {.kind = adagrad, .epsilon = 1e-7, .weight_decay = decay, .clip_value = clip, .clip_norm = norm};
    add(spec, {0.01, 0}, 1, "adagrad" + suffix);
  });
  const OptimizerSpec plain{.kind = sgd, .clip_value = 1};
  cases.add("optimizer_step", "clipping keeps NaN",
            {[&] {
               Operand w = cases.of({1, 1, 1, 1});
               w.output = true;
               return w;
             }(),
             cases.of({nan, infinity, -infinity, 0.5f})},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              const OptimizerUpdate<T> update{.size = 4, .value = a[0], .gradient = a[1]};
              const OptimizerState state{.learning_rate = 1};
              backend.upload(a.sums, &state, sizeof state);
              backend.optimizer_step(plain, reinterpret_cast<OptimizerState*>(a.sums), {&update, 1});
            });
}

}  // namespace strata_test
