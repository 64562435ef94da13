#pragma once

#include <string>

namespace strata_test {

/// Why the running test case was skipped; empty where it was not.
std::string& skip_reason();

}  // namespace strata_test

/// Ends the test case as skipped (Catch2 2.13 has no SKIP). The report of the program and of tests/run says
/// why. Use it in the body of a TEST_CASE or SECTION.
#define STRATA_SKIP(reason)                \
  do {                                     \
    ::strata_test::skip_reason() = reason; \
    return;                                \
  } while (false)
