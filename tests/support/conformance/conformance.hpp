#pragma once

#include <string>
#include <vector>

#include <strata/tensor/device.hpp>

#include "support/conformance/case.hpp"

namespace strata_test {

struct ConformanceOptions {
  double tolerance = 1e-5;                    ///< relative L2 error against the double reference
  bool large = true;                          ///< geometries of VGG16 too
  bool any_alignment = true;                  ///< has the same bits wherever operands lie
  std::vector<strata::DevicePtr> variants{};  ///< must give the same bits, e.g. other thread counts
  std::string only{};  ///< a regular expression that `primitive description` has to match; empty: all
};

struct ConformanceGroup {
  const char* name;
  void (*cases)(Cases&);
};
inline constexpr ConformanceGroup conformance_groups[] = {
    {"convolution", convolution_cases},
    {"pooling", pooling_cases},
    {"dense", dense_cases},
    {"elementwise", elementwise_cases},
    {"pixels", pixel_cases},
    {"normalization", normalization_cases},
    {"losses", loss_cases},
    {"optimizers", optimizer_cases},
};

/// Runs every case of the group on the device in T, float or double, with Catch's assertions: right values,
/// nothing written beside the outputs, nothing read beside the inputs, the same bits again. Prints the worst
/// error per primitive, and returns the number of cases.
template <class T = float>
int check_conformance(const strata::DevicePtr& device, const ConformanceGroup& group,
                      const ConformanceOptions& options = {});

/// NaN in the input reaches every output that depends on it, and no other sample.
void check_nan_propagation(const strata::DevicePtr& device);
/// Packed weights follow the version of the weight, also when several threads share them.
void check_packed_weights(const strata::DevicePtr& device);
/// Dropout keeps exactly the elements that RandomStream says.
void check_dropout_mask(const strata::DevicePtr& device);

}  // namespace strata_test
