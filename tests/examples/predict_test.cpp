#include <catch2/catch.hpp>

#define main feature_extraction_main
#include "../../examples/feature_extraction.cpp"
#undef main
#define main predict_main
#include "../../examples/predict.cpp"
#undef main

#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

namespace {

/// What the body prints.
std::string output_of(const std::vector<std::string>& words) {
  const TemporaryDirectory directory;
  const std::string file = directory / "out.txt";
  std::fflush(stdout);
  const int saved = dup(STDOUT_FILENO);
  std::FILE* const out = std::fopen(file.c_str(), "w");
  dup2(fileno(out), STDOUT_FILENO);
  std::exception_ptr thrown;
  try {
    call(predict, words);
  } catch (...) {
    thrown = std::current_exception();
  }
  std::fflush(stdout);
  dup2(saved, STDOUT_FILENO);
  close(saved);
  std::fclose(out);
  if (thrown) std::rethrow_exception(thrown);
  return read_file(file);
}

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> out;
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1)
    out.push_back(Json::parse(text.substr(begin, text.find('\n', begin) - begin)));
  return out;
}

}  // namespace

TEST_CASE("predict says of each picture what the model of feature_extraction does") {
  const TemporaryDirectory directory;
  call(feature_extraction, tiny_run(directory.path(), "run",
                                    {"--base", "tiny_darknet", "--weights", "random", "--input-size", "64",
                                     "--preprocess", "caffe"}));
  const std::string model = directory / "run/deploy.safetensors";
  const std::vector<std::string> pictures{directory / "pictures/test/kites/000.jpg",
                                          directory / "pictures/test/balloons/001.jpg"};

  // The base's features of the test pictures, through the head: the same probabilities.
  const Model head = load_model(directory / "run/model.safetensors");
  const Tensor<float> y = head.predict(load_npy<float>(directory / "run/test_features.npy"));
  const std::vector<Json> lines = lines_of(output_of({model, pictures[0], pictures[1], "--json"}));
  REQUIRE(lines.size() == 2);
  const std::int64_t rows[] = {2, 1};  // balloons/000, balloons/001, kites/000, kites/001
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(lines[i].get<std::string>("file") == pictures[i]);
    const Json& all = lines[i].at("predictions");
    REQUIRE(all.size() == 2);
    CHECK(all.at(std::size_t{0}).get<double>("probability") >=
          all.at(std::size_t{1}).get<double>("probability"));
    for (const Json& one : all.as_array()) {
      const auto index = one.get<std::int64_t>("index");
      CHECK(one.get<std::string>("label") == (index == 0 ? "balloons" : "kites"));
      CHECK(one.at("wnid").is_null());
      const double kite = y.data()[rows[i]];
      CHECK(one.get<double>("probability") == Approx(index == 1 ? kite : 1 - kite).margin(1e-5));
    }
  }

  const std::string text = output_of({model, pictures[0], "--top", "1"});
  CHECK_THAT(text, Catch::StartsWith(pictures[0] + "\n") && Contains(" %  "));
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);

  // A picture that cannot be read is named, the others are shown, and the program fails.
  const std::string broken = directory.write("broken.jpg", "no picture");
  CHECK_THROWS_WITH(output_of({model, pictures[0], broken, pictures[1]}), Contains("1 of 3 pictures"));

  CHECK_THROWS_WITH(call(predict, {}), Contains("MODEL PICTURES"));
  CHECK_THROWS_WITH(call(predict, {model}), Contains("found 1"));
  CHECK_THROWS_WITH(call(predict, {model, pictures[0], "--labels", "x"}), Contains("has its own"));
  CHECK_THROWS_WITH(call(predict, {model, pictures[0], "--top", "0"}), Contains("at least 1"));
  CHECK_THROWS_WITH(call(predict, {directory / "run/model.safetensors", pictures[0]}),
                    Contains("is no classifier"));
  CHECK_THROWS_WITH(call(predict, {directory / "none", pictures[0]}), Contains("none"));
}

TEST_CASE("Labels are read as Keras and Darknet write them") {
  const TemporaryDirectory directory;
  const std::string keras =
      directory.write("keras.json", R"({"0": ["n01", "tench"], "1": ["n02", "great white"]})");
  CHECK(read_labels(keras, 2)[1].name == "great white");
  CHECK(read_labels(keras, 2)[0].wnid == "n01");
  const std::string lines = directory.write("lines.txt", "n01440764 tench\r\nkit fox\nn0144076x y\nlater\n");
  const std::vector<Label> labels = read_labels(lines, 2);
  REQUIRE(labels.size() == 2);
  CHECK(labels[0].wnid == "n01440764");
  CHECK(labels[0].name == "tench");
  CHECK(labels[1].wnid.empty());
  CHECK(labels[1].name == "kit fox");
  CHECK(read_labels(lines, 4)[2].name == "n0144076x y");
  CHECK_THROWS_WITH(read_labels(lines, 5), Contains("expected 5 labels") && Contains("found 4"));
  CHECK_THROWS_WITH(read_labels(lines, 3), Contains("expected 3 labels"));  // a background class in front?
}
