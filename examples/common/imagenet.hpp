#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include <strata/applications/classifier.hpp>
#include <strata/applications/imagenet.hpp>
#include <strata/applications/tiny_darknet.hpp>
#include <strata/applications/vgg.hpp>

/// The networks trained on ImageNet, with their tops, as classifiers.
namespace examples {

inline bool is_imagenet_network(const std::string& name) {
  return name == "vgg16" || name == "vgg19" || name == "tiny_darknet";
}

struct Label {
  std::string wnid, name;  ///< WordNet's number, "n02123045", where it is known
};

/// Keras's imagenet_class_index.json, or a label per line, with or without its WordNet number in front.
/// Throws strata::DataError where there are fewer than `classes`.
inline std::vector<Label> read_labels(const std::string& file, std::int64_t classes) {
  std::vector<Label> labels;
  const std::string text = strata::read_file(file);
  if (text.starts_with("{")) {
    const strata::Json json = strata::Json::parse(text, file);
    for (std::size_t i = 0; i < json.size(); ++i) {
      const strata::Json& entry = json.at(std::to_string(i));
      labels.push_back({entry.at(std::size_t{0}).as_string(), entry.at(std::size_t{1}).as_string()});
    }
  } else {
    for (std::size_t begin = 0, end; begin < text.size(); begin = end + 1) {
      end = std::min(text.find('\n', begin), text.size());
      std::string line = text.substr(begin, end - begin);
      if (line.ends_with('\r')) line.pop_back();
      const bool numbered =
          line.size() > 9 && line[0] == 'n' && line[9] == ' ' &&
          std::all_of(line.begin() + 1, line.begin() + 9, [](unsigned char c) { return std::isdigit(c); });
      labels.push_back(numbered ? Label{line.substr(0, 9), line.substr(10)} : Label{"", line});
    }
  }
  // Darknet's list goes on behind the 1,000 classes; TensorFlow's has one more in front.
  const auto found = static_cast<std::int64_t>(labels.size());
  strata::require<strata::DataError>(found >= classes && found != classes + 1, "expected ", classes,
                                     " labels in '", file, "', found ", found);
  labels.resize(static_cast<std::size_t>(classes));
  return labels;
}

/// A network with its top, and pictures as it was trained on.
inline strata::Classifier imagenet_classifier(const std::string& name, const std::string& weights,
                                              const std::vector<Label>& labels,
                                              const strata::DevicePtr& device) {
  const strata::applications::ApplicationOptions options{.weights = weights};
  const bool darknet = name == "tiny_darknet";
  strata::Model model = darknet           ? strata::applications::TinyDarknet(options)
                        : name == "vgg16" ? strata::applications::VGG16(options)
                                          : strata::applications::VGG19(options);
  model.to(device);
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < model.output_shape()[0]; ++i)
    names.push_back(labels.empty() ? strata::concat("class ", i) : labels[static_cast<std::size_t>(i)].name);
  strata::ClassifierOptions pictures{.class_names = std::move(names),
                                     .scaling = strata::applications::caffe_scaling};
  if (darknet) {
    pictures.scaling = strata::applications::rescale_scaling;
    pictures.filter = strata::PillowFilter::bilinear;
    pictures.aspect_ratio = strata::AspectRatio::crop;
  }
  return {std::move(model), std::move(pictures)};
}

}  // namespace examples
