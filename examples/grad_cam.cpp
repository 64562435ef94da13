// Shows where a network looks: Grad-CAM heat maps over pictures, as PNG files.
//
// Section 5.4.3 of Chollet, "Deep Learning with Python", 1st edition; 9.4.3 of the 2nd.

#include <strata/applications/grad_cam.hpp>
#include <strata/strata.hpp>

#include "common/imagenet.hpp"
#include "common/training.hpp"

using namespace strata;

namespace {

using sample_pictures::Subject;

struct Picture {
  std::string name;
  Tensor<std::uint8_t> pixels;  ///< [height,width,3]
};

/// At most `count` pictures of a file, or of a folder and those below it, evenly spaced.
std::vector<Picture> read_pictures(const std::string& data, std::int64_t count, ImageDecoder decoder) {
  std::vector<std::string> files{data};
  if (directory_exists(data))
    files = image_dataset_from_directory(data, {.label_mode = LabelMode::none}).files();
  const std::size_t shown = std::min(static_cast<std::size_t>(count), files.size());
  std::vector<Picture> out;
  for (std::size_t i = 0; i < shown; ++i) {
    const std::string& file = files[i * files.size() / shown];
    out.push_back({file.substr(file.rfind('/') + 1), read_image(file, ColorMode::rgb, decoder)});
  }
  return out;
}

/// Balloons and kites in turn.
std::vector<Picture> draw_pictures(std::int64_t count, std::uint64_t seed, std::uint64_t path) {
  std::vector<Picture> out;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto number = static_cast<std::uint64_t>(i / 2);
    const char* const name = i % 2 ? "kite" : "balloon";
    out.push_back({concat(name, "_", number),
                   sample_pictures::draw(i % 2 ? Subject::kite : Subject::balloon, seed, path, number)});
  }
  return out;
}

/// A small network that has learned to tell drawn balloons from kites.
Classifier train(const DevicePtr& device, std::int64_t epochs, std::uint64_t seed) {
  constexpr std::int64_t size = 96, count = 240;
  const std::vector<Picture> pictures = draw_pictures(count, seed, 0);
  Tensor<float> x({count, size, size, 3}), y({count});
  for (std::int64_t i = 0; i < count; ++i) {
    const auto resized = resize_pillow(pictures[static_cast<std::size_t>(i)].pixels, size, size);
    std::transform(resized.data(), resized.data() + resized.size(), x.slice(i, i + 1).data(),
                   [](std::uint8_t value) { return static_cast<float>(value) / 255; });
    y(i) = static_cast<float>(i % 2);
  }
  Sequential model({.name = "kites_and_balloons", .seed = seed});
  model.add(Input({.shape = {size, size, 3}}));
  for (const std::int64_t filters : {16, 32, 64}) {
    model.add(Conv2D({.filters = filters, .kernel_size = 3, .padding = Padding::same, .activation = "relu"}));
    model.add(MaxPooling2D());
  }
  model.add(Flatten());
  model.add(Dropout(0.5));
  model.add(Dense({.units = 2, .activation = "softmax"}));
  model.to(device);
  model.compile({.optimizer = Adam({.learning_rate = 1e-3}),
                 .loss = "sparse_categorical_crossentropy",
                 .metrics = {"accuracy"}});
  model.fit(x, y, {.batch_size = 16, .epochs = static_cast<int>(epochs)});
  return {model, {.class_names = {"balloon", "kite"}, .scaling = applications::rescale_scaling}};
}

/// The number of a class by its name, or by that number.
std::int64_t class_number(const std::vector<std::string>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return found - names.begin();
  std::int64_t number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 0 || number >= std::ssize(names))
    throw examples::UsageError(concat("--class takes one of the model's ", names.size(), " classes, '",
                                      names[0], "' for instance, or its number; found '", name, "'"));
  return number;
}

void grad_cam_example(int argc, char** argv) {
  examples::TrainingOptions options;
  options.run_dir = "runs/grad_cam";
  options.weights = "imagenet";
  options.epochs = 8;
  std::string model, labels_file, layer, class_name;
  std::int64_t count = 4;
  std::vector<examples::Flag> list{
      {"--model", "FILE",
       "the deploy.safetensors of an example, or vgg16, vgg19 or tiny_darknet, trained on ImageNet;\n"
       "                               without it a small network first learns from drawn pictures",
       &model},
      {"--data", "PATH", "a picture, or a folder of pictures; without it some are drawn", &options.data},
      {"--pictures", "N", "how many pictures of a folder are shown", &count, 1, 1000},
      {"--layer", "NAME", "whose maps are weighed, 'vgg16/block5_conv3'; without it the last convolution",
       &layer},
      {"--class", "NAME", "or number: where this class shows; without it the one that the network says",
       &class_name},
      {"--weights", "FILE", "of vgg16, vgg19 or tiny_darknet; 'imagenet': those that weights/fetch left",
       &options.weights},
      {"--labels", "FILE", "their classes, as predict takes them", &labels_file},
      {"--epochs", "N", "how long the small network learns", &options.epochs, 1, 1000}};
  for (examples::Flag& flag : options.flags())
    for (const char* name :
         {"--seed", "--threads", "--device", "--tf32", "--policy", "--autotune", "--run-dir", "--overwrite"})
      if (flag.name == name) list.push_back(flag);
  examples::Flags flags(
      "grad_cam",
      "Shows where in pictures a network sees a class: heat maps, red where it looks, by Grad-CAM.", list);
  if (!flags.parse(argc, argv)) return flags.print_help();
  const bool imagenet = examples::is_imagenet_network(model);
  if (model.empty() && flags.given("--data"))
    throw examples::UsageError("--data needs --model, a network that knows such pictures");
  if (!model.empty() && flags.given("--epochs")) throw examples::UsageError("--epochs is for no --model");
  if (!imagenet && (flags.given("--weights") || flags.given("--labels")))
    throw examples::UsageError("--weights and --labels are for vgg16, vgg19 and tiny_darknet");

  const examples::RunDirectory run(options.run_dir, options.overwrite, false, false);
  const DevicePtr device = options.make_device();
  const auto labels =
      labels_file.empty() ? std::vector<examples::Label>{} : examples::read_labels(labels_file, 1000);
  const Classifier classifier = model.empty() ? train(device, options.epochs, options.seed)
                                : imagenet
                                    ? examples::imagenet_classifier(model, options.weights, labels, device)
                                    : Classifier::load(model, device);
  const Model& network = classifier.model();
  const ClassifierOptions& preparation = classifier.options();
  GradCamOptions wanted{.layer = layer.empty() ? last_convolution(network) : layer};
  if (!class_name.empty()) wanted.class_index = class_number(classifier.class_names(), class_name);
  run.write_config(flags.json());

  const std::vector<Picture> pictures = options.data.empty()
                                            ? draw_pictures(count, options.seed, 1)
                                            : read_pictures(options.data, count, preparation.decoder);
  const std::int64_t height = network.input_shape()[0], width = network.input_shape()[1];
  Tensor<std::uint8_t> grid({2 * std::ssize(pictures), height, width, 3});
  std::int64_t filled = 0;
  std::printf("Heat maps of layer '%s'\n%-28s %-20s %-20s %s\n", wanted.layer.c_str(), "picture",
              "class shown", "the network says", "file");
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const auto& [name, pixels] = pictures[i];
    // Under the heat map lies what the network saw, in the picture's own size where it saw all of it.
    Tensor<std::uint8_t> seen = pixels;
    if (preparation.aspect_ratio != AspectRatio::stretch)
      seen = resize_tf(pixels, height, width, TfInterpolation::bilinear, false, preparation.aspect_ratio)
                 .cast<std::uint8_t>();
    const Tensor<float> x = classifier.prepare(pixels);
    const Tensor<float> heat = grad_cam(network, x, wanted);
    const Tensor<std::uint8_t> over =
        overlay_heat_map(seen, heat.view().reshaped({heat.shape()[1], heat.shape()[2]}));
    const std::string file = concat(name.substr(0, name.rfind('.')), "_grad_cam_", i, ".png");
    write_png(run.file(file), over);
    for (const Tensor<std::uint8_t>* from : {&std::as_const(seen), &over}) {
      const auto small = resize_pillow(*from, height, width, PillowFilter::bilinear);
      std::copy_n(small.data(), small.size(), grid.slice(filled, filled + 1).data());
      ++filled;
    }
    const Classification said = classifier(pixels);
    const auto best = said.top(1).at(0);
    const std::string& shown = wanted.class_index < 0
                                   ? best.label
                                   : classifier.class_names()[static_cast<std::size_t>(wanted.class_index)];
    std::printf("%-28s %-20s %-12s %5.1f %% %s\n", name.c_str(), shown.c_str(), best.label.c_str(),
                100 * best.probability, file.c_str());
  }
  write_png(run.file("grad_cam.png"), image_grid(grid, {.columns = 2}));
  std::printf("In %s; grad_cam.png has them all, each beside its picture\n", options.run_dir.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("grad_cam", [&] { grad_cam_example(argc, argv); });
}
