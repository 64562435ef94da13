#pragma once

#include <cmath>
#include <initializer_list>
#include <numbers>

#include <strata/data/affine_transform.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE PixelWarp affine_warp(const AffineTransform& transform, std::int64_t height,
                                                std::int64_t width) {
  struct Matrix {
    double m[3][3];
  };
  const auto product = [](const Matrix& a, const Matrix& b) {
    Matrix out{};
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j)
        for (int k = 0; k < 3; ++k) out.m[i][j] += a.m[i][k] * b.m[k][j];
    return out;
  };
  const auto moved = [](double x, double y) { return Matrix{{{1, 0, x}, {0, 1, y}, {0, 0, 1}}}; };
  const double theta = transform.theta * (std::numbers::pi / 180);
  const double shear = transform.shear * (std::numbers::pi / 180);
  const double x = static_cast<double>(height) / 2 - 0.5, y = static_cast<double>(width) / 2 - 0.5;

  Matrix m{{{std::cos(theta), -std::sin(theta), 0}, {std::sin(theta), std::cos(theta), 0}, {0, 0, 1}}};
  for (const Matrix& next : {moved(transform.tx, transform.ty),
                             Matrix{{{1, -std::sin(shear), 0}, {0, std::cos(shear), 0}, {0, 0, 1}}},
                             Matrix{{{transform.zx, 0, 0}, {0, transform.zy, 0}, {0, 0, 1}}}})
    m = product(m, next);
  m = product(product(moved(x, y), m), moved(-x, -y));
  return {.matrix = {m.m[1][1], m.m[1][0], m.m[1][2], m.m[0][1], m.m[0][0], m.m[0][2]}};
}

}}  // namespace strata::STRATA_ABI
