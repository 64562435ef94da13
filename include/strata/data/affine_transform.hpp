#pragma once

#include <cstdint>

#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI {

/// The parameters of Keras's apply_affine_transform; angles are in degrees, shifts in pixels.
struct AffineTransform {
  double theta = 0, tx = 0, ty = 0, shear = 0, zx = 1, zy = 1;
};

/// The warp that apply_affine_transform composes for pictures of that size. As in Keras 3, which exchanges
/// the axes after it has moved the origin to the centre, tx and zx go across, ty and zy down, and the centre
/// of turning, zooming and shearing is at row width / 2 - 0.5 and column height / 2 - 0.5.
PixelWarp affine_warp(const AffineTransform& transform, std::int64_t height, std::int64_t width);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/affine_transform.ipp>
#endif
