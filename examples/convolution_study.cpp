// Convolution by hand: what padding, strides and pooling do to a picture, as numbers and as pictures.
//
// Section 5.1 of Chollet, "Deep Learning with Python", 1st edition; 8.1 of the 2nd. With --model what a
// trained network sees: section 5.4.1; 9.4.1 of the 2nd.

#include <iterator>

#include <strata/applications/classifier.hpp>
#include <strata/cpu/device.hpp>
#include <strata/data/image.hpp>
#include <strata/data/image_grid.hpp>
#include <strata/data/resize.hpp>
#include <strata/ops/ops.hpp>

#include "common/flags.hpp"
#include "common/run_directory.hpp"
#include "common/sample_pictures.hpp"

using namespace strata;

namespace {

/// What a network would learn, chosen by hand: kernels of 3x3 for pictures of one channel.
struct Kernel {
  const char* name;
  float values[9];
};
constexpr Kernel kernels[] = {
    {"as it is", {0, 0, 0, 0, 1, 0, 0, 0, 0}},
    {"blur", {1 / 9.F, 1 / 9.F, 1 / 9.F, 1 / 9.F, 1 / 9.F, 1 / 9.F, 1 / 9.F, 1 / 9.F, 1 / 9.F}},
    {"sharpen", {0, -1, 0, -1, 5, -1, 0, -1, 0}},
    {"edges", {-1, -1, -1, -1, 8, -1, -1, -1, -1}},
    {"brighter below", {-1, -2, -1, 0, 0, 0, 1, 2, 1}},
    {"brighter above", {1, 2, 1, 0, 0, 0, -1, -2, -1}},
    {"brighter at the right", {-1, 0, 1, -2, 0, 2, -1, 0, 1}},
    {"brighter at the left", {1, 0, -1, 2, 0, -2, 1, 0, -1}}};
constexpr std::int64_t filters = std::size(kernels);

/// [3,3,1,filters]
Tensor<float> kernel_tensor() {
  Tensor<float> out({3, 3, 1, filters});
  for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = kernels[i % filters].values[i / filters];
  return out;
}

struct Step {
  std::string operation, file;
  Tensor<float> maps;  ///< [1,height,width,filters]
};

std::vector<Step> study(const Tensor<float>& picture, std::int64_t strides, std::int64_t pool) {
  const DevicePtr device = default_device();
  const Tensor<float> kernel = kernel_tensor();
  const auto convolve = [&](Padding padding, std::int64_t stride) {
    return ops::conv2d(device, picture, kernel, {},
                       {.strides = stride, .padding = padding, .activation = Activation::relu});
  };
  const Tensor<float> whole = convolve(Padding::same, 1);
  const auto pooled = [&](PoolKind kind, Padding padding, std::int64_t stride) {
    return ops::pool2d(device, kind, whole, pool, {.strides = stride, .padding = padding});
  };
  const std::string window = std::to_string(pool), by = ", strides " + std::to_string(strides);
  return {{"Conv2D 3x3, valid", "conv_valid.png", convolve(Padding::valid, 1)},
          {"Conv2D 3x3, same", "conv_same.png", whole},
          {"Conv2D 3x3, valid" + by, "conv_valid_strides.png", convolve(Padding::valid, strides)},
          {"Conv2D 3x3, same" + by, "conv_same_strides.png", convolve(Padding::same, strides)},
          {"MaxPooling2D(" + window + ") of same", "max_pooling.png",
           pooled(PoolKind::max, Padding::valid, pool)},
          {"AveragePooling2D(" + window + ") of same", "average_pooling.png",
           pooled(PoolKind::average, Padding::valid, pool)},
          {"MaxPooling2D(" + window + "), strides 1, same", "max_pooling_same.png",
           pooled(PoolKind::max, Padding::same, 1)}};
}

/// Maps [n,height,width,1] as large as the picture, so that every value is a square.
void append_row(Tensor<std::uint8_t>& overview, std::int64_t row, const Tensor<std::uint8_t>& maps) {
  const std::int64_t height = overview.shape()[1], width = overview.shape()[2];
  for (std::int64_t i = 0; i < filters; ++i) {
    const auto map = maps.slice(i, i + 1).reshaped({maps.shape()[1], maps.shape()[2], 1});
    const auto large = resize_pillow(map, height, width, PillowFilter::nearest);
    std::copy_n(large.data(), large.size(), overview.slice(row * filters + i, row * filters + i + 1).data());
  }
}

/// How much of the picture a value sees behind three convolutions, with a pooling behind each but the last,
/// or without (the question of 5.1.2).
void print_stack(std::int64_t size, std::int64_t pool) {
  std::printf("\n%-28s %14s %20s\n", "three layers in a row", "output", "a value sees");
  std::int64_t side = size, sees = 1, step = 1;
  const auto layer = [&](const char* name, std::int64_t window, std::int64_t stride) {
    side = (side - window) / stride + 1;
    sees += (window - 1) * step;
    step *= stride;
    std::printf("%-28s %14s %20s\n", name, concat(side, " x ", side).c_str(),
                concat(sees, " x ", sees).c_str());
  };
  for (int i = 0; i < 3; ++i) layer("Conv2D 3x3", 3, 1);
  side = size, sees = 1, step = 1;
  std::printf("%-28s\n", "the same with pooling");
  for (int i = 0; i < 3 && side >= 3; ++i) {
    layer("Conv2D 3x3", 3, 1);
    if (i < 2 && side >= pool) layer(concat("MaxPooling2D(", pool, ")").c_str(), pool, pool);
  }
}

/// Keeps what the layers of a network make of one picture, as long as it is maps.
class MapRecorder final : public RunObserver<float> {
 public:
  struct Layer {
    std::string path, type;
    Tensor<float> maps;  ///< [1,height,width,channels]
  };
  const std::vector<Layer>& layers() const { return layers_; }

  void after_forward(const std::string& path, const BasicLayerImpl<float>& layer,
                     TensorView<float> y) override {
    const bool inner = dynamic_cast<const ModelImpl<float>*>(&layer) != nullptr;  // its layers are seen
    if (y.shape().rank() == 4 && !inner)
      layers_.push_back(
          {path, layer.class_name(), {y.shape(), std::span(y.data(), static_cast<std::size_t>(y.size()))}});
  }
  void after_backward(const std::string&, const BasicLayerImpl<float>&,
                      std::span<const TensorView<float>>) override {}

 private:
  std::vector<Layer> layers_;
};

/// The feature maps of every layer of a trained network, sixteen in a row as in the book.
void study_model(const std::string& file, const std::string& picture, const examples::RunDirectory& run,
                 CsvTable& table) {
  const Classifier classifier = Classifier::load(file);
  const Model& model = classifier.model();
  const Tensor<float> x = classifier.prepare(classifier.read(picture));
  Tensor<float> y(model.output_shape().with_batch(1));
  MapRecorder recorder;
  Session<float> session(model.device());
  const TensorView<const float> in[] = {x};
  const TensorView<float> out[] = {y};
  // As if a gradient were wanted, so that no convolution pools what it computes before it is seen.
  model.model().graph().forward(in, out, session.begin({.input_gradient = true, .observer = &recorder}));
  std::printf("%-34s %-20s %16s   %s\n", "layer", "type", "output", "feature maps");
  for (const auto& [path, type, maps] : recorder.layers()) {
    std::string name = path + ".png";
    std::replace(name.begin(), name.end(), '/', '_');
    write_png(run.file(name), image_grid(feature_maps(maps), {.columns = 16, .gap = 1}));
    const Shape& shape = maps.shape();
    table.append({path, shape[1], shape[2], shape[3], name});
    std::printf("%-34s %-20s %16s   %s\n", path.c_str(), type.c_str(),
                concat(shape[1], " x ", shape[2], " x ", shape[3]).c_str(), name.c_str());
  }
}

/// The eight kernels under every kind of padding, strides and pooling.
void study_kernels(const std::string& file, std::int64_t size, std::int64_t strides, std::int64_t pool,
                   const examples::RunDirectory& run, CsvTable& table) {
  const Tensor<std::uint8_t> pixels =
      resize_pillow(read_image(file, ColorMode::grayscale), size, size, PillowFilter::bilinear);
  write_png(run.file("input.png"), pixels);
  Tensor<float> picture = pixels.cast<float>().reshape({1, size, size, 1});
  for (float& value : picture.values()) value /= 255;

  const std::vector<Step> steps = study(picture, strides, pool);
  const auto rows = static_cast<std::int64_t>(steps.size());
  Tensor<std::uint8_t> overview({rows * filters, size, size, 1});
  std::printf("%-34s %16s   %s\n%-34s %16s   input.png\n", "operation", "output", "feature maps",
              "the picture, grey", concat(size, " x ", size, " x 1").c_str());
  for (std::int64_t row = 0; row < rows; ++row) {
    const Step& step = steps[static_cast<std::size_t>(row)];
    const Tensor<std::uint8_t> maps = feature_maps(step.maps);
    write_png(run.file(step.file), image_grid(maps, {.columns = 4}));
    append_row(overview, row, maps);
    const std::int64_t height = maps.shape()[1], width = maps.shape()[2];
    table.append({step.operation, height, width, filters, step.file});
    std::printf("%-34s %16s   %s\n", step.operation.c_str(),
                concat(height, " x ", width, " x ", filters).c_str(), step.file.c_str());
  }
  std::printf(
      "n pixels become, valid: (n - window) / strides + 1, rounded down; same: n / strides, rounded up.\n");
  print_stack(size, pool);
  write_png(run.file("study.png"), image_grid(overview, {.columns = filters}));
  std::printf("\nThe kernels, each with relu:");
  for (const Kernel& kernel : kernels) std::printf("%s %s", &kernel == kernels ? "" : ",", kernel.name);
  std::printf(
      "\nstudy.png has a row per operation and a column per kernel, each map as large as the picture.\n");
}

void convolution_study(int argc, char** argv) {
  std::string data, model, run_dir = "runs/convolution_study";
  std::int64_t size = 150, strides = 2, pool = 2;
  bool overwrite = false;
  examples::Flags flags(
      "convolution_study",
      "Shows what padding, strides and pooling do to a picture: a table of shapes, and the\n"
      "feature maps of eight kernels as PNG files.",
      {{"--data", "PICTURE", "a picture file; without it one is drawn", &data},
       {"--model", "FILE",
        "instead of the kernels the layers of a trained network: the deploy.safetensors of an example",
        &model},
       {"--input-size", "PIXELS", "height and width that the picture gets", &size, 7, 4096},
       {"--strides", "N", "of the convolutions that have any", &strides, 1, 64},
       {"--pool-size", "N", "of the poolings", &pool, 1, 64},
       {"--run-dir", "DIR", "where the results go, a folder for each run", &run_dir},
       {.name = "--overwrite", .help = "replaces a run that lies there", .variable = &overwrite}});
  if (!flags.parse(argc, argv)) return flags.print_help();
  if (std::max(strides, pool) > size)
    throw examples::UsageError(concat("--strides and --pool-size take at most --input-size, ", size,
                                      ", found ", std::max(strides, pool)));
  for (const char* name : {"--input-size", "--strides", "--pool-size"})
    if (!model.empty() && flags.given(name))
      throw examples::UsageError(concat(name, " is not for --model, which has its own"));
  const examples::RunDirectory run(run_dir, overwrite, false, false);
  if (data.empty())
    write_png(run.file("drawn.png"), sample_pictures::draw(sample_pictures::Subject::balloon, 0, 0, 0));
  const std::string picture = data.empty() ? run.file("drawn.png") : data;
  CsvTable table({"operation", "height", "width", "maps", "file"});
  if (model.empty())
    study_kernels(picture, size, strides, pool, run, table);
  else
    study_model(model, picture, run, table);
  write_file_atomically(run.file("shapes.csv"), table.to_string());
  run.write_config(flags.json());
  std::printf("\nIn %s: those pictures, the maps in their own size, and shapes.csv\n", run_dir.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("convolution_study", [&] { convolution_study(argc, argv); });
}
