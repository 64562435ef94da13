#pragma once

#include <array>
#include <cmath>
#include <set>
#include <utility>

#include <strata/data/directory.ipp>
#include <strata/data/image_data_generator.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE ImageDataGenerator::ImageDataGenerator(const ImageDataGeneratorOptions& options)
    : options_(options), augmentation_(options) {
  if (options_.rescale == 0) options_.rescale = 1;
  require<ConfigError>(
      !standardization() || (!options_.featurewise_center && !options_.featurewise_std_normalization),
      "[ImageDataGenerator] expected samplewise or featurewise options, found both");
}

STRATA_COLD STRATA_INLINE SampleStandardization ImageDataGenerator::standardization() const {
  const bool divides = options_.samplewise_std_normalization;
  return {.center = options_.samplewise_center || divides, .divide = divides};  // as in Keras
}

STRATA_COLD STRATA_INLINE void ImageDataGenerator::fit(const Tensor<std::uint8_t>& pictures) {
  const Shape shape = pictures.shape();
  require<ShapeError>(shape.rank() == 4 && !pictures.empty() && shape[3] <= 4,
                      "[fit] expected pictures [n,height,width,channels] of at most 4 channels, found ",
                      shape);
  fitted_channels_ = shape[3];
  const Tensor<std::uint8_t> host = pictures.to(nullptr);
  std::vector<std::array<double, 256>> counts(static_cast<std::size_t>(fitted_channels_));
  std::size_t c = 0;
  for (const std::uint8_t value : host.values()) {
    ++counts[c][value];
    c = c + 1 < counts.size() ? c + 1 : 0;
  }
  const double each = static_cast<double>(host.size() / fitted_channels_);
  for (c = 0; c < counts.size(); ++c) {
    double mean = 0, variance = 0;
    for (int value = 0; value < 256; ++value)
      mean += counts[c][static_cast<std::size_t>(value)] * value / each;
    for (int value = 0; value < 256; ++value)
      variance += counts[c][static_cast<std::size_t>(value)] * (value - mean) * (value - mean) / each;
    mean_[c] = options_.rescale * mean;
    deviation_[c] = std::abs(options_.rescale) * std::sqrt(variance);
  }
}

STRATA_COLD STRATA_INLINE PixelScaling ImageDataGenerator::scaling(std::int64_t channels) const {
  const bool divides = options_.featurewise_std_normalization;
  const bool centers = options_.featurewise_center || divides;  // as in Keras
  require<ConfigError>(!centers || channels == fitted_channels_, "[ImageDataGenerator] ",
                       divides ? "featurewise_std_normalization" : "featurewise_center",
                       " expects fit() with pictures of ", channels, " channels, found ",
                       fitted_channels_ == 0 ? "none" : concat(fitted_channels_));
  PixelScaling out = options_.preprocessing;
  out.scale = static_cast<float>(options_.rescale * static_cast<double>(out.scale));
  for (int c = 0; c < 4; ++c) {
    const double mean = out.mean[c], std = out.std[c];
    out.mean[c] = static_cast<float>(options_.rescale * mean + (centers ? mean_[c] * std : 0));
    if (divides) out.std[c] = static_cast<float>(std * (deviation_[c] + 1e-6));
  }
  return out;
}

template <class T>
STRATA_COLD Dataset ImageDataGenerator::flow_rows(Tensor<T> pictures, Tensor<float> y,
                                                  FlowOptions options) const {
  detail::check_split("flow", options_.validation_split, options.subset);
  require<ShapeError>(pictures.rank() == 4 && !pictures.empty(),
                      "[flow] expected pictures [n,height,width,channels], found ", pictures.shape());
  const std::int64_t count = pictures.shape()[0], channels = pictures.shape()[3];
  for (const auto& [name, tensor] : {std::pair{"labels", &y}, {"sample weights", &options.sample_weight}})
    require<ShapeError>(tensor->empty() || tensor->shape()[0] == count, "[flow] expected ", count, " ", name,
                        " for pictures ", pictures.shape(), ", found ", tensor->shape());
  if (options.subset != Subset::all) {
    const auto first = static_cast<std::int64_t>(options_.validation_split * static_cast<double>(count));
    require<DataError>(first > 0, "[flow] the validation subset of the ", count,
                       " pictures is empty (validation_split ", options_.validation_split, ")");
    const auto of = [&](const auto& tensor, Subset subset) {
      if (tensor.empty()) return tensor;
      return subset == Subset::validation ? tensor.rows(0, first) : tensor.rows(first, count);
    };
    const auto labels = [&](Subset subset) {
      const Tensor<float> part = of(y, subset);
      return std::set<float>(part.data(), part.data() + (part.empty() ? 0 : part.size()));
    };
    require<DataError>(options.ignore_class_split || labels(Subset::validation) == labels(Subset::training),
                       "[flow] expected the same labels in the first ", first, " and the other ",
                       count - first, " pictures, found others: shuffle them, or set ignore_class_split");
    pictures = of(pictures, options.subset);
    y = of(y, options.subset);
    options.sample_weight = of(options.sample_weight, options.subset);
  }
  return dataset_from_tensors(std::move(pictures), std::move(y),
                              {.batch_size = options.batch_size,
                               .shuffle = options.shuffle,
                               .seed = options.seed,
                               .sample_weight = std::move(options.sample_weight),
                               .scaling = scaling(channels),
                               .standardization = standardization(),
                               .augmentation = augmentation_});
}

STRATA_COLD STRATA_INLINE Dataset ImageDataGenerator::flow(Tensor<std::uint8_t> pictures, Tensor<float> y,
                                                           FlowOptions options) const {
  return flow_rows(std::move(pictures), std::move(y), std::move(options));
}

STRATA_COLD STRATA_INLINE Dataset ImageDataGenerator::flow(Tensor<float> pictures, Tensor<float> y,
                                                           FlowOptions options) const {
  const bool scales = options_.rescale != 1 || options_.featurewise_center ||
                      options_.featurewise_std_normalization || standardization() ||
                      options_.preprocessing != PixelScaling{};
  require<ConfigError>(
      !scales,
      "[flow] expected bytes for rescale, preprocessing, featurewise and samplewise options, found "
      "floats: scale them beforehand, or by a Rescaling layer");
  return flow_rows(std::move(pictures), std::move(y), std::move(options));
}

STRATA_COLD STRATA_INLINE DirectoryDataset ImageDataGenerator::flow_from_directory(
    const std::string& directory, const FlowFromDirectoryOptions& options) const {
  static constexpr std::string_view extensions[] = {".jpg", ".jpeg", ".png", ".bmp",
                                                    ".gif", ".ppm",  ".tif", ".tiff"};
  return detail::make_directory_dataset<std::uint8_t>(directory,
                                                      {.caller = "flow_from_directory",
                                                       .label_mode = options.class_mode,
                                                       .classes = options.classes,
                                                       .class_folders = true,
                                                       .extensions = extensions,
                                                       .follow_links = options.follow_links,
                                                       .limit = options.limit,
                                                       .batch_size = options.batch_size,
                                                       .shuffle = options.shuffle,
                                                       .seed = options.seed,
                                                       .validation_split = options_.validation_split,
                                                       .subset = options.subset,
                                                       .split_by_class = true,
                                                       .on_error = options.on_error,
                                                       .cache_bytes = options.cache_bytes},
                                                      {.color_mode = options.color_mode,
                                                       .height = options.target_size[0],
                                                       .width = options.target_size[1],
                                                       .filter = options.interpolation,
                                                       .keep_aspect_ratio = options.keep_aspect_ratio,
                                                       .scaling = scaling(channels_of(options.color_mode)),
                                                       .standardization = standardization(),
                                                       .augmentation = augmentation_});
}

}}  // namespace strata::STRATA_ABI
