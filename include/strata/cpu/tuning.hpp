#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include <strata/core/function_ref.hpp>
#include <strata/cpu/planner.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Ways of computing convolutions that were measured, where the planner's model only predicts. They are kept
/// in a file, a line each, by processor, instruction set and version, then by convolution: the number of
/// threads is no part of it, so that it changes no bits. Safe from several threads.
class ConvolutionChoices {
 public:
  /// With a `path`, takes what the file has for `machine`, measures what it lacks and keeps it there.
  /// Without, there are no choices until some are restored. Throws DataError for a file that is none of
  /// these.
  ConvolutionChoices(std::string path, std::string machine);

  /// Whether somebody has chosen or may choose; else there is nothing to look up.
  bool active() const { return active_; }
  /// Another number after each `restore`.
  std::uint64_t version() const { return version_; }
  /// The way (ConvolutionPlan::way) chosen under `key`, or null.
  std::optional<std::string> find(const std::string& key) const;
  /// The same; where there is none and choices are measured, `measure()`, which is kept. One thread measures
  /// at a time.
  std::optional<std::string> get(const std::string& key, FunctionRef<std::string()> measure);

  /// All choices as a text, which `restore` takes: empty where there can be none. Throws DataError for
  /// another text. What is restored replaces what there was; after an empty text, nothing is measured.
  std::string dump() const;
  void restore(const std::string& text);

 private:
  /// Everything in the file, of all machines: "machine<tab>convolution" to way.
  std::map<std::string, std::string> in_file() const;

  const std::string path_, machine_;
  mutable std::recursive_mutex mutex_;  // what is measured may look up others
  std::map<std::string, std::string> ways_;
  std::atomic<bool> active_ = false;
  std::atomic<std::uint64_t> version_ = 1;
  bool measures_ = false;
};

/// "AMD EPYC 9654, avx512, Strata 0.1.0": what choices of another machine are told apart by.
std::string machine_name(const KernelTable& kernels);

/// "forward [20,75,75,64] to [75,75,128] by 3x3, pooled, fast": a convolution and all that limits its ways.
std::string choice_key(const ConvolutionTask& task, const PlanLimits& limits);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/tuning.ipp>
#endif
