#pragma once

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// How uint8 pixels become numbers: y[c] = scale * x[reverse_channels ? channels-1-c : c] - mean[c], channels
/// <= 4.
struct PixelScaling {
  float scale = 1;
  float mean[4] = {0, 0, 0, 0};
  bool reverse_channels = false;
};

}}  // namespace strata::STRATA_ABI
