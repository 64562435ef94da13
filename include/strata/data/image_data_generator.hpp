#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <strata/data/augmentation.hpp>
#include <strata/data/directory.hpp>

namespace strata { inline namespace STRATA_ABI {

/// The last three are Strata's own.
struct FlowFromDirectoryOptions {
  std::array<std::int64_t, 2> target_size = {256, 256};  ///< height, width
  ColorMode color_mode = ColorMode::rgb;
  std::vector<std::string> classes = {};  ///< the class folders to use and their order; empty: all, sorted
  std::int64_t batch_size = 32;
  ClassMode class_mode = ClassMode::categorical;
  bool shuffle = true;  ///< anew for every pass
  std::uint64_t seed = 0;
  bool follow_links = false;
  Subset subset = Subset::all;
  PillowFilter interpolation = PillowFilter::nearest;
  bool keep_aspect_ratio = false;
  OnError on_error = OnError::raise;
  std::int64_t limit = 0;  ///< use only the first so many files of each class; 0: all
  std::size_t cache_bytes = std::size_t{512} << 20;  ///< memory for decoded pictures, kept between passes
};

/// In the order of Keras's arguments.
struct FlowOptions {
  std::int64_t batch_size = 32;
  bool shuffle = true;               ///< anew for every pass
  Tensor<float> sample_weight = {};  ///< [n], or empty
  std::uint64_t seed = 0;
  bool ignore_class_split = false;  ///< allows labels that only one of the subsets has
  Subset subset = Subset::all;
};

/// keras.preprocessing.image.ImageDataGenerator: uint8 pictures, resized as Pillow does; the model's device
/// changes them at random, anew in every pass, and scales them.
class ImageDataGenerator {
 public:
  /// Throws ConfigError for ranges of which nothing can be drawn, and for samplewise options together with
  /// featurewise ones.
  explicit ImageDataGenerator(const ImageDataGeneratorOptions& options = {});

  /// Finds what the featurewise options need in pictures [n,height,width,channels], before anything flows:
  /// mean and deviation of each channel, times `rescale`. As in Keras pictures are taken as they are,
  /// before any `preprocessing`.
  void fit(const Tensor<std::uint8_t>& pictures);

  /// Host pictures [n,height,width,channels] and labels [n,...], or none. Throws ShapeError where the counts
  /// differ, ConfigError for a subset without a validation_split and DataError for one that is empty or has
  /// other labels than the rest.
  Dataset flow(Tensor<std::uint8_t> pictures, Tensor<float> y = {}, FlowOptions options = {}) const;
  /// The same for floats from 0 to 255. They are not scaled: throws ConfigError for options that scale.
  Dataset flow(Tensor<float> pictures, Tensor<float> y = {}, FlowOptions options = {}) const;

  /// Class folders and errors as image_dataset_from_directory has them, but pictures without labels lie in
  /// class folders too. Keras's ppm and tif are not read: such files are errors, or skipped.
  DirectoryDataset flow_from_directory(const std::string& directory,
                                       const FlowFromDirectoryOptions& options = {}) const;

 private:
  template <class T>
  Dataset flow_rows(Tensor<T> pictures, Tensor<float> y, FlowOptions options) const;

  /// Throws ConfigError before `fit`, or where it saw pictures of another number of channels.
  PixelScaling scaling(std::int64_t channels) const;

  SampleStandardization standardization() const;

  ImageDataGeneratorOptions options_;
  Augmentation augmentation_;
  std::int64_t fitted_channels_ = 0;
  double mean_[4] = {}, deviation_[4] = {};
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/image_data_generator.ipp>
#endif
