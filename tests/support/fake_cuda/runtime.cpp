#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/fake_cuda/device.hpp"
#include "support/fake_cuda/emulator.hpp"
#include "support/fake_cuda/fiber.hpp"

namespace fake_cuda { namespace {

/// A place in a stream: all work before it is done, or not yet.
struct Marker {
  CUstream_st* stream;
  bool reached = false;
};

struct Work {
  std::function<void()> run;
  std::shared_ptr<Marker> after = nullptr;  // of another stream
};

}}  // namespace fake_cuda

struct CUstream_st {
  int device;
  std::deque<fake_cuda::Work> queue;
};
struct CUevent_st {
  int device;
  std::shared_ptr<fake_cuda::Marker> recorded;
};
struct CUlib_st {};

namespace fake_cuda {

std::recursive_mutex& mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

namespace {

/// Device memory. Addresses are never used twice; whole pages are the unit of protection, and a block ends
/// where its last page does, but for its alignment.
class Memory {
 public:
  static constexpr std::size_t page = 4096, alignment = 256, reserved = std::size_t{8} << 40;

  bool contains(const void* pointer) const {
    return arena_ && pointer >= arena_ && pointer < arena_ + reserved;
  }
  bool contains(const void* pointer, std::size_t bytes) const {
    const char* const begin = static_cast<const char*>(pointer);
    const auto next = blocks_.upper_bound(const_cast<char*>(begin));
    if (next == blocks_.begin()) return false;
    const auto& [start, block] = *std::prev(next);
    return begin + bytes <= start + block.bytes;
  }
  /// Of the block that starts there, or nothing.
  std::optional<std::size_t> size(void* pointer) const {
    const auto found = blocks_.find(static_cast<char*>(pointer));
    return found == blocks_.end() ? std::nullopt : std::optional(found->second.bytes);
  }

  void* allocate(std::size_t bytes) {
    if (!arena_) {
      void* const memory =
          mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (memory == MAP_FAILED) throw std::bad_alloc();
      next_ = arena_ = static_cast<char*>(memory);
    }
    const std::size_t whole = (bytes + page - 1) / page * page;
    char* const pages = next_;
    char* const begin = pages + (whole - bytes) / alignment * alignment;
    next_ += whole + page;
    mprotect(pages, whole, PROT_READ | PROT_WRITE);
    std::memset(pages, poison, whole);
    if (!opened_) mprotect(pages, whole, PROT_NONE);
    blocks_[begin] = {pages, whole, bytes};
#ifdef FAKE_CUDA_ASAN
    ASAN_POISON_MEMORY_REGION(pages, whole);
    ASAN_UNPOISON_MEMORY_REGION(begin, bytes);
#endif
    return begin;
  }
  /// Throws if something was written beside it.
  void free(void* pointer) {
    const auto found = blocks_.find(static_cast<char*>(pointer));
    const auto [begin, block] = *found;
    mprotect(block.pages, block.page_bytes, PROT_READ);
#ifdef FAKE_CUDA_ASAN
    ASAN_UNPOISON_MEMORY_REGION(block.pages, block.page_bytes);
#endif
    const auto intact = [](const char* from, const char* to) {
      return std::all_of(from, to, [](char c) { return static_cast<unsigned char>(c) == poison; });
    };
    const bool whole =
        intact(block.pages, begin) && intact(begin + block.bytes, block.pages + block.page_bytes);
    blocks_.erase(found);
    mmap(block.pages, block.page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
         -1, 0);
    if (!whole) throw std::runtime_error("something was written beside a block of device memory");
  }

  /// While it lives, device memory can be touched.
  class Open {
   public:
    explicit Open(Memory& memory) : memory_(memory) {
      if (memory_.opened_++ == 0) memory_.protect(PROT_READ | PROT_WRITE);
    }
    ~Open() {
      if (--memory_.opened_ == 0) memory_.protect(PROT_NONE);
    }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    Memory& memory_;
  };

 private:
  static constexpr unsigned char poison = 0xFF;
  struct Block {
    char* pages;
    std::size_t page_bytes, bytes;
  };

  void protect(int access) {
    for (const auto& [begin, block] : blocks_) mprotect(block.pages, block.page_bytes, access);
  }

  char *arena_ = nullptr, *next_ = nullptr;
  std::map<char*, Block> blocks_;
  int opened_ = 0;
};

struct State {
  static constexpr int most_devices = 8;

  struct Failure {
    int status, after;
  };

  int device_count = 2;
  std::size_t memory_bytes = std::size_t{8} << 30;
  bool engines = true;
  std::map<std::string, Failure> failures;

  Counters counters;
  std::string last_failure;
  bool failed = false;

  Memory memory;
  std::set<void*> dying;                // device memory whose cudaFreeAsync is still to run
  std::map<char*, std::size_t> pinned;  // host memory
  std::set<CUstream_st*> streams;
  CUstream_st null_streams[most_devices];

  State() {
    for (int i = 0; i < most_devices; ++i) null_streams[i].device = i;
  }
  bool is_pinned(const void* pointer, std::size_t bytes) const {
    const char* const begin = static_cast<const char*>(pointer);
    return std::any_of(pinned.begin(), pinned.end(), [&](const auto& block) {
      return begin >= block.first && begin + bytes <= block.first + block.second;
    });
  }
};

State& state() {
  static State& state = *new State;  // for devices that outlive every static object
  return state;
}

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local std::int64_t thread_synchronizations = 0;

template <class Body>
cudaError_t runtime(const char* function, Body body) {
  const cudaError_t status = entry<cudaError_t>(function, body);
  if (status != cudaSuccess) last_error = status;
  return status;
}

CUstream_st& queue_of(cudaStream_t stream) {
  return stream ? *stream : state().null_streams[current_device];
}

/// Keeps what `run` throws as the failure that the next wait reports.
template <class Run>
void attempt(Run run) {
  try {
    run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake_cuda: %s\n", error.what());
    state().last_failure = error.what();
    state().failed = true;
  }
}
cudaError_t take_failure() {
  return std::exchange(state().failed, false) ? cudaErrorLaunchFailure : cudaSuccess;
}

void reach(const Marker& marker);

void run_next(CUstream_st& stream) {
  const Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (work.after) reach(*work.after);
  attempt(work.run);
}

void reach(const Marker& marker) {
  if (marker.reached) return;
  const Memory::Open open(state().memory);
  while (!marker.reached) run_next(*marker.stream);
}

void drain(CUstream_st& stream) {
  if (stream.queue.empty()) return;
  const Memory::Open open(state().memory);
  while (!stream.queue.empty()) run_next(stream);
}

/// The host waits for what `run` runs.
template <class Run>
cudaError_t wait(Run run) {
  ++state().counters.synchronizations;
  ++thread_synchronizations;
  run();
  return take_failure();
}

cudaError_t allocate(void** pointer, std::size_t bytes) {
  State& s = state();
  *pointer = nullptr;
  if (s.counters.bytes + bytes > s.memory_bytes) return cudaErrorMemoryAllocation;
  ++s.counters.allocations;
  if (bytes == 0) return cudaSuccess;
  s.counters.bytes += bytes;
  *pointer = s.memory.allocate(bytes);
  return cudaSuccess;
}

/// Counts the block as free; false if there is none.
bool release(void* pointer) {
  State& s = state();
  const auto size = s.memory.size(pointer);
  if (!size || s.dying.count(pointer)) return false;
  ++s.counters.frees;
  s.counters.bytes -= *size;
  return true;
}

/// Whether the ends of a copy are what `kind` says, and allocated.
bool valid_copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = on_device(to), from_device = on_device(from);
  if (kind != cudaMemcpyDefault) {
    if (to_device != (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice)) return false;
    if (from_device != (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice)) return false;
  }
  return (!to_device || within_allocation(to, bytes)) && (!from_device || within_allocation(from, bytes));
}

void copy_now(void* to, const void* from, std::size_t bytes) {
  if (on_device(to)) require_device(to, bytes, "the end of a copy");
  if (on_device(from)) require_device(from, bytes, "the source of a copy");
  std::memmove(to, from, bytes);
}

/// Pageable memory is read at the call where the copy goes to the device; all else when the stream gets
/// there.
void enqueue_copy(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  if (on_device(to) && !on_device(from) && !state().is_pinned(from, bytes)) {
    const char* const begin = static_cast<const char*>(from);
    enqueue(stream, [to, staged = std::vector<char>(begin, begin + bytes)] {
      copy_now(to, staged.data(), staged.size());
    });
  } else {
    enqueue(stream, [=] { copy_now(to, from, bytes); });
  }
}

void enqueue_fill(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  enqueue(stream, [=] {
    require_device(to, bytes, "what is filled");
    std::memset(to, value, bytes);
  });
}

CUlib_st the_library;

bool valid_launch(dim3 grid, dim3 block) {
  return grid.x >= 1 && grid.x <= 0x7fffffff && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
         grid.z <= 65535 && block.x >= 1 && block.x <= 1024 && block.y >= 1 && block.y <= 1024 &&
         block.z >= 1 && block.z <= 64 && std::size_t{block.x} * block.y * block.z <= 1024;
}

}  // namespace

Counters counters() {
  const std::lock_guard lock(mutex());
  return state().counters;
}
std::int64_t own_synchronizations() {
  return thread_synchronizations;
}
Counters& counts() {
  return state().counters;
}
bool engines_offered() {
  return state().engines;
}

void reset() {
  const std::lock_guard lock(mutex());
  State& s = state();
  s.device_count = 2, s.memory_bytes = std::size_t{8} << 30, s.engines = true, s.failed = false;
  s.failures.clear();
  s.last_failure.clear();
  s.counters = {.bytes = s.counters.bytes, .pinned = s.counters.pinned};
}
void set_device_count(int count) {
  const std::lock_guard lock(mutex());
  state().device_count = std::min(count, State::most_devices);
}
void set_memory(std::size_t bytes) {
  const std::lock_guard lock(mutex());
  state().memory_bytes = bytes;
}
void offer_engines(bool some) {
  const std::lock_guard lock(mutex());
  state().engines = some;
}
void fail(const std::string& function, int status, int after) {
  const std::lock_guard lock(mutex());
  state().failures[function] = {status, after};
}
std::string last_failure() {
  const std::lock_guard lock(mutex());
  return state().last_failure;
}

int injected(const char* function) {
  auto& failures = state().failures;
  if (failures.empty()) return 0;
  const auto found = failures.find(function);
  if (found == failures.end() || found->second.after-- > 0) return 0;
  const int status = found->second.status;
  failures.erase(found);
  return status;
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  queue_of(stream).queue.push_back({std::move(work)});
}
bool valid_stream(cudaStream_t stream) {
  return !stream || (state().streams.count(stream) && stream->device == current_device);
}

bool on_device(const void* pointer) {
  return state().memory.contains(pointer);
}
bool within_allocation(const void* pointer, std::size_t bytes) {
  return state().memory.contains(pointer, bytes);
}
void require_device(const void* pointer, std::size_t bytes, const char* what) {
  if (!within_allocation(pointer, bytes))
    throw std::runtime_error(std::string(what) + " is not in allocated device memory");
}

}  // namespace fake_cuda

using namespace fake_cuda;

// --- devices ---

cudaError_t cudaGetDeviceCount(int* count) {
  return runtime(__func__, [&] {
    *count = state().device_count;
    return *count ? cudaSuccess : cudaErrorNoDevice;
  });
}
cudaError_t cudaSetDevice(int device) {
  return runtime(__func__, [&] {
    if (device < 0 || device >= state().device_count) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}
cudaError_t cudaGetDevice(int* device) {
  return runtime(__func__, [&] { return *device = current_device, cudaSuccess; });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return runtime(__func__, [&] {
    if (device < 0 || device >= state().device_count) return cudaErrorInvalidDevice;
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "Emulated card");
    properties->major = 9;
    properties->multiProcessorCount = 4;
    properties->totalGlobalMem = state().memory_bytes;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return runtime(__func__, [&] {
    if (device < 0 || device >= state().device_count) return cudaErrorInvalidDevice;
    switch (attribute) {
      case cudaDevAttrComputeCapabilityMajor:
        return *value = 9, cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor:
        return *value = 0, cudaSuccess;
      case cudaDevAttrMultiProcessorCount:
        return *value = 4, cudaSuccess;
      default:
        return cudaErrorInvalidValue;
    }
  });
}
cudaError_t cudaDriverGetVersion(int* version) {
  return runtime(__func__, [&] { return *version = CUDART_VERSION, cudaSuccess; });
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return runtime(__func__, [&] { return *version = CUDART_VERSION, cudaSuccess; });
}
cudaError_t cudaDeviceSynchronize() {
  return runtime(__func__, [] {
    return wait([] {
      drain(queue_of(nullptr));
      for (CUstream_st* const stream : state().streams)
        if (stream->device == current_device) drain(*stream);
    });
  });
}

// --- errors ---

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidKernelImage:
      return "cudaErrorInvalidKernelImage";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorSymbolNotFound:
      return "cudaErrorSymbolNotFound";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    default:
      return "cudaErrorUnknown";
  }
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidKernelImage:
      return "device kernel image is invalid";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorSymbolNotFound:
      return "named symbol not found";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorNotSupported:
      return "operation not supported";
    default:
      return "unknown error";
  }
}
cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  return last_error;
}

// --- memory ---

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return runtime(__func__, [&] { return allocate(pointer, bytes); });
}
/// Waits for nothing, other than a card might: what still works on the memory fails.
cudaError_t cudaFree(void* pointer) {
  return runtime(__func__, [&] {
    if (!pointer) return cudaSuccess;
    if (!release(pointer)) return cudaErrorInvalidValue;
    attempt([&] { state().memory.free(pointer); });
    return take_failure();
  });
}
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  return runtime(__func__, [&] {
    return valid_stream(stream) ? allocate(pointer, bytes) : cudaErrorInvalidResourceHandle;
  });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return runtime(__func__, [&] {
    if (!valid_stream(stream)) return cudaErrorInvalidResourceHandle;
    if (!pointer) return cudaSuccess;
    if (!release(pointer)) return cudaErrorInvalidValue;
    state().dying.insert(pointer);
    enqueue(stream, [=] {
      state().dying.erase(pointer);
      state().memory.free(pointer);
    });
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return runtime(__func__, [&] {
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return cudaErrorMemoryAllocation;
    std::memset(memory, 0xFF, bytes);
    state().pinned[static_cast<char*>(memory)] = bytes;
    state().counters.pinned += bytes;
    *pointer = memory;
    return cudaSuccess;
  });
}
cudaError_t cudaFreeHost(void* pointer) {
  return runtime(__func__, [&] {
    if (!pointer) return cudaSuccess;
    const auto found = state().pinned.find(static_cast<char*>(pointer));
    if (found == state().pinned.end()) return cudaErrorInvalidValue;
    state().counters.pinned -= found->second;
    munmap(pointer, found->second);  // copies still to run will miss it
    state().pinned.erase(found);
    return cudaSuccess;
  });
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return runtime(__func__, [&] {
    *total = state().memory_bytes;
    *free = *total - std::min(*total, state().counters.bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return runtime(__func__, [&] {
    if (device < 0 || device >= state().device_count) return cudaErrorInvalidDevice;
    *pool = reinterpret_cast<cudaMemPool_t>(&state().null_streams[device]);
    return cudaSuccess;
  });
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr, void* value) {
  return runtime(__func__, [&] { return pool && value ? cudaSuccess : cudaErrorInvalidValue; });
}

// Like a card's, cudaMemcpy and cudaMemset wait for the null stream only, which waits for none of the others;
// and they may come back before the device's memory has changed, unless pinned memory is copied.
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return runtime(__func__, [&] {
    if (!valid_copy(to, from, bytes, kind)) return cudaErrorInvalidValue;
    enqueue_copy(to, from, bytes, nullptr);
    if (on_device(to) && (on_device(from) || !state().is_pinned(from, bytes))) return cudaSuccess;
    return wait([] { drain(queue_of(nullptr)); });
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return runtime(__func__, [&] {
    if (!valid_stream(stream)) return cudaErrorInvalidResourceHandle;
    if (!valid_copy(to, from, bytes, kind)) return cudaErrorInvalidValue;
    enqueue_copy(to, from, bytes, stream);
    return cudaSuccess;
  });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return runtime(__func__, [&] {
    if (!within_allocation(to, bytes)) return cudaErrorInvalidValue;
    return enqueue_fill(to, value, bytes, nullptr), cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return runtime(__func__, [&] {
    if (!valid_stream(stream)) return cudaErrorInvalidResourceHandle;
    if (!within_allocation(to, bytes)) return cudaErrorInvalidValue;
    return enqueue_fill(to, value, bytes, stream), cudaSuccess;
  });
}

// --- streams and events ---

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return runtime(__func__, [&] {
    if (flags != cudaStreamNonBlocking) return cudaErrorNotSupported;  // others would order themselves
    *stream = new CUstream_st{current_device, {}};
    state().streams.insert(*stream);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return runtime(__func__, [&] {
    if (!state().streams.count(stream)) return cudaErrorInvalidResourceHandle;
    drain(*stream);
    state().streams.erase(stream);
    delete stream;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return runtime(__func__, [&] {
    if (stream && !state().streams.count(stream)) return cudaErrorInvalidResourceHandle;
    return wait([&] { drain(queue_of(stream)); });
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return runtime(__func__, [&] {
    if (!valid_stream(stream)) return cudaErrorInvalidResourceHandle;
    if (event->recorded) queue_of(stream).queue.push_back({[] {}, event->recorded});
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return runtime(__func__, [&] { return *event = new CUevent_st{current_device, nullptr}, cudaSuccess; });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return runtime(__func__, [&] { return delete event, cudaSuccess; });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return runtime(__func__, [&] {
    if (!valid_stream(stream) || event->device != queue_of(stream).device)
      return cudaErrorInvalidResourceHandle;
    event->recorded = std::make_shared<Marker>(Marker{&queue_of(stream)});
    enqueue(stream, [marker = event->recorded] { marker->reached = true; });
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return runtime(__func__, [&] {
    return wait([&] {
      if (event->recorded) reach(*event->recorded);
    });
  });
}

// --- kernels ---

/// Takes what the stand-in for NVRTC makes (nvrtc.cpp) and nothing else.
cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                cudaLibraryOption*, void**, unsigned) {
  return runtime(__func__, [&] {
    constexpr char head[] = "fake_cuda ";
    const char* const text = static_cast<const char*>(code);
    if (std::strncmp(text, head, sizeof head - 1) != 0) return cudaErrorInvalidKernelImage;
    for (int digit = 0; digit < 16; ++digit)
      if (!std::isxdigit(static_cast<unsigned char>(text[sizeof head - 1 + digit])))
        return cudaErrorInvalidKernelImage;
    *library = &the_library;
    return cudaSuccess;
  });
}
cudaError_t cudaLibraryUnload(cudaLibrary_t) {
  return runtime(__func__, [] { return cudaSuccess; });
}
cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  return runtime(__func__, [&] {
    if (library != &the_library) return cudaErrorInvalidResourceHandle;
    for (emulator::Kernel& each : emulator::kernels())
      if (each.name == name) return *kernel = reinterpret_cast<cudaKernel_t>(&each), cudaSuccess;
    return cudaErrorSymbolNotFound;
  });
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  return runtime(__func__, [&] {
    if (!valid_stream(stream)) return cudaErrorInvalidResourceHandle;
    if (!valid_launch(grid, block) || shared_bytes) return cudaErrorInvalidConfiguration;
    const auto& kernel = *static_cast<const emulator::Kernel*>(function);
    const std::byte* const parameters = static_cast<const std::byte*>(arguments[0]);
    enqueue(stream,
            [=, &kernel, copy = std::vector<std::byte>(parameters, parameters + kernel.parameter_bytes)] {
              emulator::run(kernel, grid, block, copy.data());
            });
    ++state().counters.launches;
    return cudaSuccess;
  });
}
