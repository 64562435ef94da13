#pragma once

#include <cmath>

#include "support/fake_cuda/emulator.hpp"

// CUDA's words for the emulator. Kernels come after this, and nothing else should.

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __shared__ static thread_local  // a block stays on one thread of the host

#define threadIdx (emulator::place->thread)
#define blockIdx (emulator::place->block)
#define blockDim (emulator::place->threads)
#define gridDim (emulator::place->blocks)

#define STRATA_KERNEL(name, Parameters)                                                              \
  static void name(const Parameters& p);                                                             \
  [[maybe_unused]] static const bool name##_added = emulator::add(                                   \
      {#name, sizeof(Parameters), [](const void* p) { name(*static_cast<const Parameters*>(p)); }}); \
  static void name(const Parameters& p)

inline void __syncthreads(unsigned line = __builtin_LINE()) {
  emulator::wait_for_block(line);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, unsigned line = __builtin_LINE()) {
  return emulator::exchange_value(mask, value, unsigned(lane) % 32, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, unsigned line = __builtin_LINE()) {
  return emulator::exchange_value(mask, value, emulator::own_lane() ^ unsigned(bits), line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, unsigned line = __builtin_LINE()) {
  const unsigned own = emulator::own_lane(), other = own + distance;
  return emulator::exchange_value(mask, value, other < 32 ? other : own, line);
}

// Products and sums that must not become one fused operation (-ffp-contract=off).
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
