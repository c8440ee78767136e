# Installs curfew with the module of checks, and builds a project that runs it with its build.
#   cmake -D SOURCE=<curfew> -D BINARY=<a folder> -D COMPILER=… -D LAUNCHER=… -P component.cmake
cmake_minimum_required(VERSION 3.25)

function(run result_variable output_variable)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  set(${result_variable} "${status}" PARENT_SCOPE)
  set(${output_variable} "${output}" PARENT_SCOPE)
endfunction()

function(must)
  run(status output ${ARGN})
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGN}\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE "${BINARY}")
set(common -G Ninja "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_CXX_FLAGS=-O0")
must("${CMAKE_COMMAND}" -S "${SOURCE}" -B "${BINARY}/curfew" ${common} -DCURFEW_MODULES=core -DCURFEW_BUILD_LINT=ON
  -DCURFEW_BUILD_TESTS=OFF -DCURFEW_BUILD_BENCH=OFF -DCURFEW_BUILD_EXAMPLES=OFF -DCURFEW_BUILD_APPS=OFF)
must("${CMAKE_COMMAND}" --build "${BINARY}/curfew")
must("${CMAKE_COMMAND}" --install "${BINARY}/curfew" --prefix "${BINARY}/stage")
must("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/component" -B "${BINARY}/user" ${common}
  "-DCMAKE_PREFIX_PATH=${BINARY}/stage")
must("${CMAKE_COMMAND}" --build "${BINARY}/user" --target good bad_but_other_checks)
run(status output "${CMAKE_COMMAND}" --build "${BINARY}/user" --target bad)
if(NOT output MATCHES "curfew-scope-not-used")
  message(FATAL_ERROR "the build of a mistake says nothing of it:\n${output}")
endif()
