#include <nvrtc.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "support/fake_cuda/device.hpp"

using fake_cuda::entry;

/// Its machine code names what it was made of; kernels themselves are built in (kernels.cpp).
struct _nvrtcProgram {
  std::string sources, code, log;
};

nvrtcResult nvrtcVersion(int* major, int* minor) {
  return entry<nvrtcResult>(__func__, [&] {
    *major = 0, *minor = 0;  // so that its code has names of its own in a cache
    return NVRTC_SUCCESS;
  });
}
const char* nvrtcGetErrorString(nvrtcResult result) {
  switch (result) {
    case NVRTC_SUCCESS:
      return "NVRTC_SUCCESS";
    case NVRTC_ERROR_OUT_OF_MEMORY:
      return "NVRTC_ERROR_OUT_OF_MEMORY";
    case NVRTC_ERROR_INVALID_INPUT:
      return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_ERROR_INVALID_PROGRAM:
      return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_ERROR_INVALID_OPTION:
      return "NVRTC_ERROR_INVALID_OPTION";
    case NVRTC_ERROR_COMPILATION:
      return "NVRTC_ERROR_COMPILATION";
    default:
      return "NVRTC_ERROR_INTERNAL_ERROR";
  }
}
nvrtcResult nvrtcCreateProgram(nvrtcProgram* program, const char* source, const char* name, int headers,
                               const char* const* texts, const char* const* names) {
  return entry<nvrtcResult>(__func__, [&] {
    if (!source || headers < 0) return NVRTC_ERROR_INVALID_INPUT;
    *program =
        new _nvrtcProgram{.sources = std::string(name ? name : "") + '\n' + source, .code = {}, .log = {}};
    for (int i = 0; i < headers; ++i) (*program)->sources += std::string(names[i]) + '\n' + texts[i];
    return NVRTC_SUCCESS;
  });
}
nvrtcResult nvrtcDestroyProgram(nvrtcProgram* program) {
  return entry<nvrtcResult>(__func__, [&] {
    delete *program;
    *program = nullptr;
    return NVRTC_SUCCESS;
  });
}
nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int count, const char* const* options) {
  program->log = "fake_cuda: a test wants this to fail\n";
  return entry<nvrtcResult>(__func__, [&] {
    program->log.clear();
    std::string all = program->sources;
    bool architecture = false;
    for (int i = 0; i < count; ++i) {
      const std::string_view option = options[i];
      if (!option.starts_with('-')) return NVRTC_ERROR_INVALID_OPTION;
      architecture =
          architecture || option.starts_with("--gpu-architecture=sm_") || option.starts_with("-arch=sm_");
      all.append(option) += '\n';
    }
    if (!architecture) return NVRTC_ERROR_INVALID_OPTION;  // there would be no machine code
    char code[32];
    std::snprintf(code, sizeof code, "fake_cuda %016zx", std::hash<std::string>()(all));
    program->code = code;
    return NVRTC_SUCCESS;
  });
}
nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram program, std::size_t* bytes) {
  return entry<nvrtcResult>(__func__, [&] { return *bytes = program->log.size() + 1, NVRTC_SUCCESS; });
}
nvrtcResult nvrtcGetProgramLog(nvrtcProgram program, char* log) {
  return entry<nvrtcResult>(__func__, [&] {
    std::memcpy(log, program->log.c_str(), program->log.size() + 1);
    return NVRTC_SUCCESS;
  });
}
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, std::size_t* bytes) {
  return entry<nvrtcResult>(__func__, [&] {
    if (program->code.empty()) return NVRTC_ERROR_INVALID_PROGRAM;
    return *bytes = program->code.size() + 1, NVRTC_SUCCESS;
  });
}
nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char* code) {
  return entry<nvrtcResult>(__func__, [&] {
    if (program->code.empty()) return NVRTC_ERROR_INVALID_PROGRAM;
    std::memcpy(code, program->code.c_str(), program->code.size() + 1);
    return NVRTC_SUCCESS;
  });
}
