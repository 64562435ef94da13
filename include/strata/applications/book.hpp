#pragma once

#include <strata/applications/imagenet.hpp>
#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/training/model.hpp>

/// How Chollet's "Deep Learning with Python" reads pictures of two classes, cats and dogs.
namespace strata { inline namespace STRATA_ABI { namespace book {

struct FirstEdition {
  ImageDataGeneratorOptions augmented;  ///< of training pictures (5.2.5)
  ImageDataGeneratorOptions plain;      ///< of all others: values from 0 to 1
  FlowFromDirectoryOptions flow;        ///< 150x150, batches of 20; the book augments in batches of 32
};

/// Its `shear_range` of 0.2 was in radians then: 11.5 degrees.
FirstEdition first_edition();

template <class T>
struct BasicSecondEdition {
  ImageDatasetFromDirectoryOptions pictures;  ///< 180x180, batches of 32, values from 0 to 255
  BasicSequential<T> data_augmentation;       ///< in front of the network (8.2.5, 8.3.1)
  PixelScaling preprocess_input;              ///< what VGG16 wants of pixels (8.3.1)
};
using SecondEdition = BasicSecondEdition<float>;

template <class T = float>
BasicSecondEdition<T> second_edition();

}}}  // namespace strata::STRATA_ABI::book

#if STRATA_HEADER_ONLY
#include <strata/applications/book.ipp>
#endif
