#pragma once

#include <string>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
class BasicNetwork;

namespace detail {

/// Keras's table: a row per layer with its output shape and number of parameters, then the totals.
template <class T>
std::string summary_text(const BasicNetwork<T>& model);

}  // namespace detail
}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/model/summary.ipp>
#endif
