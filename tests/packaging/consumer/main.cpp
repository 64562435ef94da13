#include <cmath>
#include <cstdio>

#include "answer.hpp"

double second();

int main() {
#ifdef SECOND_NEEDS_AVX2
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    std::puts("this CPU has no AVX2");
    return 77;
  }
#endif
  const double here = answer(), there = second();
  std::printf("%.9g %.9g\n", here, there);
  return std::isfinite(here) && std::abs(here - there) <= 1e-5 * std::abs(here) ? 0 : 1;
}
