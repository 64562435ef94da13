#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <strata/ops/geometry.hpp>

#include "../bench/ops/convolution_layers.hpp"
#include "support/conformance/case.hpp"

namespace strata_test {

using namespace strata;

namespace {

const Activation activations[] = {
    Activation::linear,        Activation::relu,         Activation::leaky_relu(0.1),
    Activation::elu,           Activation::sigmoid,      Activation::tanh,
    Activation::leaky_relu(2), Activation::relu6,        Activation::silu,
    Activation::gelu,          Activation::selu,         Activation::softplus,
    Activation::softsign,      Activation::hard_sigmoid, Activation::mish,
    Activation::softmax};

std::string describe(const Conv2DGeometry& g) {
  return concat("[", g.batch, ",", g.in_h, ",", g.in_w, ",", g.in_c, "] to [", g.out_h, ",", g.out_w, ",",
                g.out_c, "] by ", g.kernel_h, "x", g.kernel_w, ", strides ", g.stride_h, ",", g.stride_w,
                ", dilation ", g.dilation_h, ",", g.dilation_w, ", padding ", g.pad_top, ",", g.pad_left,
                g.groups > 1 ? concat(", ", g.groups, " groups") : "");
}

/// What an epilogue has beside its activation.
struct Parts {
  bool bias = false, scale = false, residual = false;
};
constexpr Parts parts_of(std::size_t turn) {
  return {turn % 3 != 0, turn % 4 == 1, turn % 5 == 2 || turn % 7 == 1};
}
std::string describe(const Parts& parts, const Activation& activation) {
  return concat(parts.scale ? ", scale" : "", parts.bias ? ", bias" : "", parts.residual ? ", residual" : "",
                ", ", name_of(activation));
}

bool is_large(const Conv2DGeometry& g) {
  return g.flops() > 30'000'000;
}

void forward(Cases& cases, const Conv2DGeometry& g, const Parts& parts, const Activation& activation,
             bool pool, double size = 1) {
  if (is_large(g) && !cases.large()) return;
  const std::int64_t whole = g.batch * g.out_h * g.out_w * g.out_c;
  const std::int64_t outputs = pool ? g.batch * (g.out_h / 2) * (g.out_w / 2) * g.out_c : whole;
  const double weight = size / std::sqrt(double(g.kernel_h * g.kernel_w * g.group_in()));
  cases.add(
      "conv2d",
      concat(describe(g), describe(parts, activation), pool ? ", pooled" : "",
             size != 1 ? concat(", of size ", size) : ""),
      {cases.random(g.batch * g.in_h * g.in_w * g.in_c, -size, size),
       cases.random(g.kernel_h * g.kernel_w * g.group_in() * g.out_c, -weight, weight),
       parts.bias ? cases.random(g.out_c) : cases.null(), parts.scale ? cases.random(g.out_c) : cases.null(),
       parts.residual ? cases.random(whole) : cases.null(), cases.output(outputs)},
      [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
        backend.conv2d(g, a[0], {a[1]}, {a[2], activation, pool, a[3], a[4]}, a[5]);
      });
}

/// The places that a convolution remembers of the maxima, where the device does: of what they name. Where two
/// are as good as equal, either may be the maximum.
void forward_remembered(Cases& cases, const Conv2DGeometry& g, bool bias, const Activation& activation) {
  if (is_large(g) && !cases.large()) return;
  const Pool2DGeometry pool = pooling_behind(g);
  const std::int64_t whole = g.batch * g.out_h * g.out_w * g.out_c;
  const std::int64_t outputs = g.batch * pool.out_h * pool.out_w * g.out_c;
  const double weight = 1 / std::sqrt(double(g.kernel_h * g.kernel_w * g.group_in()));
  cases.add("conv2d", concat(describe(g), describe({.bias = bias}, activation), ", pooled, remembered"),
            {cases.random(g.batch * g.in_h * g.in_w * g.in_c),
             cases.random(g.kernel_h * g.kernel_w * g.group_in() * g.out_c, -weight, weight),
             bias ? cases.random(g.out_c) : cases.null(), cases.output(outputs), cases.output(whole),
             cases.output(outputs)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              const bool remembers = backend.remembers_maxima(pool);
              const auto bytes = static_cast<std::size_t>(outputs);
              std::uint8_t* const argmax = remembers ? reinterpret_cast<std::uint8_t*>(a[5]) : nullptr;
              backend.conv2d(g, a[0], {a[1]}, {.bias = a[2], .activation = activation}, a[4]);
              backend.conv2d(g, a[0], {a[1]},
                             {.bias = a[2], .activation = activation, .max_pool_2x2 = true, .argmax = argmax},
                             a[3]);
              std::vector<T> of(static_cast<std::size_t>(whole)), named(bytes);
              std::vector<std::uint8_t> places(bytes);
              backend.download(of.data(), a[4], of.size() * sizeof(T));
              if (remembers)
                backend.download(places.data(), argmax, bytes);
              else
                backend.download(named.data(), a[3], bytes * sizeof(T));
              for (std::int64_t i = 0; remembers && i < outputs; ++i) {
                const std::int64_t c = i % g.out_c, x = i / g.out_c % pool.out_w,
                                   y = i / g.out_c / pool.out_w % pool.out_h, n = i / (outputs / g.batch);
                const int place = places[static_cast<std::size_t>(i)];
                const std::int64_t from =
                    ((n * g.out_h + 2 * y + place / 2) * g.out_w + 2 * x + place % 2) * g.out_c + c;
                named[static_cast<std::size_t>(i)] =
                    place < 4 ? of[static_cast<std::size_t>(from)] : std::numeric_limits<T>::quiet_NaN();
              }
              backend.upload(a[5], named.data(), bytes * sizeof(T));
            });
}

/// Gradients of kernel and bias from that behind a pooling.
void backward_pooled(Cases& cases, const Conv2DGeometry& g, bool accumulate) {
  if (is_large(g) && !cases.large()) return;
  const Pool2DGeometry pool = pooling_behind(g);
  const std::int64_t whole = g.batch * g.out_h * g.out_w * g.out_c;
  const std::int64_t outputs = g.batch * pool.out_h * pool.out_w * g.out_c;
  const auto gradient = [&](std::int64_t count) {
    return accumulate ? cases.random_output(count) : cases.output(count);
  };
  cases.add("conv2d_backward_weights", describe(g) + ", pooled" + (accumulate ? ", accumulated" : ""),
            {cases.random(g.batch * g.in_h * g.in_w * g.in_c), cases.ties(whole), cases.output(outputs),
             cases.random(outputs, -0.5, 1), gradient(g.kernel_h * g.kernel_w * g.group_in() * g.out_c),
             gradient(g.out_c), cases.output(whole), cases.output(outputs)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              const Gradient<T> dkernel{a[4], accumulate}, dbias{a[5], accumulate};
              std::uint8_t* const argmax =
                  backend.remembers_maxima(pool) ? reinterpret_cast<std::uint8_t*>(a[7]) : nullptr;
              backend.pool2d(pool, PoolKind::max, a[1], a[2], argmax);
              backend.pool2d_backward(pool, PoolKind::max, Activation::linear, a[1], a[2], a[3], a[6],
                                      argmax);
              if (argmax && backend.takes_pooled_gradient(g))
                backend.conv2d_backward_weights(g, a[0], a[3], dkernel, dbias, argmax);
              else
                backend.conv2d_backward_weights(g, a[0], a[6], dkernel, dbias);
              backend.zero(a[7], static_cast<std::size_t>(outputs) * sizeof(T));
            });
}

void backward_kernel(Cases& cases, const Conv2DGeometry& g, bool accumulate) {
  const std::int64_t x = g.batch * g.in_h * g.in_w * g.in_c, y = g.batch * g.out_h * g.out_w * g.out_c;
  const std::int64_t kernel = g.kernel_h * g.kernel_w * g.group_in() * g.out_c;
  cases.add(
      "conv2d_backward_kernel", describe(g) + (accumulate ? ", accumulated" : ""),
      {cases.random(x), cases.random(y), accumulate ? cases.random_output(kernel) : cases.output(kernel)},
      [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
        backend.conv2d_backward_kernel(g, a[0], a[1], {a[2], accumulate});
      });
  const auto gradient = [&](std::int64_t count) {
    return accumulate ? cases.random_output(count) : cases.output(count);
  };
  cases.add("conv2d_backward_weights", describe(g) + (accumulate ? ", accumulated" : ""),
            {cases.random(x), cases.random(y, -0.5, 1), gradient(kernel), gradient(g.out_c)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.conv2d_backward_weights(g, a[0], a[1], {a[2], accumulate}, {a[3], accumulate});
            });
}

void backward(Cases& cases, const Conv2DGeometry& g) {
  const std::int64_t x = g.batch * g.in_h * g.in_w * g.in_c, y = g.batch * g.out_h * g.out_w * g.out_c;
  const std::int64_t kernel = g.kernel_h * g.kernel_w * g.group_in() * g.out_c;
  if (is_large(g) && !cases.large()) return;
  for (const bool accumulate : {false, true}) {
    if (accumulate && is_large(g)) continue;
    cases.add("conv2d_backward_input", describe(g) + (accumulate ? ", accumulated" : ""),
              {cases.random(y), cases.random(kernel), accumulate ? cases.random_output(x) : cases.output(x)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.conv2d_backward_input(g, a[0], {a[1]}, {a[2], accumulate});
              });
    backward_kernel(cases, g, accumulate);
  }
}

}  // namespace

void many_pixels_cases(Cases& cases) {
  backward_kernel(cases, ops::conv2d_geometry("", {21, 40, 1}, 4096, {.size = {2, 1}}, 1), false);
}

void convolution_cases(Cases& cases) {
  std::size_t turn = 0;
  const auto all = [&](const Shape& input, std::int64_t filters, const ops::Window& window,
                       std::int64_t batch) {
    const Conv2DGeometry g = ops::conv2d_geometry("", input, filters, window, batch);
    const Activation& activation = activations[turn % std::size(activations)];
    // Softmax over the channels and pooling after it are legal, if rare.
    forward(cases, g, parts_of(turn), activation, turn % 5 == 4);
    backward(cases, g);
    ++turn;
  };
  const Padding paddings[] = {Padding::valid, Padding::same};

  for (const std::int64_t in : {1, 3, 8, 17, 64})
    for (const std::int64_t out : {1, 3, 8, 17, 64})
      for (const std::int64_t batch : {1, 3})
        all({7, 5, in}, out, {.size = 3, .padding = Padding::same}, batch);

  for (const Padding padding : paddings)
    for (const std::int64_t stride : {1, 2, 3})
      for (const std::int64_t size : {1, 2, 3, 4, 5, 7}) {
        all({11, 8, 3}, 8, {.size = size, .strides = stride, .padding = padding}, 1);
        all({8, 13, 16}, 6, {.size = size, .strides = {stride, 4 - stride}, .padding = padding}, 2);
      }
  for (const Padding padding : paddings)
    for (const std::int64_t dilation : {2, 3})
      for (const std::int64_t size : {1, 2, 3}) {
        all({11, 8, 3}, 8, {.size = size, .dilation = dilation, .padding = padding}, 3);
        all({9, 12, 8}, 5, {.size = {size, 2}, .dilation = {1, dilation}, .padding = padding}, 1);
      }
  for (const Padding padding : paddings)
    for (const Size2D size : {Size2D{1, 7}, {7, 1}, {2, 3}, {3, 1}})
      all({9, 10, 4}, 5, {.size = size, .strides = {1, 2}, .padding = padding}, 2);

  // Few channels, in rows that do and do not fill blocks of outputs and of pixels.
  for (const std::int64_t channels : {1, 2, 3, 4, 5, 6, 7, 8, 9})
    for (const Padding padding : paddings)
      for (const std::int64_t stride : {1, 2, 3}) {
        const std::int64_t width = 9 * stride + 3 + channels;
        all({6, width, channels}, 32, {.size = 3, .strides = stride, .padding = padding}, 2);
        all({5, width, channels}, 11 + channels, {.size = {2, 5}, .strides = {1, stride}, .padding = padding},
            1);
        all({9, width, channels}, 16, {.size = {3, 4}, .dilation = {2, 1}, .padding = padding}, 3);
      }
  for (const std::int64_t channels : {1, 3, 8})
    for (const std::int64_t batch : {0, 1}) {
      all({35, 41, channels}, 16, {.size = {7, 11}, .strides = 4, .padding = Padding::same}, batch);
      all({19, 8, channels}, 64, {.size = 1}, batch);
      all({2, 60, channels}, 16, {.size = 5, .padding = Padding::same}, batch);
    }

  // Kernels larger than the image, images of one pixel, no samples.
  all({2, 3, 4}, 5, {.size = 5, .padding = Padding::same}, 2);
  all({1, 1, 3}, 2, {.size = 3, .padding = Padding::same}, 1);
  all({1, 1, 1}, 1, {.size = 1}, 1);
  all({3, 3, 7}, 9, {.size = 3}, 3);
  all({1, 40, 2}, 3, {.size = 3, .padding = Padding::same}, 1);
  all({40, 1, 2}, 3, {.size = 3, .padding = Padding::same}, 1);
  all({5, 5, 3}, 4, {.size = 3, .padding = Padding::same}, 0);

  // Groups of several channels, and depthwise with one, two and three outputs per input.
  for (const Padding padding : paddings) {
    for (const std::int64_t groups : {2, 4})
      for (const std::int64_t stride : {1, 2})
        for (const std::int64_t size : {1, 3})
          all({9, 8, 8}, 4 * groups, {.size = size, .strides = stride, .padding = padding, .groups = groups},
              2);
    all({9, 10, 6}, 9, {.size = {3, 2}, .dilation = {1, 2}, .padding = padding, .groups = 3}, 2);
    for (const std::int64_t channels : {1, 3, 8, 17, 64})
      for (const std::int64_t multiplier : {1, 2, 3})
        for (const std::int64_t stride : {1, 2}) {
          const std::int64_t filters = channels * multiplier;
          all({13, 11, channels}, filters,
              {.size = 3, .strides = stride, .padding = padding, .groups = channels}, 2);
          all({9, 8, channels}, filters,
              {.size = {5, 2}, .strides = {stride, 3}, .padding = padding, .groups = channels}, 1);
          all({10, 7, channels}, filters,
              {.size = {2, 3},
               .strides = {stride, 1},
               .dilation = {1, 2},
               .padding = padding,
               .groups = channels},
              3);
        }
  }
  for (const std::int64_t size : {3, 5, 7})
    for (const std::int64_t stride : {1, 2, 3})
      all({8, 43, 17}, 17, {.size = size, .strides = stride, .padding = Padding::same, .groups = 17}, 2);
  all({2, 3, 8}, 8, {.size = 5, .padding = Padding::same, .groups = 8}, 2);
  all({5, 5, 8}, 8, {.size = 3, .padding = Padding::same, .groups = 8}, 0);
  all({5, 5, 8}, 8, {.size = 3, .padding = Padding::same, .groups = 2}, 0);

  for (const Activation& activation : activations)
    for (const Parts& parts : {Parts{}, {true}, {.scale = true}, {.residual = true}, {true, true, true}})
      for (const bool pool : {false, true}) {
        const ops::Window window{.size = 3, .padding = Padding::same};
        forward(cases, ops::conv2d_geometry("", {9, 7, 16}, 16, window, 2), parts, activation, pool);
        forward(cases, ops::conv2d_geometry("", {8, 10, 3}, 19, window, 1), parts, activation, pool);
        forward(cases, ops::conv2d_geometry("", {5, 6, 12}, 3, {.size = 1}, 1), parts, activation, pool);
        for (const std::int64_t groups : {3, 12})
          forward(cases, ops::conv2d_geometry("", {6, 5, 12}, 12, {.size = 3, .groups = groups}, 2), parts,
                  activation, pool);
      }
  for (const double scale : {1e-15, 1e15})
    for (const std::int64_t channels : {3, 32})
      forward(cases,
              ops::conv2d_geometry("", {9, 11, channels}, 16, {.size = 3, .padding = Padding::same}, 1), {},
              Activation::relu, false, scale);

  // The layers of VGG16 and Tiny Darknet at 150x150.
  const ops::Window three{.size = 3, .padding = Padding::same}, one{.size = 1};
  all({150, 150, 3}, 64, three, 1);
  all({150, 150, 3}, 16, three, 2);
  all({75, 75, 64}, 64, three, 1);
  all({37, 37, 64}, 128, three, 2);
  all({37, 37, 128}, 16, one, 2);
  all({18, 18, 128}, 256, three, 1);
  all({18, 18, 256}, 32, one, 2);
  all({9, 9, 512}, 512, three, 1);
  all({9, 9, 256}, 512, three, 2);
  all({4, 4, 512}, 128, three, 2);
  // A layer of MobileNet.
  all({56, 56, 64}, 64, {.size = 3, .padding = Padding::same, .groups = 64}, 2);

  // Pooled, with the places of the maxima: by Winograd's algorithm, of few channels, and otherwise.
  for (const Activation& f : {Activation::linear, Activation::relu, Activation::tanh})
    for (const std::int64_t out : {3, 17, 32}) {
      for (const std::int64_t size : {2, 3, 8, 21})
        for (const Padding padding : paddings) {
          forward_remembered(
              cases,
              ops::conv2d_geometry("", {size + 2, size + 3, 16}, out, {.size = 3, .padding = padding}, 2),
              out != 17, f);
          forward_remembered(
              cases,
              ops::conv2d_geometry("", {size + 2, size + 3, 3}, out, {.size = 3, .padding = padding}, 2),
              out != 17, f);
        }
      for (const ops::Window& window : {ops::Window{.size = 1}, ops::Window{.size = 3, .strides = 2},
                                        ops::Window{.size = 3, .groups = out == 32 ? 4 : 1}})
        forward_remembered(cases, ops::conv2d_geometry("", {9, 12, 16}, out, window, 3), out != 17, f);
    }
  // Pictures so large that each is pooled by itself.
  forward_remembered(cases, ops::conv2d_geometry("", {300, 300, 48}, 48, {.size = 1, .groups = 48}, 2), true,
                     Activation::relu);
  for (const std::int64_t in : {1, 3, 4, 16})
    for (const std::int64_t out : {1, 8, 17, 32, 64})
      for (const bool accumulate : {false, true}) {
        backward_pooled(cases, ops::conv2d_geometry("", {13, 12, in}, out, {.size = 3}, 3), accumulate);
        backward_pooled(cases,
                        ops::conv2d_geometry("", {22, 25, in}, out,
                                             {.size = {5, 3}, .strides = 2, .padding = Padding::same}, 2),
                        accumulate);
      }
  backward_pooled(cases, ops::conv2d_geometry("", {150, 150, 3}, 32, {.size = 3}, 1), false);
  // Poolings that have no window at the last row or column: no gradient comes from there.
  for (const Shape& input : {Shape{9, 9, 32}, Shape{9, 12, 32}, Shape{12, 9, 33}, Shape{37, 37, 20}})
    for (const bool accumulate : {false, true})
      backward_pooled(cases, ops::conv2d_geometry("", input, 40, three, 6), accumulate);

  // Gradients of kernels by groups of tiles, whose transforms tasks share or have for themselves.
  for (const std::int64_t size : {86, 113})
    for (const bool accumulate : {false, true})
      backward_kernel(cases, ops::conv2d_geometry("", {size, size, 16}, 32, three, 1), accumulate);

  // What bench/ops times, in small, where some layers are the same.
  std::set<std::string> seen;
  for (const strata_bench::ConvolutionLayer& layer : strata_bench::convolution_layers) {
    const Conv2DGeometry g = strata_bench::geometry_of(strata_bench::reduced(layer), 1);
    if (seen.insert(describe(g) + (layer.max_pool ? ", forward, pooled" : ", forward")).second)
      forward(cases, g, {.bias = true}, Activation::relu, layer.max_pool);
    if (seen.insert(describe(g)).second) backward(cases, g);
  }
}

/// The gradient of maxima by their places in a[4], where the device remembers them.
template <class T>
void by_argmax(Backend<T>& backend, const Pool2DGeometry& g, const Activation& before,
               const Arguments<T>& a) {
  const bool remembers = backend.remembers_maxima(g);
  std::uint8_t* const argmax = remembers ? reinterpret_cast<std::uint8_t*>(a[4]) : nullptr;
  backend.pool2d(g, PoolKind::max, a[0], a[1], argmax);
  backend.pool2d_backward(g, PoolKind::max, before, remembers ? nullptr : a[0], a[1], a[2], a[3], argmax);
  const std::int64_t size = g.batch * g.out_h * g.out_w * g.channels;
  backend.zero(a[4], static_cast<std::size_t>(size) * sizeof(T));  // bytes are no numbers to compare
}

void pooling_cases(Cases& cases) {
  const auto all = [&](const Shape& input, const ops::Window& window, std::int64_t batch) {
    const Pool2DGeometry g = ops::pool2d_geometry("", input, window, batch);
    const std::int64_t x = batch * input.size(), y = batch * g.out_h * g.out_w * g.channels;
    for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
      const std::string description =
          concat(kind == PoolKind::max ? "max" : "average", " of ", g.pool_h, "x", g.pool_w, ", strides ",
                 g.stride_h, ",", g.stride_w, ", padding ", g.pad_top, ",", g.pad_left, " over ",
                 input.with_batch(batch));
      cases.add(
          "pool2d", description, {cases.ties(x), cases.output(y)},
          [=]<class T>(Backend<T>& backend, const Arguments<T>& a) { backend.pool2d(g, kind, a[0], a[1]); });
      // The output that the backward pass is given comes from the same call; it is checked twice.
      cases.add("pool2d_backward", description,
                {cases.ties(x), cases.output(y), cases.random(y), cases.output(x)},
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  backend.pool2d(g, kind, a[0], a[1]);
                  backend.pool2d_backward(g, kind, Activation::linear, a[0], a[1], a[2], a[3]);
                });
      for (const Activation& before : {Activation::relu, Activation::sigmoid, Activation::leaky_relu(0.3)})
        cases.add("pool2d_backward", concat(description, " behind ", name_of(before)),
                  {cases.ties(x), cases.output(y), cases.random(y), cases.output(x)},
                  [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                    backend.pool2d(g, kind, a[0], a[1]);
                    backend.pool2d_backward(g, kind, before, a[0], a[1], a[2], a[3]);
                  });
      if (kind == PoolKind::max)
        for (const Activation& before : {Activation::linear, Activation::relu, Activation::sigmoid})
          cases.add(
              "pool2d_backward", concat(description, " behind ", name_of(before), ", remembered"),
              {cases.ties(x), cases.output(y), cases.random(y), cases.output(x), cases.output(y)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) { by_argmax(backend, g, before, a); });
    }
  };
  for (const std::int64_t channels : {1, 3, 8, 17, 64})
    for (const std::int64_t batch : {1, 3}) {
      all({8, 6, channels}, {.size = 2, .strides = 2}, batch);
      all({9, 7, channels}, {.size = 2, .strides = 2}, batch);
      all({9, 7, channels}, {.size = 2, .strides = 2, .padding = Padding::same}, batch);
      all({9, 7, channels}, {.size = 3, .strides = 2, .padding = Padding::same}, batch);
    }
  for (const Padding padding : {Padding::valid, Padding::same})
    for (const std::int64_t stride : {1, 2, 3})
      for (const std::int64_t size : {1, 2, 3, 5}) {
        all({11, 8, 5}, {.size = size, .strides = stride, .padding = padding}, 2);
        all({7, 10, 16}, {.size = {size, 2}, .strides = {stride, 1}, .padding = padding}, 1);
      }
  all({10, 10, 128}, {.size = 10, .strides = 10}, 2);
  all({32, 16, 20}, {.size = 16}, 1);
  all({1, 1, 3}, {.size = 1}, 1);
  all({2, 2, 3}, {.size = 5, .padding = Padding::same}, 1);
  all({75, 75, 64}, {.size = 2, .strides = 2}, 1);
  all({4, 4, 3}, {.size = 2, .strides = 2}, 0);

  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  const Pool2DGeometry g = ops::pool2d_geometry("", {2, 4, 1}, {.size = 2, .strides = 2});
  cases.add("pool2d", "maximum with one NaN, first and last in its window",
            {cases.of({nan, 1, 2, 3, 4, 5, 6, nan}), cases.output(2)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.pool2d(g, PoolKind::max, a[0], a[1]);
            });
  for (const float first : {nan, 2.f})
    cases.add("pool2d_backward", "maximum with two NaN, remembered",
              {cases.of({first, 1, -infinity, -infinity, nan, nan, -infinity, -infinity}), cases.output(2),
               cases.random(2), cases.output(8), cases.output(2)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                by_argmax(backend, g, Activation::linear, a);
              });
  cases.add("pool2d", "maximum of infinities",
            {cases.of({-infinity, -infinity, 3, infinity, -infinity, -infinity, -infinity, 1e38f}),
             cases.output(2)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.pool2d(g, PoolKind::max, a[0], a[1]);
            });
}

void dense_cases(Cases& cases) {
  std::size_t turn = 0;
  for (const std::int64_t rows : {0, 1, 3, 20, 65})
    for (const std::int64_t in : {1, 3, 17, 64, 1000})
      for (const std::int64_t out : {1, 2, 8, 17, 64}) {
        const std::string description = concat("[", rows, ",", in, "] to ", out);
        const Activation& f = activations[turn % std::size(activations)];
        const Parts parts = parts_of(turn);
        const bool accumulate = turn % 2 != 0;
        ++turn;
        cases.add(
            "dense", description + describe(parts, f),
            {cases.random(rows * in), cases.random(in * out), parts.bias ? cases.random(out) : cases.null(),
             parts.scale ? cases.random(out) : cases.null(),
             parts.residual ? cases.random(rows * out) : cases.null(), cases.output(rows * out)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.dense({rows, in, out}, a[0], {a[1]}, {a[2], f, false, a[3], a[4]}, a[5]);
            });
        cases.add("dense_backward_input", concat(description, accumulate ? ", accumulated" : ""),
                  {cases.random(rows * out), cases.random(in * out),
                   accumulate ? cases.random_output(rows * in) : cases.output(rows * in)},
                  [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                    backend.dense_backward_input({rows, in, out}, a[0], {a[1]}, {a[2], accumulate});
                  });
        cases.add("dense_backward_kernel", concat(description, accumulate ? ", accumulated" : ""),
                  {cases.random(rows * in), cases.random(rows * out),
                   accumulate ? cases.random_output(in * out) : cases.output(in * out)},
                  [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                    backend.dense_backward_kernel({rows, in, out}, a[0], a[1], {a[2], accumulate});
                  });
      }
  // Few rows, whose weight is read as it lies: ends of panels, strips and parts.
  for (const std::int64_t rows : {1, 2, 7, 14, 15, 28, 29})
    for (const DenseGeometry& g : {DenseGeometry{rows, 1, 33}, {rows, 300, 95}, {rows, 261, 1030}})
      cases.add("dense", concat("[", rows, ",", g.in, "] to ", g.out),
                {cases.random(rows * g.in), cases.random(g.in * g.out), cases.random(g.out),
                 cases.output(rows * g.out)},
                [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                  backend.dense(g, a[0], {a[1]}, {a[2], Activation::relu}, a[3]);
                });
  cases.add("dense", "[1,5000] to 70", {cases.random(5000), cases.random(5000 * 70), cases.output(70)},
            []<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.dense({1, 5000, 70}, a[0], {a[1]}, {}, a[2]);
            });
  if (!cases.large()) return;
  // The head of the book's classifier.
  cases.add("dense", "[20,8192] to 256, bias, relu",
            {cases.random(20 * 8192), cases.random(8192 * 256, -0.02, 0.02), cases.random(256),
             cases.output(20 * 256)},
            []<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.dense({20, 8192, 256}, a[0], {a[1]}, {a[2], Activation::relu}, a[3]);
            });
}

}  // namespace strata_test
