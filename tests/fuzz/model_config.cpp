// Valid files with changed configs: the bytes of the input choose what changes, checksums and offsets hold.
#include "fuzz/models.hpp"
#include "support/temporary_directory.hpp"

namespace {

using strata::Json;

/// Choices drawn from the input; zeros when it ends.
struct Choices {
  const std::uint8_t* at;
  const std::uint8_t* end;
  std::size_t below(std::size_t bound) {
    if (at == end || bound == 0) return 0;
    const std::size_t high = *at++, low = at == end ? 0 : *at++;
    return (high << 8 | low) % bound;
  }
};

std::size_t count_values(const Json& json) {
  std::size_t count = 1;
  if (json.is_array())
    for (const Json& item : json.as_array()) count += count_values(item);
  if (json.is_object())
    for (const auto& [key, value] : json.as_object()) count += count_values(value);
  return count;
}

Json extreme(Choices& choices) {
  static const Json values[] = {0,
                                -1,
                                1,
                                2,
                                3,
                                7,
                                255,
                                65536,
                                2147483647,
                                2147483648,
                                4294967296,
                                INT64_MAX,
                                INT64_MIN,
                                1e308,
                                -1e308,
                                1e-300,
                                0.5,
                                true,
                                nullptr,
                                "",
                                "relu",
                                Json::array(),
                                Json::object()};
  return values[choices.below(std::size(values))];
}

/// The same value with its number `target`, counted depth first, changed.
Json changed(const Json& json, std::size_t& target, Choices& choices) {
  if (target-- == 0) {
    if (json.is_number() || choices.below(4) == 0) return extreme(choices);
    if (json.is_array() && json.size() > 0) {  // drops, doubles or exchanges an item
      Json::Array items = json.as_array();
      const std::size_t i = choices.below(items.size()), kind = choices.below(3);
      if (kind == 0) items.erase(items.begin() + static_cast<std::ptrdiff_t>(i));
      if (kind == 1) items.push_back(items[i]);
      if (kind == 2) std::swap(items[i], items[choices.below(items.size())]);
      return Json::array(items);
    }
    if (json.is_object() && json.size() > 0) {  // drops or renames a field
      const std::size_t i = choices.below(json.size());
      const bool renames = choices.below(2) == 1;
      Json out = Json::object();
      for (std::size_t k = 0; k < json.size(); ++k) {
        const auto& [key, value] = json.as_object()[k];
        if (k != i) out[key] = value;
        if (k == i && renames) out[key + "_"] = value;
      }
      return out;
    }
    return json.is_string() ? Json(json.as_string() + "_") : extreme(choices);
  }
  if (json.is_array()) {
    Json::Array items;
    for (const Json& item : json.as_array()) items.push_back(changed(item, target, choices));
    return Json::array(items);
  }
  if (json.is_object()) {
    Json out = Json::object();
    for (const auto& [key, value] : json.as_object()) out[key] = changed(value, target, choices);
    return out;
  }
  return json;
}

/// A saved model in parts.
struct Saved {
  strata::SafetensorsMetadata metadata;
  std::vector<std::pair<std::string, strata::Tensor<float>>> tensors;
};

const TemporaryDirectory& directory() {
  static const TemporaryDirectory out;
  return out;
}

const std::vector<Saved>& saved() {
  static const std::vector<Saved> out = [] {
    std::vector<Saved> all;
    for (const strata::Model& model : strata_fuzz::models()) {
      save_model(model, directory() / "model");
      const strata::SafetensorsFile file(directory() / "model");
      Saved& parts = all.emplace_back();
      for (const auto& [key, text] : file.metadata()) parts.metadata[key] = text;
      for (const std::string& name : file.names()) parts.tensors.emplace_back(name, file.read<float>(name));
    }
    return all;
  }();
  return out;
}

}  // namespace

std::vector<std::string> strata_fuzz::seeds() {
  std::vector<std::string> out;
  for (int seed = 0; seed < 8; ++seed) {
    std::string choices;
    for (int i = 0; i < 64; ++i) choices += static_cast<char>((seed + 1) * 41 * i + seed);
    out.push_back(choices);
  }
  return out;
}

/// Nothing here need outlast a power cut.
extern "C" int fsync(int) {
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Choices choices{data, data + size};
  const Saved& parts = saved()[choices.below(saved().size())];
  strata::SafetensorsMetadata metadata = parts.metadata;
  metadata.erase("crc32c");
  return strata_fuzz::read_with([&] {
    for (std::size_t left = 1 + choices.below(3); left > 0; --left) {
      std::string& text = metadata[choices.below(8) == 0 ? "optimizer" : "model"];
      const Json json = Json::parse(text);
      std::size_t target = choices.below(count_values(json));
      text = changed(json, target, choices).dump();
    }
    std::vector<strata::SafetensorsEntry> entries;
    for (const auto& [name, tensor] : parts.tensors) entries.emplace_back(name, tensor);
    strata::add_checksums(metadata, entries);
    strata::write_safetensors(directory() / "model", entries, metadata);
    strata_fuzz::use_model(directory() / "model");
  });
}
