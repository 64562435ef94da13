#include <catch2/catch.hpp>

#define main make_subset_main
#include "../../examples/make_subset.cpp"
#undef main

#include <strata/data/image_data_generator.hpp>

#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

namespace {

/// A one-pixel picture whose value tells pictures apart.
void write_picture(const std::string& path, int value) {
  Tensor<std::uint8_t> pixel({1, 1, 3});
  pixel.data()[0] = static_cast<std::uint8_t>(value);
  std::ofstream(path, std::ios::binary) << encode_png(pixel);
}

/// cat.0.png, dog.0.png, ... as Kaggle has them.
std::string kaggle_folder(const TemporaryDirectory& directory, int count) {
  std::string folder = directory / "kaggle";
  make_directories(folder);
  for (int i = 0; i < count; ++i)
    for (const char* label : {"cat", "dog"}) write_picture(concat(folder, "/", label, ".", i, ".png"), i);
  return folder;
}

std::vector<std::string> names(const std::string& folder) {
  std::vector<std::string> out;
  for (const DirectoryEntry& entry : list_directory(folder)) out.push_back(entry.name);
  return out;
}

std::vector<std::string> small(std::vector<std::string> more) {
  std::vector<std::string> out{"--train", "9", "--validation", "2", "--test", "1"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace

TEST_CASE("make_subset takes the book's numbers of pictures, by number") {
  const TemporaryDirectory directory;
  const std::string data = kaggle_folder(directory, 12), run = directory / "run";
  call(make_subset, small({"--data", data, "--run-dir", run + "/"}));
  CHECK(names(run + "/train/cat") == std::vector<std::string>{"cat.0.png", "cat.1.png", "cat.2.png",
                                                              "cat.3.png", "cat.4.png", "cat.5.png",
                                                              "cat.6.png", "cat.7.png", "cat.8.png"});
  CHECK(names(run + "/validation/dog") == std::vector<std::string>{"dog.10.png", "dog.9.png"});
  CHECK(names(run + "/test/dog") == std::vector<std::string>{"dog.11.png"});
  CHECK(fs::hard_link_count(run + "/train/cat/cat.0.png") == 2);
  CHECK(names(directory.path()) == std::vector<std::string>{"kaggle", "run"});
  // The loaders read it.
  const auto train = ImageDataGenerator().flow_from_directory(run + "/train", {.target_size = {1, 1}});
  CHECK(train.class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(train.samples() == 18);
  const Json config = Json::parse(read_file(run + "/subset.json"));
  CHECK(config.get<std::int64_t>("train") == 9);

  call(make_subset, small({"--data", data, "--run-dir", directory / "copies", "--copy"}));
  CHECK(fs::hard_link_count(directory / "copies/test/cat/cat.11.png") == 1);
  CHECK((read_file(directory / "copies/test/cat/cat.11.png") == read_file(data + "/cat.11.png")));
}

TEST_CASE("make_subset has the ranges of both editions") {
  const TemporaryDirectory directory;
  const std::string data = kaggle_folder(directory, 2500);
  for (const auto& [edition, last] : {std::pair{"1", 1999}, std::pair{"2", 2499}}) {
    const std::string run = directory / edition;
    call(make_subset, {"--data", data, "--run-dir", run, "--edition", edition});
    for (const std::string label : {"cat", "dog"})
      for (const auto& [subset, begin, end] :
           {std::tuple{"train", 0, 999}, {"validation", 1000, 1499}, {"test", 1500, last}}) {
        const std::string folder = concat(run, "/", subset, "/", label);
        CHECK(names(folder).size() == static_cast<std::size_t>(end - begin + 1));
        CHECK(exists(concat(folder, "/", label, ".", begin, ".png")));
        CHECK(exists(concat(folder, "/", label, ".", end, ".png")));
      }
  }
}

TEST_CASE("make_subset reads class folders and leaves out what is no picture") {
  const TemporaryDirectory directory;
  for (const std::string label : {"Cat", "Dog"}) {
    make_directories(directory / ("pets/" + label));
    for (int i = 0; i < 14; ++i) write_picture(concat(directory.path(), "/pets/", label, "/", i, ".png"), i);
  }
  directory.write("pets/Cat/2.png", "");
  directory.write("pets/Cat/Thumbs.db", "no picture");
  directory.write("pets/readme.txt", "no picture");
  const std::string run = directory / "run";
  call(make_subset, small({"--data", directory / "pets", "--run-dir", run}));
  CHECK(names(run + "/validation/Cat") == std::vector<std::string>{"10.png", "11.png"});
  CHECK(names(run + "/validation/Dog") == std::vector<std::string>{"10.png", "9.png"});
  CHECK_FALSE(exists(run + "/train/Cat/2.png"));
}

TEST_CASE("make_subset replaces nothing but a subset, and only where it may") {
  const TemporaryDirectory directory;
  const std::string data = kaggle_folder(directory, 12), run = directory / "run";
  const auto make = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = small({"--data", data, "--run-dir", run});
    words.insert(words.end(), more.begin(), more.end());
    call(make_subset, words);
  };
  make_directories(run);  // empty, it is in nobody's way
  make({});
  CHECK_THROWS_AS(make({}), examples::UsageError);
  CHECK_THROWS_WITH(make({}), Contains("'" + run + "' exists") && Contains("--overwrite"));

  // What fails leaves the old one, and nothing else.
  CHECK_THROWS_WITH(make({"--overwrite", "--test", "2"}),
                    Contains("expected 13 pictures of 'cat', found 12") && Contains("--train"));
  CHECK(names(run + "/train/cat").size() == 9);
  CHECK(names(directory.path()) == std::vector<std::string>{"kaggle", "run"});

  make({"--overwrite", "--train", "3"});
  CHECK(names(run + "/train/cat").size() == 3);
  CHECK(names(run + "/validation/cat") == std::vector<std::string>{"cat.3.png", "cat.4.png"});
  CHECK(names(directory.path()) == std::vector<std::string>{"kaggle", "run"});

  directory.write("run/notes.txt", "mine");
  CHECK_THROWS_WITH(make({"--overwrite"}), Contains("'notes.txt' in it is not of a subset"));
  CHECK(exists(run + "/notes.txt"));
  make_directories(directory / "other");
  directory.write("other/thesis.txt", "mine");
  CHECK_THROWS_WITH(make({"--overwrite", "--run-dir", directory / "other"}),
                    Contains("make_subset has not made it"));
  CHECK(exists(directory / "other/thesis.txt"));
}

TEST_CASE("make_subset says what it expected") {
  const TemporaryDirectory directory;
  const auto from = [&](const std::string& data) {
    call(make_subset, {"--data", directory / data, "--run-dir", directory / "run"});
  };
  CHECK_THROWS_WITH(from("none"), Contains("none"));
  make_directories(directory / "empty");
  CHECK_THROWS_WITH(from("empty"), Contains("two classes or more") && Contains("found none"));
  make_directories(directory / "one");
  write_picture(directory / "one/cat.0.png", 0);
  CHECK_THROWS_WITH(from("one"), Contains("found only 'cat'"));
  write_picture(directory / "one/holiday.png", 0);
  CHECK_THROWS_WITH(from("one"), Contains("names like cat.0.jpg") && Contains("found 'holiday.png'"));
  make_directories(directory / "split/train");
  CHECK_THROWS_WITH(from("split"), Contains("has a folder 'train'"));
  CHECK_THROWS_WITH(call(make_subset, {"--train", "0"}), Contains("at least 1"));
  CHECK_FALSE(fs::exists(directory / "run"));
  CHECK_FALSE(fs::exists(directory / "run.partial"));
}

TEST_CASE("make_subset draws pictures where it is given none") {
  const TemporaryDirectory directory;
  call(make_subset, {"--run-dir", directory / "run"});
  const auto data =
      ImageDataGenerator().flow_from_directory(directory / "run/train", {.target_size = {32, 32}});
  CHECK(data.class_names() == std::vector<std::string>{"balloon", "kite"});
  CHECK(data.samples() == 20);
  CHECK(data.batch(0).pixels.shape() == Shape{20, 32, 32, 3});
  CHECK_FALSE(fs::exists(directory / "run/drawn"));
}
