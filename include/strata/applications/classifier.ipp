#pragma once

#include <algorithm>
#include <numeric>

#include <strata/applications/classifier.hpp>
#include <strata/core/parallel.hpp>
#include <strata/layers/config.hpp>

namespace strata { inline namespace STRATA_ABI {

constexpr std::string_view names_of(ImageDecoder, std::size_t i) {
  constexpr std::string_view names[] = {"pillow", "tensorflow"};
  return i < std::size(names) ? names[i] : std::string_view{};
}
constexpr std::string_view names_of(PillowFilter, std::size_t i) {
  constexpr std::string_view names[] = {"nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"};
  return i < std::size(names) ? names[i] : std::string_view{};
}
constexpr std::string_view names_of(TfInterpolation, std::size_t i) {
  constexpr std::string_view names[] = {"nearest",  "bilinear", "bicubic",  "area",
                                        "lanczos3", "lanczos5", "gaussian", "mitchellcubic"};
  return i < std::size(names) ? names[i] : std::string_view{};
}
constexpr std::string_view names_of(AspectRatio, std::size_t i) {
  constexpr std::string_view names[] = {"stretch", "crop", "pad"};
  return i < std::size(names) ? names[i] : std::string_view{};
}

namespace detail {
constexpr const char* classifier_key = "classifier";

inline ColorMode color_mode_of(std::int64_t channels) {
  return channels == 1 ? ColorMode::grayscale : channels == 4 ? ColorMode::rgba : ColorMode::rgb;
}
}  // namespace detail

STRATA_COLD STRATA_INLINE std::vector<std::int64_t> Classification::ranking() const {
  std::vector<std::int64_t> order(probabilities_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return probabilities_[static_cast<std::size_t>(a)] > probabilities_[static_cast<std::size_t>(b)];
  });
  return order;
}
STRATA_COLD STRATA_INLINE std::vector<Prediction> Classification::top(std::int64_t count) const {
  std::vector<Prediction> out;
  for (const std::int64_t number : ranking()) {
    if (static_cast<std::int64_t>(out.size()) >= count) break;
    const auto i = static_cast<std::size_t>(number);
    out.push_back({(*class_names_)[i], static_cast<double>(probabilities_[i])});
  }
  return out;
}

template <class T>
STRATA_COLD BasicClassifier<T>::BasicClassifier(BasicModel<T> model, ClassifierOptions options)
    : model_(std::move(model)), options_(std::make_shared<const ClassifierOptions>(std::move(options))) {
  const ModelImpl<T>& impl = model_.model();
  impl.require_built();
  require<ConfigError>(impl.graph().input_shapes().size() == 1 && impl.graph().outputs().size() == 1,
                       "[classifier] expected a model of one input and one output, '", model_.name(),
                       "' has ", impl.graph().input_shapes().size(), " and ", impl.graph().outputs().size());
  const Shape in = model_.input_shape(), out = model_.output_shape();
  require<ConfigError>(
      in.rank() == 3 && (in[2] == 1 || in[2] == 3 || in[2] == 4),
      "[classifier] expected a model that takes [height,width,channels] with 1, 3 or 4 channels, '",
      model_.name(), "' takes ", in);
  const Activation::Kind last = impl.final_activation().kind;
  require<ConfigError>(
      out.rank() == 1 && (last == Activation::Kind::softmax || last == Activation::Kind::sigmoid),
      "[classifier] expected a model that ends in softmax or sigmoid, '", model_.name(), "' gives ", out,
      " by '", name_of(impl.final_activation()), "'");
  const std::int64_t classes = out[0] == 1 ? 2 : out[0];
  require<ConfigError>(static_cast<std::int64_t>(class_names().size()) == classes, "[classifier] expected ",
                       classes, " class names for the output ", out, " of '", model_.name(), "', found ",
                       class_names().size());
  require<ConfigError>(
      options_->aspect_ratio != AspectRatio::pad || options_->decoder == ImageDecoder::tensorflow,
      "[classifier] Pillow's resizing does not pad");
  for (const float deviation : options_->scaling.std)
    require<ConfigError>(deviation != 0, "[classifier] a channel cannot be divided by a std of 0");
}

template <class T>
STRATA_COLD BasicClassifier<T> BasicClassifier<T>::load(const std::string& path, const DevicePtr& device) {
  const SafetensorsMetadata metadata = SafetensorsFile(path).metadata();
  const auto found = metadata.find(detail::classifier_key);
  require<DataError>(found != metadata.end(), "[classifier] '", path,
                     "' is no classifier: its metadata has no '", detail::classifier_key, "'");
  BasicModel<T> model = load_model<T>(path, {.device = device});
  try {
    const Json json = Json::parse(found->second, detail::classifier_key);
    ClassifierOptions options;
    ConfigReader reader(json, "");
    options.fields(reader);
    reader.finish();
    return BasicClassifier(std::move(model), std::move(options));
  } catch (const Error& error) {
    throw DataError(concat("[classifier] '", path, "': ", error.what()));
  }
}

template <class T>
STRATA_COLD void BasicClassifier<T>::save(const std::string& path) const {
  ConfigWriter writer;
  ClassifierOptions options = *options_;
  options.fields(writer);
  save_model(model_, path,
             {.include_optimizer = false, .metadata = {{detail::classifier_key, writer.take().dump()}}});
}

template <class T>
STRATA_COLD Tensor<std::uint8_t> BasicClassifier<T>::read(const std::string& file) const {
  return read_image(file, detail::color_mode_of(model_.input_shape()[2]), options_->decoder);
}

template <class T>
STRATA_COLD Tensor<T> BasicClassifier<T>::prepare(TensorView<const std::uint8_t> pixels) const {
  const Shape shape = model_.input_shape();
  require<ShapeError>(pixels.shape().rank() == 3 && pixels.shape()[2] == shape[2],
                      "[classifier] expected pixels [height,width,", shape[2], "], found ", pixels.shape());
  const PixelScaling& s = options_->scaling;
  const auto channels = static_cast<int>(shape[2]);
  const auto scaled = [&](const auto& from) {
    Tensor<T> out = Tensor<T>::uninitialized(shape.with_batch(1));
    for (std::int64_t i = 0; i < out.size(); i += channels)
      for (int c = 0; c < channels; ++c)
        out.data()[i + c] =
            (s.scale * static_cast<float>(from.data()[i + (s.reverse_channels ? channels - 1 - c : c)]) -
             s.mean[c]) /
            s.std[c];
    return out;
  };
  if (options_->decoder == ImageDecoder::tensorflow)
    return scaled(
        resize_tf(pixels, shape[0], shape[1], options_->interpolation, false, options_->aspect_ratio));
  return scaled(resize_pillow(pixels, shape[0], shape[1], options_->filter,
                              options_->aspect_ratio == AspectRatio::crop));
}

template <class T>
STRATA_COLD Classification BasicClassifier<T>::classification(std::span<const T> output) const {
  std::vector<float> probabilities(output.begin(), output.end());
  if (output.size() == 1) probabilities.insert(probabilities.begin(), static_cast<float>(1 - output[0]));
  return {std::move(probabilities), {options_, &options_->class_names}};
}

template <class T>
STRATA_COLD Classification BasicClassifier<T>::operator()(TensorView<const std::uint8_t> pixels) const {
  const Tensor<T> output = model_.predict(prepare(pixels));
  return classification({output.data(), static_cast<std::size_t>(output.size())});
}
template <class T>
STRATA_COLD Classification BasicClassifier<T>::operator()(const std::string& file) const {
  return (*this)(read(file));
}

template <class T>
STRATA_COLD std::vector<Classification> BasicClassifier<T>::operator()(
    std::span<const std::string> files) const {
  constexpr std::size_t batch = 32;
  const std::int64_t size = model_.input_shape().size();
  std::vector<Classification> out;
  for (std::size_t begin = 0; begin < files.size(); begin += batch) {
    const auto chosen = files.subspan(begin, std::min(batch, files.size() - begin));
    const auto count = static_cast<std::int64_t>(chosen.size());
    Tensor<T> x = Tensor<T>::uninitialized(model_.input_shape().with_batch(count));
    const auto load = [&](std::int64_t i, int) {
      std::copy_n(prepare(read(chosen[static_cast<std::size_t>(i)])).data(), size, x.data() + i * size);
    };
    if (ThreadPool* threads = model_.device()->threads())
      threads->run(count, load);
    else
      for (std::int64_t i = 0; i < count; ++i) load(i, 0);
    const Tensor<T> y = model_.predict(x, count);
    const auto width = static_cast<std::size_t>(y.shape()[1]);
    for (std::size_t i = 0; i < chosen.size(); ++i)
      out.push_back(classification({y.data() + i * width, width}));
  }
  return out;
}

#if !STRATA_HEADER_ONLY
template class BasicClassifier<float>;
template class BasicClassifier<double>;
#endif

}}  // namespace strata::STRATA_ABI
