#pragma once

#include <fstream>
#include <utility>

#include <strata/cpu/tuning.hpp>
#include <strata/io/file.hpp>
#include <strata/io/json.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_COLD STRATA_INLINE std::string machine_name(const KernelTable& kernels) {
  std::string processor = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (const auto colon = line.find(": "); colon != line.npos && line.starts_with("model name")) {
      processor = line.substr(colon + 2);
      break;
    }
  return concat(processor, ", ", kernels.name, ", Strata " STRATA_VERSION);
}

STRATA_COLD STRATA_INLINE std::string choice_key(const ConvolutionTask& task, const PlanLimits& limits) {
  constexpr const char* passes[] = {"forward", "input gradient", "kernel gradient"};
  constexpr const char* accuracies[] = {"fast", "balanced", "exact"};
  const Conv2DGeometry& g = task.geometry;
  return concat(passes[static_cast<int>(task.pass)], " [", g.batch, ",", g.in_h, ",", g.in_w, ",", g.in_c,
                "] to [", g.out_h, ",", g.out_w, ",", g.out_c, "] by ", g.kernel_h, "x", g.kernel_w,
                ", strides ", g.stride_h, ",", g.stride_w, ", dilation ", g.dilation_h, ",", g.dilation_w,
                ", padding ", g.pad_top, ",", g.pad_left, task.max_pool ? ", pooled, " : ", ",
                accuracies[static_cast<int>(limits.accuracy)], limits.bfloat16 ? ", mixed_bfloat16" : "",
                limits.share_tiles ? ", shared tiles" : "");
}

namespace detail {
STRATA_COLD STRATA_INLINE std::map<std::string, std::string> ways_from(const Json& json,
                                                                       const std::string& source) {
  require<DataError>(json.is_object(), "[autotune] ", source, ": expected an object of ways by convolution");
  std::map<std::string, std::string> out;
  for (const auto& [key, way] : json.as_object()) {
    require<DataError>(way.is_string(), "[autotune] ", source, ": expected the name of a way under '", key,
                       "'");
    out[key] = way.as_string();
  }
  return out;
}
STRATA_COLD STRATA_INLINE Json json_of(const std::map<std::string, std::string>& ways) {
  Json out = Json::object();
  for (const auto& [key, way] : ways) out[key] = way;
  return out;
}
/// All that a file has, of every machine; nothing where there is none.
STRATA_COLD STRATA_INLINE Json choices_in(const std::string& path) {
  Json all = file_exists(path) ? Json::parse(read_file(path), path) : Json::object();
  require<DataError>(all.is_object(), "[autotune] ", path, ": expected an object of choices by machine");
  return all;
}
}  // namespace detail

STRATA_COLD STRATA_INLINE ConvolutionChoices::ConvolutionChoices(std::string path, std::string machine)
    : path_(std::move(path)), machine_(std::move(machine)), active_(!path_.empty()), measures_(active_) {
  if (!measures_) return;
  const Json all = detail::choices_in(path_);
  if (const Json* ways = all.find(machine_)) ways_ = detail::ways_from(*ways, path_);
}

STRATA_COLD STRATA_INLINE std::optional<std::string> ConvolutionChoices::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = ways_.find(key);
  return found == ways_.end() ? std::nullopt : std::optional(found->second);
}

STRATA_COLD STRATA_INLINE std::optional<std::string> ConvolutionChoices::get(
    const std::string& key, FunctionRef<std::string()> measure) {
  const std::lock_guard lock(mutex_);
  if (auto known = find(key); known || !measures_) return known;
  const std::string way = measure();
  ways_[key] = way;
  keep();
  return way;
}

// Other machines, and other programs on this one, may have written meanwhile.
STRATA_COLD STRATA_INLINE void ConvolutionChoices::keep() const {
  Json all = detail::choices_in(path_);
  Json& here = all[machine_];
  for (const auto& [key, way] : ways_) here[key] = way;
  write_file_atomically(path_, all.dump(1) + "\n");
}

STRATA_COLD STRATA_INLINE std::string ConvolutionChoices::dump() const {
  const std::lock_guard lock(mutex_);
  return active_ ? detail::json_of(ways_).dump() : "";
}
STRATA_COLD STRATA_INLINE void ConvolutionChoices::restore(const std::string& text) {
  auto ways = text.empty() ? std::map<std::string, std::string>()
                           : detail::ways_from(Json::parse(text), "a run's choices");
  const std::lock_guard lock(mutex_);
  ways_ = std::move(ways);
  ++version_;
  active_ = !text.empty();
  measures_ = active_ && !path_.empty();
}

}}}  // namespace strata::STRATA_ABI::cpu
