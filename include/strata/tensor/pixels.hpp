#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Pictures [batch,height,width,channels].
struct PixelGeometry {
  std::int64_t batch = 0, height = 0, width = 0, channels = 0;
};

/// How values from 0 to 255 become a network's input: y[c] = (scale * x[reverse_channels ? channels-1-c : c]
/// - mean[c]) / std[c], channels <= 4.
struct PixelScaling {
  float scale = 1;
  float mean[4] = {0, 0, 0, 0};
  bool reverse_channels = false;
  float std[4] = {1, 1, 1, 1};

  friend bool operator==(const PixelScaling&, const PixelScaling&) = default;
};

/// What lies around a row abcd of pixels: aaaa|abcd|dddd, kkkk|abcd|kkkk, dcba|abcd|dcba, abcd|abcd|abcd.
enum class FillMode { nearest, constant, reflect, wrap };

enum class Interpolation { nearest, bilinear };

/// Whose edges a picture has: scipy.ndimage's, which ImageDataGenerator uses, or TensorFlow's
/// (ImageProjectiveTransformV3), which Keras's layers use. They differ in two fill modes. `constant`: scipy
/// fills from the centre of the outermost pixel on, TensorFlow fades over one pixel. `wrap`: scipy repeats
/// after size - 1 pixels; TensorFlow too, but moves each time by size and stops at the last pixel.
enum class EdgeRule { scipy, tensorflow };

/// How warped pictures are read.
struct PixelSampling {
  FillMode fill_mode = FillMode::nearest;
  float cval = 0;  ///< of FillMode::constant
  Interpolation interpolation = Interpolation::bilinear;
  EdgeRule edges = EdgeRule::scipy;

  friend bool operator==(const PixelSampling&, const PixelSampling&) = default;
};

/// What happens to one picture before its values are scaled. The defaults leave it as it is.
struct PixelWarp {
  /// The result at (row, column) is what lies at (m[0] row + m[1] column + m[2], m[3] row + m[4] column +
  /// m[5]).
  double matrix[6] = {1, 0, 0, 0, 1, 0};
  /// Mirrors the warped picture.
  bool flip_horizontal = false, flip_vertical = false;
  /// Added to all values, which then are clipped to the least and greatest of the warped picture: Keras's
  /// apply_channel_shift.
  float channel_shift = 0;
  /// Multiplies values from 0 to 255 as Pillow's ImageEnhance.Brightness does: on whole numbers, rounded
  /// down, clipped to 255, alpha (the last of 4 channels) left alone. 1: none.
  float brightness = 1;
};

/// Contrast and brightness of one picture: contrast * (x - mean) + mean + brightness, clipped, with the mean
/// of the picture's channel.
struct PixelAdjustment {
  double contrast = 1, brightness = 0;
  double least = 0, greatest = 255;
};

}}  // namespace strata::STRATA_ABI
