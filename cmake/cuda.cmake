# strata::cuda          for strata/cuda.hpp: the CUDA device, compiled once by the C++ compiler at hand, beside
#                       strata::compiled
# strata::cuda_toolkit  the same for header-only programs, beside strata::strata
set(STRATA_CUDA AUTO CACHE STRING "The CUDA device: OFF, AUTO (where toolkit and cuDNN are found) or ON (an error where not)")
set_property(CACHE STRATA_CUDA PROPERTY STRINGS OFF AUTO ON)
if(NOT STRATA_CUDA)
  return()
endif()

include(${CMAKE_CURRENT_LIST_DIR}/StrataCudaToolkit.cmake)
if(strata_cuda_problem AND STRATA_CUDA STREQUAL AUTO)
  message(STATUS "strata::cuda is left out: ${strata_cuda_problem}")
  return()
elseif(strata_cuda_problem)
  message(FATAL_ERROR "STRATA_CUDA is ${STRATA_CUDA}, but ${strata_cuda_problem}")
endif()
set_target_properties(strata::cuda_toolkit PROPERTIES IMPORTED_GLOBAL ON)  # for a project that embeds this one
if(NOT TARGET strata_compiled)
  return()
endif()

set(unit ${PROJECT_BINARY_DIR}/compiled/cuda.cpp)
file(CONFIGURE OUTPUT ${unit} CONTENT "#include <strata/cuda/device.ipp>\n" @ONLY)
add_library(strata_cuda_objects OBJECT ${unit})
set_target_properties(strata_cuda_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(strata_cuda_objects PUBLIC strata_compiled)
# The headers alone: tests link these objects with libraries that stand in for the real ones.
target_include_directories(strata_cuda_objects SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${CUDNN_INCLUDE_DIR})
strata_warnings(strata_cuda_objects)

add_library(strata_cuda STATIC $<TARGET_OBJECTS:strata_cuda_objects>)
add_library(strata::cuda ALIAS strata_cuda)
set_target_properties(strata_cuda PROPERTIES OUTPUT_NAME strata-cuda EXPORT_NAME cuda)
if(NOT STRATA_INSTALL)
  set_target_properties(strata_cuda strata_cuda_objects PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
target_link_libraries(strata_cuda PUBLIC strata_compiled PRIVATE strata::cuda_toolkit)
