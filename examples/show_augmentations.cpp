// Shows what augmentation makes of pictures: a PNG with the original and what training sees in its place.
//
// Figure 5.11 of Chollet, "Deep Learning with Python", 1st edition (ImageDataGenerator); with --edition 2
// figure 8.10 of the 2nd (layers).

#include <strata/applications/book.hpp>
#include <strata/data/image_grid.hpp>
#include <strata/training/fit.hpp>

#include "common/flags.hpp"
#include "common/run_directory.hpp"
#include "common/sample_pictures.hpp"

using namespace strata;

namespace {

/// At most `count` pictures of a file, or of a folder and those below it, evenly spaced; drawn ones where
/// there is no `data`. As the edition decodes and resizes them: [n,size,size,3], values from 0 to 255.
Tensor<float> read_pictures(const std::string& data, std::int64_t count, std::int64_t size, bool second) {
  std::vector<std::string> files{data};
  if (directory_exists(data))
    files = image_dataset_from_directory(data, {.label_mode = LabelMode::none}).files();
  if (data.empty()) files.resize(2);
  count = std::min(count, static_cast<std::int64_t>(files.size()));
  Tensor<float> out({count, size, size, 3});
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string& file =
        files[static_cast<std::size_t>(i) * files.size() / static_cast<std::size_t>(count)];
    const auto subject = i == 0 ? sample_pictures::Subject::balloon : sample_pictures::Subject::kite;
    const Tensor<std::uint8_t> pixels =
        data.empty()
            ? sample_pictures::draw(subject, 0, 0, 0)
            : read_image(file, ColorMode::rgb, second ? ImageDecoder::tensorflow : ImageDecoder::pillow);
    const Tensor<float> resized =
        second ? resize_tf(pixels, size, size, TfInterpolation::bilinear)
               : resize_pillow(pixels, size, size, PillowFilter::nearest).cast<float>();
    std::copy_n(resized.data(), resized.size(), out.slice(i, i + 1).data());
  }
  return out;
}

/// As training would see these pictures [n,size,size,3].
Tensor<float> augmented(const Tensor<float>& pictures, std::uint64_t seed, bool second) {
  if (!second) {
    ImageDataGeneratorOptions options = book::first_edition().augmented;
    options.rescale = 1;
    const Dataset data = ImageDataGenerator(options).flow(
        pictures, {}, {.batch_size = pictures.shape()[0], .shuffle = false, .seed = seed});
    return network_input(data.batch(0));
  }
  Sequential layers = book::second_edition().data_augmentation;
  layers.build(pictures.shape().without_batch());
  Tensor<float> out(pictures.shape());
  Session<float> session(layers.device());
  const std::vector<TensorView<const float>> inputs{pictures};
  layers.impl()->forward(inputs, out, session.begin({.training = true, .seed = seed}));
  return out;
}

void show_augmentations(int argc, char** argv) {
  std::string data, run_dir = "runs/show_augmentations", edition = "1";
  std::int64_t samples = 8, count = 4, size = 150;
  std::uint64_t seed = 0;
  bool overwrite = false;
  examples::Flags flags(
      "show_augmentations", "Shows pictures and, behind each, what augmentation makes of it in training.",
      {{"--data", "PATH", "a picture, or a folder of pictures; without it some are drawn", &data},
       {.name = "--edition",
        .help = "of the book: ImageDataGenerator's settings of the 1st, or the layers of the 2nd",
        .variable = &edition,
        .choices = {"1", "2"}},
       {"--samples", "N", "how often each picture is augmented", &samples, 1, 1000},
       {"--pictures", "N", "how many pictures of a folder are shown", &count, 1, 1000},
       {"--input-size", "PIXELS", "height and width of the pictures; 180 with --edition 2", &size, 1, 4096},
       {"--seed", "N", "of everything random", &seed},
       {"--run-dir", "DIR", "where the results go, a folder for each run", &run_dir},
       {.name = "--overwrite", .help = "replaces a run that lies there", .variable = &overwrite}});
  if (!flags.parse(argc, argv)) return flags.print_help();
  const bool second = edition == "2";
  if (second && !flags.given("--input-size")) size = 180;

  const examples::RunDirectory run(run_dir, overwrite, false, false);
  const Tensor<float> pictures = read_pictures(data, count, size, second);
  count = pictures.shape()[0];
  // Each of them once as it is, then `samples` times augmented; all in one batch, so that each has draws of
  // its own.
  Tensor<float> batch({count * samples, size, size, 3});
  for (std::int64_t i = 0; i < count * samples; ++i)
    std::copy_n(pictures.slice(i / samples, i / samples + 1).data(), size * size * 3,
                batch.slice(i, i + 1).data());
  batch = augmented(batch, seed, second);
  Tensor<std::uint8_t> shown({count * (samples + 1), size, size, 3});
  for (std::int64_t i = 0; i < shown.shape()[0]; ++i) {
    const std::int64_t picture = i / (samples + 1), sample = i % (samples + 1) - 1;
    const float* from = (sample < 0 ? pictures.slice(picture, picture + 1)
                                    : batch.slice(picture * samples + sample, picture * samples + sample + 1))
                            .data();
    std::transform(from, from + size * size * 3, shown.slice(i, i + 1).data(), [](float value) {
      return static_cast<std::uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
    });
  }
  run.write_config(flags.json());
  // A row per picture; of a single one about as many rows as columns.
  write_png(run.file("augmentations.png"), image_grid(shown, {.columns = count == 1 ? 0 : samples + 1}));
  std::printf("Each picture as it is and %lld times augmented by %s, %lld x %lld pixels:\n%s\n",
              static_cast<long long>(samples), second ? "layers" : "ImageDataGenerator",
              static_cast<long long>(size), static_cast<long long>(size),
              run.file("augmentations.png").c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("show_augmentations", [&] { show_augmentations(argc, argv); });
}
