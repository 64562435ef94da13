#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <thread>

#include <strata/core/error.hpp>
#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/cpu/tuning.hpp>
#include <strata/io/file.hpp>
#include <strata/tensor/backend.hpp>

#include "../bench/ops/convolution_layers.hpp"
#include "support/random_values.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;
using cpu::ConvolutionPass, cpu::ConvolutionTask;
using strata_test::random_values, strata_test::relative_error;

namespace {

Conv2DGeometry convolution(std::int64_t batch, std::int64_t size, std::int64_t in_c, std::int64_t out_c,
                           std::int64_t kernel = 3) {
  return strata_bench::geometry_of({"", size, in_c, out_c, kernel}, batch);
}

/// The result of a pass on `device`.
std::vector<float> result_of(const ConvolutionTask& task, const DevicePtr& device) {
  const Conv2DGeometry& g = task.geometry;
  const auto x = random_values(g.batch * g.in_h * g.in_w * g.in_c, 1),
             dy = random_values(g.batch * g.out_h * g.out_w * g.out_c, 2),
             kernel = random_values(g.kernel_h * g.kernel_w * g.in_c * g.out_c, 3);
  const auto backend = device->make_backend<float>();
  std::vector<float> out(task.pass == ConvolutionPass::forward          ? dy.size() / (task.max_pool ? 4 : 1)
                         : task.pass == ConvolutionPass::input_gradient ? x.size()
                                                                        : kernel.size());
  if (task.pass == ConvolutionPass::forward)
    backend->conv2d(g, x.data(), {kernel.data()}, {.max_pool_2x2 = task.max_pool}, out.data());
  else if (task.pass == ConvolutionPass::input_gradient)
    backend->conv2d_backward_input(g, dy.data(), {kernel.data()}, {out.data()});
  else
    backend->conv2d_backward_kernel(g, x.data(), dy.data(), {out.data()});
  return out;
}

const std::string title = "Strata's choices of ways to compute convolutions\n";

/// A file of choices for this machine.
std::string file_with(const TemporaryDirectory& folder, const std::string& key, const std::string& way) {
  return folder.write("choices.txt",
                      concat(title, cpu::machine_name(cpu::kernels()), "\t", key, "\t", way, "\n"));
}
std::string file_with(const TemporaryDirectory& folder, const ConvolutionTask& task, const std::string& way) {
  return file_with(folder, cpu::choice_key(task, {}), way);
}

const ConvolutionTask tasks[] = {{ConvolutionPass::forward, convolution(2, 14, 24, 40), false},
                                 {ConvolutionPass::forward, convolution(2, 14, 24, 40), true},
                                 {ConvolutionPass::forward, convolution(2, 14, 3, 32), false},
                                 {ConvolutionPass::forward, convolution(12, 1, 300, 128, 1), false},
                                 {ConvolutionPass::input_gradient, convolution(2, 14, 24, 40), false},
                                 {ConvolutionPass::input_gradient, convolution(2, 14, 3, 32), false},
                                 {ConvolutionPass::kernel_gradient, convolution(2, 14, 24, 40), false},
                                 {ConvolutionPass::kernel_gradient, convolution(2, 14, 3, 32), false}};

}  // namespace

TEST_CASE("Every way that may be chosen computes the convolution") {
  for (const ConvolutionTask& task : tasks) {
    const auto reference = result_of(task, strata_test::reference_device());
    const std::vector<double> expected(reference.begin(), reference.end());
    const auto plans = cpu::convolution_plans(task, cpu::kernels(), {});
    CHECK(plans.size() >= 2);
    std::vector<std::string> ways;
    for (const auto& plan : plans) {
      const TemporaryDirectory folder;
      const std::string path = file_with(folder, task, plan.way());
      CAPTURE(cpu::choice_key(task, {}), plan.way());
      CHECK(std::find(ways.begin(), ways.end(), plan.way()) == ways.end());
      ways.push_back(plan.way());
      const auto device = cpu::device({.threads = 2, .autotune = path});
      CHECK(relative_error(result_of(task, device), expected) < 1e-5);
      CHECK_THAT(device->tuning(), Contains(concat("\n", cpu::choice_key(task, {}), "\t", plan.way(), "\n")));
    }
  }
}

TEST_CASE("A choice is what computes, and what a plan shows") {
  const ConvolutionTask& task = tasks[0];
  std::vector<std::vector<float>> results;
  for (const std::string& way :
       {std::string("direct"), std::string("winograd 2"), std::string("winograd 6")}) {
    const TemporaryDirectory folder;
    const auto device = cpu::device({.autotune = file_with(folder, task, way)});
    CHECK_THAT(device->make_backend<float>()->describe_conv2d(task.geometry, {}).name,
               Contains(way == "direct" ? way : "winograd F(" + way.substr(9)));
    results.push_back(result_of(task, device));
  }
  CHECK(results[0] == result_of(task, cpu::device({.accuracy = cpu::ConvolutionAccuracy::exact})));
  CHECK(results[0] != results[1]);
  CHECK(results[1] != results[2]);
}

TEST_CASE("What is measured is kept, whatever the threads, and not measured again") {
  const TemporaryDirectory folder;
  const std::string path = folder / "choices.txt";
  std::vector<std::vector<float>> first;
  {
    const auto device = cpu::device({.threads = 2, .autotune = path});
    for (const ConvolutionTask& task : tasks) first.push_back(result_of(task, device));
  }
  const std::string kept = read_file(path);
  for (const ConvolutionTask& task : tasks) {
    const auto plans = cpu::convolution_plans(task, cpu::kernels(), {});
    const std::string key =
        concat("\n", cpu::machine_name(cpu::kernels()), "\t", cpu::choice_key(task, {}), "\t");
    const auto at = kept.find(key);
    REQUIRE(at != kept.npos);
    const std::string way = kept.substr(at + key.size(), kept.find('\n', at + 1) - at - key.size());
    CHECK(std::any_of(plans.begin(), plans.end(), [&](const auto& plan) { return plan.way() == way; }));
  }
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  std::filesystem::permissions(folder.path(),
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  for (const int threads : {1, 3}) {
    const auto device = cpu::device({.threads = threads, .autotune = path});
    for (std::size_t i = 0; i < std::size(tasks); ++i) CHECK(result_of(tasks[i], device) == first[i]);
  }
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  CHECK(read_file(path) == kept);
}

TEST_CASE("Choices of other machines, and of programs that write meanwhile, stay in the file") {
  const TemporaryDirectory folder;
  const std::string others = "another machine\tforward\tdirect\n";
  const std::string path = folder.write("choices.txt", title + others);
  const auto one = cpu::device({.autotune = path}), other = cpu::device({.autotune = path});
  result_of(tasks[0], one);
  result_of(tasks[4], other);
  const std::string all = read_file(path);
  CHECK_THAT(all, Catch::StartsWith(title) && Contains(others));
  CHECK(std::count(all.begin(), all.end(), '\n') == 4);
}

TEST_CASE("Threads that meet a convolution at once measure it once") {
  const TemporaryDirectory folder;
  const auto device = cpu::device({.threads = 2, .autotune = folder / "choices.txt"});
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&result, &device] { result = result_of(tasks[1], device); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) CHECK(result == results[0]);
}

TEST_CASE("A file of choices that is none is refused, and a way that there is not is not taken") {
  const TemporaryDirectory folder;
  const auto device_of = [&](const std::string& text) {
    return cpu::device({.autotune = folder.write("choices.txt", text)});
  };
  for (const std::string& text : {std::string("weights"), std::string(), title + "forward winograd 6\n",
                                  title + "forward\tdirect", title + "\n"})
    CHECK_THROWS_WITH(device_of(text), Contains("choices.txt"));
  CHECK_THROWS_AS(cpu::device({.autotune = folder.path()}), DataError);
  CHECK(result_of(tasks[0], cpu::device({.autotune = file_with(folder, tasks[0], "by magic")})) ==
        result_of(tasks[0], cpu::device()));
  // A limit of memory excludes what was chosen without it.
  CHECK(result_of(tasks[0],
                  cpu::device({.memory_limit = 1, .autotune = file_with(folder, tasks[0], "winograd 6")})) ==
        result_of(tasks[0], cpu::device({.accuracy = cpu::ConvolutionAccuracy::exact})));
}

TEST_CASE("What a device chose can be restored on another") {
  const TemporaryDirectory folder;
  const auto chosen = cpu::device({.autotune = file_with(folder, tasks[0], "winograd 2")});
  const auto expected = result_of(tasks[0], chosen);
  const auto plain = cpu::device();
  CHECK(plain->tuning().empty());
  CHECK(result_of(tasks[0], plain) != expected);
  plain->restore_tuning(chosen->tuning());
  CHECK(result_of(tasks[0], plain) == expected);
  CHECK(plain->tuning() == chosen->tuning());
  CHECK_THROWS_AS(plain->restore_tuning("choices"), DataError);
  CHECK(result_of(tasks[0], plain) == expected);

  // Nothing was chosen where nothing is restored, and nothing will be.
  const auto measuring = cpu::device({.autotune = folder / "new.txt"});
  measuring->restore_tuning("");
  CHECK(result_of(tasks[0], measuring) == result_of(tasks[0], cpu::device()));
  CHECK(measuring->tuning().empty());
  CHECK_FALSE(file_exists(folder / "new.txt"));

  const auto reference = strata_test::reference_device();
  reference->restore_tuning("");
  CHECK_THROWS_WITH(reference->restore_tuning(chosen->tuning()), Contains("another kind of device"));
}
