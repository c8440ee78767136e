# The third-party libraries that modules may name, and the headers each one owns.

curfew_third_party(threads PACKAGE Threads TARGETS Threads::Threads)

# Asio is compiled once, in src/io/asio.cpp, instead of in every file that includes it.
curfew_third_party(asio PACKAGE Boost 1.81 CONFIG TARGETS Boost::headers
                   HEADERS boost/asio boost/system
                   DEFINITIONS BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION)
curfew_third_party(beast PACKAGE Boost 1.81 CONFIG TARGETS Boost::headers HEADERS boost/beast)
curfew_third_party(boost_url PACKAGE Boost 1.81 CONFIG COMPONENTS url TARGETS Boost::url HEADERS boost/url)
curfew_third_party(openssl PACKAGE OpenSSL TARGETS OpenSSL::SSL OpenSSL::Crypto HEADERS openssl)
curfew_third_party(zlib PACKAGE ZLIB TARGETS ZLIB::ZLIB HEADERS zlib)
curfew_third_party(brotli PACKAGE BrotliDecoder TARGETS Brotli::decoder HEADERS brotli)
curfew_third_party(zstd PACKAGE zstd CONFIG TARGETS zstd::libzstd_shared HEADERS zstd zstd_errors)
# Structs by position.
curfew_third_party(pfr PACKAGE Boost 1.81 CONFIG TARGETS Boost::headers HEADERS boost/pfr)
curfew_third_party(sqlite PACKAGE SQLite3 TARGETS SQLite::SQLite3 HEADERS sqlite3)
curfew_third_party(libpq PACKAGE Libpq TARGETS Libpq::pq HEADERS libpq-fe)
curfew_third_party(hiredis PACKAGE Hiredis TARGETS Hiredis::hiredis HEADERS hiredis)
# Lines and functions of stacks.
curfew_third_party(libbacktrace PACKAGE Libbacktrace TARGETS Libbacktrace::backtrace HEADERS backtrace)
