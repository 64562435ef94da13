#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define FAKE_CUDA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FAKE_CUDA_ASAN 1
#endif
#endif

#ifdef FAKE_CUDA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace emulator {

/// Where a stack stands while another one runs.
struct Context {
#ifdef __x86_64__
  void* top = nullptr;
#else
  ucontext_t registers{};
#endif
  const void* bottom = nullptr;  // of the stack; AddressSanitizer wants to know
  std::size_t bytes = 0;
  void* fake_stack = nullptr;
};

#ifdef __x86_64__
extern "C" void fake_cuda_switch(void** from, void* to);

/// Runs `entry`, which must not return, on `stack` at the first switch to it.
inline Context start(std::byte* stack, std::size_t bytes, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + bytes);
  *--top = nullptr;  // `entry` is not called but returned to, so this stands for its caller
  *--top = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  return {.top = top, .bottom = stack, .bytes = bytes};
}
#else
inline Context start(std::byte* stack, std::size_t bytes, void (*entry)()) {
  Context out{.bottom = stack, .bytes = bytes};
  getcontext(&out.registers);
  out.registers.uc_stack.ss_sp = stack;
  out.registers.uc_stack.ss_size = bytes;
  makecontext(&out.registers, entry, 0);
  return out;
}
#endif

inline void switch_stack(Context& from, Context& to) {
#ifdef FAKE_CUDA_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.bytes);
#endif
#ifdef __x86_64__
  fake_cuda_switch(&from.top, to.top);
#else
  swapcontext(&from.registers, &to.registers);
#endif
#ifdef FAKE_CUDA_ASAN
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

/// The first thing on a new stack; `from` is who switched to it.
inline void arrived_from([[maybe_unused]] Context& from) {
#ifdef FAKE_CUDA_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.bytes);
#endif
}

}  // namespace emulator
