#include "support/skip.hpp"

std::string& strata_test::skip_reason() {
  static std::string reason;
  return reason;
}
