#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <vector>

#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/tile_convolution.hpp>
#include <strata/cpu/tile_kernels.hpp>
#include <strata/tensor/backend.hpp>

#include "support/bfloat16.hpp"
#include "support/guarded_copy.hpp"
#include "support/random_values.hpp"
#include "support/skip.hpp"

using namespace strata;
using strata_test::GuardedCopy, strata_test::random_values, strata_test::relative_error, strata_test::rounded;

namespace {

/// The tiles of AMX, for processors without: what Intel's manual says of TDPBF16PS, but for denormals.
struct EmulatedTiles {
  static inline thread_local bool configured = false;
  static inline thread_local float tiles[8][16][16];
  static void begin() {
    configured = true;
    std::fill_n(&tiles[0][0][0], sizeof tiles / sizeof(float), std::numeric_limits<float>::quiet_NaN());
  }
  static void end() { configured = false; }

  template <int Tile>
  static void zero() {
    std::memset(tiles[Tile], 0, sizeof tiles[Tile]);
  }
  template <int Tile>
  static void load(const float* p, long row_bytes) {
    for (int i = 0; i < 16; ++i)
      std::memcpy(tiles[Tile][i], reinterpret_cast<const char*>(p) + i * row_bytes, sizeof tiles[Tile][i]);
  }
  template <int Tile>
  static void store(float* p, long row_bytes) {
    for (int i = 0; i < 16; ++i)
      std::memcpy(reinterpret_cast<char*>(p) + i * row_bytes, tiles[Tile][i], sizeof tiles[Tile][i]);
  }
  static float half(float pair, int which) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(pair);
    return std::bit_cast<float>(which == 0 ? bits << 16 : bits & 0xffff0000u);
  }
  template <int Sum, int A, int B>
  static void multiply_add() {
    for (int i = 0; i < 16; ++i)
      for (int k = 0; k < 16; ++k)
        for (int j = 0; j < 16; ++j)
          for (int which = 0; which < 2; ++which)
            tiles[Sum][i][j] += configured ? half(tiles[A][i][k], which) * half(tiles[B][k][j], which)
                                           : std::numeric_limits<float>::quiet_NaN();
  }
};

/// What follows of x * kernel in double, both rounded: y [batch,out_h,out_w,out_c], or pooled by 2x2.
std::vector<double> rounded_convolution(const Conv2DGeometry& g, const std::vector<float>& x,
                                        const std::vector<float>& kernel, const Epilogue<float>& epilogue) {
  std::vector<double> y;
  const std::int64_t step = epilogue.max_pool_2x2 ? 2 : 1;
  const auto sum = [&](std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t o) {
    double out = 0;
    for (std::int64_t ky = 0; ky < g.kernel_h; ++ky)
      for (std::int64_t kx = 0; kx < g.kernel_w; ++kx) {
        const std::int64_t iy = oy - g.pad_top + ky * g.dilation_h, ix = ox - g.pad_left + kx;
        if (iy < 0 || ix < 0 || iy >= g.in_h || ix >= g.in_w) continue;
        for (std::int64_t c = 0; c < g.in_c; ++c)
          out +=
              rounded(x[static_cast<std::size_t>(((n * g.in_h + iy) * g.in_w + ix) * g.in_c + c)]) *
              rounded(kernel[static_cast<std::size_t>(((ky * g.kernel_w + kx) * g.in_c + c) * g.out_c + o)]);
      }
    return out;
  };
  for (std::int64_t n = 0; n < g.batch; ++n)
    for (std::int64_t oy = 0; oy + step <= g.out_h; oy += step)
      for (std::int64_t ox = 0; ox + step <= g.out_w; ox += step)
        for (std::int64_t o = 0; o < g.out_c; ++o) {
          double v = sum(n, oy, ox, o);
          if (step == 2)
            v = std::max({v, sum(n, oy, ox + 1, o), sum(n, oy + 1, ox, o), sum(n, oy + 1, ox + 1, o)});
          const auto at = [&](const float* p, std::size_t i, float otherwise) {
            return static_cast<double>(p ? p[i] : otherwise);
          };
          const auto channel = static_cast<std::size_t>(o);
          v = v * at(epilogue.scale, channel, 1) + at(epilogue.bias, channel, 0) +
              at(epilogue.residual, y.size(), 0);
          if (epilogue.activation.kind == Activation::Kind::relu) v = std::max(v, 0.);
          if (epilogue.activation.kind == Activation::Kind::tanh) v = std::tanh(v);
          y.push_back(v);
        }
  return y;
}

/// Products in bfloat16 that this machine can run, tiles emulated where it has none.
std::vector<cpu::ProductKernels> products() {
  const cpu::KernelTable& kernels = cpu::kernels();
  const cpu::ProductKernels* best = cpu::bfloat16_product(kernels);
  if (!best) return {};
  std::vector<cpu::ProductKernels> out{kernels.bfloat16_vectors, kernels.bfloat16_tiles};
  if (best == &kernels.bfloat16_tiles) return out;
  out[1].begin = EmulatedTiles::begin;
  out[1].end = EmulatedTiles::end;
  out[1].multiply_rows[16] = cpu::multiply_tiles<16, 32, EmulatedTiles>;
  out[1].multiply_rows[32] = cpu::multiply_tiles<32, 32, EmulatedTiles>;
  out[1].multiply_half_panel[16] = cpu::multiply_tiles<16, 16, EmulatedTiles>;
  out[1].multiply_half_panel[32] = cpu::multiply_tiles<32, 16, EmulatedTiles>;
  return out;
}

/// The kernel's panels as tiles read them.
cpu::Buffer tile_panels(const cpu::Engine& engine, const cpu::ProductKernels& product,
                        const Conv2DGeometry& g, const std::vector<float>& kernel) {
  const std::int64_t panel = engine.kernels.panel();
  cpu::Buffer out;
  const auto room = [&](std::int64_t count) { return (out = cpu::Buffer(count)).data(); };
  cpu::pack_tile_kernel(engine, product, g, room, [&](std::int64_t tap, std::int64_t p, float* to) {
    engine.kernels.pack_panels(g.in_c, std::min(panel, g.out_c - p * panel),
                               kernel.data() + tap * g.in_c * g.out_c + p * panel, g.out_c, to);
  });
  return out;
}

/// The values, rounded, in bfloat16, and behind these `rest` in the place of floats.
std::vector<float> narrowed(const std::vector<float>& values, float rest) {
  std::vector<float> out(values.size(), rest);
  for (std::size_t i = 0; i < values.size(); ++i)
    strata_test::put_narrow(static_cast<double>(values[i]), out.data(), i);
  return out;
}

const char* const without = "this processor has no AVX512-BF16";

}  // namespace

TEST_CASE("products in bfloat16 are those of the rounded factors, for any number of threads") {
  const auto kinds = products();
  if (kinds.empty()) STRATA_SKIP(without);
  const cpu::KernelTable& kernels = cpu::kernels();
  struct Size {
    std::int64_t images, side, channels, taps, columns;
  };
  for (const Size& size : {Size{1, 1, 1, 1, 1},
                           {1, 4, 32, 1, 32},
                           {2, 5, 3, 3, 5},
                           {3, 7, 17, 3, 40},
                           {1, 6, 64, 2, 33},
                           {20, 1, 700, 1, 64},
                           {33, 1, 1100, 1, 70},
                           {1, 30, 31, 1, 96},
                           {2, 13, 96, 3, 65}}) {
    const std::int64_t images = size.images, side = size.side, channels = size.channels, taps = size.taps,
                       columns = size.columns;
    for (const cpu::ProductKernels& product : kinds) {
      CAPTURE(product.name, images, side, channels, taps, columns);
      cpu::PatchMatrix patches{nullptr, images, side, side, channels, side, side, 1, 1, {}};
      for (std::int64_t y = 0; y < taps; ++y)
        for (std::int64_t x = 0; x < taps; ++x) patches.taps.push_back({y - taps / 2, x - taps / 2});
      patches.run = taps;
      const auto source = random_values(images * side * side * channels, 1);
      patches.source = source.data();
      const std::int64_t rows = patches.rows(), k = patches.columns(), panel = kernels.panel();
      const auto b = random_values(k * columns, 2);

      std::vector<double> expected(static_cast<std::size_t>(rows * columns));
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t t = 0; t < taps * taps; ++t) {
          const auto [dy, dx] = patches.taps[static_cast<std::size_t>(t)];
          const std::int64_t y = row / side % side + dy, x = row % side + dx;
          if (y < 0 || y >= side || x < 0 || x >= side) continue;
          for (std::int64_t c = 0; c < channels; ++c) {
            const float a = source[static_cast<std::size_t>(
                ((row / (side * side) * side + y) * side + x) * channels + c)];
            for (std::int64_t j = 0; j < columns; ++j)
              expected[static_cast<std::size_t>(row * columns + j)] +=
                  rounded(a) * rounded(b[static_cast<std::size_t>((t * channels + c) * columns + j)]);
          }
        }

      std::vector<std::vector<float>> found;
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        cpu::Workspace workspace;
        cpu::Buffer packed;
        const auto room = [&](std::int64_t count) { return (packed = cpu::Buffer(count)).data(); };
        cpu::pack_right_factor(pool, workspace, kernels, product, k, cpu::divide_up(columns, panel), room,
                               [&](std::int64_t p, float* to) {
                                 kernels.pack_panels(k, std::min(panel, columns - p * panel),
                                                     b.data() + p * panel, columns, to);
                               });
        std::vector<float> c(static_cast<std::size_t>(rows * columns));
        std::int64_t finished = 0;
        std::mutex mutex;
        cpu::multiply(pool, workspace, kernels, product, patches,
                      {packed.data(), product.units(k), columns, product.units(k) * panel, panel}, c.data(),
                      {}, [&](std::int64_t, std::int64_t part, std::int64_t, std::int64_t part_columns) {
                        const std::lock_guard lock(mutex);
                        finished += part * part_columns;
                      });
        CHECK(finished == rows * columns);
        CHECK(relative_error(c, expected) < 1e-6);
        found.push_back(c);
      }
      CHECK(found[0] == found[1]);
    }
  }
}

TEST_CASE(
    "tasks of tiles cover a convolution in no more memory than its plan says, for any number of threads") {
  const cpu::KernelTable& kernels = cpu::kernels();
  for (const std::int64_t batch : {1, 3, 20})
    for (const std::int64_t side : {1, 9, 37, 150})
      for (const std::int64_t channels : {3, 16, 96, 512})
        for (const std::int64_t size : {1, 3})
          for (const bool max_pool : {false, true}) {
            Conv2DGeometry g;
            g.batch = batch, g.in_h = g.in_w = g.out_h = g.out_w = side, g.in_c = g.out_c = channels;
            g.kernel_h = g.kernel_w = size, g.pad_top = g.pad_left = size / 2;
            const cpu::TileLines one(g, max_pool);
            CHECK(one.slabs == 1);
            for (const std::int64_t threads : {2, 3, 16, 100}) {
              CAPTURE(batch, side, channels, size, max_pool, threads);
              const cpu::TileLines lines(g, max_pool, threads);
              REQUIRE(lines.scratch(kernels) <= one.scratch(kernels));
              REQUIRE(lines.lines * lines.parts >= lines.geometry.out_h);
              REQUIRE(lines.lines * (lines.parts - 1) < lines.geometry.out_h);
              REQUIRE((lines.images == 1 || lines.parts == 1));
              REQUIRE((!max_pool || lines.parts == 1 || lines.lines % 2 == 0));
              REQUIRE(lines.slabs >= 1);
              REQUIRE(lines.slabs <= cpu::divide_up(channels, 32));
            }
          }
}

TEST_CASE("tiles read convolutions in lines, whatever stands on their borders") {
  const auto kinds = products();
  if (kinds.empty()) STRATA_SKIP(without);
  const cpu::KernelTable& kernels = cpu::kernels();
  const cpu::ProductKernels& product = kinds.back();
  struct Case {
    std::int64_t batch, h, w, in_c, out_c, kernel_h, kernel_w, top, left, out_h, out_w, dilation_h = 1;
  };
  // The same padding, none, all of it, of one side alone; odd channels, colors; images that share a task and
  // images of several, whose last is shorter; 1x1, whose images are one.
  for (const Case& c : {Case{1, 5, 7, 32, 40, 3, 3, 1, 1, 5, 7},
                        {3, 9, 9, 64, 32, 3, 3, 1, 1, 9, 9},
                        {2, 8, 6, 32, 65, 3, 3, 0, 0, 6, 4},
                        {2, 4, 6, 5, 3, 3, 2, 2, 1, 6, 7},
                        {1, 6, 5, 3, 33, 5, 4, 0, 3, 2, 5},
                        {1, 9, 37, 3, 16, 3, 3, 1, 1, 9, 37},
                        {2, 4, 9, 3, 20, 3, 3, 1, 1, 4, 9},
                        {1, 5, 12, 3, 48, 3, 3, 1, 1, 5, 12},
                        {1, 7, 9, 33, 32, 2, 5, 1, 0, 8, 5},
                        {2, 11, 6, 48, 20, 3, 3, 2, 1, 11, 6, 2},
                        {3, 7, 5, 96, 72, 1, 1, 0, 0, 7, 5},
                        {1, 40, 70, 100, 4, 3, 3, 1, 1, 40, 70},
                        {40, 1, 1, 130, 50, 1, 1, 0, 0, 1, 1},
                        {1, 3, 2, 1, 1, 1, 2, 0, 1, 3, 2},
                        {2, 5, 6, 20, 10, 3, 3, 0, 0, 5, 6}}) {
    Conv2DGeometry g;
    g.batch = c.batch, g.in_h = c.h, g.in_w = c.w, g.in_c = c.in_c, g.out_h = c.out_h, g.out_w = c.out_w,
    g.out_c = c.out_c, g.kernel_h = c.kernel_h, g.kernel_w = c.kernel_w, g.pad_top = c.top,
    g.pad_left = c.left, g.dilation_h = c.dilation_h;
    const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1),
               kernel = random_values(g.kernel_h * g.kernel_w * g.in_c * g.out_c, 2),
               bias = random_values(g.out_c, 3), scale = random_values(g.out_c, 4),
               residual = random_values(g.batch * g.out_h * g.out_w * g.out_c, 5);
    const GuardedCopy guarded(x.data(), x.size() * sizeof(float));
    for (const bool max_pool : {false, true}) {
      CAPTURE(c.h, c.w, c.in_c, c.out_c, c.kernel_h, c.kernel_w, c.top, c.left, max_pool);
      REQUIRE(cpu::tile_lines_serve(g, kernels, product, max_pool));
      for (const Epilogue<float>& epilogue :
           {Epilogue<float>{.max_pool_2x2 = max_pool},
            {.bias = bias.data(), .activation = Activation::relu, .max_pool_2x2 = max_pool},
            {.bias = bias.data(), .activation = Activation::tanh, .max_pool_2x2 = max_pool},
            {.scale = scale.data(), .residual = residual.data()}}) {
        if (max_pool != epilogue.max_pool_2x2) continue;
        const std::vector<double> expected = rounded_convolution(g, x, kernel, epilogue);
        std::vector<std::vector<float>> found;
        for (const int threads : {1, 3}) {
          ThreadPool pool(threads);
          cpu::Workspace workspace;
          {
            const auto used = workspace.lease(1 << 20);  // what a task leaves unset is not a number
            std::fill_n(used.data(), 1 << 20, std::numeric_limits<float>::quiet_NaN());
          }
          const cpu::Engine engine{pool, workspace, kernels};
          const cpu::Buffer panels = tile_panels(engine, product, g, kernel);
          std::vector<float> y(expected.size() + 1, 7.f);
          cpu::tile_convolution(engine, product, g, static_cast<const float*>(guarded.data()), panels.data(),
                                epilogue, y.data());
          CHECK(y.back() == 7.f);
          y.pop_back();
          CHECK(relative_error(y, expected) < 1e-6);
          found.push_back(y);
        }
        CHECK(found[0] == found[1]);
      }
    }
  }
}

TEST_CASE("tiles read and leave bfloat16 with the bits that they make of floats") {
  const auto kinds = products();
  if (kinds.empty()) STRATA_SKIP(without);
  const cpu::KernelTable& kernels = cpu::kernels();
  const cpu::ProductKernels& product = kinds.back();
  // What lies narrow: whole tiles of channels and others, 1x1 read in place and, where that is too small,
  // not.
  for (const auto& [batch, side, in_c, out_c, kernel_size] : {std::array<std::int64_t, 5>{2, 9, 64, 32, 3},
                                                              {2, 9, 6, 70, 3},
                                                              {3, 7, 64, 34, 1},
                                                              {1, 40, 32, 40, 1},
                                                              {1, 5, 32, 64, 1},
                                                              {2, 8, 20, 2, 1},
                                                              {1, 30, 10, 96, 5}}) {
    Conv2DGeometry g;
    g.batch = batch, g.in_h = g.in_w = g.out_h = g.out_w = side, g.in_c = in_c, g.out_c = out_c;
    g.kernel_h = g.kernel_w = kernel_size, g.pad_top = g.pad_left = kernel_size / 2;
    const auto x = random_values(g.batch * side * side * in_c, 1),
               kernel = random_values(kernel_size * kernel_size * in_c * out_c, 2),
               bias = random_values(out_c, 3), residual = random_values(g.batch * side * side * out_c, 4);
    const std::vector<float> narrow_x = narrowed(x, std::numeric_limits<float>::quiet_NaN());
    for (Epilogue<float> epilogue :
         {Epilogue<float>{.bias = bias.data(), .activation = Activation::relu},
          {.bias = bias.data(), .activation = Activation::silu, .max_pool_2x2 = true},
          {.bias = bias.data(), .activation = Activation::leaky_relu(0.1), .max_pool_2x2 = true},
          {.activation = Activation::tanh, .residual = residual.data()}}) {
      CAPTURE(batch, side, in_c, out_c, kernel_size, epilogue.max_pool_2x2);
      REQUIRE(cpu::tile_lines_serve(g, kernels, product, epilogue.max_pool_2x2));
      const std::int64_t shrink = epilogue.max_pool_2x2 ? 2 : 1;
      const auto count = static_cast<std::size_t>(batch * (side / shrink) * (side / shrink) * out_c);
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        cpu::Workspace workspace;
        const cpu::Engine engine{pool, workspace, kernels};
        const cpu::Buffer panels = tile_panels(engine, product, g, kernel);
        const auto run = [&](bool from_narrow, bool to_narrow) {
          std::vector<float> y(count + 1, 7.f);
          epilogue.narrow_x = from_narrow;
          epilogue.narrow_y = to_narrow;
          cpu::tile_convolution(engine, product, g, (from_narrow ? narrow_x : x).data(), panels.data(),
                                epilogue, y.data());
          CHECK(y.back() == 7.f);
          y.pop_back();
          return y;
        };
        const std::vector<float> y = run(false, false);
        CHECK(run(true, false) == y);
        const std::vector<float> narrow_y = narrowed(y, 7.f);  // nothing beyond the first half
        for (const bool from_narrow : {false, true}) {
          const std::vector<float> found = run(from_narrow, true);
          CHECK(std::memcmp(found.data(), narrow_y.data(), count * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST_CASE("numbers are rounded to the nearest bfloat16, and what is not finite stays so") {
  if (products().empty()) STRATA_SKIP(without);
  const cpu::KernelTable& kernels = cpu::kernels();
  const cpu::ProductKernels& product = kernels.bfloat16_vectors;
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN(), full_nan = std::bit_cast<float>(0x7fffffffu);
  // 1 + 2^-8 and 1 + 3 * 2^-8 lie in the middle; the largest float becomes infinity.
  const std::vector<float> values{1.00390625f, 1.01171875f, 1.0041f, -1.0039f, 3.4e38f, infinity,
                                  -infinity,   nan,         -0.f,    1e-30f,   full_nan};
  const std::vector<float> wanted{1.f,      1.015625f, 1.0078125f, -1.f, infinity,
                                  infinity, -infinity, nan,        -0.f, static_cast<float>(rounded(1e-30f)),
                                  nan};
  const long panel = kernels.panel();
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(values[i]);
    // As the left factor times 1, and as the right one.
    std::vector<float> linear(64), block(64), panels(static_cast<std::size_t>(64 * panel)),
        to(static_cast<std::size_t>(64 * panel));
    const float* at = &values[i];
    product.pack_row(&at, 1, 1, 1, 0, linear.data(), block.data());
    CHECK(std::memcmp(block.data() + 1, std::vector<float>(15).data(), 60) == 0);
    panels[0] = values[i];
    product.narrow_panel(1, panels.data(), to.data());
    for (const float unit : {block[0], to[0]}) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(unit);
      CHECK(bits >> 16 == 0);
      const float number = std::bit_cast<float>(bits << 16);
      CHECK((std::isnan(wanted[i])
                 ? std::isnan(number)
                 : std::bit_cast<std::uint32_t>(number) == std::bit_cast<std::uint32_t>(wanted[i])));
    }
  }
}

TEST_CASE(
    "a device in mixed_bfloat16 rounds what makes results and gradients of inputs, where it is faster") {
  if (products().empty()) STRATA_SKIP(without);
  const DevicePtr narrow = cpu::device({.threads = 2, .policy = Policy::mixed_bfloat16}),
                  plain = cpu::device({.threads = 2});
  CHECK(narrow->description().find(", mixed_bfloat16)") != std::string::npos);
  Conv2DGeometry g;
  g.batch = 2, g.in_h = g.in_w = g.out_h = g.out_w = 14, g.in_c = 96, g.out_c = 72,
  g.kernel_h = g.kernel_w = 1;
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1),
             kernel = random_values(g.in_c * g.out_c, 2), bias = random_values(g.out_c, 3),
             dy = random_values(g.batch * g.out_h * g.out_w * g.out_c, 4);
  std::vector<double> expected(dy.size());
  for (std::size_t row = 0; row < dy.size() / 72; ++row)
    for (std::size_t j = 0; j < 72; ++j) {
      double sum = static_cast<double>(bias[j]);
      for (std::size_t i = 0; i < 96; ++i) sum += rounded(x[row * 96 + i]) * rounded(kernel[i * 72 + j]);
      expected[row * 72 + j] = std::max(0., sum);
    }
  std::vector<double> expected_dx(x.size());
  for (std::size_t row = 0; row < dy.size() / 72; ++row)
    for (std::size_t i = 0; i < 96; ++i)
      for (std::size_t j = 0; j < 72; ++j)
        expected_dx[row * 96 + i] += rounded(dy[row * 72 + j]) * rounded(kernel[i * 72 + j]);
  struct Results {
    std::vector<float> y, dx, dkernel;
  };
  const auto run = [&](const DevicePtr& device, bool packed) {
    const auto backend = device->make_backend<float>();
    Results r{std::vector<float>(dy.size()), std::vector<float>(x.size()), std::vector<float>(kernel.size())};
    PackedWeights kept;
    const WeightView<float> weight{kernel.data(), 1, packed ? &kept : nullptr};
    Epilogue<float> epilogue;
    epilogue.bias = bias.data();
    epilogue.activation = Activation::relu;
    backend->conv2d(g, x.data(), weight, epilogue, r.y.data());
    backend->conv2d_backward_input(g, dy.data(), weight, {r.dx.data(), false});
    backend->conv2d_backward_kernel(g, x.data(), dy.data(), {r.dkernel.data(), false});
    return r;
  };
  const Results found = run(narrow, true), exact = run(plain, true);
  CHECK(relative_error(found.y, expected) < 1e-6);
  CHECK(relative_error(exact.y, expected) > 1e-4);  // so that the one before says something
  CHECK(run(narrow, false).y == found.y);
  CHECK(relative_error(found.dx, expected_dx) < 1e-6);
  CHECK(relative_error(exact.dx, expected_dx) > 1e-4);
  CHECK(run(narrow, false).dx == found.dx);
  CHECK(found.dkernel == exact.dkernel);
  const auto backend = narrow->make_backend<float>();
  CHECK(backend->describe_conv2d(g, {}).name.starts_with("direct, bfloat16"));
  CHECK(backend->set_policy(Policy::float32));
  CHECK(backend->describe_conv2d(g, {}).name == "direct");
}

TEST_CASE("on tiles 3x3 convolutions and their input gradients are read in lines") {
  const cpu::ProductKernels* const product = cpu::bfloat16_product(cpu::kernels());
  if (product != &cpu::kernels().bfloat16_tiles) STRATA_SKIP("this processor has no AMX");
  Conv2DGeometry g;
  g.batch = 3, g.in_h = 10, g.in_w = 12, g.in_c = 64, g.out_h = 9, g.out_w = 12, g.out_c = 40;
  g.kernel_h = g.kernel_w = 3, g.pad_top = 1, g.pad_left = 1;
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1),
             kernel = random_values(9 * g.in_c * g.out_c, 2),
             dy = random_values(g.batch * g.out_h * g.out_w * g.out_c, 3),
             before = random_values(g.batch * g.in_h * g.in_w * g.in_c, 4);
  std::vector<float> turned(kernel.size());
  for (std::size_t tap = 0; tap < 9; ++tap)
    for (std::size_t i = 0; i < 64; ++i)
      for (std::size_t o = 0; o < 40; ++o)
        turned[(tap * 40 + o) * 64 + i] = kernel[((8 - tap) * 64 + i) * 40 + o];
  const DevicePtr device = cpu::device({.threads = 2, .policy = Policy::mixed_bfloat16});
  const auto backend = device->make_backend<float>();
  CHECK(backend->describe_conv2d(g, {}).name == "direct, bfloat16 tiles in lines");
  PackedWeights packed;
  const WeightView<float> weight{kernel.data(), 1, &packed};
  std::vector<float> y(dy.size()), dx = before;
  backend->conv2d(g, x.data(), weight, {}, y.data());
  CHECK(relative_error(y, rounded_convolution(g, x, kernel, {})) < 1e-6);
  backend->conv2d_backward_input(g, dy.data(), weight, {dx.data(), true});
  CHECK(relative_error(dx, rounded_convolution(cpu::transposed(g), dy, turned, {.residual = before.data()})) <
        1e-6);
}

TEST_CASE("without the instructions mixed_bfloat16 computes in float32 and says so") {
  for (const cpu::KernelTable* table : cpu::available_kernels()) {
    if (cpu::bfloat16_product(*table)) continue;
    const DevicePtr device =
        cpu::device({.threads = 1, .instruction_set = table->name, .policy = Policy::mixed_bfloat16});
    CHECK(device->description() ==
          std::string("cpu (1 thread, ") + table->name + ", mixed_bfloat16 unavailable: float32)");
    CHECK_FALSE(device->make_backend<float>()->set_policy(Policy::mixed_bfloat16));
    CHECK(device->make_backend<float>()->set_policy(Policy::float32));
  }
}

TEST_CASE("policies have Keras's names") {
  CHECK(policy("mixed_bfloat16") == Policy::mixed_bfloat16);
  CHECK(policy("float32") == Policy::float32);
  CHECK_THROWS_WITH(policy("bf16"), "[policy] 'bf16' is not a policy; there are float32, mixed_bfloat16");
}
