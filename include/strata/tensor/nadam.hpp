#pragma once

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Nadam's momentum u = beta_1 (1 - 0.96^t / 2) of step t and of the next, and the product of those up to t.
/// Found from the step alone, so that a run that is resumed needs nothing else; for kernels as well, whose
/// compiler has no standard library.
struct NadamMomentum {
  double now = 0, next = 0, product = 1;

  constexpr NadamMomentum(double beta_1, double step) {
    double decay = 0.96;
    next = beta_1 * (1 - decay / 2);
    for (double t = 0; t < step && (decay > 1e-17 || product > 1e-17);
         ++t) {  // then nothing changes any more
      decay *= 0.96;
      now = next;
      next = beta_1 * (1 - decay / 2);
      product *= now;
    }
  }
};

}}  // namespace strata::STRATA_ABI
