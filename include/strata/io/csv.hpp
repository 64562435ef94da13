#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// One field: text, or a number as the shortest text that reads back equal.
struct CsvField {
  std::string text;

  CsvField(std::string field) : text(std::move(field)) {}
  CsvField(const char* field) : text(field) {}
  template <std::integral T>
  CsvField(T value) : text(std::to_string(value)) {}
  CsvField(double value);
  CsvField(float value);
};

/// A table with named columns, as comma-separated values (RFC 4180, lines end in "\n").
class CsvTable {
 public:
  /// Throws DataError for no column or a name given twice.
  explicit CsvTable(std::vector<std::string> columns);

  /// Fields with commas, quotes and line breaks stand in quotes; both line ends are read. Throws DataError
  /// with source and line where a row has too many or too few fields or a quote does not end.
  static CsvTable parse(std::string_view text, std::string_view source = "text");

  const std::vector<std::string>& columns() const { return columns_; }
  std::size_t rows() const { return rows_.size(); }
  /// Throws DataError where the count of fields is not that of the columns.
  void append(const std::vector<CsvField>& row);

  /// Throws DataError for a row or column there is not.
  const std::string& field(std::size_t row, std::string_view column) const;
  /// A column as numbers, an empty field as NaN. Throws DataError for other text.
  std::vector<double> numbers(std::string_view column) const;

  std::string to_string() const;

 private:
  std::size_t index_of(std::string_view column) const;

  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/csv.ipp>
#endif
