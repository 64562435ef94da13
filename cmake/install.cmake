# find_package(Strata [COMPONENTS headers|compiled|eigen]) and pkg-config (strata, strata-eigen, strata-headers)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Strata)
# The .pc files find the prefix from where they lie, so that what was installed may be moved.
file(RELATIVE_PATH pc_to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)

install(DIRECTORY include/strata DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp PATTERN *.ipp)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(TARGETS strata EXPORT StrataHeaders)
install(EXPORT StrataHeaders NAMESPACE strata:: DESTINATION ${package_dir})
configure_file(cmake/strata-headers.pc.in strata-headers.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/strata-headers.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(TARGET strata_compiled)
  install(TARGETS strata_compiled EXPORT StrataCompiled)
  install(EXPORT StrataCompiled NAMESPACE strata:: DESTINATION ${package_dir})
  foreach(name strata strata-eigen)
    configure_file(cmake/${name}.pc.in ${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  endforeach()
endif()

configure_package_config_file(cmake/StrataConfig.cmake.in StrataConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(StrataConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/StrataConfig.cmake ${PROJECT_BINARY_DIR}/StrataConfigVersion.cmake
        DESTINATION ${package_dir})
