#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/data/prefetch.hpp>
#include <strata/training/fit.hpp>

#include "data/pictures.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

/// Two classes of PNG, JPEG and BMP files of different sizes, with what a loader must leave out beside them.
struct PictureFolder : TemporaryDirectory {
  PictureFolder() {
    for (const char* folder : {"cats/zoo", "cats/b", "dogs", ".cache"})
      fs::create_directories(*this / std::string(folder));
    int seed = 0;
    for (const char* file : {"cats/2.png", "cats/10.png", "cats/b/1.PNG", "cats/zoo/0.png", "dogs/a.png",
                             "dogs/B.png", ".cache/x.png"})
      write(file, encode_png(waves(20 + seed, 30 - seed, 3, seed))), ++seed;
    write("dogs/c.jpeg", encode_jpeg(waves(25, 31, 3, seed)));
    write("dogs/d.bmp", encode_bmp(waves(21, 22, 3, seed)));
    write("dogs/notes.txt", "not a picture");
    write("cats/b/list.csv", "1,2");
  }
  std::vector<std::string> names(const DirectoryDataset& dataset) const {
    std::vector<std::string> out;
    for (const std::string& file : dataset.files()) out.push_back(file.substr(path().size() + 1));
    return out;
  }
};

const std::vector<std::string> all_files{"cats/10.png", "cats/2.png", "cats/b/1.PNG", "cats/zoo/0.png",
                                         "dogs/B.png",  "dogs/a.png", "dogs/c.jpeg",  "dogs/d.bmp"};

}  // namespace

TEST_CASE("classes and files are sorted, subfolders included", "[data][directory]") {
  const PictureFolder folder;
  const auto dataset = ImageDataGenerator().flow_from_directory(folder.path());
  CHECK(folder.names(dataset) == all_files);
  CHECK(dataset.labels() == std::vector<std::int64_t>{0, 0, 0, 0, 1, 1, 1, 1});
  CHECK(dataset.class_names() == std::vector<std::string>{"cats", "dogs"});
  CHECK(dataset.class_indices() == std::map<std::string, std::int64_t>{{"cats", 0}, {"dogs", 1}});
  CHECK(dataset.element_shape() == Shape{256, 256, 3});
  CHECK(folder.names(image_dataset_from_directory(folder.path())) == all_files);

  const auto reversed =
      ImageDataGenerator().flow_from_directory(folder.path(), {.classes = {"dogs", "cats"}});
  CHECK(reversed.class_indices() == std::map<std::string, std::int64_t>{{"cats", 1}, {"dogs", 0}});
  CHECK(folder.names(reversed).front() == "dogs/B.png");
  CHECK(folder.names(ImageDataGenerator().flow_from_directory(folder.path(), {.limit = 1})) ==
        std::vector<std::string>{"cats/10.png", "dogs/B.png"});
  // Without labels Keras looks at every file, hidden folders too.
  CHECK(image_dataset_from_directory(folder.path(), {.label_mode = LabelMode::none}).samples() == 9);
}

TEST_CASE("labels come as the mode asks", "[data][directory]") {
  const PictureFolder folder;
  const auto y = [&](ClassMode mode) {
    return ImageDataGenerator()
        .flow_from_directory(folder.path(),
                             {.target_size = {4, 4}, .batch_size = 5, .class_mode = mode, .shuffle = false})
        .batch(0)
        .y;
  };
  CHECK(y(ClassMode::binary) == Tensor<float>({5, 1}, {0, 0, 0, 0, 1}));
  CHECK(y(ClassMode::sparse) == Tensor<float>({5}, {0, 0, 0, 0, 1}));
  CHECK(y(ClassMode::categorical) == Tensor<float>({5, 2}, {1, 0, 1, 0, 1, 0, 1, 0, 0, 1}));
  CHECK(y(ClassMode::none).empty());
}

TEST_CASE("both loaders decode, resize and scale as they say", "[data][directory]") {
  const PictureFolder folder;
  const ImageDataGenerator generator(
      {.rescale = 0.5, .preprocessing = {.scale = 2, .mean = {4, 6, 8, 0}, .reverse_channels = true}});
  const auto bytes = generator.flow_from_directory(folder.path(), {.target_size = {15, 12},
                                                                   .batch_size = 3,
                                                                   .class_mode = ClassMode::binary,
                                                                   .shuffle = false,
                                                                   .interpolation = PillowFilter::bicubic});
  const auto floats = image_dataset_from_directory(
      folder.path(),
      {.batch_size = 3, .image_size = {15, 12}, .shuffle = false, .crop_to_aspect_ratio = true});
  for (std::int64_t draw = 0; draw < 6; ++draw) {  // the second pass comes from memory
    const Batch batch = bytes.batch(draw), batch_f = floats.batch(draw);
    CHECK(batch.size() == (draw % 3 == 2 ? 2 : 3));
    CHECK(batch.scaling.scale == 1);
    CHECK(std::vector<float>(batch.scaling.mean, batch.scaling.mean + 3) == std::vector<float>{2, 3, 4});
    CHECK(batch.scaling.reverse_channels);
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const std::string& file = bytes.files()[static_cast<std::size_t>(draw % 3 * 3 + i)];
      const auto picture = read_image(file),
                 picture_f = read_image(file, ColorMode::rgb, ImageDecoder::tensorflow);
      const auto expected = resize_pillow(picture, 15, 12, PillowFilter::bicubic);
      const auto expected_f =
          resize_tf(picture_f, 15, 12, TfInterpolation::bilinear, false, AspectRatio::crop);
      CHECK(std::equal(expected.data(), expected.data() + expected.size(),
                       batch.pixels.data() + i * expected.size()));
      CHECK(std::equal(expected_f.data(), expected_f.data() + expected_f.size(),
                       batch_f.x.data() + i * expected_f.size()));
    }
  }
}

TEST_CASE("same bits for any number of loaders and any cache", "[data][directory]") {
  const PictureFolder folder;
  const auto make = [&](std::size_t cache_bytes) {
    return ImageDataGenerator().flow_from_directory(
        folder.path(), {.target_size = {10, 10}, .batch_size = 3, .seed = 9, .cache_bytes = cache_bytes});
  };
  const auto plain = make(0);
  for (const int threads : {0, 1, 4})
    for (const std::size_t cache_bytes : {0, 1000, 1 << 20}) {
      const auto dataset = make(cache_bytes);
      PrefetchQueue queue(dataset, 0, 12, 5, threads);
      for (std::int64_t draw = 0; draw < 12; ++draw) {
        const auto batch = queue.next();
        const Batch expected = plain.batch(draw);
        REQUIRE(batch);
        CHECK(batch->pixels == expected.pixels);
        CHECK(batch->y == expected.y);
      }
    }
}

TEST_CASE("splits cover every file once", "[data][directory]") {
  const PictureFolder folder;
  const ImageDataGenerator generator({.validation_split = 0.25});
  const auto part = [&](Subset subset) {
    return folder.names(generator.flow_from_directory(folder.path(), {.subset = subset}));
  };
  // As Keras: the first quarter of each class.
  CHECK(part(Subset::validation) == std::vector<std::string>{"cats/10.png", "dogs/B.png"});
  CHECK(part(Subset::training).size() == 6);
  CHECK(part(Subset::all) == all_files);

  const auto draw = [&](Subset subset, bool shuffle) {
    return folder.names(image_dataset_from_directory(
        folder.path(), {.shuffle = shuffle, .seed = 5, .validation_split = 0.4, .subset = subset}));
  };
  CHECK(draw(Subset::validation, false) ==
        std::vector<std::string>{"dogs/a.png", "dogs/c.jpeg", "dogs/d.bmp"});
  auto both = draw(Subset::training, true);
  const auto validation = draw(Subset::validation, true);
  CHECK(validation.size() == 3);
  both.insert(both.end(), validation.begin(), validation.end());
  std::sort(both.begin(), both.end());
  CHECK(both == all_files);

  CHECK_THROWS_AS(image_dataset_from_directory(folder.path(), {.validation_split = 0.4}), ConfigError);
  CHECK_THROWS_AS(image_dataset_from_directory(folder.path(), {.subset = Subset::training}), ConfigError);
  CHECK_THROWS_AS(
      image_dataset_from_directory(folder.path(), {.validation_split = 0.01, .subset = Subset::validation}),
      DataError);
}

TEST_CASE("broken files are named at once, or skipped and counted", "[data][directory]") {
  const PictureFolder folder;
  SECTION("a text file that is called a picture") {
    folder.write("dogs/aa.jpg", "hello");
  }
  SECTION("an empty file") {
    folder.write("dogs/aa.jpg", "");
  }
  SECTION("a link to nowhere") {
    fs::create_symlink(folder / "nowhere.jpg", folder / "dogs/aa.jpg");
  }
  SECTION("a TIFF") {
    folder.write("dogs/aa.tif", std::string("II*\0", 4));
  }
  for (const OnError on_error : {OnError::raise, OnError::skip}) {
    const auto load = [&] {
      return ImageDataGenerator().flow_from_directory(folder.path(),
                                                      {.target_size = {8, 8}, .on_error = on_error});
    };
    if (on_error == OnError::raise) {
      CHECK_THROWS_WITH(load(), Contains("dogs/aa."));
      continue;
    }
    const auto dataset = load();
    CHECK(folder.names(dataset) == all_files);
    REQUIRE(dataset.skipped().size() == 1);
    CHECK_THAT(dataset.skipped()[0].file, Contains("dogs/aa."));
    CHECK_THAT(dataset.skipped()[0].reason, Contains("dogs/aa."));
    for (std::int64_t draw = 0; draw < 3; ++draw) CHECK_NOTHROW(dataset.batch(draw));
  }
}

TEST_CASE("pictures of kinds that are not read are counted and named", "[data][directory]") {
  const PictureFolder folder;
  for (const char* file : {"dogs/e.webp", "cats/b/f.HEIC"}) folder.write(file, "RIFF");
  folder.write("dogs/aa.jpg", "hello");
  folder.write("dogs/z.gif", "GIF89a");
  for (const bool keras : {false, true}) {
    const DirectoryDataset dataset =
        keras ? image_dataset_from_directory(folder.path(), {.on_error = OnError::skip})
              : ImageDataGenerator().flow_from_directory(folder.path(), {.on_error = OnError::skip});
    CHECK(folder.names(dataset) == all_files);
    std::vector<std::string> skipped;
    for (const auto& [file, reason] : dataset.skipped()) {
      skipped.push_back(file.substr(folder.path().size() + 1));
      CHECK_THAT(reason, Contains(file));
    }
    CHECK(skipped == std::vector<std::string>{"cats/b/f.HEIC", "dogs/e.webp", "dogs/aa.jpg", "dogs/z.gif"});
    CHECK_THAT(dataset.skipped()[0].reason, Contains("is of a kind that is not read"));
  }
  fs::remove(folder / "dogs/aa.jpg");
  CHECK(ImageDataGenerator().flow_from_directory(folder.path()).skipped().size() == 2);
  fs::create_directory(folder / "birds");
  folder.write("birds/g.webp", "RIFF");
  CHECK_THROWS_WITH(ImageDataGenerator().flow_from_directory(folder.path()),
                    Contains("no pictures") && Contains("birds/g.webp"));
}

TEST_CASE("a truncated file is an error with its batch, or skipped", "[data][directory]") {
  const PictureFolder folder;
  const std::string whole = encode_bmp(waves(30, 30, 3));
  folder.write("dogs/aa.bmp", whole.substr(0, 900));
  const FlowFromDirectoryOptions options{.target_size = {8, 8}, .batch_size = 100};
  CHECK_THROWS_WITH(ImageDataGenerator().flow_from_directory(folder.path(), options).batch(0),
                    Contains("dogs/aa.bmp") && Contains("truncated"));
  auto skipping = options;
  skipping.on_error = OnError::skip;
  const auto dataset = ImageDataGenerator().flow_from_directory(folder.path(), skipping);
  CHECK(dataset.samples() == 8);
  CHECK(dataset.skipped().size() == 1);
  CHECK(dataset.batch(0).size() == 8);
}

TEST_CASE("directories that cannot be used are explained", "[data][directory]") {
  const PictureFolder folder;
  const auto load = [&](const std::string& name, FlowFromDirectoryOptions options = {}) {
    return ImageDataGenerator().flow_from_directory(folder / name, options);
  };
  CHECK_THROWS_WITH(load("absent"), Contains("absent") && Contains("does not exist"));
  CHECK_THROWS_WITH(load("dogs/a.png"), Contains("is not a directory"));
  CHECK_THROWS_WITH(load("dogs"), Contains("no class folders"));
  CHECK_THROWS_WITH(load("", {.classes = {"cats", "birds"}}), Contains("birds") && Contains("cats, dogs"));
  CHECK_THROWS_AS(load("", {.classes = {"cats", "cats"}}), ConfigError);
  CHECK_THROWS_WITH(load("", {.classes = {"cats"}, .class_mode = ClassMode::binary}),
                    Contains("exactly two class folders"));
  CHECK_THROWS_WITH(load("", {.classes = {"cats"}}), Contains("at least two"));
  CHECK_THROWS_AS(load("", {.target_size = {0, 4}}), ConfigError);
  CHECK_THROWS_AS(load("", {.limit = -1}), ConfigError);
  CHECK(load("", {.classes = {"cats"}, .class_mode = ClassMode::none}).samples() == 4);

  fs::create_directory(folder / "empty");
  CHECK_THROWS_WITH(load(""), Contains("no pictures") && Contains("empty"));
  CHECK_THROWS_WITH(image_dataset_from_directory(folder / "empty", {.label_mode = LabelMode::none}),
                    Contains("no pictures"));
  CHECK_THROWS_AS(image_dataset_from_directory(folder.path(),
                                               {.crop_to_aspect_ratio = true, .pad_to_aspect_ratio = true}),
                  ConfigError);
}

TEST_CASE("links to folders are followed on request, and never in circles", "[data][directory]") {
  const PictureFolder folder;
  fs::create_directory_symlink(folder / "dogs", folder / "cats/more");
  fs::create_directory_symlink(folder / "cats", folder / "cats/b/back");
  const auto count = [&](bool follow_links) {
    return ImageDataGenerator().flow_from_directory(folder.path(), {.follow_links = follow_links}).samples();
  };
  CHECK(count(false) == 8);
  CHECK(count(true) == 12);
}

TEST_CASE("the photographs load as the book uses them", "[data][directory][real]") {
  const char* data = std::getenv("STRATA_DATA");
  if (!data) STRATA_SKIP("STRATA_DATA is not set: no photographs");
  const std::string folder = std::string(data) + "/cats_vs_dogs/validation";
  if (!fs::is_directory(folder)) STRATA_SKIP("no photographs in " + folder);
  const auto dataset =
      ImageDataGenerator({.rescale = 1.0 / 255})
          .flow_from_directory(
              folder,
              {.target_size = {150, 150}, .batch_size = 20, .class_mode = ClassMode::binary, .limit = 50});
  CHECK(dataset.samples() == 100);
  CHECK(dataset.batches() == 5);
  CHECK(dataset.class_names() == std::vector<std::string>{"cats", "dogs"});
  PrefetchQueue queue(dataset, 0, 5, 4, 2);
  double sum = 0, labels = 0;
  while (const auto batch = queue.next()) {
    const auto x = network_input(*batch);
    for (const float value : x.values()) sum += value;
    for (const float label : batch->y.values()) labels += label;
  }
  CHECK(labels == 50);
  CHECK(sum / (100 * 150 * 150 * 3) == Approx(0.45).margin(0.1));
}
