#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <utility>

#include <strata/io/file.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

STRATA_COLD STRATA_INLINE std::string system_message(int error) {
  return std::generic_category().message(error);
}

/// One transfer; the kernel moves at most 2 GiB at once.
inline constexpr std::size_t max_transfer = std::size_t{1} << 30;

}  // namespace detail

STRATA_COLD STRATA_INLINE InputFile::InputFile(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: a FIFO must not hang the open; for regular files it has no effect.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  require<DataError>(descriptor_ >= 0, "[file] cannot open '", path_, "': ", detail::system_message(errno));
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (known && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  ::close(std::exchange(descriptor_, -1));
  throw DataError(concat("[file] '", path_, "' is ",
                         known && S_ISDIR(status.st_mode) ? "a directory" : "not a regular file"));
}
STRATA_COLD STRATA_INLINE InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}
STRATA_COLD STRATA_INLINE InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}
STRATA_COLD STRATA_INLINE InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

STRATA_COLD STRATA_INLINE void InputFile::read(std::uint64_t offset, void* to, std::size_t bytes) const {
  require<DataError>(offset <= size_ && bytes <= size_ - offset, "[file] '", path_, "' has ", size_,
                     " bytes, wanted ", bytes, " from ", offset, " on");
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got =
        ::pread(descriptor_, at, std::min(bytes, detail::max_transfer), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    require<DataError>(got >= 0, "[file] cannot read '", path_, "': ", detail::system_message(errno));
    require<DataError>(got > 0, "[file] '", path_, "' became shorter while it was read");
    at += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

STRATA_COLD STRATA_INLINE std::string read_file(const std::string& path, std::uint64_t limit) {
  const InputFile file(path);
  require<DataError>(file.size() <= limit, "[file] '", path, "' has ", file.size(), " bytes, at most ", limit,
                     " are read");
  std::string out(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, out.data(), out.size());
  return out;
}

STRATA_COLD STRATA_INLINE AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  struct stat status {};
  const bool exists = ::stat(path_.c_str(), &status) == 0;
  // Renaming onto a device or a directory would destroy it or fail late.
  require<DataError>(!exists || S_ISREG(status.st_mode), "[file] cannot write '", path_, "': it is ",
                     S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
  if (exists) {  // through a symbolic link: the file it points to is replaced, the link stays
    if (char* resolved = ::realpath(path_.c_str(), nullptr)) {
      path_ = resolved;
      std::free(resolved);
    }
  }
  const std::size_t slash = path_.rfind('/') + 1;  // npos + 1 is 0
  require<DataError>(slash < path_.size(), "[file] cannot write '", path_, "': it names no file");
  directory_ = slash ? path_.substr(0, slash) : "./";
  for (int attempt = 0; !open_temporary(attempt); ++attempt)
    if (attempt == 100) fail("make a temporary file for", EBUSY);
  if (exists && ::fchmod(descriptor_, status.st_mode & 07777) != 0 && errno != EPERM) {
    const int error = errno;
    ::close(std::exchange(descriptor_, -1));
    ::unlink(temporary_.c_str());
    fail("set the mode of", error);
  }
}

/// The name is fixed, so that what a killed process left is taken over and does not pile up; the lock tells
/// leftovers from the temporary of a writer that lives.
STRATA_COLD STRATA_INLINE bool AtomicFile::open_temporary(int attempt) {
  temporary_ = concat(directory_, ".", std::string_view(path_).substr(path_.rfind('/') + 1), ".partial");
  if (attempt > 0) temporary_ += std::to_string(attempt);
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (descriptor_ < 0) fail("write", errno);
  struct stat opened {
  }, named{};
  const bool busy = ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  // Between open and lock another writer may have moved it into place.
  const bool ours = !busy && ::fstat(descriptor_, &opened) == 0 && ::lstat(temporary_.c_str(), &named) == 0 &&
                    opened.st_ino == named.st_ino && opened.st_dev == named.st_dev && S_ISREG(opened.st_mode);
  if (ours && ::ftruncate(descriptor_, 0) == 0) return true;
  const int error = errno;
  if (ours) ::unlink(temporary_.c_str());
  ::close(std::exchange(descriptor_, -1));
  if (ours) fail("write", error);
  return false;
}

STRATA_COLD STRATA_INLINE AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());  // before the lock goes with the descriptor
  ::close(descriptor_);
}

STRATA_COLD STRATA_INLINE void AtomicFile::fail(const char* action, int error) const {
  throw DataError(concat("[file] cannot ", action, " '", path_, "': ", detail::system_message(error)));
}

STRATA_COLD STRATA_INLINE void AtomicFile::write(const void* data, std::size_t bytes) {
  write_at(size_, data, bytes);
  size_ += bytes;
}

STRATA_COLD STRATA_INLINE void AtomicFile::write_at(std::uint64_t offset, const void* data,
                                                    std::size_t bytes) {
  require<DataError>(descriptor_ >= 0, "[file] '", path_, "' is already written");
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put =
        ::pwrite(descriptor_, at, std::min(bytes, detail::max_transfer), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail("write", put < 0 ? errno : ENOSPC);
    at += put;
    offset += static_cast<std::uint64_t>(put);
    bytes -= static_cast<std::size_t>(put);
  }
}

STRATA_COLD STRATA_INLINE void AtomicFile::commit() {
  require<DataError>(descriptor_ >= 0, "[file] '", path_, "' is already written");
  if (::fsync(descriptor_) != 0) fail("write", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace", errno);
  // Quota and network file systems may report a failed write as late as close.
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("write", errno);
  const int directory = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;  // a directory that may be written but not read
  const bool synced = ::fsync(directory) == 0 || errno == EINVAL;
  const int error = errno;
  ::close(directory);
  if (!synced) fail("sync the directory of", error);
}

STRATA_COLD STRATA_INLINE void write_file_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

STRATA_COLD STRATA_INLINE bool file_exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}
STRATA_COLD STRATA_INLINE bool directory_exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

STRATA_COLD STRATA_INLINE std::vector<DirectoryEntry> list_directory(const std::string& path) {
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const auto fail = [&](int error) {
    throw DataError(concat("[file] cannot list the directory '", path, "': ", detail::system_message(error)));
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(path.c_str()));
  if (!directory) fail(errno);
  std::vector<DirectoryEntry> out;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (!entry && errno != 0) fail(errno);
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string whole = concat(path, "/", name);
    struct stat status {};
    const bool known = ::lstat(whole.c_str(), &status) == 0;
    out.push_back({std::string(name), directory_exists(whole), known && S_ISLNK(status.st_mode)});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

STRATA_COLD STRATA_INLINE void make_directories(const std::string& path) {
  for (std::size_t at = 0; at < path.size();) {
    at = std::min(path.find('/', at + 1), path.size());
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0777) == 0) continue;
    const int error = errno;
    struct stat status {};
    const bool exists = ::stat(part.c_str(), &status) == 0;
    require<DataError>(exists && S_ISDIR(status.st_mode), "[file] cannot make the directory '", path, "': ",
                       exists ? concat("'", part, "' is not a directory") : detail::system_message(error));
  }
}

}}  // namespace strata::STRATA_ABI
