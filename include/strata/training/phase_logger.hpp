#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <strata/core/profile.hpp>
#include <strata/training/logging.hpp>

namespace strata { inline namespace STRATA_ABI {

struct PhaseLoggerOptions {
  std::string filename = {};  ///< of a CSV file; none: nothing is written
  bool append = false;        ///< go on with the file of an earlier training
};

/// Tells what the time of a training goes to: seconds by phase of each epoch, validation included. An epoch
/// ends where this callback is told of it, so what callbacks behind it do then counts to the next one.
///
/// The file has a row per epoch, as a CSVLogger writes it: "epoch", then each phase's seconds, sorted, and
/// "total", the whole epoch's. Steps give the same bits as without; where a device is asynchronous each phase
/// waits for the one before, so a step may take longer.
template <class T>
class PhaseLoggerImpl final : public BasicCallbackImpl<T> {
 public:
  explicit PhaseLoggerImpl(PhaseLoggerOptions options);

  /// Of each epoch since training began, or began again.
  const std::vector<PhaseTimes>& epochs() const { return epochs_; }
  /// Of all of them, up to the end of the last.
  const PhaseTimes& times() const { return times_; }

  // These throw DataError as those of CSVLogger do.
  void on_train_begin(BasicFitState<T>& state) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  void on_train_end(BasicFitState<T>& state) override;
  BasicCallbackState<T> state() const override;
  void load_state(const BasicCallbackState<T>& from) override;

 private:
  std::optional<CSVLoggerImpl<T>> file_;
  std::shared_ptr<Profile> profile_;
  PhaseTimes times_;
  std::vector<PhaseTimes> epochs_;
};

template <class T>
using BasicPhaseLogger = CallbackHandle<PhaseLoggerImpl<T>, PhaseLoggerOptions, T>;
using PhaseLogger = BasicPhaseLogger<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/phase_logger.ipp>
#endif
