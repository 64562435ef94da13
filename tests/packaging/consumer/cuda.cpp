#include <cstdio>

#include <strata/cuda.hpp>

// Runs with and without a card.
int main() {
  const int count = strata::cuda::device_count();
  std::printf("%d cards\n", count);
  try {
    std::puts(strata::cuda::device()->description().c_str());
  } catch (const strata::DeviceError& error) {
    std::puts(error.what());
    return count == 0 ? 0 : 1;
  }
}
