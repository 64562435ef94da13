#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include <strata/core/random.hpp>
#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI {

/// How far a picture moves, either way. As in Keras a double is drawn uniformly, an int n stands for 0, 1,
/// ... n-1 pixels, and of a list one value is drawn. Where the greatest is below 1, they are parts of the
/// picture's size, else pixels.
struct ShiftRange {
  enum class Draw { uniform, whole, choice } draw = Draw::uniform;
  std::vector<double> values = {0};

  ShiftRange(double range = 0) : values{range} {}
  ShiftRange(int pixels) : draw(Draw::whole), values{static_cast<double>(pixels)} {}
  ShiftRange(std::initializer_list<double> list) : draw(Draw::choice), values(list) {}
  explicit ShiftRange(std::vector<double> list) : draw(Draw::choice), values(std::move(list)) {}
};

/// From `low` to `high`, where below 1 enlarges; one number z stands for {1 - z, 1 + z}.
struct ZoomRange {
  double low = 1, high = 1;

  ZoomRange(double zoom = 0) : low(1 - zoom), high(1 + zoom) {}
  ZoomRange(double lowest, double highest) : low(lowest), high(highest) {}
};

/// In the order of Keras's arguments.
struct ImageDataGeneratorOptions {
  /// Less the mean of each channel that `fit` found; or of all values of the picture itself, as augmented and
  /// scaled. One of the two, here and for deviations.
  bool featurewise_center = false, samplewise_center = false;
  /// Divided by the deviation as well.
  bool featurewise_std_normalization = false, samplewise_std_normalization = false;
  double rotation_range = 0;  ///< degrees, either way
  /// Keras 3 exchanges the axes: the part of the width moves pictures down or up, that of the height across.
  ShiftRange width_shift_range = 0.0, height_shift_range = 0.0;
  std::array<double, 2> brightness_range = {1, 1};  ///< factors from, to; {1, 1}: none
  double shear_range = 0;                           ///< degrees, either way
  ZoomRange zoom_range = 0;                         ///< drawn for each axis
  double channel_shift_range = 0;  ///< of values from 0 to 255, either way, clipped to the picture's range
  FillMode fill_mode = FillMode::nearest;
  double cval = 0;                                      ///< of FillMode::constant
  bool horizontal_flip = false, vertical_flip = false;  ///< of half the pictures
  double rescale = 1;                                   ///< multiplies, after `preprocessing`; 0: none
  PixelScaling preprocessing = {};                      ///< what the network was trained with (applications/)
  double validation_split = 0;  ///< the first so many (of each class folder) are Subset::validation
};

/// A sample of a source, and the pass that draws it.
struct DrawnSample {
  std::int64_t pass = 0, number = 0;
};

/// What ImageDataGenerator does to pictures at random. A picture's part is a pure function of (seed, pass,
/// sample), the same on any number of loaders and after a resume.
class Augmentation {
 public:
  Augmentation() : Augmentation(ImageDataGeneratorOptions{}) {}
  /// Throws ConfigError for ranges that are negative, empty or not finite.
  explicit Augmentation(const ImageDataGeneratorOptions& options);

  /// Whether pictures are changed at all.
  explicit operator bool() const { return !none_; }
  const PixelSampling& sampling() const { return sampling_; }
  /// Of those samples, pictures of that size; empty where none are changed.
  std::vector<PixelWarp> warps(std::uint64_t seed, const std::vector<DrawnSample>& samples,
                               std::int64_t height, std::int64_t width) const;

 private:
  /// The numbers that are drawn for a sample.
  enum Parameter : std::uint64_t {
    rotation,
    height_shift,
    height_sign,
    width_shift,
    width_sign,
    shear,
    zoom_x,
    zoom_y,
    flip_horizontal,
    flip_vertical,
    channel_shift,
    brightness,
    parameters
  };

  ImageDataGeneratorOptions options_;
  PixelSampling sampling_;
  bool none_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/augmentation.ipp>
#endif
