#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <cmath>

#include <strata/strata.hpp>

#include "support/paths.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

/// The probe of a model as it is now; what weights/convert computes with NumPy.
std::string probe_of(const Model& model, const Tensor<float>& x) {
  Json layers = Json::array();
  auto nodes = model.model().graph().nodes();
  for (std::size_t count = 2; count <= nodes.size(); ++count) {
    std::vector<Layer> front;
    for (std::size_t i = 0; i < count; ++i) front.push_back(Layer(nodes[i].layer));
    const Tensor<float> y = Sequential(front).predict(x);
    double sum = 0, squares = 0;
    for (const float value : y.values()) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
    Json samples = Json::array();
    for (std::size_t k = 0; k < 16; ++k) samples.push_back(y.values()[(2 * k + 1) * y.values().size() / 32]);
    layers.push_back(Json::object({{"name", front.back().name()},
                                   {"shape", Json::array(y.shape())},
                                   {"mean", sum / static_cast<double>(y.size())},
                                   {"l2", std::sqrt(squares)},
                                   {"samples", std::move(samples)}}));
  }
  const Json input = Json::object({{"shape", Json::array(x.shape())}, {"low", -1}, {"high", 1}});
  return Json::object({{"format", "strata-probe/1"}, {"input", input}, {"layers", std::move(layers)}}).dump();
}

Tensor<float> probe_input(const Shape& shape) {
  Tensor<float> x(shape);
  for (std::size_t i = 0; i < x.values().size(); ++i)
    x.values()[i] = static_cast<float>(-1 + 2 * (static_cast<std::uint32_t>(i * 2654435761U) * 0x1p-32));
  return x;
}

}  // namespace

TEST_CASE("verify names the first layer that differs from the probe") {
  const TemporaryDirectory folder;
  Model model = applications::TinyDarknet(
      {.include_top = false, .input_shape = {32, 48, 3}, .weights = "random", .seed = 1});
  const std::string probe = folder.write("probe.json", probe_of(model, probe_input({1, 32, 48, 3})));

  // Any input size does: the layers are the same.
  Model larger = applications::TinyDarknet({.input_shape = {64, 64, 3}, .weights = "random", .seed = 1});
  const auto deviations = applications::verify(larger, probe);
  CHECK(deviations.size() == 19);
  for (const auto& deviation : deviations) CHECK(deviation.relative < 1e-5);

  auto kernel = model.layer("conv7").weights()[0];
  kernel->mutate()(0, 0, 5, 3) += 0.2F;
  CHECK_THROWS_WITH(applications::verify(model, probe),
                    Contains("layer 'conv7' is the first that differs") && Contains(probe));
  kernel->mutate()(0, 0, 5, 3) = std::nanf("");
  CHECK_THROWS_WITH(applications::verify(model, probe), Contains("layer 'conv7'"));
  CHECK_THROWS_AS(applications::verify(model, folder.write("none.json", "{}")), DataError);
  CHECK_THROWS_WITH(applications::verify<float>(Sequential({Input({.shape = {4, 4, 3}}), Flatten()}), probe),
                    Contains("has none of the layers"));
}

TEST_CASE("A hostile probe is refused") {
  const TemporaryDirectory folder;
  const Sequential model{Input({.shape = {2}}), Dense({.units = 3, .name = "d"})};
  const auto verify = [&](const std::string& shape, const std::string& result, const std::string& samples) {
    const std::string probe = R"({"format":"strata-probe/1","input":{"shape":)" + shape +
                              R"(,"low":-1,"high":1},"layers":[{"name":"d","shape":)" + result +
                              R"(,"mean":0,"l2":1,"samples":)" + samples + "}]}";
    return applications::verify<float>(model, folder.write("probe.json", probe), 1e9);
  };
  CHECK(verify("[1,2]", "[1,3]", "[0,0,0,0,0,0,0]").size() == 1);  // more samples than values
  for (const char* shape : {"[0,2]", "[]", "[1000000000000,2]", "[9223372036854775807,9223372036854775807]"})
    CHECK_THROWS_AS(verify(shape, "[0,3]", "[0]"), Error);
  CHECK_THROWS_WITH(verify("[0,2]", "[0,3]", "[0]"),
                    Contains("expected a probe input of 1 to 67108864 elements, found shape [0,2]"));
  const Input a({.shape = {2}}), b({.shape = {2}});
  const Model two({.inputs = {a, b}, .outputs = {Add({.name = "d"})({a, b})}});
  CHECK_THROWS_WITH(applications::verify(two, folder / "probe.json"), Contains("models of one input"));
}

TEST_CASE("The real Tiny Darknet weights give what their committed probe says", "[slow]") {
  const char* data = std::getenv("STRATA_DATA");
  if (!data) STRATA_SKIP("STRATA_DATA is not set: no real Tiny Darknet weights");
  const TemporaryDirectory folder;
  const std::string source = strata_test::source_folder(), file = folder / "tiny.safetensors",
                    tiny = std::string(data) + "/tiny_darknet/tiny";
  const std::string command = "bash '" + source + "/weights/convert' '" + tiny + ".weights' '" + file +
                              "' --cfg '" + tiny + ".cfg' >/dev/null 2>&1";
  REQUIRE(std::system(command.c_str()) == 0);
  const Model model = applications::TinyDarknet({.weights = file});
  // The file's 1,046,488 numbers, less gamma, mean and variance of 2,192 normalised channels.
  CHECK(model.count_params() == 1'046'488 - 3 * 2'192);
  CHECK(applications::verify(model, source + "/weights/tiny_darknet.probe.json").size() == 20);
  const Model base =
      applications::TinyDarknet({.include_top = false, .input_shape = {150, 150, 3}, .weights = file});
  CHECK(base.output_shape() == Shape{10, 10, 128});
  CHECK_THROWS_WITH(applications::VGG16({.include_top = false, .weights = file}),
                    Contains("0 of 26 match") && Contains("unexpected: conv1/"));
}

TEST_CASE("Pretrained weights that are not there come with the command that brings them") {
  const TemporaryDirectory folder;
  setenv("STRATA_HOME", folder.path().c_str(), 1);
  CHECK_THROWS_WITH(
      applications::VGG16({.include_top = false, .weights = "imagenet"}),
      Contains(folder.path() + "/vgg16_notop.safetensors") && Contains("bash weights/fetch vgg16_notop"));
  CHECK_THROWS_WITH(applications::TinyDarknet({.input_shape = {8, 8, 3}}),
                    Contains("at least 16 rows and columns, found [8,8,3]"));
  CHECK_THROWS_WITH(applications::VGG19({.input_shape = {150, 150, 3}}),
                    Contains("with its top the network takes [224,224,3]"));
}

TEST_CASE("Without .weights a network takes ImageNet's where they are, and says what it found") {
  const TemporaryDirectory folder;
  setenv("STRATA_HOME", folder.path().c_str(), 1);
  const auto network = [](const std::string& weights) {
    return applications::TinyDarknet(
        {.include_top = false, .input_shape = {32, 32, 3}, .weights = weights, .seed = 3});
  };
  const std::string file = folder.path() + "/tiny_darknet.safetensors";
  // Whatever the process says on stderr meanwhile.
  const auto said = [&](auto run) {
    const std::string log = folder / "stderr.txt";
    std::fflush(stderr);
    const int old = dup(2), to = open(log.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(to, 2);
    run();
    std::fflush(stderr);
    dup2(old, 2);
    close(to), close(old);
    return read_file(log);
  };

  const Model random = network("random");
  Model found;
  CHECK_THAT(said([&] { found = network(""); }),
             Contains("warning: [tiny_darknet] the ImageNet weights are not at '" + file) &&
                 Contains("bash weights/fetch tiny_darknet. They are random now"));
  CHECK(found.get_weights() == random.get_weights());
  CHECK(said([&] { found = network("random"); }).empty());

  Model published = random.clone();
  published.layer("conv7").weights()[0]->mutate()(0, 0, 5, 3) += 1;
  save_weights(published, file);
  CHECK(said([&] { found = network(""); }) == "[tiny_darknet] ImageNet weights from '" + file + "'\n");
  CHECK(found.get_weights() == published.get_weights());
  CHECK(said([&] { found = network("random"); }).empty());
  CHECK(found.get_weights() == random.get_weights());
}
