// Boost.Asio's own sources, compiled once for all targets (BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/impl/src.hpp>
