#pragma once

#include <vector_types.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

// Runs kernels on the host: the blocks of a grid on all its cores, the threads of a block as fibers that
// switch only where they wait for each other.

namespace emulator {

struct Kernel {
  std::string_view name;
  std::size_t parameter_bytes;
  void (*call)(const void* parameters);  ///< as one thread
};

/// All kernels there are. Beside the kernels (kernels.cpp), so that linking it brings them.
std::vector<Kernel>& kernels();

inline bool add(const Kernel& kernel) {
  kernels().push_back(kernel);
  return true;
}

/// Throws std::runtime_error where a kernel breaks a rule that a card would not check.
void run(const Kernel& kernel, dim3 blocks, dim3 threads, const void* parameters);

/// f(0) to f(count - 1) on all cores; throws what the first of them threw.
void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& f);

// What follows is for kernels (words.hpp).

/// Which thread of the grid runs on this thread of the host.
struct Place {
  uint3 thread, block;
  dim3 threads, blocks;
};
extern constinit thread_local Place* place;

/// Waits until all threads of the block are there. `line` tells barriers apart.
void wait_for_block(unsigned line);
/// Waits until all threads of the warp are there; returns what the one in `lane` brought.
std::uint64_t exchange(unsigned mask, std::uint64_t bits, unsigned lane, unsigned line);
/// This thread's place in its warp.
unsigned own_lane();

template <class T>
T exchange_value(unsigned mask, T value, unsigned lane, unsigned line) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(mask, bits, lane, line);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator
