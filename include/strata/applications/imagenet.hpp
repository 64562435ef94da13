#pragma once

#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

/// Pixels to [0,1]: the book's first edition, and what Tiny Darknet was trained on.
inline constexpr PixelScaling rescale_scaling{.scale = 1.0F / 255};

/// Keras's `preprocess_input` in mode "caffe", as VGG16 and VGG19 were trained: BGR, each channel less its
/// ImageNet mean.
inline constexpr PixelScaling caffe_scaling{.mean = {103.939F, 116.779F, 123.68F, 0},
                                            .reverse_channels = true};

}}}  // namespace strata::STRATA_ABI::applications
