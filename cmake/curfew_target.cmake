# What every target of this project has in common, and nothing that a user of the library would inherit.

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)
  if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(CURFEW_CCACHE ccache)
    mark_as_advanced(CURFEW_CCACHE)
    if(CURFEW_CCACHE)
      set(CMAKE_CXX_COMPILER_LAUNCHER "${CURFEW_CCACHE}")
    endif()
  endif()
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
  endif()
endif()

# Standard without extensions, warnings, warnings as errors: for our own targets alone.
function(curfew_target_defaults target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CXX_STANDARD 23 CXX_STANDARD_REQUIRED ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15)
    # A false alarm on the frames of Asio's coroutines, whose operator new is inlined while their operator delete is not.
    target_compile_options(${target} PRIVATE -Wno-mismatched-new-delete)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # A false alarm on "text" + std::string inside libstdc++ (GCC bug 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    # A false alarm on the value of a std::optional that is reset while it has none (GCC bug 80635).
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
  if(CURFEW_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()

# Sets `out` to those of the named modules that are part of this build, as link targets.
function(curfew_present_modules out)
  set(present "")
  foreach(name IN LISTS ARGN)
    if(TARGET curfew_${name})
      list(APPEND present curfew::${name})
    endif()
  endforeach()
  set(${out} "${present}" PARENT_SCOPE)
endfunction()
