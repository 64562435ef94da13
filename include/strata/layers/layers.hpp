#pragma once

#include <strata/layers/activation.hpp>
#include <strata/layers/batch_normalization.hpp>
#include <strata/layers/conv2d.hpp>
#include <strata/layers/dense.hpp>
#include <strata/layers/dropout.hpp>
#include <strata/layers/flatten.hpp>
#include <strata/layers/input.hpp>
#include <strata/layers/merge.hpp>
#include <strata/layers/pooling.hpp>
#include <strata/layers/rescaling.hpp>
#include <strata/layers/zero_padding2d.hpp>

#if !STRATA_HEADER_ONLY
#define STRATA_INSTANCE extern template class
#include <strata/layers/instances.ipp>
#endif
