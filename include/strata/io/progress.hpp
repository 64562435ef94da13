#pragma once

#include <cstdint>
#include <string>

#include <strata/core/config.hpp>
#include <strata/core/function_ref.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A progress bar on stderr, redrawn at most ten times a second. Silent where stderr is not a terminal.
class ProgressBar {
 public:
  ProgressBar(std::int64_t total, std::string label, bool enabled = true);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `done` of the total are finished; `note`, asked for only where the bar is drawn, follows it: "loss: 0.3
  /// - accuracy: 0.9".
  void update(std::int64_t done, FunctionRef<std::string()> note);
  void update(std::int64_t done) {
    update(done, [] { return std::string(); });
  }
  /// Draws the last state and ends the line.
  void finish(const std::string& note);

 private:
  void draw(const std::string& note);

  std::int64_t total_, done_ = 0;
  std::string label_;
  bool enabled_, drawn_ = false;
  double start_, last_;  // of a clock in seconds
};

/// "0.9s", "12s", "3m05s", "2h10m".
std::string duration_text(double seconds);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/progress.ipp>
#endif
