#include "support/fake_cuda/words.hpp"

std::vector<emulator::Kernel>& emulator::kernels() {
  static std::vector<Kernel> all;
  return all;
}

#include "kernel_list.inc"  // by CMake: kernels/*.cu
