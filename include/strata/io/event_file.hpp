#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A protocol buffer message that grows field by field, in the wire format. Source:
/// protobuf.dev/programming-guides/encoding.
class ProtobufMessage {
 public:
  /// A field of type int32, int64, bool or an enumeration.
  ProtobufMessage& number(int field, std::int64_t value);
  ProtobufMessage& real(int field, double value);
  /// A field of type string or bytes, or a message.
  ProtobufMessage& bytes(int field, std::string_view value);
  ProtobufMessage& message(int field, const ProtobufMessage& value) { return bytes(field, value.text_); }
  const std::string& text() const { return text_; }

 private:
  void varint(std::uint64_t value);
  std::string text_;
};

/// One summary of an event, tf.Summary.Value: what tf.summary of TensorFlow 2 writes, a tensor and the name
/// of TensorBoard's plugin for it. TensorBoard turns the older kinds (simple_value, histo, image) into these
/// when it reads them.
ProtobufMessage scalar_summary(std::string_view tag, double value);  ///< rounded to float, as in TensorFlow
/// 30 buckets of equal width, [30,3]: left edge, right edge, count. Values that are not finite are left out.
/// Source: TensorBoard's plugins/histogram/summary_v2.py.
template <class T>
ProtobufMessage histogram_summary(std::string_view tag, std::span<const T> values);
/// Pictures of one size, as PNG files.
ProtobufMessage image_summary(std::string_view tag, std::int64_t width, std::int64_t height,
                              std::span<const std::string> png);

/// A file of events for TensorBoard, which shows files of the name events.out.tfevents.*: TFRecords of
/// tf.Event. Each is on its way to the disk when its call returns.
class EventFile {
 public:
  /// Makes the file, or empties the one there is. Throws DataError.
  explicit EventFile(std::string path);

  const std::string& path() const { return path_; }
  std::int64_t size() const { return size_; }  ///< in bytes
  /// Throws DataError where it cannot be written, and then half an event is taken back.
  void add(std::int64_t step, const ProtobufMessage& summary);
  /// A tf.GraphDef.
  void add_graph(const ProtobufMessage& graph);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void write(ProtobufMessage event);

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::int64_t size_ = 0;
};

/// Takes back what was added to a file of events after it had that size; one of size 0 goes, and one that is
/// not there is left alone. Throws DataError.
void cut_event_file(const std::string& path, std::int64_t size);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/event_file.ipp>
#endif
