#pragma once

#include <fstream>
#include <utility>

#include <strata/cpu/tuning.hpp>
#include <strata/io/file.hpp>

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
// Lines of a key, a tab and a way, behind one that says what they are.
inline constexpr std::string_view choices_title = "Strata's choices of ways to compute convolutions\n";

STRATA_COLD STRATA_INLINE std::map<std::string, std::string> ways_from(std::string_view text,
                                                                       const std::string& source) {
  require<DataError>(text.starts_with(choices_title) && text.ends_with('\n'), "[autotune] ", source,
                     ": expected lines behind `", choices_title.substr(0, choices_title.size() - 1), "`");
  std::map<std::string, std::string> out;
  for (text.remove_prefix(choices_title.size()); !text.empty(); text.remove_prefix(text.find('\n') + 1)) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const auto tab = line.rfind('\t');
    require<DataError>(tab != line.npos, "[autotune] ", source, ": expected a tab before the way, found `",
                       line.substr(0, 100), "`");
    out[std::string(line.substr(0, tab))] = line.substr(tab + 1);
  }
  return out;
}
STRATA_COLD STRATA_INLINE std::string text_of(const std::map<std::string, std::string>& ways) {
  std::string out(choices_title);
  for (const auto& [key, way] : ways) out += key + "\t" + way + "\n";
  return out;
}
}  // namespace detail

STRATA_COLD STRATA_INLINE ConvolutionChoices::ConvolutionChoices(std::string path, std::string machine)
    : path_(std::move(path)), machine_(std::move(machine)), active_(!path_.empty()), measures_(active_) {
  for (const auto& [key, way] : in_file())
    if (key.starts_with(machine_ + "\t")) ways_[key.substr(machine_.size() + 1)] = way;
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
  // Other machines, and other programs on this one, may have written meanwhile.
  auto all = in_file();
  for (const auto& [each, its_way] : ways_) all[machine_ + "\t" + each] = its_way;
  write_file_atomically(path_, detail::text_of(all));
  return way;
}

STRATA_COLD STRATA_INLINE std::map<std::string, std::string> ConvolutionChoices::in_file() const {
  if (path_.empty() || !file_exists(path_)) return {};
  return detail::ways_from(read_file(path_), path_);
}

STRATA_COLD STRATA_INLINE std::string ConvolutionChoices::dump() const {
  const std::lock_guard lock(mutex_);
  return active_ ? detail::text_of(ways_) : "";
}
STRATA_COLD STRATA_INLINE void ConvolutionChoices::restore(const std::string& text) {
  std::map<std::string, std::string> ways;
  if (!text.empty()) ways = detail::ways_from(text, "a run's choices");
  const std::lock_guard lock(mutex_);
  ways_ = std::move(ways);
  ++version_;
  active_ = !text.empty();
  measures_ = active_ && !path_.empty();
}

}}}  // namespace strata::STRATA_ABI::cpu
