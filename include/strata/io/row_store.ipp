#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include <strata/io/file.ipp>
#include <strata/io/row_store.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
/// A new file without a name, or -1 and errno.
STRATA_COLD STRATA_INLINE int open_unnamed_file() {
  const char* folder = std::getenv("TMPDIR");
  std::string name = concat(folder && *folder ? folder : "/var/tmp", "/strata-XXXXXX");
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor >= 0) ::unlink(name.c_str());
  return descriptor;
}
}  // namespace detail

STRATA_COLD STRATA_INLINE RowStore::RowStore(std::size_t row_bytes, std::size_t memory, bool on_disk)
    : row_bytes_(row_bytes), most_in_memory_(row_bytes ? memory / row_bytes : 0), on_disk_(on_disk) {}
STRATA_COLD STRATA_INLINE RowStore::~RowStore() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

STRATA_COLD STRATA_INLINE bool RowStore::load(std::int64_t number, void* to) const {
  const auto found = places_.find(number);
  if (found == places_.end()) return false;
  if (found->second < rows_.size()) {
    std::memcpy(to, rows_[found->second].get(), row_bytes_);
    return true;
  }
  const std::size_t begin = (found->second - rows_.size()) * row_bytes_;
  for (std::size_t done = 0; done < row_bytes_;) {
    const ssize_t read =
        ::pread(descriptor_, static_cast<char*>(to) + done, std::min(row_bytes_ - done, detail::max_transfer),
                static_cast<off_t>(begin + done));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) return false;
    done += static_cast<std::size_t>(read);
  }
  return true;
}

STRATA_COLD STRATA_INLINE std::string RowStore::store(std::int64_t number, const void* from) {
  if (contains(number)) return {};
  if (descriptor_ < 0 && rows_.size() < most_in_memory_) {
    try {
      auto row = std::make_unique_for_overwrite<std::byte[]>(row_bytes_);
      std::memcpy(row.get(), from, row_bytes_);
      places_.emplace(number, rows_.size());
      try {
        rows_.push_back(std::move(row));
      } catch (...) {
        places_.erase(number);
        throw;
      }
      return {};
    } catch (const std::bad_alloc&) {
      return "no memory is left";
    }
  }
  if (!on_disk_) return concat("more than ", most_in_memory_, " rows");
  if (descriptor_ < 0) descriptor_ = detail::open_unnamed_file();
  const std::size_t place = places_.size();
  if (descriptor_ < 0 || !write(place - rows_.size(), from)) return detail::system_message(errno);
  places_.emplace(number, place);
  return {};
}

STRATA_COLD STRATA_INLINE bool RowStore::write(std::size_t place, const void* from) {
  for (std::size_t done = 0; done < row_bytes_;) {
    const ssize_t written = ::pwrite(descriptor_, static_cast<const char*>(from) + done,
                                     std::min(row_bytes_ - done, detail::max_transfer),
                                     static_cast<off_t>(place * row_bytes_ + done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    done += static_cast<std::size_t>(written);
  }
  return true;
}

}}  // namespace strata::STRATA_ABI
