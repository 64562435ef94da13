#pragma once

#include <cstdint>

#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

struct ImageGridOptions {
  std::int64_t columns = 0;       ///< 0: about as many as rows
  std::int64_t gap = 2;           ///< pixels between pictures, and around all
  std::uint8_t background = 255;  ///< of the gap, and of places that stay empty
};

/// Pictures [n,height,width,channels] row by row as one, [height,width,channels], for write_png. Throws
/// ShapeError for anything else, or more than 65535 pixels a side, and ConfigError for options below 0.
Tensor<std::uint8_t> image_grid(TensorView<const std::uint8_t> pictures,
                                const ImageGridOptions& options = {});

/// What a layer computed of one picture, [height,width,channels] or [1,height,width,channels], as grey
/// pictures [channels,height,width,1], each by itself: 128 is its mean and 64 its deviation; a map that is
/// the same everywhere is black. Source: Chollet, "Deep Learning with Python", 5.4.1. Throws ShapeError.
Tensor<std::uint8_t> feature_maps(TensorView<const float> activation);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/image_grid.ipp>
#endif
