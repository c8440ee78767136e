# `cmake --install`, and the package that find_package(curfew COMPONENTS …) finds.
#
# One export file per module: a component brings in its own dependencies and no others.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/curfew")
set(CURFEW_COMPONENT_TABLE "")
foreach(name IN LISTS CURFEW_PRESENT_MODULES)
  install(TARGETS curfew_${name} EXPORT curfew_${name}
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT curfew_${name} FILE curfew_${name}.cmake NAMESPACE curfew:: DESTINATION "${package_dir}")

  get_property(depends GLOBAL PROPERTY curfew_module_${name}_DEPENDS)
  get_property(public GLOBAL PROPERTY curfew_module_${name}_LINK_PUBLIC)
  get_property(private GLOBAL PROPERTY curfew_module_${name}_LINK_PRIVATE)
  set(packages "")
  foreach(library IN LISTS public private)
    get_property(package GLOBAL PROPERTY curfew_third_party_${library}_PACKAGE)
    list(JOIN package " " package)
    list(APPEND packages "${package}")
  endforeach()
  list(REMOVE_DUPLICATES packages)
  list(TRANSFORM packages REPLACE "(.+)" "\"\\1\"")
  list(JOIN packages " " packages)
  list(JOIN depends " " depends)
  string(APPEND CURFEW_COMPONENT_TABLE
    "set(_curfew_${name}_depends ${depends})\n" "set(_curfew_${name}_packages ${packages})\n")
endforeach()
list(JOIN CURFEW_PRESENT_MODULES " " CURFEW_COMPONENTS)
if(TARGET curfew_lint)
  string(APPEND CURFEW_COMPONENTS " lint")  # lint/CMakeLists.txt installs it
endif()

configure_package_config_file(cmake/curfewConfig.cmake.in "${PROJECT_BINARY_DIR}/curfewConfig.cmake"
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/curfewConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/curfewConfig.cmake" "${PROJECT_BINARY_DIR}/curfewConfigVersion.cmake"
  DESTINATION "${package_dir}")
file(GLOB find_modules CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/Find*.cmake")
install(FILES ${find_modules} DESTINATION "${package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
