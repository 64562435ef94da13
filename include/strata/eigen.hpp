#pragma once

// Eigen as a device, and Eigen's matrices as tensors. Opt-in: nothing else in Strata needs Eigen.
// Header-only, the device is compiled into the files that include this, which takes a minute, and all of them
// in a program take the same -m flags; strata::compiled carries it once.

#include <strata/eigen/device.hpp>
#include <strata/eigen/map.hpp>
#include <strata/tensor/backend.hpp>
