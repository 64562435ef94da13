#pragma once

#include <numbers>

#include <strata/applications/book.hpp>
#include <strata/layers/random_transforms.hpp>

namespace strata { inline namespace STRATA_ABI { namespace book {

STRATA_COLD STRATA_INLINE FirstEdition first_edition() {
  return {.augmented = {.rotation_range = 40,
                        .width_shift_range = 0.2,
                        .height_shift_range = 0.2,
                        .shear_range = 0.2 * 180 / std::numbers::pi,
                        .zoom_range = 0.2,
                        .horizontal_flip = true,
                        .rescale = 1.0 / 255},
          .plain = {.rescale = 1.0 / 255},
          .flow = {.target_size = {150, 150}, .batch_size = 20, .class_mode = ClassMode::binary}};
}

template <class T>
STRATA_COLD BasicSecondEdition<T> second_edition() {
  return {.pictures = {.label_mode = LabelMode::binary, .batch_size = 32, .image_size = {180, 180}},
          .data_augmentation = BasicSequential<T>({BasicRandomFlip<T>(FlipMode::horizontal),
                                                   BasicRandomRotation<T>(0.1), BasicRandomZoom<T>(0.2)},
                                                  {.name = "data_augmentation"}),
          .preprocess_input = applications::caffe_scaling};
}

#if !STRATA_HEADER_ONLY
template BasicSecondEdition<float> second_edition();
template BasicSecondEdition<double> second_edition();
#endif

}}}  // namespace strata::STRATA_ABI::book
