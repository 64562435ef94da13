#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include <strata/core/error.hpp>
#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/cpu/winograd.hpp>
#include <strata/tensor/backend.hpp>

#include "support/random_values.hpp"

using namespace strata;
using strata_test::random_values, strata_test::relative_error;

namespace {

/// Calls visit(input index, kernel index, output index) for every product of a convolution.
template <class Visit>
void for_products(const Conv2DGeometry& g, Visit visit) {
  for (std::int64_t n = 0; n < g.batch; ++n)
    for (std::int64_t oy = 0; oy < g.out_h; ++oy)
      for (std::int64_t ox = 0; ox < g.out_w; ++ox)
        for (std::int64_t ky = 0; ky < g.kernel_h; ++ky)
          for (std::int64_t kx = 0; kx < g.kernel_w; ++kx) {
            const std::int64_t y = oy * g.stride_h - g.pad_top + ky * g.dilation_h;
            const std::int64_t x = ox * g.stride_w - g.pad_left + kx * g.dilation_w;
            if (y < 0 || y >= g.in_h || x < 0 || x >= g.in_w) continue;
            for (std::int64_t i = 0; i < g.group_in(); ++i)
              for (std::int64_t o = 0; o < g.out_c; ++o)
                visit(static_cast<std::size_t>(((n * g.in_h + y) * g.in_w + x) * g.in_c +
                                               o / g.group_out() * g.group_in() + i),
                      static_cast<std::size_t>(((ky * g.kernel_w + kx) * g.group_in() + i) * g.out_c + o),
                      static_cast<std::size_t>(((n * g.out_h + oy) * g.out_w + ox) * g.out_c + o));
          }
}

struct Case {
  std::int64_t batch, in_h, in_w, in_c, out_c, kernel_h, kernel_w, stride_h, stride_w, dilation, pad;
};

const Case cases[] = {
    {1, 5, 7, 1, 1, 1, 1, 1, 1, 1, 0},
    {2, 9, 8, 3, 5, 3, 3, 1, 1, 1, 1},
    {3, 11, 7, 16, 32, 3, 3, 1, 1, 1, 1},
    {2, 13, 10, 17, 40, 3, 3, 2, 2, 1, 1},
    {1, 12, 12, 5, 33, 5, 3, 3, 2, 1, 2},
    {2, 15, 14, 7, 9, 3, 3, 1, 1, 2, 2},
    {1, 16, 9, 4, 6, 2, 4, 2, 1, 3, 3},
    {20, 1, 1, 700, 64, 1, 1, 1, 1, 1, 0},
    {50, 1, 1, 1100, 3, 1, 1, 1, 1, 1, 0},
    {1, 20, 20, 32, 64, 1, 1, 2, 2, 1, 0},
    {4, 40, 40, 3, 16, 3, 3, 1, 1, 1, 0},
    {1, 30, 30, 64, 96, 3, 3, 1, 1, 1, 1},
    // Patches that are read where they lie: lines of several blocks, several images of a task, without
    // borders, with strides, lines that see padding alone, all lines as one, dilated, more than one slice of
    // k; and channels whose lines would share a cache set.
    {1, 9, 40, 24, 40, 5, 5, 1, 1, 1, 2},
    {5, 4, 9, 12, 33, 3, 5, 1, 1, 1, 2},
    {2, 17, 21, 18, 64, 5, 5, 1, 1, 1, 0},
    {2, 21, 33, 20, 32, 3, 5, 2, 2, 1, 2},
    {1, 6, 12, 40, 32, 1, 1, 1, 1, 1, 2},
    {3, 10, 11, 40, 48, 1, 1, 1, 1, 1, 0},
    {1, 15, 16, 24, 32, 3, 1, 1, 1, 2, 2},
    {1, 30, 12, 70, 40, 7, 7, 1, 1, 1, 3},
    {2, 6, 8, 1024, 32, 1, 1, 1, 1, 1, 0},
};

Conv2DGeometry geometry_of(const Case& c) {
  Conv2DGeometry g;
  g.batch = c.batch, g.in_h = c.in_h, g.in_w = c.in_w, g.in_c = c.in_c, g.out_c = c.out_c;
  g.kernel_h = c.kernel_h, g.kernel_w = c.kernel_w, g.stride_h = c.stride_h, g.stride_w = c.stride_w;
  g.dilation_h = g.dilation_w = c.dilation;
  g.pad_top = g.pad_left = c.pad;
  g.out_h = (c.in_h + 2 * c.pad - (c.kernel_h - 1) * c.dilation - 1) / c.stride_h + 1;
  g.out_w = (c.in_w + 2 * c.pad - (c.kernel_w - 1) * c.dilation - 1) / c.stride_w + 1;
  return g;
}

struct Results {
  std::vector<float> y, dx, dkernel;
};

Results run(Device& device, const Conv2DGeometry& g, const std::vector<float>& x,
            const std::vector<float>& kernel, const std::vector<float>& dy, bool accumulate = false) {
  const auto context = device.make_backend<float>();
  auto& backend = *context;
  Results r{std::vector<float>(dy.size()), std::vector<float>(x.size(), 1),
            std::vector<float>(kernel.size(), 1)};
  PackedWeights packed;
  const WeightView<float> weight{kernel.data(), 1, &packed};
  backend.conv2d(g, x.data(), weight, {}, r.y.data());
  backend.conv2d_backward_input(g, dy.data(), weight, {r.dx.data(), accumulate});
  backend.conv2d_backward_kernel(g, x.data(), dy.data(), {r.dkernel.data(), accumulate});
  return r;
}

}  // namespace

TEST_CASE("convolution and its gradients equal plain sums in double, for any number of threads") {
  for (const Case& c : cases) {
    const Conv2DGeometry g = geometry_of(c);
    CAPTURE(g.batch, g.in_h, g.in_w, g.in_c, g.out_c, g.kernel_h, g.kernel_w, g.stride_h, g.dilation_h);
    const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
    const auto kernel = random_values(g.kernel_h * g.kernel_w * g.in_c * g.out_c, 2);
    const auto dy = random_values(g.batch * g.out_h * g.out_w * g.out_c, 3);
    std::vector<double> y(dy.size()), dx(x.size()), dkernel(kernel.size());
    for_products(g, [&](std::size_t in, std::size_t w, std::size_t out) {
      y[out] += static_cast<double>(x[in]) * static_cast<double>(kernel[w]);
      dx[in] += static_cast<double>(dy[out]) * static_cast<double>(kernel[w]);
      dkernel[w] += static_cast<double>(x[in]) * static_cast<double>(dy[out]);
    });
    const Results one = run(*cpu::device({.threads = 1}), g, x, kernel, dy);
    CHECK(relative_error(one.y, y) < 1e-5);
    CHECK(relative_error(one.dx, dx) < 1e-5);
    CHECK(relative_error(one.dkernel, dkernel) < 1e-5);
    const Results three = run(*cpu::device({.threads = 3}), g, x, kernel, dy);
    CHECK(one.y == three.y);
    CHECK(one.dx == three.dx);
    CHECK(one.dkernel == three.dkernel);
  }
}

TEST_CASE("bias, activation and max-pooling follow a convolution") {
  Conv2DGeometry g = geometry_of({3, 11, 13, 6, 19, 3, 3, 1, 1, 1, 1});
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
  const auto kernel = random_values(g.kernel_h * g.kernel_w * g.in_c * g.out_c, 2);
  const auto bias = random_values(g.out_c, 3);
  std::vector<double> sums(static_cast<std::size_t>(g.batch * g.out_h * g.out_w * g.out_c));
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<double>(bias[i % 19]);
  for_products(g, [&](std::size_t in, std::size_t w, std::size_t out) {
    sums[out] += static_cast<double>(x[in]) * static_cast<double>(kernel[w]);
  });
  const auto device = cpu::device({.threads = 2});
  for (const bool pool : {false, true}) {
    const std::int64_t out_h = pool ? g.out_h / 2 : g.out_h, out_w = pool ? g.out_w / 2 : g.out_w;
    std::vector<double> expected;
    for (std::int64_t n = 0; n < g.batch; ++n)
      for (std::int64_t y = 0; y < out_h; ++y)
        for (std::int64_t i = 0; i < out_w * g.out_c; ++i) {
          const auto at = [&](std::int64_t row, std::int64_t column) {
            const double v = sums[static_cast<std::size_t>(
                ((n * g.out_h + row) * g.out_w + column) * g.out_c + i % g.out_c)];
            return v > 0 ? v : 0.1 * v;
          };
          const std::int64_t x0 = i / g.out_c;
          expected.push_back(pool ? std::max(std::max(at(2 * y, 2 * x0), at(2 * y, 2 * x0 + 1)),
                                             std::max(at(2 * y + 1, 2 * x0), at(2 * y + 1, 2 * x0 + 1)))
                                  : at(y, x0));
        }
    std::vector<float> found(expected.size());
    device->make_backend<float>()->conv2d(g, x.data(), {kernel.data(), 0, nullptr},
                                          {bias.data(), Activation::leaky_relu(0.1), pool}, found.data());
    CHECK(relative_error(found, expected) < 1e-5);
  }
}

TEST_CASE(
    "a depthwise convolution with what follows it equals plain sums in double, for any number of threads") {
  // Pairs of rows and odd ones; blocks of columns, what they leave, and images too narrow for them; borders
  // as wide as the image and wider, taps that all lie outside; several vectors of channels and parts of one.
  const Case depthwise[] = {{2, 9, 21, 70, 70, 3, 3, 1, 1, 1, 1},  {1, 8, 17, 24, 24, 3, 3, 1, 1, 1, 0},
                            {3, 13, 27, 19, 19, 3, 3, 2, 2, 1, 1}, {1, 18, 40, 8, 8, 3, 3, 2, 2, 1, 0},
                            {2, 1, 9, 5, 5, 3, 3, 1, 1, 1, 1},     {2, 2, 6, 130, 130, 3, 3, 1, 1, 1, 4},
                            {1, 3, 2, 17, 17, 3, 3, 2, 2, 1, 5},   {2, 11, 12, 33, 33, 3, 3, 1, 2, 1, 1},
                            {1, 12, 14, 16, 16, 3, 3, 1, 1, 2, 2}, {1, 10, 15, 40, 40, 5, 5, 1, 1, 1, 2},
                            {1, 11, 29, 18, 18, 5, 5, 2, 2, 1, 2}, {1, 9, 16, 65, 65, 7, 7, 1, 1, 1, 3},
                            {1, 5, 13, 6, 6, 1, 3, 1, 1, 1, 1},    {1, 16, 31, 6, 6, 4, 2, 3, 3, 1, 0},
                            {4, 40, 20, 48, 48, 3, 3, 1, 1, 1, 1}};
  struct Behind {
    Activation activation;
    bool scale, bias, residual;
    double (*f)(double);
  };
  const Behind all_behind[] = {
      {Activation::linear, false, false, false, [](double v) { return v; }},
      {Activation::relu, false, true, false, [](double v) { return v > 0 ? v : 0; }},
      {Activation::relu6, true, true, false, [](double v) { return std::clamp(v, 0., 6.); }},
      {Activation::leaky_relu(0.1), true, false, true, [](double v) { return v > 0 ? v : 0.1 * v; }},
      {Activation::silu, true, true, true, [](double v) { return v / (1 + std::exp(-v)); }}};
  for (const Case& c : depthwise) {
    Conv2DGeometry g = geometry_of(c);
    g.groups = g.in_c;
    CAPTURE(g.batch, g.in_h, g.in_w, g.in_c, g.kernel_h, g.kernel_w, g.stride_h, g.stride_w, g.dilation_h,
            g.pad_top);
    const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
    const auto kernel = random_values(g.kernel_h * g.kernel_w * g.out_c, 2);
    const auto scale = random_values(g.out_c, 3), bias = random_values(g.out_c, 4);
    const auto residual = random_values(g.batch * g.out_h * g.out_w * g.out_c, 5);
    const auto channels = static_cast<std::size_t>(g.out_c);
    std::vector<double> sums(residual.size());
    for_products(g, [&](std::size_t in, std::size_t w, std::size_t out) {
      sums[out] += static_cast<double>(x[in]) * static_cast<double>(kernel[w]);
    });
    for (const Behind& behind : all_behind) {
      std::vector<double> expected = sums;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        if (behind.scale) expected[i] *= static_cast<double>(scale[i % channels]);
        if (behind.bias) expected[i] += static_cast<double>(bias[i % channels]);
        if (behind.residual) expected[i] += static_cast<double>(residual[i]);
        expected[i] = behind.f(expected[i]);
      }
      for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
        const auto found = [&](int threads, bool in_place) {
          std::vector<float> y = residual;
          const auto device = cpu::device({.threads = threads, .instruction_set = kernels->name});
          const float* const added = in_place ? y.data() : residual.data();
          device->make_backend<float>()->conv2d(
              g, x.data(), {kernel.data(), 0, nullptr},
              {behind.bias ? bias.data() : nullptr, behind.activation, false,
               behind.scale ? scale.data() : nullptr, behind.residual ? added : nullptr},
              y.data());
          return y;
        };
        INFO(kernels->name << ", " << name_of(behind.activation));
        const std::vector<float> one = found(1, false);
        CHECK(relative_error(one, expected) < 1e-5);
        CHECK((one == found(3, false)));
        CHECK((one == found(1, true)));  // y is its own residual
      }
    }
  }
}

TEST_CASE("what follows a product follows the last of its slices, in whole panels and in parts of one") {
  // Blocks that see padding alone, more than one slice of k, in place and packed; a dense product.
  for (const Case& c : {Case{1, 6, 12, 64, 80, 3, 3, 1, 1, 1, 4},
                        {2, 9, 8, 600, 80, 1, 1, 1, 1, 1, 0},
                        {2, 6, 8, 1024, 80, 1, 1, 1, 1, 1, 0},
                        {100, 1, 1, 70, 64, 1, 1, 1, 1, 1, 0}}) {
    const Conv2DGeometry g = geometry_of(c);
    const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
    const auto kernel = random_values(g.kernel_h * g.kernel_w * g.in_c * g.out_c, 2);
    const auto bias = random_values(g.out_c, 3), scale = random_values(g.out_c, 4);
    const auto residual = random_values(g.batch * g.out_h * g.out_w * g.out_c, 5);
    const auto run = [&](int threads, const Epilogue<float>& epilogue) {
      std::vector<float> y(residual.size());
      cpu::device({.threads = threads})
          ->make_backend<float>()
          ->conv2d(g, x.data(), {kernel.data(), 0, nullptr}, epilogue, y.data());
      return y;
    };
    const std::vector<float> sums = run(1, {});
    const auto expected = [&](auto function, bool whole) {
      std::vector<double> out;
      for (std::size_t i = 0; i < sums.size(); ++i) {
        const std::size_t channel = i % bias.size();
        double v = static_cast<double>(sums[i]);
        if (whole) v = v * static_cast<double>(scale[channel]) + static_cast<double>(residual[i]);
        out.push_back(function(v + static_cast<double>(bias[channel])));
      }
      return out;
    };
    const auto check = [&](const Activation& f, auto function) {
      for (const bool whole : {false, true}) {
        Epilogue<float> epilogue{bias.data(), f};
        if (whole) epilogue.scale = scale.data(), epilogue.residual = residual.data();
        const std::vector<float> found = run(1, epilogue);
        CHECK(relative_error(found, expected(function, whole)) < 1e-6);
        CHECK(found == run(3, epilogue));
      }
    };
    check(Activation::linear, [](double v) { return v; });
    check(Activation::relu, [](double v) { return std::max(v, 0.); });
    check(Activation::leaky_relu(0.1), [](double v) { return v < 0 ? 0.1 * v : v; });
    check(Activation::relu6, [](double v) { return std::clamp(v, 0., 6.); });
    check(Activation::tanh, [](double v) { return std::tanh(v); });
  }
}

TEST_CASE("a gradient is written or added") {
  const Conv2DGeometry g = geometry_of({2, 9, 8, 3, 5, 3, 3, 1, 1, 1, 1});
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
  const auto dy = random_values(g.batch * g.out_h * g.out_w * g.out_c, 3);
  const auto context = default_device()->make_backend<float>();
  auto& backend = *context;
  std::vector<float> once(135), twice(135, 7.f);
  backend.conv2d_backward_kernel(g, x.data(), dy.data(), {once.data(), false});
  backend.conv2d_backward_kernel(g, x.data(), dy.data(), {twice.data(), false});
  CHECK(once == twice);
  backend.conv2d_backward_kernel(g, x.data(), dy.data(), {twice.data(), true});
  for (std::size_t i = 0; i < once.size(); ++i) CHECK(twice[i] == Approx(2 * once[i]).epsilon(1e-6));
}

TEST_CASE("the gradient of a kernel is that of dy without a last row or column of zeros") {
  const Conv2DGeometry g = geometry_of({4, 37, 37, 32, 48, 3, 3, 1, 1, 1, 1});
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
  const auto full = random_values(g.batch * g.out_h * g.out_w * g.out_c, 3);
  for (const auto& [keep_row, keep_column] : {std::pair{false, false}, {true, false}, {false, true}}) {
    CAPTURE(keep_row, keep_column);
    auto dy = full;
    for (std::size_t i = 0; i < dy.size(); ++i) {
      const std::size_t pixel = i / 48, column = pixel % 37, row = pixel / 37 % 37;
      if ((row == 36 && !keep_row) || (column == 36 && !keep_column)) dy[i] = 0;
    }
    const Conv2DGeometry covered = cpu::without_zero_border(g, dy.data());
    CHECK(covered.out_h == (keep_row ? 37 : 36));
    CHECK(covered.out_w == (keep_column ? 37 : 36));
    const auto plan_for = [](const Conv2DGeometry& of) {
      return cpu::plan_convolution({cpu::ConvolutionPass::kernel_gradient, of}, cpu::kernels(), {});
    };
    CHECK(plan_for(covered).cost < plan_for(g).cost);
    std::vector<double> dkernel(9 * 32 * 48);
    for_products(g, [&](std::size_t in, std::size_t w, std::size_t out) {
      dkernel[w] += static_cast<double>(x[in]) * static_cast<double>(dy[out]);
    });
    const std::vector<float> kernel(dkernel.size());
    const Results one = run(*cpu::device({.threads = 1}), g, x, kernel, dy);
    CHECK(relative_error(one.dkernel, dkernel) < 1e-5);
    CHECK(one.dkernel == run(*cpu::device({.threads = 3}), g, x, kernel, dy).dkernel);
  }
  CHECK(cpu::without_zero_border(g, full.data()) == g);
  std::vector<float> last(full.size());  // one number of the last row of the last picture alone
  last.back() = 1e-30f;
  CHECK(cpu::without_zero_border(g, last.data()) == g);
  last.back() = std::numeric_limits<float>::quiet_NaN();
  CHECK(cpu::without_zero_border(g, last.data()) == g);
  const Conv2DGeometry one_pixel = geometry_of({2, 1, 1, 8, 8, 3, 3, 1, 1, 1, 1});
  CHECK(cpu::without_zero_border(one_pixel, std::vector<float>(16).data()) == one_pixel);
}

TEST_CASE("packed weights are made again when the weight changes") {
  const Conv2DGeometry g = geometry_of({3, 11, 7, 16, 32, 3, 3, 1, 1, 1, 1});
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
  auto kernel = random_values(g.kernel_h * g.kernel_w * g.in_c * g.out_c, 2);
  const auto context = default_device()->make_backend<float>();
  auto& backend = *context;
  PackedWeights packed;
  std::vector<float> before(static_cast<std::size_t>(g.batch * g.out_h * g.out_w * g.out_c)), after = before;
  backend.conv2d(g, x.data(), {kernel.data(), 1, &packed}, {}, before.data());
  for (float& w : kernel) w *= 2;
  backend.conv2d(g, x.data(), {kernel.data(), 1, &packed}, {}, after.data());
  CHECK(after == before);
  backend.conv2d(g, x.data(), {kernel.data(), 2, &packed}, {}, after.data());
  for (float& v : before) v *= 2;
  CHECK(after == before);
}

TEST_CASE("A weight serves convolutions of different tiles, in either direction") {
  const auto kernel = random_values(3 * 3 * 16 * 32, 2);
  const auto context = default_device()->make_backend<float>();
  PackedWeights packed;
  const WeightView<float> kept{kernel.data(), 1, &packed}, fresh{kernel.data(), 1, nullptr};
  std::vector<int> tiles, back_tiles;
  for (const std::int64_t size : {4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 24, 30}) {
    const Conv2DGeometry g = geometry_of({2, size, size, 16, 32, 3, 3, 1, 1, 1, 1});
    tiles.push_back(cpu::plan_convolution({.geometry = g}, cpu::kernels(), {}).tile);
    back_tiles.push_back(cpu::plan_convolution({.geometry = cpu::transposed(g)}, cpu::kernels(), {}).tile);
    const auto x = random_values(g.batch * size * size * g.in_c, 1),
               dy = random_values(g.batch * size * size * g.out_c, 3);
    std::vector<float> y(dy.size()), expected_y = y, dx(x.size()), expected_dx = dx;
    context->conv2d(g, x.data(), fresh, {}, expected_y.data());
    context->conv2d(g, x.data(), kept, {}, y.data());
    context->conv2d_backward_input(g, dy.data(), fresh, {expected_dx.data()});
    context->conv2d_backward_input(g, dy.data(), kept, {dx.data()});
    INFO("images of " << size << " x " << size);
    CHECK((y == expected_y));
    CHECK((dx == expected_dx));
  }
  for (std::vector<int>* used : {&tiles, &back_tiles}) {  // else this shows nothing
    std::sort(used->begin(), used->end());
    used->erase(std::unique(used->begin(), used->end()), used->end());
    CHECK(used->size() > 1);
  }
}

TEST_CASE("A part of the columns of wide patches takes its own taps alone") {
  // One row of 1000 taps on images of 5 pixels, two channels each: only near taps are inside.
  const std::vector<float> zeros(2000);
  for (const std::int64_t width : {5, 1000}) {  // all taps outside in part, or a run inside as a whole
    std::vector<float> wide(static_cast<std::size_t>(2 * width), 1.f);
    cpu::PatchMatrix patches{wide.data(), 1, 1, width, 2, 1, 1, 1, 1, {}, 1000};
    for (std::int64_t tap = 0; tap < 1000; ++tap) patches.taps.push_back({0, tap});
    cpu::PatchRows walk(patches, 0, zeros.data(), 129, 193);
    const std::int64_t length = walk.next();
    CHECK(walk.begin() <= 129);
    CHECK(walk.begin() + length * static_cast<std::int64_t>(walk.pieces().size()) >= 193);
    CHECK(walk.pieces().size() <= 33);
    CHECK(walk.pieces()[0] == (width == 5 ? zeros.data() : wide.data()));
  }
}

TEST_CASE("A kernel larger than the image has the values and gradients of its definition") {
  const std::int64_t groups = GENERATE(1, 2, 4), stride = GENERATE(1, 2), dilation = GENERATE(1, 3),
                     out_c = GENERATE(4, 8);
  const bool accumulate = GENERATE(false, true);
  // Padding that is the same on either side; all of it on the left; all on the right.
  const auto [pad_top, pad_left] = GENERATE(std::pair{6, 200}, std::pair{12, 400}, std::pair{0, 0});
  const std::int64_t out_h = (2 + stride) / stride, out_w = (4 + stride) / stride;
  const Conv2DGeometry g{.batch = 2,
                         .in_h = 3,
                         .in_w = 5,
                         .in_c = 4,
                         .out_h = out_h,
                         .out_w = out_w,
                         .out_c = out_c,
                         .kernel_h = 13,
                         .kernel_w = 401,
                         .stride_h = stride,
                         .stride_w = stride,
                         .dilation_h = dilation,
                         .dilation_w = dilation,
                         .pad_top = pad_top * dilation,
                         .pad_left = pad_left * dilation,
                         .groups = groups};
  CAPTURE(groups, stride, dilation, out_c, accumulate, pad_left);
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
  const auto kernel = random_values(13 * 401 * g.group_in() * g.out_c, 2);
  const auto dy = random_values(g.batch * g.out_h * g.out_w * g.out_c, 3);
  const Results found = run(*default_device(), g, x, kernel, dy, accumulate);
  const double before = accumulate ? 1 : 0;
  std::vector<double> y(dy.size()), dx(x.size(), before), dkernel(kernel.size(), before);
  for_products(g, [&](std::size_t in, std::size_t w, std::size_t out) {
    y[out] += static_cast<double>(x[in]) * static_cast<double>(kernel[w]);
    dx[in] += static_cast<double>(dy[out]) * static_cast<double>(kernel[w]);
    dkernel[w] += static_cast<double>(x[in]) * static_cast<double>(dy[out]);
  });
  CHECK(relative_error(found.y, y) < 1e-6);
  CHECK(relative_error(found.dx, dx) < 1e-6);
  CHECK(relative_error(found.dkernel, dkernel) < 1e-6);
}

TEST_CASE("A NaN or a huge number stays within its windows where the accuracy is exact") {
  const Conv2DGeometry g = geometry_of({2, 24, 24, 16, 32, 3, 3, 1, 1, 1, 1});
  auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1);
  const auto kernel = random_values(3 * 3 * g.in_c * g.out_c, 2);
  const DevicePtr device = cpu::device({.threads = 2, .accuracy = cpu::ConvolutionAccuracy::exact});
  const auto backend = device->make_backend<float>();
  // dy [2,24,24,16] of a convolution with 32 input channels has x's size, and the kernel that of both.
  const Conv2DGeometry back = geometry_of({2, 24, 24, 32, 16, 3, 3, 1, 1, 1, 1});
  const auto run = [&](bool backward) {
    std::vector<float> y(static_cast<std::size_t>(g.batch * 24 * 24 * 32));
    if (backward)
      backend->conv2d_backward_input(back, x.data(), {kernel.data()}, {y.data()});
    else
      backend->conv2d(g, x.data(), {kernel.data()}, {}, y.data());
    return y;
  };
  for (const auto& [value, backward] : {std::pair{NAN, false}, {NAN, true}, {3e38f, false}, {3e38f, true}}) {
    const auto before = run(backward);
    const float kept = std::exchange(x[static_cast<std::size_t>((7 * 24 + 9) * g.in_c + 3)], value);
    const auto after = run(backward);
    x[static_cast<std::size_t>((7 * 24 + 9) * g.in_c + 3)] = kept;
    int near = 0, far = 0;
    for (std::int64_t i = 0; i < std::ssize(after); ++i) {
      const std::int64_t row = i / g.out_c / 24, column = i / g.out_c % 24;
      const bool window =
          std::abs(row - 7) <= 1 && std::abs(column - 9) <= 1;  // rows count through the batch
      const auto at = static_cast<std::size_t>(i);
      (window ? near : far) += std::memcmp(&after[at], &before[at], sizeof(float)) != 0;
    }
    CHECK(near == 9 * 32);
    CHECK(far == 0);
  }
}
