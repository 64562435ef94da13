#pragma once

// Everything that runs on the CPU.

#include <strata/cpu/device.hpp>
#include <strata/data/directory.hpp>
#include <strata/data/prefetch.hpp>
#include <strata/layers/registry.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/saving.hpp>
