#pragma once

#include <strata/cpu/autotune.ipp>
#include <strata/cpu/convolution.ipp>
#include <strata/cpu/device.ipp>
#include <strata/cpu/elementwise.ipp>
#include <strata/cpu/few_channels.ipp>
#include <strata/cpu/few_rows.ipp>
#include <strata/cpu/grouped_convolution.ipp>
#include <strata/cpu/implicit_product.ipp>
#include <strata/cpu/normalization.ipp>
#include <strata/cpu/pixels.ipp>
#include <strata/cpu/planner.ipp>
#include <strata/cpu/pooling.ipp>
#include <strata/cpu/training.ipp>
#include <strata/cpu/tuning.ipp>
#include <strata/cpu/winograd.ipp>
#include <strata/cpu/workspace.ipp>
