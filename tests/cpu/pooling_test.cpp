#include <catch2/catch.hpp>

#include <algorithm>
#include <vector>

#include <strata/cpu/device.hpp>
#include <strata/tensor/backend.hpp>

using namespace strata;

namespace {

/// dx by loops. dy are whole numbers, and shares of averages powers of two, so that sums have no rounding.
std::vector<float> expected_gradient(const Pool2DGeometry& g, PoolKind kind, const std::vector<float>& x,
                                     const std::vector<float>& y, const std::vector<float>& dy) {
  std::vector<float> dx(x.size());
  for (std::int64_t n = 0; n < g.batch; ++n)
    for (std::int64_t oy = 0; oy < g.out_h; ++oy)
      for (std::int64_t ox = 0; ox < g.out_w; ++ox)
        for (std::int64_t c = 0; c < g.channels; ++c) {
          const auto out = static_cast<std::size_t>(((n * g.out_h + oy) * g.out_w + ox) * g.channels + c);
          const std::int64_t first = oy * g.stride_h, left = ox * g.stride_w;
          bool given = false;
          for (std::int64_t iy = first; iy < first + g.pool_h; ++iy)
            for (std::int64_t ix = left; ix < left + g.pool_w; ++ix) {
              const auto in = static_cast<std::size_t>(((n * g.in_h + iy) * g.in_w + ix) * g.channels + c);
              if (kind == PoolKind::average) {
                dx[in] += dy[out] / static_cast<float>(g.pool_h * g.pool_w);
              } else if (!given && x[in] == y[out]) {
                dx[in] += dy[out];
                given = true;
              }
            }
        }
  return dx;
}

}  // namespace

// Large enough for a task per row, were rows independent: neighbouring windows then add to the same elements.
TEST_CASE("Gradients of overlapping windows meet in one place, whatever the tasks") {
  const Pool2DGeometry g{.batch = 3,
                         .in_h = 43,
                         .in_w = 68,
                         .channels = 128,
                         .out_h = 40,
                         .out_w = 33,
                         .pool_h = 4,
                         .pool_w = 4,
                         .stride_h = 1,
                         .stride_w = 2};
  const auto numbers = [](std::int64_t count) {
    std::vector<float> out(static_cast<std::size_t>(count));
    std::uint32_t state = 1;
    for (float& value : out) value = static_cast<float>((state = state * 1664525u + 1013904223u) >> 24);
    return out;
  };
  const std::vector<float> x = numbers(g.batch * g.in_h * g.in_w * g.channels),
                           dy = numbers(g.batch * g.out_h * g.out_w * g.channels);
  for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
    std::vector<float> y(dy.size()), expected, dx(x.size());
    for (const int threads : {1, 4}) {
      const DevicePtr device = cpu::device({.threads = threads});
      const auto backend = device->make_backend<float>();
      backend->pool2d(g, kind, x.data(), y.data());
      if (expected.empty()) expected = expected_gradient(g, kind, x, y, dy);
      for (int round = 0; round < 5; ++round) {
        std::fill(dx.begin(), dx.end(), -1.f);
        backend->pool2d_backward(g, kind, Activation::linear, x.data(), y.data(), dy.data(), dx.data());
        INFO((kind == PoolKind::max ? "max, " : "average, ") << threads << " threads");
        CHECK((dx == expected));  // too many to be printed
      }
    }
  }
}
