#pragma once

#include <cstdint>
#include <initializer_list>
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

std::string with_commas(std::int64_t number);
/// In the largest unit that leaves 1 or more: 1536, 1024 and {"B", "KB"} give "1.50 KB".
std::string with_unit(double number, double base, std::initializer_list<const char*> units);

/// Rows in aligned columns, a line below the first.
std::string text_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace detail
}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/model/summary.ipp>
#endif
