#include <catch2/catch.hpp>

#include <strata/core/error.hpp>
#include <strata/cpu/backend.hpp>
#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/cpu/planner.hpp>

#include "../bench/ops/convolution_layers.hpp"

using namespace strata;

namespace {

Conv2DGeometry same_3x3(std::int64_t batch, std::int64_t size, std::int64_t in_c, std::int64_t out_c) {
  return strata_bench::geometry_of({"", size, in_c, out_c}, batch);
}
cpu::ConvolutionPlan plan(const Conv2DGeometry& g, const cpu::PlanLimits& limits = {},
                          bool max_pool = false) {
  return cpu::plan_convolution({cpu::ConvolutionPass::forward, g, max_pool}, cpu::kernels(), limits);
}

}  // namespace

TEST_CASE("The planner takes Winograd where it saves, and no tile beyond the accuracy") {
  const Conv2DGeometry g = same_3x3(20, 75, 128, 128);
  CHECK(plan(g).tile > 4);
  const auto balanced = plan(g, {.accuracy = cpu::ConvolutionAccuracy::balanced});
  CHECK(balanced.tile >= 2);
  CHECK(balanced.tile <= 4);
  CHECK(plan(g, {.accuracy = cpu::ConvolutionAccuracy::exact}).tile == 0);
  CHECK(plan(same_3x3(20, 150, 3, 64)).tile == 0);  // transforms of three channels cost more than they save
}

TEST_CASE("The planner leaves to the direct way what Winograd cannot do") {
  Conv2DGeometry strided = same_3x3(20, 76, 128, 128);
  strided.stride_h = strided.stride_w = 2;
  strided.out_h = strided.out_w = 38;
  CHECK(plan(strided).tile == 0);
  Conv2DGeometry dilated = same_3x3(20, 75, 128, 128);
  dilated.dilation_h = dilated.dilation_w = dilated.pad_top = dilated.pad_left = 2;
  CHECK(plan(dilated).tile == 0);
  Conv2DGeometry five = same_3x3(20, 75, 128, 128);
  five.kernel_h = five.kernel_w = 5;
  five.pad_top = five.pad_left = 2;
  CHECK(plan(five).tile == 0);
}

TEST_CASE("The planner takes the kernels for few channels where they serve") {
  const cpu::KernelTable& kernels = cpu::kernels();
  const auto gradient = [&](const Conv2DGeometry& g) {
    return cpu::plan_convolution({cpu::ConvolutionPass::kernel_gradient, g}, kernels, {});
  };
  const auto input = [&](const Conv2DGeometry& g) {
    return cpu::plan_convolution({cpu::ConvolutionPass::input_gradient, g}, kernels, {});
  };
  const Conv2DGeometry rgb = same_3x3(20, 150, 3, 64);
  for (const auto& found : {plan(rgb), gradient(rgb), input(rgb)})
    CHECK(found.to_string() == "direct, few channels");
  Conv2DGeometry strided = rgb, dilated = rgb, narrow = rgb, many = same_3x3(20, 150, 9, 64);
  strided.stride_h = strided.stride_w = 2;
  strided.out_h = strided.out_w = 75;
  for (const auto& found : {plan(strided), gradient(strided), input(strided)}) CHECK(found.few_channels);
  dilated.dilation_w = dilated.pad_left = 2;
  narrow.in_w = narrow.out_w = 7;
  for (const Conv2DGeometry& g : {dilated, narrow, many})
    for (const auto& found : {plan(g), gradient(g), input(g)}) CHECK_FALSE(found.few_channels);
  CHECK_FALSE(input(same_3x3(20, 150, 3, 65)).few_channels);  // its output channels fill no vectors
}

TEST_CASE("A dense layer of few rows reads its weight as it lies, and takes the scratch it says") {
  const int threads = GENERATE(1, 3);
  const std::int64_t out = GENERATE(100, 3000);
  ThreadPool pool(threads);
  for (const std::int64_t rows : {1, 12, 13, 28, 29}) {
    cpu::Workspace workspace;
    cpu::CpuBackend backend(pool, workspace, cpu::kernels(), {});
    const DenseGeometry g{rows, 700, out};
    const Algorithm said = backend.describe_dense(g);
    const bool few = rows <= 2 * cpu::kernels().product.max_rows;
    CHECK((said.name == "direct, few rows") == few);
    CHECK((said.packed_bytes == 0) == few);
    const std::vector<float> x(static_cast<std::size_t>(rows * g.in)),
        kernel(static_cast<std::size_t>(g.in * out));
    std::vector<float> y(static_cast<std::size_t>(rows * out));
    backend.dense(g, x.data(), {kernel.data()}, {}, y.data());
    if (few) CHECK(static_cast<std::int64_t>(workspace.bytes()) == said.workspace_bytes);
  }
  ThreadPool one(1);
  cpu::Workspace workspace;
  const cpu::CpuBackend backend(one, workspace, cpu::kernels(), {});
  CHECK(backend.describe_dense({1, 700, cpu::kernels().panel() - 1}).name == "direct");
}

TEST_CASE("Pooled convolutions take even tiles") {
  for (const std::int64_t size : {9, 18, 37, 75})
    CHECK(plan(same_3x3(20, size, 256, 256), {}, true).tile % 2 == 0);
}

TEST_CASE("A memory limit leads to leaner plans") {
  const Conv2DGeometry g = same_3x3(20, 18, 512, 512);
  const cpu::ConvolutionPlan free = plan(g);
  REQUIRE(free.tile > 2);
  const std::int64_t limit = (free.weight_bytes + free.workspace_bytes) / 2;
  const cpu::ConvolutionPlan lean = plan(g, {.memory = limit});
  CHECK(lean.tile < free.tile);
  CHECK(lean.weight_bytes + lean.workspace_bytes <= limit);
  CHECK(plan(g, {.memory = 1}).tile == 0);
}

TEST_CASE("A device says what it is, and refuses what it is not") {
  CHECK(cpu::device({.threads = 2})->description() == concat("cpu (2 threads, ", cpu::kernels().name, ")"));
  CHECK(cpu::device({.threads = 1, .instruction_set = "baseline"})->description() ==
        "cpu (1 thread, baseline)");
  CHECK_THROWS_AS(cpu::device({.threads = -1}), ConfigError);
  CHECK_THROWS_WITH(cpu::device({.instruction_set = "mmx"}),
                    Catch::Contains("available here") && Catch::Contains("found 'mmx'"));
}

TEST_CASE("What a convolution says it needs is what it takes", "[planner]") {
  const int threads = GENERATE(1, 3);
  Conv2DGeometry g;
  g.batch = GENERATE(1, 5);
  g.in_h = g.in_w = GENERATE(9, 40);
  g.in_c = GENERATE(3, 40);
  g.out_c = GENERATE(16, 600);
  g.kernel_h = g.kernel_w = 3;
  g.out_h = g.out_w = g.in_h - 2;
  const Epilogue<float> epilogue{
      .activation = Activation{GENERATE(Activation::Kind::relu, Activation::Kind::gelu)},
      .max_pool_2x2 = GENERATE(false, true)};
  const auto accuracy = GENERATE(cpu::ConvolutionAccuracy::fast, cpu::ConvolutionAccuracy::exact);

  const bool changes = GENERATE(false, true);  // then the weight is packed in scratch memory

  ThreadPool pool(threads);
  cpu::Workspace workspace;
  cpu::CpuBackend backend(pool, workspace, cpu::kernels(), {.accuracy = accuracy});
  const Algorithm said = backend.describe_conv2d(g, epilogue);
  const std::vector<float> x(static_cast<std::size_t>(g.batch * g.in_h * g.in_w * g.in_c)),
      kernel(static_cast<std::size_t>(9 * g.in_c * g.out_c));
  std::vector<float> y(static_cast<std::size_t>(g.batch * g.out_h * g.out_w * g.out_c));
  PackedWeights packed;
  backend.conv2d(g, x.data(), {kernel.data(), 1, &packed, changes}, epilogue, y.data());
  INFO(said.name);
  const std::int64_t more = static_cast<std::int64_t>(workspace.bytes()) - said.workspace_bytes;
  CHECK(said.packed_bytes > 0);
  CHECK(more >= (changes ? said.packed_bytes : 0));
  CHECK(more <= (changes ? said.packed_bytes + 4096 : 0));  // a vector more at each of 64 points
}

TEST_CASE("A kernel far larger than the image takes the memory of one that meets it") {
  const std::int64_t groups = GENERATE(1, 2, 8);
  std::size_t kept = 0;
  std::int64_t said = 0;
  for (const std::int64_t taps : {33, 66663}) {  // 31 meet the image
    const Conv2DGeometry g{.batch = 2,
                           .in_h = 9,
                           .in_w = 16,
                           .in_c = 8,
                           .out_h = 9,
                           .out_w = 16,
                           .out_c = 8,
                           .kernel_h = 2,
                           .kernel_w = taps,
                           .pad_left = taps / 2,
                           .groups = groups};
    ThreadPool pool(2);
    cpu::Workspace workspace;
    cpu::CpuBackend backend(pool, workspace, cpu::kernels(), {});
    std::vector<float> x(9 * 16 * 16), y(x), kernel(static_cast<std::size_t>(2 * taps * 64 / groups));
    backend.conv2d(g, x.data(), {kernel.data()}, {}, y.data());
    backend.conv2d_backward_input(g, y.data(), {kernel.data()}, {x.data()});
    backend.conv2d_backward_kernel(g, x.data(), y.data(), {kernel.data()});
    const Algorithm algorithm = backend.describe_conv2d(g, {});
    CHECK(algorithm.packed_bytes == 0);
    if (kept == 0) kept = workspace.bytes(), said = algorithm.workspace_bytes;
    CHECK(workspace.bytes() == kept);
    CHECK(algorithm.workspace_bytes == said);
  }
}

TEST_CASE("The planner reads convolutions in lines where there are tiles, and packs what cannot be read so") {
  const cpu::KernelTable& kernels = cpu::kernels();
  if (kernels.bfloat16_tiles.max_rows == 0) return;  // no instruction set with tiles was compiled
  cpu::PlanLimits limits{.bfloat16 = &kernels.bfloat16_tiles};
  const Conv2DGeometry g = same_3x3(20, 75, 128, 128), rgb = same_3x3(20, 150, 3, 64);
  for (const bool max_pool : {false, true})
    for (const Conv2DGeometry& each : {g, rgb})
      CHECK(plan(each, limits, max_pool).to_string() == "direct, bfloat16 tiles in lines");
  CHECK(cpu::plan_convolution({cpu::ConvolutionPass::input_gradient, g}, kernels, limits).tile_lines);
  CHECK_FALSE(cpu::plan_convolution({cpu::ConvolutionPass::kernel_gradient, g}, kernels, limits).product);

  Conv2DGeometry strided = g, dilated = g;
  strided.stride_h = strided.stride_w = 2;
  strided.out_h = strided.out_w = 38;
  dilated.dilation_w = dilated.pad_left = 2;
  for (const Conv2DGeometry& each : {strided, dilated})
    CHECK(plan(each, limits).to_string() == "direct, bfloat16 tiles");
  Conv2DGeometry dense = g;  // of which a block of rows fills the cache alone
  dense.batch = 64, dense.in_h = dense.in_w = dense.out_h = dense.out_w = dense.kernel_h = dense.kernel_w = 1;
  dense.pad_top = dense.pad_left = 0, dense.in_c = 80'000;
  CHECK(plan(dense, limits).to_string() == "direct, bfloat16 tiles");

  limits.memory = plan(g, limits).weight_bytes;  // leaves nothing for scratch
  CHECK_FALSE(plan(g, limits).tile_lines);
}
