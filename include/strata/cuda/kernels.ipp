#pragma once

#include <nvrtc.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include <strata/core/random.hpp>
#include <strata/cuda/kernel_sources.hpp>
#include <strata/cuda/kernels.hpp>
#include <strata/io/checksum.hpp>
#include <strata/io/file.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

namespace detail {

inline void check(nvrtcResult status, const char* what) {
  require<DeviceError>(status == NVRTC_SUCCESS, "[cuda] NVRTC, ", what, ": ", nvrtcGetErrorString(status));
}

/// NVRTC has no standard headers; of <cstdint> these are what kernels and the structs they share with the
/// host use.
inline constexpr const char* cstdint =
    "#pragma once\n"
    "namespace std { using uint8_t = unsigned char; using int32_t = int; using uint32_t = unsigned; "
    "using int64_t = long; using uint64_t = unsigned long; }\n";

inline std::vector<std::string> compiler_options(int capability) {
  // The structs shared with the host have member functions, which kernels call.
  return {concat("--gpu-architecture=sm_", capability), "--std=c++20", "-default-device"};
}

/// Where the machine code of `capability` is kept; empty without a home.
STRATA_COLD inline std::string cache_path(int capability) {
  std::string directory;
  if (const char* own = std::getenv("STRATA_CUDA_CACHE"); own && *own)
    directory = own;
  else if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    directory = concat(cache, "/strata");
  else if (const char* home = std::getenv("HOME"); home && *home)
    directory = concat(home, "/.cache/strata");
  else
    return {};
  int major = 0, minor = 0;
  check(nvrtcVersion(&major, &minor), "its version");
  std::uint64_t hash = hash_name(cstdint);
  for (const KernelSource& source : kernel_sources)
    hash = hash_name(source.text, hash_name(source.name, hash));
  for (const std::string& option : compiler_options(capability)) hash = hash_name(option, hash);
  return concat(directory, "/kernels-sm_", capability, "-nvrtc-", major, ".", minor, "-", hash, ".cubin");
}

/// What a file of the cache holds, if it is whole: the CRC-32C of the machine code comes first.
STRATA_COLD inline std::string read_cached(const std::string& path) {
  try {
    std::uint32_t expected = 0;
    const std::string bytes = file_exists(path) ? read_file(path) : std::string();
    if (bytes.size() <= sizeof expected) return {};
    std::memcpy(&expected, bytes.data(), sizeof expected);
    std::string code = bytes.substr(sizeof expected);
    return crc32c(code.data(), code.size()) == expected ? code : std::string();
  } catch (const Error&) {
    return {};
  }
}

STRATA_COLD inline void write_cached(const std::string& path, const std::string& code) {
  try {
    const std::uint32_t crc = crc32c(code.data(), code.size());
    make_directories(path.substr(0, path.rfind('/')));
    AtomicFile file(path);
    file.write(&crc, sizeof crc);
    file.write(code);
    file.commit();
  } catch (const Error&) {
    // A cache that cannot be written makes the next start slower, nothing else.
  }
}

inline cudaError_t load(const std::string& code, cudaLibrary_t* library) {
  return cudaLibraryLoadData(library, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
}

}  // namespace detail

STRATA_COLD STRATA_INLINE std::string compile_kernels(int capability) {
  std::string all;
  std::vector<const char*> names{"cstdint"}, texts{detail::cstdint};
  for (const KernelSource& source : kernel_sources) {
    names.push_back(source.name);
    texts.push_back(source.text);
    if (std::string_view(source.name).ends_with(".cu")) all += concat("#include \"", source.name, "\"\n");
  }
  nvrtcProgram program = nullptr;
  detail::check(nvrtcCreateProgram(&program, all.c_str(), "strata.cu", static_cast<int>(names.size()),
                                   texts.data(), names.data()),
                "a program");
  const struct Owner {
    nvrtcProgram* program;
    ~Owner() { (void)nvrtcDestroyProgram(program); }
  } owner{&program};

  const std::vector<std::string> options = detail::compiler_options(capability);
  std::vector<const char*> arguments;
  for (const std::string& option : options) arguments.push_back(option.c_str());
  std::size_t bytes = 0;
  const nvrtcResult status =
      nvrtcCompileProgram(program, static_cast<int>(arguments.size()), arguments.data());
  if (status != NVRTC_SUCCESS) {
    detail::check(nvrtcGetProgramLogSize(program, &bytes), "its log");
    std::string log(bytes, '\0');
    detail::check(nvrtcGetProgramLog(program, log.data()), "its log");
    throw DeviceError(concat("[cuda] the kernels do not compile for sm_", capability, ": ",
                             nvrtcGetErrorString(status), "\n", log.c_str()));
  }
  detail::check(nvrtcGetCUBINSize(program, &bytes), "machine code");
  std::string code(bytes, '\0');
  detail::check(nvrtcGetCUBIN(program, code.data()), "machine code");
  return code;
}

STRATA_COLD STRATA_INLINE Kernels::Kernels(int capability) {
  const std::string path = detail::cache_path(capability);
  if (!path.empty())
    if (const std::string code = detail::read_cached(path); !code.empty()) {
      if (detail::load(code, &library_) == cudaSuccess) return;
      (void)cudaGetLastError();
    }
  const std::string code = compile_kernels(capability);
  check(detail::load(code, &library_), "loading the kernels");
  if (!path.empty()) detail::write_cached(path, code);
}

STRATA_INLINE cudaKernel_t Kernels::get(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = kernels_.find(name);
  if (found != kernels_.end()) return found->second;
  cudaKernel_t kernel = nullptr;
  const std::string text(name);
  check(cudaLibraryGetKernel(&kernel, library_, text.c_str()), text.c_str());
  kernels_.emplace(text, kernel);
  return kernel;
}

}}}  // namespace strata::STRATA_ABI::cuda
