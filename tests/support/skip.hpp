#pragma once

#include <string>

namespace strata_test {

/// Marks the running test case as skipped; the report of this program and of tests/run says why.
void skip(const std::string& reason);

}  // namespace strata_test

/// Ends the test case as skipped (Catch2 2.13 has no SKIP). Use it in the body of a TEST_CASE or SECTION.
#define STRATA_SKIP(reason)        \
  do {                             \
    ::strata_test::skip((reason)); \
    return;                        \
  } while (false)
