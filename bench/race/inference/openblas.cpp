#include <cblas.h>
#include <unistd.h>

#include <cstdlib>

#include "../products.hpp"

int main(int argc, char** argv) {
#ifdef __x86_64__
  // Releases choose kernels without AVX-512 (Haswell's, Zen's, Prescott's) on CPUs that are younger than they
  // are; what they should choose is read as the library is loaded.
  const std::string chosen = openblas_get_corename();
  if (chosen != "SkylakeX" && chosen != "Cooperlake" && chosen != "SapphireRapids" &&
      __builtin_cpu_supports("avx512f") && !std::getenv("OPENBLAS_CORETYPE")) {
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
    execv("/proc/self/exe", argv);
  }
#endif
  std::istringstream words(openblas_get_config());  // OpenBLAS 0.3.21 and how it was built
  std::string version;
  words >> version >> version;
  return strata_bench::contend_by_products(
      argc, argv, version + " (" + openblas_get_corename() + ")",
      [](std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c) {
        const auto rows = static_cast<blasint>(m), columns = static_cast<blasint>(n),
                   depth = static_cast<blasint>(k);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, columns, depth, 1, a, depth, b, columns,
                    0, c, columns);
      });
}
