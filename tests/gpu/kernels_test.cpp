#include <catch2/catch.hpp>

#include <strata/core/parallel.hpp>
#include <strata/cuda/kernels.hpp>

// Needs no card: the compiler is a library.

TEST_CASE("The kernels compile for every architecture from Turing to Blackwell") {
  const std::vector<int> capabilities = {75, 80, 86, 87, 89, 90, 100, 103, 120};
  std::vector<std::string> errors(capabilities.size());
  strata::ThreadPool pool(0);
  pool.run(static_cast<std::int64_t>(capabilities.size()), [&](std::int64_t i, int) {
    const auto at = static_cast<std::size_t>(i);
    try {
      if (strata::cuda::compile_kernels(capabilities[at]).size() < 100000) errors[at] = "no machine code";
    } catch (const strata::Error& error) {
      errors[at] = error.what();
    }
  });
  for (std::size_t i = 0; i < capabilities.size(); ++i) {
    INFO("compute capability " << capabilities[i]);
    CHECK(errors[i] == "");
  }
}

TEST_CASE("An architecture that there is not is an error with the compiler's words") {
  CHECK_THROWS_WITH(strata::cuda::compile_kernels(12), Catch::Contains("sm_12"));
}
