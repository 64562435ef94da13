#pragma once

#include <string>

#include <strata/model/model.hpp>

namespace strata::inline STRATA_ABI::detail {

/// Keras's table: a row per layer with its output shape and number of parameters, then the totals.
template <class T>
std::string summary_text(const BasicModel<T>& model);

}  // namespace strata::inline STRATA_ABI::detail

#if STRATA_HEADER_ONLY
#include <strata/model/summary.ipp>
#endif
