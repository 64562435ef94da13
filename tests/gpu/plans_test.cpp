#include <catch2/catch.hpp>

#include <strata/cuda/convolution_plan.hpp>
#include <strata/io/file.hpp>

#include "support/paths.hpp"

using namespace strata;
using namespace strata::cuda;

// Needs no card: cuDNN plans for one that a file describes, made with `device_properties`.

namespace {

struct Layer {
  std::int64_t size, in, out;
  bool padded = true;
};

/// The convolutions of VGG16 on pictures of `size`, and of the book's small convnets.
std::vector<Layer> layers(std::int64_t size) {
  std::vector<Layer> out;
  std::int64_t at = size, channels = 3;
  for (const auto& [filters, count] : {std::pair<int, int>{64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}}) {
    for (int i = 0; i < count; ++i) {
      out.push_back({at, channels, filters});
      channels = filters;
    }
    at /= 2;
  }
  at = size, channels = 3;
  for (const std::int64_t filters : {32, 64, 128, 256}) {
    out.push_back({at, channels, filters, false});
    at = (at - 2) / 2, channels = filters;
  }
  return out;
}

}  // namespace

TEST_CASE("cuDNN has a plan for every convolution of the book on an H200") {
  const Descriptor card =
      device_properties(read_file(strata_test::source_folder() + "/tests/support/cards/h200.json"));
  int found = 0;
  for (const bool tf32 : {false, true})
    for (const ConvolutionPass pass : {ConvolutionPass::forward, ConvolutionPass::forward_bias_relu,
                                       ConvolutionPass::backward_input, ConvolutionPass::backward_kernel})
      for (const std::int64_t size : {150, 180, 224})
        for (const std::int64_t batch : {1, 8, 20, 32, 64, 128, 256})
          for (const Layer& layer : layers(size)) {
            const std::int64_t out = layer.padded ? layer.size : layer.size - 2, pad = layer.padded ? 1 : 0;
            const Conv2DGeometry g{.batch = batch,
                                   .in_h = layer.size,
                                   .in_w = layer.size,
                                   .in_c = layer.in,
                                   .out_h = out,
                                   .out_w = out,
                                   .out_c = layer.out,
                                   .kernel_h = 3,
                                   .kernel_w = 3,
                                   .pad_top = pad,
                                   .pad_left = pad};
            const auto plan =
                ConvolutionPlan::find({pass, g, tf32, std::int64_t{1} << 30}, {.properties = &card});
            INFO("pass " << static_cast<int>(pass) << ", tf32 " << tf32 << ", batch " << batch << ", "
                         << layer.size << "x" << layer.size << ", " << layer.in << " to " << layer.out
                         << " channels");
            CHECK(plan.has_value());
            if (!plan) continue;
            CHECK(plan->workspace_bytes() <= std::int64_t{1} << 30);
            ++found;
          }
  CHECK(found == 2 * 4 * 3 * 7 * 17);
}

TEST_CASE("Of a geometry that contradicts itself cuDNN says what is wrong") {
  const Descriptor card =
      device_properties(read_file(strata_test::source_folder() + "/tests/support/cards/h200.json"));
  Conv2DGeometry g{.batch = 1,
                   .in_h = 8,
                   .in_w = 8,
                   .in_c = 6,
                   .out_h = 8,
                   .out_w = 8,
                   .out_c = 6,
                   .kernel_h = 3,
                   .kernel_w = 3,
                   .pad_top = 1,
                   .pad_left = 1};
  CHECK(ConvolutionPlan::find({ConvolutionPass::forward, g}, {.properties = &card}).has_value());
  g.out_h = 5;  // not what 8 rows and that padding give
  CHECK_THROWS_WITH(ConvolutionPlan::find({ConvolutionPass::forward, g}, {.properties = &card}),
                    Catch::Contains("CUDNN_STATUS_BAD_PARAM"));
  CHECK_THROWS_AS(device_properties(std::string("{}")), DeviceError);
}
