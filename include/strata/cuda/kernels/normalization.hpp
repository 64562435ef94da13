#pragma once

#include <strata/cuda/kernels/columns.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Partial sums of dy, of [slices,1,channels], and what becomes of them.
struct BiasGradient {
  Columns columns;
  const float* dy = nullptr;
  double* partial = nullptr;
  float* dbias = nullptr;
  bool accumulate = false;
};

/// The moments of x: partial sums [slices,2,channels], then all that follows from them.
struct BatchMoments {
  Columns columns;
  const float* x = nullptr;
  double* partial = nullptr;
  double momentum = 0;
  double* exact_mean = nullptr;  ///< the mean before it is rounded
  float *mean = nullptr, *variance = nullptr, *moving_mean = nullptr, *moving_variance = nullptr;
};

/// y from x and moments.
struct BatchNorm {
  Columns columns;
  double epsilon = 0;
  const float *gamma = nullptr, *beta = nullptr;  ///< or null
  const double* exact_mean = nullptr;             ///< or null: `mean`
  const float *mean = nullptr, *variance = nullptr;
  int activation = 0;  ///< see activation_kind
  float negative_slope = 0;
  const float* x = nullptr;
  float* y = nullptr;
};

/// Sums of dy and dy * normalized x: partial ones [slices,2,channels], then [2,channels].
struct BatchNormBackward {
  Columns columns;
  double epsilon = 0;
  const float *gamma = nullptr, *mean = nullptr, *variance = nullptr;
  const float *x = nullptr, *dy = nullptr;
  double *partial = nullptr, *sums = nullptr;
  bool fixed = false;                                        ///< the moments do not depend on x
  float *dx = nullptr, *dgamma = nullptr, *dbeta = nullptr;  ///< or null
  bool accumulate_dgamma = false, accumulate_dbeta = false;
};

}}}  // namespace strata::STRATA_ABI::cuda
