# The tests that build and run the consumer project.
if(NOT TARGET curfew_core OR NOT CURFEW_INSTALL)
  return()
endif()

set(stage "${CMAKE_CURRENT_BINARY_DIR}/stage")

# curfew_consumer_test(<name> [FROM_SOURCE] COMPONENTS … [EXPECT_ERROR <regex>])
function(curfew_consumer_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "FROM_SOURCE" "EXPECT_ERROR" "COMPONENTS")
  set(location "-DCMAKE_PREFIX_PATH=${stage}")
  if(arg_FROM_SOURCE)
    set(location "-DCURFEW_SOURCE=${PROJECT_SOURCE_DIR}")
  endif()
  list(JOIN arg_COMPONENTS "," components)
  add_test(NAME consumer.${name}
    COMMAND "${CMAKE_COMMAND}" -D "SOURCE=${CMAKE_CURRENT_SOURCE_DIR}" -D "BINARY=${CMAKE_CURRENT_BINARY_DIR}/${name}"
            -D "GENERATOR=${CMAKE_GENERATOR}" -D "COMPILER=${CMAKE_CXX_COMPILER}" -D "FLAGS=${CMAKE_CXX_FLAGS}"
            -D "LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}" -D "LOCATION=${location}" -D "COMPONENTS=${components}"
            -D "EXPECT_ERROR=${arg_EXPECT_ERROR}" -P "${CMAKE_CURRENT_SOURCE_DIR}/run.cmake")
  set_tests_properties(consumer.${name} PROPERTIES LABELS consumer TIMEOUT 600)
  if(NOT arg_FROM_SOURCE)
    set_tests_properties(consumer.${name} PROPERTIES FIXTURES_REQUIRED consumer_stage)
  endif()
endfunction()

add_test(NAME consumer.install
  COMMAND "${CMAKE_COMMAND}" -D "BINARY=${PROJECT_BINARY_DIR}" -D "STAGE=${stage}"
          -P "${CMAKE_CURRENT_SOURCE_DIR}/install.cmake")
set_tests_properties(consumer.install PROPERTIES
  LABELS consumer FIXTURES_SETUP consumer_stage TIMEOUT 120 RESOURCE_LOCK build_tree)

curfew_consumer_test(find_package_core COMPONENTS core)
if(TARGET curfew_http)
  curfew_consumer_test(find_package_http COMPONENTS http)
endif()
curfew_consumer_test(unknown_component COMPONENTS core htpp
  EXPECT_ERROR "curfew has no component \"htpp\" in this[ \n]*installation")
curfew_consumer_test(add_subdirectory FROM_SOURCE COMPONENTS core)
