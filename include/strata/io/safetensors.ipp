#pragma once

#include <algorithm>
#include <limits>

#include <strata/io/checksum.hpp>
#include <strata/io/json.hpp>
#include <strata/io/safetensors.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

inline constexpr std::string_view safetensors_dtypes[] = {"BOOL", "U8",   "I32", "I64",
                                                          "F16",  "BF16", "F32", "F64"};
inline constexpr std::uint64_t max_safetensors_header = 100'000'000;  // the limit of the reference reader
inline constexpr std::size_t max_safetensors_entry = 4096;            // eight axes take some 300 bytes

STRATA_COLD STRATA_INLINE DType safetensors_dtype(std::string_view name) {
  const auto found = std::find(std::begin(safetensors_dtypes), std::end(safetensors_dtypes), name);
  require<DataError>(found != std::end(safetensors_dtypes),
                     "expected dtype F64, F32, F16, BF16, I64, I32, U8 or BOOL, found ", name);
  return static_cast<DType>(found - std::begin(safetensors_dtypes));
}

/// An offset or an extent: a whole number that is not negative.
STRATA_COLD STRATA_INLINE std::uint64_t safetensors_count(const Json& json) {
  require<DataError>(json.is_int() && json.as_int() >= 0, "expected a whole number, found ", json.dump());
  return static_cast<std::uint64_t>(json.as_int());
}

/// One entry of the header; `data_size` bytes of tensors begin at `data_begin` in the file.
STRATA_COLD STRATA_INLINE SafetensorsInfo safetensors_info(const std::string& name, const Json& entry,
                                                           std::uint64_t data_begin,
                                                           std::uint64_t data_size) {
  SafetensorsInfo out{name, safetensors_dtype(entry.get<std::string>("dtype")), {}, 0, 0};
  require<DataError>(entry.size() == 3, "expected dtype, shape and data_offsets alone");
  const Json::Array& extents = entry.at("shape").as_array();
  require<DataError>(extents.size() <= Shape::max_rank, "expected at most ", Shape::max_rank, " axes, found ",
                     extents.size());
  for (const Json& item : extents) out.shape.append(static_cast<std::int64_t>(safetensors_count(item)));
  out.bytes = bytes_of(out.dtype, out.shape);
  const Json& offsets = entry.at("data_offsets");
  require<DataError>(offsets.size() == 2, "expected two data_offsets, found ", offsets.size());
  const std::uint64_t begin = safetensors_count(offsets.at(0)), end = safetensors_count(offsets.at(1));
  require<DataError>(begin <= end && end <= data_size, "data_offsets [", begin, ",", end,
                     "] are not inside the ", data_size, " bytes of data");
  require<DataError>(end - begin == out.bytes, "shape ", out.shape, " of ",
                     safetensors_dtypes[static_cast<int>(out.dtype)], " takes ", out.bytes,
                     " bytes, data_offsets span ", end - begin);
  out.offset = data_begin + begin;
  return out;
}

inline constexpr std::string_view checksums_key = "crc32c";

/// Of all texts but the checksums, lengths included.
STRATA_COLD STRATA_INLINE std::uint32_t checksum_of(const SafetensorsMetadata& metadata) {
  std::uint32_t crc = 0;
  for (const auto& [key, text] : metadata)
    if (key != checksums_key)
      for (const std::string* part : {&key, &text}) crc = crc32c(part->c_str(), part->size() + 1, crc);
  return crc;
}

/// What a file is that begins with these 8 bytes, where they are no length of a header but of a format that
/// weights/convert reads; else "".
STRATA_COLD STRATA_INLINE std::string_view foreign_weights(std::uint64_t header_size) {
  if (header_size == 0x0A1A0A0D46444889) return "HDF5, as Keras writes .h5";           // "\x89HDF\r\n\x1A\n"
  if ((header_size & 0xFFFFFFFF) == 0x04034B50) return "a zip archive, as is .keras";  // "PK\3\4"
  const std::uint64_t major = header_size & 0xFFFFFFFF, minor = header_size >> 32;
  return major == 0 && minor > 0 && minor < 10 ? "weights of Darknet" : "";
}

}  // namespace detail

STRATA_COLD STRATA_INLINE SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  const std::string where = concat("[safetensors] '", path, "': ");
  std::uint64_t header_size = 0;
  require<DataError>(file_.size() >= sizeof header_size, where, "expected 8 bytes of header length, found ",
                     file_.size(), " bytes");
  file_.read(0, &header_size, sizeof header_size);
  const std::uint64_t after = file_.size() - sizeof header_size;
  if (const auto kind = detail::foreign_weights(header_size); header_size > after && !kind.empty())
    throw DataError(concat(where, "expected safetensors, found ", kind, "; convert it: bash weights/convert ",
                           path, " ", path, ".safetensors"));
  require<DataError>(header_size <= after, where, "the header claims ", header_size, " bytes, the file has ",
                     after, " left");
  require<DataError>(header_size <= detail::max_safetensors_header, where, "the header claims ", header_size,
                     " bytes, at most ", detail::max_safetensors_header, " are allowed");
  std::string header(static_cast<std::size_t>(header_size), '\0');
  file_.read(sizeof header_size, header.data(), header.size());
  require<DataError>(header.starts_with('{'), where, "the header does not start with '{'");

  const std::uint64_t data_begin = sizeof header_size + header_size, data_size = after - header_size;
  // Entry by entry: a header may have 100 MB, and a Json takes many times the memory of its text.
  const std::string source = concat("header of ", path);
  const auto add_text = [&](std::string key, std::string_view text) {
    const Json value = Json::parse(text, source);
    require<DataError>(metadata_.emplace(key, value.as_string()).second, "'", key, "' is given twice");
  };
  Json::for_members(header, source, [&](std::string name, std::string_view entry) {
    try {
      if (name == "__metadata__") return Json::for_members(entry, source, add_text);
      require<DataError>(entry.size() <= detail::max_safetensors_entry,
                         "expected dtype, shape and data_offsets, found ", entry.size(), " bytes");
      tensors_.push_back(detail::safetensors_info(name, Json::parse(entry, source), data_begin, data_size));
    } catch (const DataError& error) {
      throw DataError(concat(where, "tensor '", name, "': ", error.what()));
    }
  });

  std::stable_sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  std::uint64_t expected = data_begin;
  for (const SafetensorsInfo& tensor : tensors_) {
    require<DataError>(tensor.offset == expected, where, "tensor '", tensor.name, "' begins at ",
                       tensor.offset - data_begin, ", expected ", expected - data_begin,
                       " (tensors overlap or leave a hole)");
    expected += tensor.bytes;
    require<DataError>(index_.emplace(tensor.name, index_.size()).second, where, "tensor '", tensor.name,
                       "' is given twice");
  }
  require<DataError>(expected == file_.size(), where, "the tensors end ", file_.size() - expected,
                     " bytes before the file does");
  const auto found = metadata_.find(std::string(detail::checksums_key));
  if (found == metadata_.end()) return;
  Json::for_members(found->second, path, [&](std::string name, std::string_view crc) {
    checksums_.emplace(std::move(name), static_cast<std::uint32_t>(Json::parse(crc, path).as_int()));
  });
  const auto texts = checksums_.find("__metadata__");
  require<DataError>(texts == checksums_.end() || texts->second == detail::checksum_of(metadata_), where,
                     "the metadata is damaged: it does not have its checksum");
}

STRATA_COLD STRATA_INLINE std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> out;
  for (const SafetensorsInfo& tensor : tensors_) out.push_back(tensor.name);
  return out;
}

STRATA_COLD STRATA_INLINE const SafetensorsInfo& SafetensorsFile::info(std::string_view name) const {
  if (const auto found = index_.find(name); found != index_.end()) return tensors_[found->second];
  std::string known;
  for (const SafetensorsInfo& tensor : tensors_) {
    if (known.size() > 400) {
      known += ", ...";
      break;
    }
    known += concat(known.empty() ? "'" : ", '", tensor.name, "'");
  }
  throw DataError(concat("[safetensors] '", path(), "': expected a tensor '", name, "', found ",
                         known.empty() ? "none" : known));
}

STRATA_COLD STRATA_INLINE void SafetensorsFile::check_convertible(const SafetensorsInfo& tensor,
                                                                  DType to) const {
  require<DataError>(is_convertible(tensor.dtype, to), "[safetensors] '", path(), "': tensor '", tensor.name,
                     "' is ", name_of(tensor.dtype), ", which is not read as ", name_of(to));
}

STRATA_COLD STRATA_INLINE void SafetensorsFile::read_into(const SafetensorsInfo& tensor, DType to,
                                                          void* out) const {
  read_elements(file_, tensor.offset, tensor.dtype, false, tensor.bytes / element_size(tensor.dtype), to,
                out);
  const auto expected = checksums_.find(tensor.name);
  if (expected == checksums_.end()) return;
  std::uint32_t crc = 0;
  if (to == tensor.dtype) {
    crc = crc32c(out, static_cast<std::size_t>(tensor.bytes));
  } else {
    std::vector<char> chunk(std::min<std::uint64_t>(tensor.bytes, 1 << 20));
    for (std::uint64_t at = 0; at < tensor.bytes; at += chunk.size()) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), tensor.bytes - at));
      file_.read(tensor.offset + at, chunk.data(), count);
      crc = crc32c(chunk.data(), count, crc);
    }
  }
  require<DataError>(crc == expected->second, "[safetensors] '", path(), "': tensor '", tensor.name,
                     "' is damaged: it does not have its checksum");
}

STRATA_COLD STRATA_INLINE void add_checksums(SafetensorsMetadata& metadata,
                                             std::span<const SafetensorsEntry> entries) {
  Json checksums = Json::object({{"__metadata__", detail::checksum_of(metadata)}});
  for (const SafetensorsEntry& entry : entries)
    checksums[entry.name] = crc32c(entry.data, static_cast<std::size_t>(bytes_of(entry.dtype, entry.shape)));
  metadata[std::string(detail::checksums_key)] = checksums.dump();
}

STRATA_COLD STRATA_INLINE void write_safetensors(const std::string& path,
                                                 std::span<const SafetensorsEntry> entries,
                                                 const SafetensorsMetadata& metadata) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : entries) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return element_size(a->dtype) > element_size(b->dtype);
  });
  Json header = Json::object();
  if (!metadata.empty()) {
    Json& texts = header["__metadata__"] = Json::object();
    for (const auto& [key, text] : metadata) texts[key] = text;
  }
  std::uint64_t offset = 0;
  for (const SafetensorsEntry* entry : order) {
    require<DataError>(entry->name != "__metadata__" && !header.contains(entry->name), "[safetensors] '",
                       path, "': the name '", entry->name, "' is ",
                       entry->name == "__metadata__" ? "reserved" : "given twice");
    const std::uint64_t end = offset + bytes_of(entry->dtype, entry->shape);
    header[entry->name] = Json::object({{"dtype", detail::safetensors_dtypes[static_cast<int>(entry->dtype)]},
                                        {"shape", Json::array(entry->shape)},
                                        {"data_offsets", Json::array({offset, end})}});
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require<DataError>(text.size() <= detail::max_safetensors_header, "[safetensors] '", path,
                     "': the header would have ", text.size(), " bytes, at most ",
                     detail::max_safetensors_header, " are allowed");
  const std::uint64_t length = text.size();

  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(text);
  for (const SafetensorsEntry* entry : order)
    file.write(entry->data, static_cast<std::size_t>(bytes_of(entry->dtype, entry->shape)));
  file.commit();
}

}}  // namespace strata::STRATA_ABI
