# cuDNN 9: CUDNN_FOUND, CUDNN_VERSION and the target CUDNN::cudnn. Looked for in CUDNN_ROOT or CUDNN_PATH, in the CUDA
# toolkit and beside it, in the system's folders, and where pip puts it (nvidia/cudnn in strata_site_packages).
set(hints ${CUDNN_ROOT} $ENV{CUDNN_ROOT} $ENV{CUDNN_PATH})
foreach(folder IN LISTS CUDAToolkit_INCLUDE_DIRS)
  list(APPEND hints ${folder} ${folder}/.. ${folder}/../../cudnn)
endforeach()
if(CUDAToolkit_LIBRARY_DIR)
  list(APPEND hints ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_DIR}/..)
endif()
foreach(folder IN LISTS strata_site_packages)
  list(APPEND hints ${folder}/nvidia/cudnn)
endforeach()

find_path(CUDNN_INCLUDE_DIR cudnn_version.h HINTS ${hints} PATH_SUFFIXES include include/x86_64-linux-gnu)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR HINTS ${hints}  # pip brings no libcudnn.so
             PATH_SUFFIXES lib lib64 lib/x64 lib/x86_64-linux-gnu)
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)
if(CUDNN_INCLUDE_DIR)
  file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +[0-9]+")
  string(REGEX REPLACE ".*MAJOR +([0-9]+).*MINOR +([0-9]+).*PATCHLEVEL +([0-9]+).*" "\\1.\\2.\\3" CUDNN_VERSION "${lines}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
if(CUDNN_FOUND AND NOT TARGET CUDNN::cudnn)
  add_library(CUDNN::cudnn UNKNOWN IMPORTED)
  set_target_properties(CUDNN::cudnn PROPERTIES IMPORTED_LOCATION ${CUDNN_LIBRARY}
                                                INTERFACE_INCLUDE_DIRECTORIES ${CUDNN_INCLUDE_DIR})
endif()
