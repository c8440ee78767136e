#pragma once

#include <string>

namespace curfew::tests {

/// The test program's own getaddrinfo, which all of the process uses:
///
///   stuck….test   does not return before release_stuck_lookups(); then, that no server answers
///   held….test    does not return before release_stuck_lookups(); then 127.0.0.1
///   missing.test  no such name
///   broken.test   the system's error EMFILE
///   peer….test    127.0.0.1
///   two.test      127.0.0.2, 127.0.0.1
///   mixed.test    fd00::1, fd00::2, fd00::1 again, fd00::3, 127.0.0.1, 127.0.0.2
///   many.test     40 addresses
///   rebinds….test a public address, 8.8.8.8; from the second lookup of the name on 127.0.0.1
///
/// Any other name goes to the C library.

/// Waits until so many lookups hang; false if they do not within the test's patience.
bool wait_for_stuck_lookup(int count = 1);

/// Lets all of them go on, and waits until they have returned.
void release_stuck_lookups();

/// How often a name has been looked up in this process.
int lookups_of(const std::string& name);

}  // namespace curfew::tests
