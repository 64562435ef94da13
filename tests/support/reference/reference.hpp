#pragma once

#include <strata/tensor/device.hpp>

namespace strata_test {

struct ReferenceOptions {
  /// False: the device has memory of its own. It starts as NaN, faults when the host touches it, and pointers
  /// from elsewhere are refused, so that code which mixes host and device up fails on any machine.
  bool host_accessible = true;
};

/// A device of plain loops that sum in double: the oracle of the conformance suite, in float and double.
strata::DevicePtr reference_device(ReferenceOptions options = {});

/// The memory of a reference device: what was asked of it, and a way to let it run out.
class ReferenceMemory;
ReferenceMemory& memory_of(const strata::DevicePtr& device);

}  // namespace strata_test
