#pragma once

// Eigen as a device, and Eigen's matrices as tensors. Opt-in: nothing else in Strata needs Eigen. Its code is
// compiled into the files that include this, so all of them in a program take the same -m flags.

#include <strata/eigen/device.hpp>
#include <strata/eigen/map.hpp>
