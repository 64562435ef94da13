#include <cstdio>
#include <cstdlib>

#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>

#include "support/conformance/conformance.hpp"

using namespace strata_test;
using strata::cpu::ConvolutionAccuracy;

TEST_CASE("The CPU device conforms with every instruction set of this processor") {
  for (const strata::cpu::KernelTable* kernels : strata::cpu::available_kernels()) {
    const bool best = kernels == &strata::cpu::kernels();
    const auto device = [&](int threads) {
      return strata::cpu::device({.threads = threads, .instruction_set = kernels->name});
    };
    for (const ConformanceGroup& group : conformance_groups)
      DYNAMIC_SECTION(kernels->name << ' ' << group.name) {
        check_conformance(device(2), group, {.large = best, .variants = {device(1), device(3)}});
      }
    DYNAMIC_SECTION(kernels->name << " NaN, packed weights, dropout") {
      check_nan_propagation(device(2));
      check_packed_weights(device(2));
      check_dropout_mask(device(2));
    }
  }
}

TEST_CASE("Convolutions keep to the accuracy that was asked for") {
  const auto convolution = conformance_groups[0];
  check_conformance(strata::cpu::device({.threads = 2, .accuracy = ConvolutionAccuracy::balanced}),
                    convolution, {.tolerance = 3e-6});
  check_conformance(strata::cpu::device({.threads = 2, .accuracy = ConvolutionAccuracy::exact}), convolution,
                    {.tolerance = 5e-7});
}

TEST_CASE("Images that share tiles give the same results") {
  check_conformance(strata::cpu::device({.threads = 2, .share_tiles = true}), conformance_groups[0],
                    {.variants = {strata::cpu::device({.threads = 1, .share_tiles = true})}});
}

// Hidden from a run of all tests, which has these cases already: bench/tune asks for those of one kernel.
TEST_CASE("The cases that STRATA_CASES names conform with every instruction set", "[.]") {
  const char* only = std::getenv("STRATA_CASES");
  REQUIRE(only);
  int count = 0;
  for (const strata::cpu::KernelTable* kernels : strata::cpu::available_kernels()) {
    INFO(kernels->name);
    const bool best = kernels == &strata::cpu::kernels();
    const auto device = [&](int threads) {
      return strata::cpu::device({.threads = threads, .instruction_set = kernels->name});
    };
    for (const ConformanceGroup& group : conformance_groups)
      count += check_conformance(device(2), group,
                                 {.large = best, .variants = {device(1), device(3)}, .only = only});
  }
  REQUIRE(count > 0);
}

TEST_CASE("The names of all conformance cases, a line each", "[.]") {
  int count = 0;
  Cases cases(
      [&](const Case& c) {
        std::printf("%s %s\n", c.primitive.c_str(), c.description.c_str());
        ++count;
      },
      true);
  for (const ConformanceGroup& group : conformance_groups) group.cases(cases);
  REQUIRE(count > 0);
}
