#include <cmath>
#include <limits>

#include "support/conformance/case.hpp"

namespace strata_test {

using namespace strata;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t counts[] = {0, 1, 3, 8, 17, 64, 1000, 70001};

void activation_cases(Cases& cases, const Activation& f) {
  const bool softmax = f.kind == Activation::Kind::softmax;
  const std::string name(name_of(f));
  const auto forward = [&](const std::string& description, std::int64_t rows, std::int64_t channels,
                           Operand x) {
    cases.add("activation", name + " " + description, {x, cases.output(rows * channels)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.activation(f, rows, channels, a[0], a[1]);
              },
              {.elementwise = true});
    x.output = true;
    cases.add("activation", name + " in place, " + description, {std::move(x)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.activation(f, rows, channels, a[0], a[0]);
              },
              {.elementwise = true});
  };
  for (const std::int64_t rows : {0, 1, 3, 500})
    for (const std::int64_t channels : {1, 2, 3, 8, 17, 64, 1000}) {
      if (rows == 500 && channels == 1000) continue;
      const std::int64_t count = rows * channels;
      const std::string description = concat("[", rows, ",", channels, "]");
      forward(description, rows, channels, cases.random(count, -6, 6));

      // The output, or the input where the derivative needs that; the other is null.
      const bool from_input = derivative_needs_input(f.kind), relu6 = f.kind == Activation::Kind::relu6,
                 hard = f.kind == Activation::Kind::hard_sigmoid;
      Operand y = from_input
                      ? cases.random(count, -6, 6)
                      : cases.random(count, softmax || f.kind == Activation::Kind::sigmoid ? 0.001 : -0.999,
                                     relu6  ? 7
                                     : hard ? 1.5
                                            : 0.999);
      for (std::int64_t i = 0; i < count; ++i) {
        float& value = y.values[static_cast<std::size_t>(i)];
        if (softmax) value *= 2.0f / static_cast<float>(channels);
        if (f.kind == Activation::Kind::relu || relu6 || hard || f.kind == Activation::Kind::softplus)
          value = value < 0 ? 0 : value;
        if (hard) value = value > 1 ? 1 : value;
        if (relu6) value = value > 6 ? 6 : value;
      }
      cases.add("activation_backward", name + " " + description,
                {y, cases.random(count), cases.output(count)},
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  T* const null = nullptr;
                  backend.activation_backward(f, rows, channels, from_input ? a[0] : null,
                                              from_input ? null : a[0], a[1], a[2]);
                },
                {.elementwise = true, .floor = softmax ? 0.05 : 0.01});
      cases.add("activation_backward", name + " in place, " + description, {y, cases.random_output(count)},
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  backend.activation_backward(f, rows, channels, a[0], a[0], a[1], a[1]);
                },
                {.elementwise = true, .floor = softmax ? 0.05 : 0.01});
    }

  std::vector<float> extreme{0,     -0.0f, 1e-30f, -1e-30f, 1e-5f, -1e-5f, 0.01f, -0.01f, 0.5f,
                             -0.5f, 3,     -3,     10,      -10,   20,     -20,   50,     -50,
                             80,    -80,   100,    -100,    1000,  -1000,  1e30f, -1e30f, nan};
  if (!softmax) {
    extreme.insert(extreme.end(), {infinity, -infinity});
    for (const std::int64_t count : {static_cast<std::int64_t>(extreme.size()), std::int64_t{1}})
      for (std::size_t i = 0; i < (count == 1 ? extreme.size() : 1); ++i)
        forward(concat("extreme ", count == 1 ? extreme[i] : 0), 1, count,
                count == 1 ? cases.of({extreme[i]}) : cases.of(extreme));
  } else {
    forward("extreme rows", 9, 3, cases.of({1000, 0,  -1000, -1000, -1001, -1002, 1e30f,     0,      1e30f,
                                            88,   89, 90,    -88,   -89,   -90,   -infinity, 0,      1,
                                            nan,  0,  1,     5,     5,     5,     -1e30f,    1e-30f, 20}));
  }
}

}  // namespace

void elementwise_cases(Cases& cases) {
  for (const Activation& f :
       {Activation::linear, Activation::relu, Activation::leaky_relu(0.2), Activation::leaky_relu(1.5),
        Activation::elu, Activation::sigmoid, Activation::tanh, Activation::relu6, Activation::silu,
        Activation::gelu, Activation::selu, Activation::softplus, Activation::softsign,
        Activation::hard_sigmoid, Activation::mish, Activation::softmax})
    activation_cases(cases, f);
  for (const auto& [rows, channels] : {std::pair<std::int64_t, std::int64_t>{1100, 3}, {300, 1500}})
    cases.add("activation", concat("softmax of many, [", rows, ",", channels, "]"),
              {cases.random(rows * channels, -5, 5), cases.output(rows * channels)},
              [rows = rows, channels = channels]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.activation(Activation::softmax, rows, channels, a[0], a[1]);
              });

  for (const std::int64_t rows : {0, 1, 7, 1000, 40001})
    for (const std::int64_t channels : {1, 3, 8, 17, 64})
      for (const bool accumulate : {false, true})
        cases.add("bias_gradient", concat("[", rows, ",", channels, "]", accumulate ? ", accumulated" : ""),
                  {cases.random(rows * channels, -0.5, 1),
                   accumulate ? cases.random_output(channels) : cases.output(channels)},
                  [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                    backend.bias_gradient(rows, channels, a[0], {a[1], accumulate});
                  });

  for (const std::int64_t count : counts) {
    const std::string description = concat(count, " elements");
    cases.add("affine", description, {cases.random(count), cases.output(count)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.affine(count, T(1.0 / 128), T(-0.75), a[0], a[1]);
              });
    cases.add("affine", description + " in place", {cases.random_output(count)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.affine(count, T(-3), T(0.5), a[0], a[0]);
              });
    cases.add("axpy", description, {cases.random(count), cases.random_output(count)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.axpy(count, T(-1.25), a[0], a[1]);
              });
    for (const double rate : {0.0, 0.1, 0.5, 0.99}) {
      const RandomStream random(1, Purpose::layer, hash_name("dropout"), static_cast<std::uint64_t>(count));
      const auto body = [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
        backend.dropout(count, rate, random, a[0], a[1]);
      };
      cases.add("dropout", concat(description, ", rate ", rate), {cases.random(count), cases.output(count)},
                body, {.elementwise = true});
      cases.add("dropout", concat(description, " in place, rate ", rate), {cases.random_output(count)},
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  backend.dropout(count, rate, random, a[0], a[0]);
                },
                {.elementwise = true});
    }
  }
  cases.add("dropout", "drops what is not finite",
            {cases.of(std::vector<float>(64, infinity)), cases.output(64)},
            []<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.dropout(64, 0.5, RandomStream(2, Purpose::layer), a[0], a[1]);
            });
  cases.add(
      "affine", "NaN and infinities", {cases.of({nan, infinity, -infinity, 1e38f, 0}), cases.output(5)},
      []<class T>(Backend<T>& backend, const Arguments<T>& a) { backend.affine(5, T(2), T(1), a[0], a[1]); },
      {.float_oracle = true});

  for (const std::int64_t rows : {0, 1, 3, 257})
    for (const std::int64_t columns : {1, 3, 8, 17, 64})
      for (const auto& [more_in, more_out] :
           {std::pair<std::int64_t, std::int64_t>{0, 0}, {0, 5}, {3, 0}, {7, 16}, {-columns, 0}}) {
        const std::int64_t from = columns + more_in, to = columns + more_out;
        cases.add("copy_block", concat("[", rows, ",", columns, "], strides ", from, " to ", to),
                  {cases.random(from ? rows * from : columns), cases.random_output(rows * to)},
                  [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                    backend.copy_block(rows, columns, a[0], from, a[1], to);
                  });
      }

  for (const std::int64_t batch : {0, 1, 3})
    for (const std::int64_t channels : {1, 3, 17})
      for (const Pad2DGeometry& sides :
           {Pad2DGeometry{.top = 0}, Pad2DGeometry{.top = 1, .bottom = 1, .left = 1, .right = 1},
            Pad2DGeometry{.top = 2, .left = 3}, Pad2DGeometry{.bottom = 4, .right = 1}}) {
        Pad2DGeometry g = sides;
        g.batch = batch, g.in_h = 5, g.in_w = 4, g.channels = channels;
        const std::int64_t inner = batch * g.in_h * g.in_w * channels;
        const std::int64_t outer = batch * (5 + g.top + g.bottom) * (4 + g.left + g.right) * channels;
        const std::string description =
            concat("[", batch, ",5,4,", channels, "] by ", g.top, ",", g.bottom, ",", g.left, ",", g.right);
        cases.add("pad2d", description, {cases.random(inner), cases.output(outer)},
                  [=]<class T>(Backend<T>& backend, const Arguments<T>& a) { backend.pad2d(g, a[0], a[1]); });
        cases.add("pad2d_backward", description, {cases.random(outer), cases.output(inner)},
                  [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                    backend.pad2d_backward(g, a[0], a[1]);
                  });
      }

  for (const std::int64_t count : counts)
    for (const double scale : {1.0, 1e-25, 1e25}) {
      cases.add("add_sum", concat(count, " elements of ", scale), {cases.random(count, -scale, scale)},
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  backend.add_sum(count, 0.125, a[0], a.sums);
                  backend.add_sum(count, 1, a[0], a.sums);
                  backend.add_scalar(-3, a.sums, a.sums + 1);
                });
      cases.add("add_sum_of_squares", concat(count, " elements of ", scale),
                {cases.random(count, -scale, scale)},
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  backend.add_sum_of_squares(count, a[0], a.sums + 2);
                  backend.add_sum_of_squares(count / 2, a[0], a.sums + 2);
                });
      for (const auto& [l1, l2] : {std::pair{0.0, 0.01}, {0.02, 0.0}, {0.5, 0.25}})
        cases.add("l1_l2_penalty", concat(count, " elements of ", scale, ", l1 ", l1, ", l2 ", l2),
                  {cases.random(count, -scale, scale), cases.random_output(count, -scale, scale)},
                  [=, l1 = l1, l2 = l2]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                    backend.l1_l2_penalty(count, l1, l2, a[0], a[1], a.sums);
                    backend.l1_l2_penalty(count, l1, l2, a[0], nullptr, a.sums);
                  });
    }
  cases.add("l1_l2_penalty", "zero has no slope", {cases.of({0, -0.0f, 1, -1}), cases.random_output(4)},
            []<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.l1_l2_penalty(4, 1, 0, a[0], a[1], a.sums);
            });
  using enum RowMetricKind;
  for (const auto kind :
       {binary_accuracy, categorical_accuracy, sparse_categorical_accuracy, top_k_categorical_accuracy,
        sparse_top_k_categorical_accuracy, mean_absolute_error, mean_squared_error})
    for (const std::int64_t rows : {0, 1, 257})
      for (const std::int64_t classes : {1, 7, 70}) {
        const bool sparse = takes_class_numbers(kind);
        Operand target =
            cases.random(sparse ? rows : rows * classes, 0, sparse ? double(classes) + 1 : 1);  // one is none
        if (sparse || kind == binary_accuracy)
          for (float& label : target.values) label = std::floor(sparse ? label : 2 * label);
        for (const bool weighted : {false, true})
          cases.add("add_row_metric",
                    concat(int(kind), ", ", rows, " rows of ", classes, weighted ? ", weighted" : ""),
                    {cases.ties(rows * classes), target, weighted ? cases.random(rows, 0, 2) : cases.null()},
                    [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                      for (int i = 0; i < 2; ++i)
                        backend.add_row_metric({kind, 0.3, 4}, {rows, classes, a[0], a[1], a[2]}, a.sums + 5);
                    });
      }
  for (const ConfusionSpec& spec : {ConfusionSpec{.threshold = 0.3}, ConfusionSpec{.intervals = 6}})
    for (const std::int64_t rows : {0, 1, 257})
      for (const std::int64_t classes : {1, 3})
        for (const bool weighted : {false, true}) {
          Operand target = cases.random(rows * classes, 0, 2);
          for (float& value : target.values) value = std::floor(value);
          cases.add("add_confusion",
                    concat(spec.thresholds(), " thresholds, ", rows, " rows of ", classes,
                           weighted ? ", weighted" : ""),
                    {cases.random(rows * classes, -0.5, 1.5), std::move(target),
                     weighted ? cases.random(rows, 0, 2) : cases.null()},
                    [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                      for (int i = 0; i < 2; ++i)
                        backend.add_confusion(spec, {rows, classes, a[0], a[1], a[2]}, a.sums);
                    },
                    {.float_oracle = true});
        }
}

}  // namespace strata_test
