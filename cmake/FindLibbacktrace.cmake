# Libbacktrace::backtrace, which GCC brings in the folder of its own libraries and headers; Clang takes GCC's. The header is
# copied out: among GCC's own are others that Clang must not see. Installed too: an installed curfew needs it.
execute_process(COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=libbacktrace.a
  OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
cmake_path(GET found PARENT_PATH folder)
find_library(Libbacktrace_LIBRARY NAMES libbacktrace.a backtrace HINTS "${folder}")
find_path(Libbacktrace_HEADER_DIR backtrace.h HINTS "${folder}/include")
mark_as_advanced(Libbacktrace_LIBRARY Libbacktrace_HEADER_DIR)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libbacktrace REQUIRED_VARS Libbacktrace_LIBRARY Libbacktrace_HEADER_DIR)

if(Libbacktrace_FOUND AND NOT TARGET Libbacktrace::backtrace)
  set(copied "${CMAKE_BINARY_DIR}/libbacktrace")
  file(COPY "${Libbacktrace_HEADER_DIR}/backtrace.h" DESTINATION "${copied}")
  add_library(Libbacktrace::backtrace UNKNOWN IMPORTED)
  set_target_properties(Libbacktrace::backtrace PROPERTIES
    IMPORTED_LOCATION "${Libbacktrace_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${copied}")
endif()
