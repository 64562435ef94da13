#pragma once

#include <numbers>

#include <strata/applications/imagenet.hpp>
#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/layers/random_transforms.hpp>
#include <strata/training/model.hpp>

/// How Chollet's "Deep Learning with Python" reads pictures of two classes, cats and dogs.
namespace strata { inline namespace STRATA_ABI { namespace book {

struct FirstEdition {
  ImageDataGeneratorOptions augmented;  ///< of training pictures (5.2.5)
  ImageDataGeneratorOptions plain;      ///< of all others: values from 0 to 1
  FlowFromDirectoryOptions flow;        ///< 150x150, batches of 20; the book augments in batches of 32
};

/// Its `shear_range` of 0.2 was in radians then: 11.5 degrees.
inline FirstEdition first_edition() {
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

struct SecondEdition {
  ImageDatasetFromDirectoryOptions pictures;  ///< 180x180, batches of 32, values from 0 to 255
  Sequential data_augmentation;               ///< in front of the network (8.2.5, 8.3.1)
  PixelScaling preprocess_input;              ///< what VGG16 wants of pixels (8.3.1)
};

inline SecondEdition second_edition() {
  return {.pictures = {.label_mode = LabelMode::binary, .batch_size = 32, .image_size = {180, 180}},
          .data_augmentation =
              Sequential({RandomFlip(FlipMode::horizontal), RandomRotation(0.1), RandomZoom(0.2)},
                         {.name = "data_augmentation"}),
          .preprocess_input = applications::caffe_scaling};
}

}}}  // namespace strata::STRATA_ABI::book
