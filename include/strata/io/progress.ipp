#pragma once

#include <time.h>  // <chrono> would take the compiler 0.2 s
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <strata/io/progress.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
/// Of a clock that nobody sets.
STRATA_COLD inline double seconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}
}  // namespace detail

STRATA_COLD STRATA_INLINE std::string duration_text(double seconds) {
  char text[32];
  const auto whole = static_cast<long>(seconds);
  if (seconds < 10)
    std::snprintf(text, sizeof text, "%.1fs", seconds);
  else if (seconds < 60)
    std::snprintf(text, sizeof text, "%lds", whole);
  else if (seconds < 3600)
    std::snprintf(text, sizeof text, "%ldm%02lds", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%ldh%02ldm", whole / 3600, whole / 60 % 60);
  return text;
}

STRATA_COLD STRATA_INLINE ProgressBar::ProgressBar(std::int64_t total, std::string label, bool enabled)
    : total_(total),
      label_(std::move(label)),
      enabled_(enabled && isatty(STDERR_FILENO)),
      start_(detail::seconds_now()),
      last_(start_) {}

STRATA_COLD STRATA_INLINE ProgressBar::~ProgressBar() {
  if (enabled_ && drawn_) std::fputc('\n', stderr);
}

STRATA_COLD STRATA_INLINE void ProgressBar::update(std::int64_t done, FunctionRef<std::string()> note) {
  done_ = done;
  const double now = detail::seconds_now();
  if (!enabled_ || (drawn_ && now - last_ < 0.1)) return;
  last_ = now;
  draw(note());
}

STRATA_COLD STRATA_INLINE void ProgressBar::finish(const std::string& note) {
  if (enabled_) {
    draw(note);
    std::fputc('\n', stderr);
  }
  enabled_ = false;
}

STRATA_COLD STRATA_INLINE void ProgressBar::draw(const std::string& note) {
  constexpr std::int64_t width = 24;
  const double elapsed = detail::seconds_now() - start_;
  const std::int64_t filled = total_ > 0 ? std::min(width, width * done_ / total_) : 0;
  const bool complete = done_ >= total_;
  const std::string bar =
      std::string(static_cast<std::size_t>(filled), '=') + (complete ? "" : ">") +
      std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, width - filled - !complete)), '.');
  const double left =
      done_ > 0 ? elapsed / static_cast<double>(done_) * static_cast<double>(total_ - done_) : 0;
  std::fprintf(stderr, "\r%s%lld/%lld [%s] %s%s%s%s\x1b[K", label_.c_str(), static_cast<long long>(done_),
               static_cast<long long>(total_), bar.c_str(), complete || done_ == 0 ? "" : "ETA ",
               duration_text(complete || done_ == 0 ? elapsed : left).c_str(), note.empty() ? "" : " - ",
               note.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}}  // namespace strata::STRATA_ABI
