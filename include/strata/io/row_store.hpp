#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Rows of one size by number, kept in memory up to a budget and beyond it in a file that no name leads to,
/// which goes when this does. For one caller at a time.
class RowStore {
 public:
  /// `on_disk`: rows that exceed `memory` bytes go to the directory that TMPDIR names, else to /var/tmp.
  RowStore(std::size_t row_bytes, std::size_t memory, bool on_disk);
  ~RowStore();
  RowStore(const RowStore&) = delete;
  RowStore& operator=(const RowStore&) = delete;

  std::size_t row_bytes() const { return row_bytes_; }
  bool contains(std::int64_t number) const { return places_.contains(number); }
  /// False where the row is not there, or cannot be read any more.
  bool load(std::int64_t number, void* to) const;
  /// Empty, or why there is no room for it. A row that is there stays as it is.
  std::string store(std::int64_t number, const void* from);

 private:
  bool write(std::size_t place, const void* from);

  std::size_t row_bytes_, most_in_memory_;
  bool on_disk_;
  std::map<std::int64_t, std::size_t> places_;  // in memory first, then in the file
  std::vector<std::unique_ptr<std::byte[]>> rows_;
  int descriptor_ = -1;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/row_store.ipp>
#endif
