#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include <strata/cuda/runtime.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// kernels/*.cu, compiled for one architecture (90 for compute capability 9.0). Throws DeviceError with the
/// compiler's log where they do not compile.
std::string compile_kernels(int capability);

/// The kernels, loaded. Compiled once per card type and user: the machine code is kept in $STRATA_CUDA_CACHE,
/// else in $XDG_CACHE_HOME/strata, else in ~/.cache/strata, under a name that follows from sources, options
/// and compiler. A damaged file is made again; one that cannot be written costs the compilation, some
/// seconds, each time.
class Kernels {
 public:
  explicit Kernels(int capability);
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;
  ~Kernels() { (void)cudaLibraryUnload(library_); }

  /// By its name in kernels/. Safe from several threads.
  cudaKernel_t get(std::string_view name);

 private:
  cudaLibrary_t library_ = nullptr;
  std::mutex mutex_;
  std::map<std::string, cudaKernel_t, std::less<>> kernels_;
};

}}}  // namespace strata::STRATA_ABI::cuda
