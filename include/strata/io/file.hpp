#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A regular file open for reading at any position; several threads may read at once. Throws DataError that
/// names the file and the cause: absent, a directory, unreadable, cut short.
class InputFile {
 public:
  explicit InputFile(std::string path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::string& path() const { return path_; }
  /// Bytes when it was opened.
  std::uint64_t size() const { return size_; }
  /// Exactly `bytes` from `offset` on.
  void read(std::uint64_t offset, void* to, std::size_t bytes) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// The whole file. Throws DataError, also where it has more than `limit` bytes.
std::string read_file(const std::string& path, std::uint64_t limit = std::uint64_t{1} << 30);

/// A file that appears complete or not at all: bytes go to a temporary beside it, and `commit` puts that in
/// its place (fsync, rename, fsync of the directory). Without `commit`, after an error or a crash, the old
/// file stays as it was. Throws DataError.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const { return path_; }
  /// Appends.
  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Overwrites bytes already written, e.g. a header whose counts were not known at first.
  void write_at(std::uint64_t offset, const void* data, std::size_t bytes);
  /// Bytes appended so far.
  std::uint64_t size() const { return size_; }

  void commit();

 private:
  bool open_temporary(int attempt);
  [[noreturn]] void fail(const char* action, int error) const;

  std::string path_, directory_, temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// Replaces or makes the file, see AtomicFile.
void write_file_atomically(const std::string& path, std::string_view bytes);

/// Links are followed; what cannot be reached is not there.
bool file_exists(const std::string& path);
bool directory_exists(const std::string& path);

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;  ///< itself, or where the link points
  bool is_link = false;
};
/// What lies in a directory, by name in the order of its bytes. Throws DataError. (std::filesystem's
/// iterators end the program where memory runs out.)
std::vector<DirectoryEntry> list_directory(const std::string& path);

/// Makes the directory and its parents; no error where it exists. Throws DataError.
void make_directories(const std::string& path);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/file.ipp>
#endif
