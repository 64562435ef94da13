#pragma once

#include <algorithm>
#include <cmath>

#include <strata/core/error.hpp>
#include <strata/data/image_grid.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE Tensor<std::uint8_t> image_grid(TensorView<const std::uint8_t> pictures,
                                                          const ImageGridOptions& options) {
  const Shape& shape = pictures.shape();
  require<ShapeError>(shape.rank() == 4 && pictures.size() > 0,
                      "[image_grid] expected pictures [n,height,width,channels], found ", shape);
  require<ConfigError>(options.columns >= 0 && options.gap >= 0,
                       "[image_grid] expected columns and a gap of 0 or more, found ", options.columns,
                       " and ", options.gap);
  const std::int64_t count = shape[0], height = shape[1], width = shape[2], channels = shape[3];
  const auto square = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const std::int64_t columns = options.columns ? std::min(options.columns, count) : square;
  const std::int64_t rows = (count + columns - 1) / columns, limit = 65535;
  const auto fits = [&](std::int64_t pieces, std::int64_t extent) {
    return options.gap <= limit && extent <= limit && pieces <= limit &&
           pieces * (extent + options.gap) + options.gap <= limit;
  };
  require<ShapeError>(fits(rows, height) && fits(columns, width), "[image_grid] expected a grid of at most ",
                      limit, " pixels a side, found ", rows, " x ", columns, " pictures ", height, " x ",
                      width, " with gaps of ", options.gap);
  Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized(
      {rows * (height + options.gap) + options.gap, columns * (width + options.gap) + options.gap, channels});
  std::fill_n(out.data(), out.size(), options.background);
  const std::int64_t pitch = out.shape()[1] * channels;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t top = options.gap + i / columns * (height + options.gap);
    const std::int64_t left = options.gap + i % columns * (width + options.gap);
    for (std::int64_t y = 0; y < height; ++y)
      std::copy_n(pictures.data() + (i * height + y) * width * channels, width * channels,
                  out.data() + (top + y) * pitch + left * channels);
  }
  return out;
}

STRATA_COLD STRATA_INLINE Tensor<std::uint8_t> feature_maps(TensorView<const float> activation) {
  const Shape& found = activation.shape();
  const Shape shape = found.rank() == 4 && found[0] == 1 ? found.without_batch() : found;
  require<ShapeError>(shape.rank() == 3 && activation.size() > 0,
                      "[feature_maps] expected what a layer computed of one picture, "
                      "[height,width,channels] or [1,height,width,channels], found ",
                      found);
  const std::int64_t channels = shape[2], size = shape[0] * shape[1];
  Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized({channels, shape[0], shape[1], 1});
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto value = [&](std::int64_t i) -> double { return activation.data()[i * channels + c]; };
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < size; ++i) mean += value(i) / static_cast<double>(size);
    bool flat = true;
    for (std::int64_t i = 0; i < size; ++i) {
      variance += (value(i) - mean) * (value(i) - mean) / static_cast<double>(size);
      flat = flat && value(i) == value(0);
    }
    // As numpy's astype("uint8") does, cut down to whole numbers.
    for (std::int64_t i = 0; i < size; ++i)
      out.data()[c * size + i] = flat ? std::uint8_t{0}
                                      : static_cast<std::uint8_t>(std::clamp(
                                            64 * (value(i) - mean) / std::sqrt(variance) + 128, 0.0, 255.0));
  }
  return out;
}

}}  // namespace strata::STRATA_ABI
