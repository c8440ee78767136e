# Installs the build in BINARY to STAGE, from scratch: what an earlier run left must not hide what is missing now.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${STAGE}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BINARY}" --prefix "${STAGE}"
  COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
