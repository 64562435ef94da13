// Classifies pictures: with a model that a training example left, or with a network trained on ImageNet.
//
// Section 5.4.3 of Chollet, "Deep Learning with Python", 1st edition, begins so: VGG16 with its top.

#include <strata/strata.hpp>

#include "common/imagenet.hpp"
#include "common/training.hpp"

using namespace strata;
using examples::Label;
using examples::read_labels;

namespace {

void print_text(const std::string& file, const Classification& result, std::int64_t top) {
  std::printf("%s\n", file.c_str());
  for (const auto& [label, probability] : result.top(top))
    std::printf("  %6.2f %%  %s\n", 100 * probability, label.c_str());
}

void print_json(const std::string& file, const Classification& result, std::int64_t top,
                const std::vector<std::string>& names, const std::vector<Label>& labels) {
  Json predictions = Json::array();
  for (const std::int64_t index : result.ranking()) {
    if (static_cast<std::int64_t>(predictions.size()) == top) break;
    const auto i = static_cast<std::size_t>(index);
    const bool numbered = i < labels.size() && !labels[i].wnid.empty();
    predictions.push_back(Json::object({{"index", index},
                                        {"wnid", numbered ? Json(labels[i].wnid) : Json()},
                                        {"label", names[i]},
                                        {"probability", static_cast<double>(result.probabilities()[i])}}));
  }
  std::printf("%s\n", Json::object({{"file", file}, {"predictions", std::move(predictions)}}).dump().c_str());
}

void predict(int argc, char** argv) {
  examples::TrainingOptions options;
  options.weights = "imagenet";
  std::int64_t top = 5;
  bool json = false;
  std::string labels_file;
  std::vector<examples::Flag> list{
      {"--top", "N", "how many classes are shown, the most probable first", &top, 1, 1000000},
      {.name = "--json",
       .help = "a line per picture: {\"file\", \"predictions\": [{\"index\", \"wnid\", \"label\", "
               "\"probability\"}]}",
       .variable = &json},
      {"--weights", "FILE", "of vgg16, vgg19 or tiny_darknet; 'imagenet': those that weights/fetch left",
       &options.weights},
      {"--labels", "FILE",
       "their classes: Keras's imagenet_class_index.json, or one per line, with or\n"
       "                               without its WordNet number in front; without it 'class 7'",
       &labels_file}};
  for (examples::Flag& flag : options.flags())
    for (const char* name : {"--threads", "--device", "--tf32", "--policy", "--autotune"})
      if (flag.name == name) list.push_back(flag);
  examples::Flags flags(
      "predict",
      "Says what is on pictures. MODEL is the deploy.safetensors of a training example, or vgg16, vgg19\n"
      "or tiny_darknet, the networks trained on ImageNet.",
      list, "MODEL PICTURES...");
  if (!flags.parse(argc, argv)) return flags.print_help();
  if (flags.operands().size() < 2)
    throw examples::UsageError("expected MODEL PICTURES..., found " +
                               std::to_string(flags.operands().size()) + " of them");
  const std::string& model = flags.operands()[0];
  const bool imagenet = examples::is_imagenet_network(model);
  if (!imagenet && (flags.given("--weights") || flags.given("--labels")))
    throw examples::UsageError("--weights and --labels are for vgg16, vgg19 and tiny_darknet; '" + model +
                               "' has its own");

  const DevicePtr device = options.make_device();
  const std::vector<Label> labels =
      labels_file.empty() ? std::vector<Label>{} : read_labels(labels_file, 1000);
  const Classifier classifier = imagenet
                                    ? examples::imagenet_classifier(model, options.weights, labels, device)
                                    : Classifier::load(model, device);
  std::size_t failed = 0;
  const auto show = [&](std::span<const std::string> files) {
    const std::vector<Classification> results = classifier(files);
    for (std::size_t i = 0; i < files.size(); ++i)
      json ? print_json(files[i], results[i], top, classifier.class_names(), labels)
           : print_text(files[i], results[i], top);
  };
  const std::span pictures = std::span(flags.operands()).subspan(1);
  for (std::size_t begin = 0; begin < pictures.size(); begin += 32) {
    const auto batch = pictures.subspan(begin, std::min<std::size_t>(32, pictures.size() - begin));
    try {
      show(batch);
    } catch (const DataError&) {
      // One of them: the others are shown all the same.
      for (const std::string& file : batch) try {
          show({&file, 1});
        } catch (const DataError& error) {
          std::fflush(stdout);
          std::fprintf(stderr, "predict: %s\n", error.what());
          ++failed;
        }
    }
  }
  require<DataError>(failed == 0, failed, " of ", pictures.size(), " pictures could not be read");
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("predict", [&] { predict(argc, argv); });
}
