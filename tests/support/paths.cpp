#include "support/paths.hpp"

std::string strata_test::source_folder() {
  return STRATA_SOURCE_DIR;
}
