#pragma once

#include <string>

namespace curfew::http::client_tests {

/// The test program's own getaddrinfo, which all of the process uses, libcurl's lookup threads too:
///
///   stuck.test    does not return before release_stuck_lookups()
///   missing.test  no such name
///   peer.test     127.0.0.1
///   two.test      127.0.0.2, 127.0.0.1
///
/// Any other name goes to the C library.

/// Waits until a lookup of stuck.test hangs; false if none does within the test's patience.
bool wait_for_stuck_lookup();

/// Lets all of them fail, and waits until they are gone.
void release_stuck_lookups();

}  // namespace curfew::http::client_tests
