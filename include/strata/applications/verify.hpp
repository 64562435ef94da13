#pragma once

#include <string>
#include <vector>

#include <strata/training/model.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

/// How far one layer's result is from what its probe says, relative to the size (root mean square) of the
/// layer's values.
struct LayerDeviation {
  std::string layer;
  double relative = 0;
};

/// Runs a probe (a fixed input with each layer's shape, mean, norm and some values, computed in double when
/// the weights were converted; see docs/weights.md) on the model's device and returns the deviation of every
/// layer the model has. Throws WeightError naming the first layer beyond `tolerance`, DataError for a file
/// that is no probe or has an input of more than 2^26 elements.
template <class T>
std::vector<LayerDeviation> verify(const BasicModel<T>& model, const std::string& probe,
                                   double tolerance = 1e-4);

}}}  // namespace strata::STRATA_ABI::applications

#if STRATA_HEADER_ONLY
#include <strata/applications/verify.ipp>
#endif
