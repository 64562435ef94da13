#pragma once

// Everything that headers declare, compiled into one file of a program whose files all define STRATA_SPLIT;
// or each of its parts into a file of its own, which takes less memory and as many processors as there are
// parts. A program that uses strata/eigen.hpp or strata/cuda.hpp adds strata/eigen/device.ipp or
// strata/cuda/device.ipp.
#if !defined(STRATA_SPLIT)
#error "strata/implementation.hpp belongs to programs whose files define STRATA_SPLIT (-DSTRATA_SPLIT)"
#else

#include <strata/implementation/applications.hpp>
#include <strata/implementation/callbacks.hpp>
#include <strata/implementation/classifier.hpp>
#include <strata/implementation/core.hpp>
#include <strata/implementation/cpu.hpp>
#include <strata/implementation/data.hpp>
#include <strata/implementation/fit.hpp>
#include <strata/implementation/gradients.hpp>
#include <strata/implementation/graph.hpp>
#include <strata/implementation/kernels.hpp>
#include <strata/implementation/layers.hpp>
#include <strata/implementation/losses.hpp>
#include <strata/implementation/model.hpp>
#include <strata/implementation/pictures.hpp>
#include <strata/implementation/registry.hpp>
#include <strata/implementation/registry_double.hpp>
#include <strata/implementation/saving.hpp>
#include <strata/implementation/trainer.hpp>

#endif
