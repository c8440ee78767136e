# Brotli::decoder, of a package that brings no CMake files of its own. Installed too: an installed curfew needs it.
find_path(BrotliDecoder_INCLUDE_DIR brotli/decode.h)
find_library(BrotliDecoder_LIBRARY brotlidec)
mark_as_advanced(BrotliDecoder_INCLUDE_DIR BrotliDecoder_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BrotliDecoder REQUIRED_VARS BrotliDecoder_LIBRARY BrotliDecoder_INCLUDE_DIR)

if(BrotliDecoder_FOUND AND NOT TARGET Brotli::decoder)
  add_library(Brotli::decoder UNKNOWN IMPORTED)
  set_target_properties(Brotli::decoder PROPERTIES
    IMPORTED_LOCATION "${BrotliDecoder_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${BrotliDecoder_INCLUDE_DIR}")
endif()
