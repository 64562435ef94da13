#pragma once

#include <cstdint>

#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// The filters of Pillow's Image.resize, which keras.utils.load_img and ImageDataGenerator use.
enum class PillowFilter { nearest, bilinear, bicubic, lanczos, box, hamming };

/// The methods of tf.image.resize, which image_dataset_from_directory uses.
enum class TfInterpolation { nearest, bilinear, bicubic, area, lanczos3, lanczos5, gaussian, mitchellcubic };

/// What happens to pictures of another aspect ratio than the target's: stretched, cut at the centre, or
/// surrounded by zeros.
enum class AspectRatio { stretch, crop, pad };

/// Pixels [h,w,c] with 1, 3 or 4 channels as [height,width,c], bit for bit as Pillow resizes them (4 channels
/// are RGBA: weighted by alpha unless nearest). With `keep_aspect_ratio` the centre with the target's aspect
/// ratio is cut out first, as load_img does. Throws ShapeError.
Tensor<std::uint8_t> resize_pillow(TensorView<const std::uint8_t> pixels, std::int64_t height,
                                   std::int64_t width, PillowFilter filter = PillowFilter::nearest,
                                   bool keep_aspect_ratio = false);

/// Pixels [h,w,c] as floats [height,width,c], as tf.image.resize computes them with half-pixel centres;
/// `crop` is keras.preprocessing.image.smart_resize and `pad` tf.image.resize_with_pad. `antialias` widens
/// the kernel when shrinking (no effect on nearest and area). Throws ShapeError.
Tensor<float> resize_tf(TensorView<const std::uint8_t> pixels, std::int64_t height, std::int64_t width,
                        TfInterpolation interpolation = TfInterpolation::bilinear, bool antialias = false,
                        AspectRatio aspect_ratio = AspectRatio::stretch);
Tensor<float> resize_tf(TensorView<const float> pixels, std::int64_t height, std::int64_t width,
                        TfInterpolation interpolation = TfInterpolation::bilinear, bool antialias = false,
                        AspectRatio aspect_ratio = AspectRatio::stretch);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/resize.ipp>
#endif
