#pragma once

#include <strata/core/error.ipp>
#include <strata/core/parallel.ipp>
#include <strata/core/profile.ipp>
#include <strata/io/csv.ipp>
#include <strata/io/dtype.ipp>
#include <strata/io/event_file.ipp>
#include <strata/io/file.ipp>
#include <strata/io/json.ipp>
#include <strata/io/npy.ipp>
#include <strata/io/progress.ipp>
#include <strata/io/row_store.ipp>
#include <strata/io/safetensors.ipp>
#include <strata/io/svg.ipp>
#include <strata/tensor/activation.ipp>
#include <strata/tensor/metric_sums.ipp>
#include <strata/tensor/tensor.ipp>
