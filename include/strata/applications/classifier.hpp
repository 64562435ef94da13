#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <strata/data/image.hpp>
#include <strata/data/resize.hpp>
#include <strata/training/saving.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What a network does not know of the pictures it was trained on.
struct ClassifierOptions {
  std::vector<std::string> class_names = {};  ///< in the order of the outputs; two for one sigmoid unit
  PixelScaling scaling = {};                  ///< of values from 0 to 255, in front of the network
  /// Whose decoding and resizing: Pillow's as ImageDataGenerator has them, or TensorFlow's as
  /// image_dataset_from_directory.
  ImageDecoder decoder = ImageDecoder::pillow;
  PillowFilter filter = PillowFilter::nearest;                ///< of Pillow's resizing
  TfInterpolation interpolation = TfInterpolation::bilinear;  ///< of TensorFlow's
  AspectRatio aspect_ratio = AspectRatio::stretch;            ///< Pillow's resizing does not pad

  template <class Fields>
  void fields(Fields& f) {
    f("class_names", class_names);
    f("scale", scaling.scale);
    f("mean", scaling.mean);
    f("std", scaling.std);
    f("reverse_channels", scaling.reverse_channels);
    f("decoder", decoder);
    f("filter", filter);
    f("interpolation", interpolation);
    f("aspect_ratio", aspect_ratio);
  }
};

struct Prediction {
  std::string label;
  double probability;
};

/// What a classifier says of one picture.
class Classification {
 public:
  Classification(std::vector<float> probabilities,
                 std::shared_ptr<const std::vector<std::string>> class_names)
      : probabilities_(std::move(probabilities)), class_names_(std::move(class_names)) {}

  /// In the order of the class names.
  const std::vector<float>& probabilities() const { return probabilities_; }
  /// Numbers of the classes, the most probable first, equal ones in their order.
  std::vector<std::int64_t> ranking() const;
  /// The `count` most probable classes, or all where there are fewer.
  std::vector<Prediction> top(std::int64_t count = 1) const;

 private:
  std::vector<float> probabilities_;
  std::shared_ptr<const std::vector<std::string>> class_names_;
};

/// A trained network with all it takes to classify a picture file. Copies share the network; safe to call
/// from several threads at once.
template <class T>
class BasicClassifier {
 public:
  /// `model` takes [height,width,channels] with 1, 3 or 4 channels and ends in softmax or sigmoid. Throws
  /// ConfigError where it does not, or where the class names do not fit its output.
  BasicClassifier(BasicModel<T> model, ClassifierOptions options);

  /// Reads what `save` wrote; null: the default device. Throws DataError for a file that is no classifier.
  static BasicClassifier load(const std::string& path, const DevicePtr& device = nullptr);
  /// One file that `load_model` reads, too. The optimizer's state stays out of it. Atomic.
  void save(const std::string& path) const;

  /// Throws DataError naming the file that cannot be read.
  Classification operator()(const std::string& file) const;
  /// Decoded pixels of any size, [height,width,channels] with as many channels as the network takes.
  Classification operator()(TensorView<const std::uint8_t> pixels) const;
  /// One for each file. Batches of 32 are decoded on the device's threads, then computed.
  std::vector<Classification> operator()(std::span<const std::string> files) const;

  /// The picture as it is decoded, [height,width,channels]. Throws DataError naming the file.
  Tensor<std::uint8_t> read(const std::string& file) const;
  /// Decoded pixels of any size as the network takes them: resized and scaled, [1,height,width,channels].
  Tensor<T> prepare(TensorView<const std::uint8_t> pixels) const;

  const BasicModel<T>& model() const { return model_; }
  const std::vector<std::string>& class_names() const { return options_->class_names; }
  const ClassifierOptions& options() const { return *options_; }

 private:
  Classification classification(std::span<const T> output) const;

  BasicModel<T> model_;
  std::shared_ptr<const ClassifierOptions> options_;
};
using Classifier = BasicClassifier<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/applications/classifier.ipp>
#endif
