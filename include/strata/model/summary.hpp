#pragma once

#include <string>
#include <vector>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
class BasicNetwork;

namespace detail {

/// Keras's table: a row per layer with its output shape and number of parameters, then the totals.
template <class T>
std::string summary_text(const BasicNetwork<T>& model);

/// Rows in aligned columns, a line below the first.
std::string text_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace detail
}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/model/summary.ipp>
#endif
