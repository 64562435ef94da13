#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <system_error>
#include <utility>

#include <strata/io/checksum.hpp>
#include <strata/io/event_file.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE void ProtobufMessage::varint(std::uint64_t value) {
  for (; value >= 128; value >>= 7) text_ += static_cast<char>(value | 128);
  text_ += static_cast<char>(value);
}
STRATA_COLD STRATA_INLINE ProtobufMessage& ProtobufMessage::number(int field, std::int64_t value) {
  varint(static_cast<std::uint64_t>(field) << 3);
  varint(static_cast<std::uint64_t>(value));
  return *this;
}
STRATA_COLD STRATA_INLINE ProtobufMessage& ProtobufMessage::real(int field, double value) {
  varint(static_cast<std::uint64_t>(field) << 3 | 1);
  text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}
STRATA_COLD STRATA_INLINE ProtobufMessage& ProtobufMessage::bytes(int field, std::string_view value) {
  varint(static_cast<std::uint64_t>(field) << 3 | 2);
  varint(value.size());
  text_ += value;
  return *this;
}

namespace detail {

enum class EventType { float32 = 1, float64 = 2, string = 7 };  // tf.DataType

/// tf.TensorProto without its values.
STRATA_COLD STRATA_INLINE ProtobufMessage event_tensor(EventType type,
                                                       std::initializer_list<std::int64_t> shape) {
  ProtobufMessage extents;
  for (const std::int64_t extent : shape) extents.message(2, ProtobufMessage().number(1, extent));
  return ProtobufMessage().number(1, static_cast<int>(type)).message(2, extents);
}

STRATA_COLD STRATA_INLINE ProtobufMessage event_value(std::string_view tag, const char* plugin,
                                                      const ProtobufMessage& tensor) {
  const ProtobufMessage metadata = ProtobufMessage().message(1, ProtobufMessage().bytes(1, plugin));
  return ProtobufMessage().bytes(1, tag).message(9, metadata).message(8, tensor);
}

template <class Values>
STRATA_COLD std::string_view bytes_of(const Values& values) {
  return {reinterpret_cast<const char*>(&values), sizeof values};
}

}  // namespace detail

STRATA_COLD STRATA_INLINE ProtobufMessage scalar_summary(std::string_view tag, double value) {
  const auto rounded = static_cast<float>(value);
  return detail::event_value(
      tag, "scalars",
      detail::event_tensor(detail::EventType::float32, {}).bytes(4, detail::bytes_of(rounded)));
}

template <class T>
STRATA_COLD ProtobufMessage histogram_summary(std::string_view tag, std::span<const T> values) {
  constexpr std::size_t count = 30;
  std::array<std::array<double, 3>, count> buckets{};
  double least = INFINITY, most = -INFINITY;
  for (const T value : values) {
    if (!std::isfinite(value)) continue;
    least = std::min(least, static_cast<double>(value));
    most = std::max(most, static_cast<double>(value));
  }
  if (least <= most) {
    const double width = (most - least) / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) {
      buckets[i][0] = least + static_cast<double>(i) * width;
      buckets[i][1] = i + 1 < count ? least + static_cast<double>(i + 1) * width : most;
    }
    for (const T value : values) {
      if (!std::isfinite(value)) continue;
      // All are equal: TensorBoard has them in the last bucket.
      const double place = width > 0 ? (static_cast<double>(value) - least) / width : INFINITY;
      ++buckets[place < static_cast<double>(count - 1) ? static_cast<std::size_t>(place) : count - 1][2];
    }
  }
  return detail::event_value(tag, "histograms",
                             detail::event_tensor(detail::EventType::float64, {std::int64_t{count}, 3})
                                 .bytes(4, detail::bytes_of(buckets)));
}

STRATA_COLD STRATA_INLINE ProtobufMessage image_summary(std::string_view tag, std::int64_t width,
                                                        std::int64_t height,
                                                        std::span<const std::string> png) {
  ProtobufMessage tensor = detail::event_tensor(detail::EventType::string, {std::ssize(png) + 2});
  tensor.bytes(8, std::to_string(width)).bytes(8, std::to_string(height));
  for (const std::string& file : png) tensor.bytes(8, file);
  return detail::event_value(tag, "images", tensor);
}

STRATA_COLD STRATA_INLINE EventFile::EventFile(std::string path) : path_(std::move(path)) {
  file_.reset(std::fopen(path_.c_str(), "wb"));
  require<DataError>(file_ != nullptr, "[event_file] cannot write '", path_,
                     "': ", std::generic_category().message(errno));
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);  // nothing may be left that close would write
  write(ProtobufMessage().bytes(3, "brain.Event:2"));
}

STRATA_COLD STRATA_INLINE void EventFile::add(std::int64_t step, const ProtobufMessage& summary) {
  write(ProtobufMessage().number(2, step).message(5, ProtobufMessage().message(1, summary)));
}
STRATA_COLD STRATA_INLINE void EventFile::add_graph(const ProtobufMessage& graph) {
  write(ProtobufMessage().message(4, graph));
}

// TFRecord: length, its checksum, data, its checksum.
STRATA_COLD STRATA_INLINE void EventFile::write(ProtobufMessage event) {
  std::timespec now{};
  std::timespec_get(&now, TIME_UTC);
  event.real(1, static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec));
  const auto checksum = [](std::string_view bytes) {
    return std::rotr(crc32c(bytes.data(), bytes.size()), 15) + 0xa282ead8U;
  };
  const std::uint64_t length = event.text().size();
  const std::uint32_t of_length = checksum(detail::bytes_of(length)), of_event = checksum(event.text());
  std::string record;
  record.reserve(event.text().size() + 16);
  record.append(detail::bytes_of(length)).append(detail::bytes_of(of_length));
  record.append(event.text()).append(detail::bytes_of(of_event));
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) == record.size()) {
    size_ += std::ssize(record);
    return;
  }
  const int error = errno;
  const bool cut = ::ftruncate(fileno(file_.get()), size_) == 0 && std::fseek(file_.get(), 0, SEEK_END) == 0;
  throw DataError(concat("[event_file] cannot write '", path_, "': ", std::generic_category().message(error),
                         cut ? "" : "; it ends in half an event"));
}

STRATA_COLD STRATA_INLINE void cut_event_file(const std::string& path, std::int64_t size) {
  const bool done = size > 0 ? ::truncate(path.c_str(), size) == 0 : std::remove(path.c_str()) == 0;
  require<DataError>(done || errno == ENOENT, "[event_file] cannot cut '", path,
                     "': ", std::generic_category().message(errno));
}

#if !STRATA_HEADER_ONLY
template ProtobufMessage histogram_summary(std::string_view, std::span<const float>);
template ProtobufMessage histogram_summary(std::string_view, std::span<const double>);
#endif

}}  // namespace strata::STRATA_ABI
