# Checks one case with one compiler; see CMakeLists.txt.
cmake_minimum_required(VERSION 3.25)

set(command "${COMPILER}" -std=c++23 -Wall -Wextra -Werror -fsyntax-only "-I${INCLUDE}")

execute_process(COMMAND ${command} "${CASE}" RESULT_VARIABLE status ERROR_VARIABLE message)
if(NOT status EQUAL 0)
  message("${message}")
  message(FATAL_ERROR "without CURFEW_MUST_FAIL this must compile, and does not")
endif()

execute_process(COMMAND ${command} -DCURFEW_MUST_FAIL "${CASE}" RESULT_VARIABLE status ERROR_VARIABLE message)
if(status EQUAL 0)
  message(FATAL_ERROR "with CURFEW_MUST_FAIL this must not compile, and does")
endif()

# Compilers differ in the quotes they use, and expectations should not.
string(REGEX REPLACE "‘|’" "'" message "${message}")
file(STRINGS "${CASE}" expectations REGEX "^// expect: ")
if(NOT expectations)
  message(FATAL_ERROR "the case says nothing about the message: add a line `// expect: <regex>`")
endif()
foreach(expectation IN LISTS expectations)
  string(REGEX REPLACE "^// expect: " "" expectation "${expectation}")
  if(NOT message MATCHES "${expectation}")
    message("${message}")
    message(FATAL_ERROR "the message does not match \"${expectation}\"")
  endif()
endforeach()
