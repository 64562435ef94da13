#pragma once

#include <string>

namespace strata_test {

/// The root of the checkout. A function, since a macro on every command would keep ccache from knowing
/// another checkout.
std::string source_folder();

/// What Keras answered, written by the generate.py in it.
inline std::string golden_folder() {
  return source_folder() + "/tests/support/golden/";
}

}  // namespace strata_test
