# strata::strata    header-only: the headers and what they need
# strata::compiled  the same headers with STRATA_COMPILED, and a static library that carries the .ipp files once
# strata::eigen     for strata/eigen.hpp, beside either of them: Eigen's headers
find_package(Threads REQUIRED)
find_path(STRATA_STB_INCLUDE_DIR stb/stb_image.h)
if(NOT STRATA_STB_INCLUDE_DIR)
  message(FATAL_ERROR "Strata needs stb/stb_image.h (Debian: apt-get install libstb-dev); "
                      "set STRATA_STB_INCLUDE_DIR to the folder that holds stb/")
endif()

function(strata_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic $<$<BOOL:${STRATA_WERROR}>:-Werror>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # false alarms on std::string, GCC bug 105651
  endif()
endfunction()

set(include_dir ${PROJECT_SOURCE_DIR}/include)
include(GNUInstallDirs)

add_library(strata INTERFACE)
add_library(strata::strata ALIAS strata)
target_compile_features(strata INTERFACE cxx_std_20)
target_include_directories(strata INTERFACE $<BUILD_INTERFACE:${include_dir}>
                                            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(strata INTERFACE Threads::Threads)
if(NOT STRATA_STB_INCLUDE_DIR STREQUAL /usr/include)
  target_include_directories(strata SYSTEM INTERFACE $<BUILD_INTERFACE:${STRATA_STB_INCLUDE_DIR}>)
endif()

if(STRATA_WITH_EIGEN)
  find_package(Eigen3 3.4 QUIET NO_MODULE)
endif()
if(TARGET Eigen3::Eigen AND STRATA_WITH_EIGEN)
  add_library(strata_eigen INTERFACE)
  add_library(strata::eigen ALIAS strata_eigen)
  target_link_libraries(strata_eigen INTERFACE strata Eigen3::Eigen)
else()
  message(STATUS "strata::eigen and its tests are left out: Eigen 3.4 was not found (Debian: libeigen3-dev)")
endif()

if(NOT STRATA_BUILD_COMPILED)
  return()
endif()

# One translation unit per part of strata/implementation.hpp; those in cmake/compiled/ are built once per instruction
# set.
set(sources)
file(GLOB parts CONFIGURE_DEPENDS RELATIVE ${include_dir} ${include_dir}/strata/implementation/*.hpp)
if(TARGET strata_eigen)
  list(APPEND parts strata/eigen/device.ipp)
endif()
foreach(part IN LISTS parts)
  string(REGEX REPLACE "^strata/(implementation/)?([^/.]+).*" "\\2" name ${part})
  set(unit ${PROJECT_BINARY_DIR}/compiled/${name}.cpp)
  file(CONFIGURE OUTPUT ${unit} CONTENT "#include <${part}>\n" @ONLY)
  list(APPEND sources ${unit})
endforeach()

if(TARGET strata_eigen)
  # Its Eigen has a name of its own: a program's Eigen may be of another version, or compiled with other -m flags.
  get_target_property(eigen_include_dir Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
  set_source_files_properties(${PROJECT_BINARY_DIR}/compiled/eigen.cpp PROPERTIES
    COMPILE_DEFINITIONS Eigen=StrataEigen COMPILE_OPTIONS "-isystem;${eigen_include_dir}")
endif()

file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/compiled/*.cpp)
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(FILTER kernels EXCLUDE REGEX "_avx[0-9]*\\.cpp$")
endif()
set(flags_avx2 -mavx2 -mfma)
set(flags_avx512 ${flags_avx2} -mavx512f -mavx512dq -mavx512vl -mavx512bw)
foreach(kernel IN LISTS kernels)
  if(kernel MATCHES "_(avx2|avx512)\\.cpp$")
    set_source_files_properties(${kernel} PROPERTIES COMPILE_OPTIONS "${flags_${CMAKE_MATCH_1}}")
  endif()
endforeach()

if(STRATA_SANITIZE)
  # These have no loops over data, and with sanitizers an optimizer takes minutes for them.
  foreach(part applications callbacks classifier fit gradients graph layers losses model registry registry_double saving
               trainer)
    set_source_files_properties(${PROJECT_BINARY_DIR}/compiled/${part}.cpp PROPERTIES COMPILE_OPTIONS -O0)
  endforeach()
endif()

add_library(strata_compiled STATIC ${sources} ${kernels})
if(NOT STRATA_INSTALL)
  set_target_properties(strata_compiled PROPERTIES EXCLUDE_FROM_ALL ON)  # built where something links it
endif()
add_library(strata::compiled ALIAS strata_compiled)
set_target_properties(strata_compiled PROPERTIES OUTPUT_NAME strata EXPORT_NAME compiled
                                                 POSITION_INDEPENDENT_CODE ON)
target_compile_features(strata_compiled PUBLIC cxx_std_20)
target_compile_definitions(strata_compiled PUBLIC STRATA_COMPILED)
target_include_directories(strata_compiled PUBLIC $<BUILD_INTERFACE:${include_dir}>
                                                  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
if(NOT STRATA_STB_INCLUDE_DIR STREQUAL /usr/include)
  target_include_directories(strata_compiled SYSTEM PRIVATE ${STRATA_STB_INCLUDE_DIR})
endif()
target_link_libraries(strata_compiled PUBLIC Threads::Threads)
strata_warnings(strata_compiled)

# Private to one file; others than libjpeg-turbo have pixels of their own, which are not Pillow's.
set(STRATA_LIBJPEG OFF)
if(STRATA_WITH_JPEG)
  find_package(JPEG QUIET)
endif()
if(TARGET JPEG::JPEG AND STRATA_WITH_JPEG)
  include(CheckCXXSymbolExists)
  set(CMAKE_REQUIRED_LIBRARIES JPEG::JPEG)
  check_cxx_symbol_exists(LIBJPEG_TURBO_VERSION "cstdio;jpeglib.h" STRATA_JPEG_IS_TURBO)
  unset(CMAKE_REQUIRED_LIBRARIES)
  if(STRATA_JPEG_IS_TURBO)
    set(STRATA_LIBJPEG ON)
  endif()
endif()
if(STRATA_LIBJPEG)
  set_property(SOURCE ${PROJECT_BINARY_DIR}/compiled/pictures.cpp APPEND PROPERTY COMPILE_DEFINITIONS STRATA_LIBJPEG)
  target_link_libraries(strata_compiled PRIVATE JPEG::JPEG)
else()
  message(STATUS "stb decodes JPEGs: libjpeg-turbo was not found (Debian: libjpeg62-turbo-dev)")
endif()
