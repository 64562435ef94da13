# cmake -P cmake/embed_kernels.cmake: writes include/strata/cuda/kernel_sources.hpp, which carries kernels/ and the
# headers it shares with the host as text for the run-time compiler. `bash tests/run structure` tells when it is stale.
cmake_policy(VERSION 3.25)
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
set(output ${root}/include/strata/cuda/kernel_sources.hpp)
if(DEFINED OUTPUT)
  set(output ${OUTPUT})
endif()
file(GLOB kernels ${root}/kernels/*.cu ${root}/kernels/*.cuh)
file(GLOB headers ${root}/include/strata/cuda/kernels/*.hpp)
list(APPEND headers ${root}/include/strata/core/config.hpp ${root}/include/strata/tensor/geometry.hpp
     ${root}/include/strata/tensor/nadam.hpp ${root}/include/strata/tensor/pixels.hpp)
set(text "#pragma once

// Written by cmake/embed_kernels.cmake from kernels/ and the headers that kernels include. Do not edit.

#include <strata/core/config.hpp>

// clang-format off
namespace strata { inline namespace STRATA_ABI { namespace cuda {

struct KernelSource {
  const char *name, *text;
};

inline constexpr KernelSource kernel_sources[] = {
")
foreach(source IN LISTS kernels headers)
  if(source MATCHES "/include/(.*)$")
    set(name ${CMAKE_MATCH_1})
  else()
    cmake_path(GET source FILENAME name)
  endif()
  file(READ ${source} content)
  string(APPEND text "{\"${name}\", R\"source(${content})source\"},\n")
endforeach()
string(APPEND text "};

}}}  // namespace strata::STRATA_ABI::cuda
")
if(EXISTS ${output})
  file(READ ${output} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${output} "${text}")
endif()
