#pragma once

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

#include <strata/io/csv.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

template <std::floating_point T>
std::string shortest(T value) {
  char text[64];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

STRATA_COLD STRATA_INLINE void append_csv_row(std::string& out, const std::vector<std::string>& row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i > 0) out += ',';
    // A lone empty field would be an empty line.
    const bool quoted =
        row[i].find_first_of(",\"\r\n") != std::string::npos || (row.size() == 1 && row[i].empty());
    if (!quoted) {
      out += row[i];
      continue;
    }
    out += '"';
    for (const char c : row[i]) out.append(c == '"' ? 2 : 1, c);
    out += '"';
  }
  out += '\n';
}

}  // namespace detail

STRATA_COLD STRATA_INLINE CsvField::CsvField(double value) : text(detail::shortest(value)) {}
STRATA_COLD STRATA_INLINE CsvField::CsvField(float value) : text(detail::shortest(value)) {}

STRATA_COLD STRATA_INLINE CsvTable::CsvTable(std::vector<std::string> columns)
    : columns_(std::move(columns)) {
  require<DataError>(!columns_.empty(), "[csv] a table needs a column");
  std::vector<std::string_view> names(columns_.begin(), columns_.end());
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require<DataError>(twice == names.end(), "[csv] the column '", twice == names.end() ? "" : *twice,
                     "' is there twice");
}

STRATA_COLD STRATA_INLINE CsvTable CsvTable::parse(std::string_view text, std::string_view source) {
  std::vector<std::vector<std::string>> rows;
  std::size_t line = 1;
  const auto fail = [&](std::size_t at, const std::string& message) {
    throw DataError(concat("[csv] ", source, ":", at, ": ", message));
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t first_line = line;
    std::vector<std::string> row;
    for (bool more = true; more;) {
      std::string& field = row.emplace_back();
      if (at < text.size() && text[at] == '"') {
        for (++at;; ++at) {
          if (at >= text.size()) fail(first_line, "a quoted field does not end");
          if (text[at] == '"' && text.substr(at, 2) != "\"\"") break;
          if (text[at] == '"') ++at;
          if (text[at] == '\n') ++line;
          field += text[at];
        }
        ++at;
      } else {
        const std::size_t end = std::min(text.find_first_of(",\"\r\n", at), text.size());
        field = text.substr(at, end - at);
        at = end;
      }
      more = at < text.size() && text[at] == ',';
      if (more) ++at;
    }
    if (text.substr(at, 2) == "\r\n") ++at;
    if (at < text.size() && text[at] != '\n') fail(line, "expected ',' or the end of the line after a field");
    ++at;
    ++line;
    if (!rows.empty() && row.size() != rows[0].size())
      fail(first_line, concat("expected ", rows[0].size(), " fields, found ", row.size()));
    rows.push_back(std::move(row));
  }
  if (rows.empty()) fail(1, "expected a line of column names, found nothing");
  CsvTable out(std::move(rows[0]));
  out.rows_.assign(std::make_move_iterator(rows.begin() + 1), std::make_move_iterator(rows.end()));
  return out;
}

STRATA_COLD STRATA_INLINE void CsvTable::append(const std::vector<CsvField>& row) {
  require<DataError>(row.size() == columns_.size(), "[csv] expected ", columns_.size(), " fields, found ",
                     row.size());
  std::vector<std::string>& fields = rows_.emplace_back();
  for (const CsvField& field : row) fields.push_back(field.text);
}

STRATA_COLD STRATA_INLINE std::size_t CsvTable::index_of(std::string_view column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found != columns_.end()) return static_cast<std::size_t>(found - columns_.begin());
  std::string known;
  for (const std::string& name : columns_) known += concat(known.empty() ? "'" : ", '", name, "'");
  throw DataError(concat("[csv] expected a column '", column, "', found ", known));
}

STRATA_COLD STRATA_INLINE const std::string& CsvTable::field(std::size_t row, std::string_view column) const {
  require<DataError>(row < rows_.size(), "[csv] row ", row, " is outside a table of ", rows_.size());
  return rows_[row][index_of(column)];
}

STRATA_COLD STRATA_INLINE std::vector<double> CsvTable::numbers(std::string_view column) const {
  const std::size_t index = index_of(column);
  std::vector<double> out;
  for (const auto& row : rows_) {
    const std::string& text = row[index];
    double value = std::numeric_limits<double>::quiet_NaN();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    require<DataError>(text.empty() || (error == std::errc() && end == text.data() + text.size()),
                       "[csv] row ", out.size(), ", column '", column, "': expected a number, found '", text,
                       "'");
    out.push_back(value);
  }
  return out;
}

STRATA_COLD STRATA_INLINE std::string CsvTable::to_string() const {
  std::string out;
  detail::append_csv_row(out, columns_);
  for (const auto& row : rows_) detail::append_csv_row(out, row);
  return out;
}

}}  // namespace strata::STRATA_ABI
