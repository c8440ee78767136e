# Files that travel inside a program.
#
#   curfew_embed(<target> NAMESPACE <namespace> DIRECTORY <dir>)
#
# gives <target> the generated header "assets.hpp": assets() lists every file below <dir>, each with its path relative
# to <dir>, its content type and its bytes. A changed, new or removed file is noticed by the next build.

set(_CURFEW_EMBED_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/embed_generate.cmake")

function(curfew_embed target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "NAMESPACE;DIRECTORY" "")
  cmake_path(ABSOLUTE_PATH arg_DIRECTORY NORMALIZE OUTPUT_VARIABLE root)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE "${root}" "${root}/*")
  list(FILTER files EXCLUDE REGEX "(^|/)\\.|~$")
  list(SORT files)

  set(dir "${CMAKE_CURRENT_BINARY_DIR}/${target}_assets")
  # The list is a file of its own, rewritten only when it changes: removing an asset rebuilds too.
  file(CONFIGURE OUTPUT "${dir}/list.txt" CONTENT "${files}\n" @ONLY)
  file(CONFIGURE OUTPUT "${dir}/assets.hpp" @ONLY CONTENT "#pragma once

#include <span>
#include <string_view>

namespace @arg_NAMESPACE@ {

/// A file built into the program; `path` is relative, with '/' between its parts.
struct asset {
  std::string_view path;
  std::string_view content_type;
  std::string_view content;
};

/// Every embedded file, sorted by path.
std::span<const asset> assets();

}  // namespace @arg_NAMESPACE@
")
  list(TRANSFORM files PREPEND "${root}/" OUTPUT_VARIABLE paths)
  add_custom_command(
    OUTPUT "${dir}/assets.cpp"
    COMMAND "${CMAKE_COMMAND}" -D "NAMESPACE=${arg_NAMESPACE}" -D "ROOT=${root}" -D "LIST=${dir}/list.txt"
            -D "OUTPUT=${dir}/assets.cpp" -P "${_CURFEW_EMBED_SCRIPT}"
    DEPENDS ${paths} "${dir}/list.txt" "${_CURFEW_EMBED_SCRIPT}"
    COMMENT "Embedding ${arg_DIRECTORY}"
    VERBATIM)
  target_sources(${target} PRIVATE "${dir}/assets.cpp")
  target_include_directories(${target} PUBLIC "$<BUILD_INTERFACE:${dir}>")
endfunction()
