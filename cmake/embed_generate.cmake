# Run by curfew_embed at build time: writes OUTPUT from the files named in LIST, below ROOT.
cmake_minimum_required(VERSION 3.25)

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_mjs "text/javascript; charset=utf-8")
set(type_json "application/json")
set(type_txt "text/plain; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_png "image/png")
set(type_ico "image/x-icon")
set(type_woff2 "font/woff2")
set(type_webmanifest "application/manifest+json")

file(READ "${LIST}" files)
string(STRIP "${files}" files)

set(table "")
foreach(path IN LISTS files)
  file(READ "${ROOT}/${path}" hex HEX)
  string(LENGTH "${hex}" length)
  math(EXPR length "${length} / 2")
  # Every byte as \xNN, 32 to a literal: no escape can run into the character after it.
  string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${hex}")
  string(REPEAT "...." 32 row)
  string(REGEX REPLACE "(${row})" "\\1\"\n     \"" bytes "${bytes}")
  cmake_path(GET path EXTENSION LAST_ONLY extension)
  string(REGEX REPLACE "^\\." "" extension "${extension}")
  if(DEFINED type_${extension})
    set(type "${type_${extension}}")
  else()
    set(type "application/octet-stream")
  endif()
  string(APPEND table "    {\"${path}\", \"${type}\",\n     {\"${bytes}\", ${length}}},\n")
endforeach()

list(LENGTH files count)
file(WRITE "${OUTPUT}" "#include \"assets.hpp\"

#include <array>

namespace ${NAMESPACE} {
namespace {

constexpr std::array<asset, ${count}> table{{
${table}}};

}  // namespace

std::span<const asset> assets() { return table; }

}  // namespace ${NAMESPACE}
")
