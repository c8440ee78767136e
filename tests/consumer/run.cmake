# Configures, builds and runs the consumer project; with EXPECT_ERROR, configuring must fail with that message.
cmake_minimum_required(VERSION 3.25)

string(REPLACE "," ";" components "${COMPONENTS}")
file(REMOVE_RECURSE "${BINARY}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${BINARY}" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
          "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_CXX_FLAGS=${FLAGS}" "-DCOMPONENTS=${components}"
          "${LOCATION}"
  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)

if(EXPECT_ERROR)
  if(status EQUAL 0)
    message(FATAL_ERROR "configuring must fail, and does not")
  endif()
  if(NOT output MATCHES "${EXPECT_ERROR}")
    message("${output}")
    message(FATAL_ERROR "the message does not match \"${EXPECT_ERROR}\"")
  endif()
  return()
endif()

if(NOT status EQUAL 0)
  message("${output}")
  message(FATAL_ERROR "the consumer cannot be configured")
endif()
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${BINARY}" COMMAND_ERROR_IS_FATAL ANY)
foreach(component IN LISTS components)
  execute_process(COMMAND "${BINARY}/use_${component}" COMMAND_ERROR_IS_FATAL ANY)
endforeach()
