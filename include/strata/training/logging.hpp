#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <strata/training/callbacks.hpp>

namespace strata { inline namespace STRATA_ABI {

struct CSVLoggerOptions {
  std::string filename = {};
  char separator = ',';
  bool append = false;  ///< go on with the file of an earlier training; half a row at its end is cut off
};

/// Writes the figures of each epoch (numbered from 0) to a file at once, so that nothing is lost where
/// training breaks off: "epoch", then the names of the first epoch's figures, sorted. Source: Keras's
/// CSVLogger, whose empty val_ columns are left out.
template <class T>
class CSVLoggerImpl final : public BasicCallbackImpl<T> {
 public:
  explicit CSVLoggerImpl(CSVLoggerOptions options);
  /// Throws DataError where the file cannot be opened.
  void on_train_begin(BasicFitState<T>& state) override;
  /// Throws DataError where it cannot be written, or has other columns than these.
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  void on_train_end(BasicFitState<T>& state) override;
  BasicCallbackState<T> state() const override;
  /// Rows written after that state go, those before it come back.
  void load_state(const BasicCallbackState<T>& from) override;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void write(const std::string& text);
  void cut();  // to whole rows

  CSVLoggerOptions options_;
  std::unique_ptr<std::FILE, Close> file_;
  std::string header_;         // of the file that is appended to
  std::string written_;        // by this training
  std::int64_t complete_ = 0;  // bytes of whole rows
  std::vector<std::string> columns_;
};

struct TerminateOnNaNOptions {
  bool raise_error = false;  ///< throw Error, so that no on_train_end runs
};

/// Ends training after the first step whose loss is not finite, saying which layer showed it. Source: Keras's
/// TerminateOnNaN.
template <class T>
class TerminateOnNaNImpl final : public BasicCallbackImpl<T> {
 public:
  explicit TerminateOnNaNImpl(TerminateOnNaNOptions options) : options_(options) {}
  void on_epoch_begin(BasicFitState<T>& state, int epoch) override;
  void on_train_batch_end(BasicFitState<T>& state, std::int64_t batch, const Logs& logs) override;
  BasicCallbackState<T> state() const override { return {epoch_}; }
  void load_state(const BasicCallbackState<T>& from) override {
    const Json& values = from.values;
    epoch_ = values.as<int>();
  }

 private:
  TerminateOnNaNOptions options_;
  int epoch_ = 0;
};

/// Learning rate for an epoch (from 0), given the present one.
using Schedule = std::function<double(int epoch, double learning_rate)>;

/// Sets the learning rate at the start of each epoch and logs "learning_rate"; for one that changes with
/// every step see ExponentialDecay and its like. Source: Keras's LearningRateScheduler.
template <class T>
class LearningRateSchedulerImpl final : public BasicCallbackImpl<T> {
 public:
  explicit LearningRateSchedulerImpl(Schedule schedule);
  /// Throws ConfigError for a learning rate that follows a schedule.
  void on_train_begin(BasicFitState<T>& state) override;
  /// Throws ConfigError for a rate that is negative or not finite.
  void on_epoch_begin(BasicFitState<T>& state, int epoch) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;

 private:
  Schedule schedule_;
};

template <class T>
struct BasicLambdaCallbackOptions {
  using State = BasicFitState<T>;
  std::function<void(State&)> on_train_begin = {};
  std::function<void(State&)> on_train_end = {};
  std::function<void(State&, int epoch)> on_epoch_begin = {};
  std::function<void(State&, int epoch, Logs&)> on_epoch_end = {};
  std::function<void(State&, std::int64_t batch)> on_train_batch_begin = {};
  std::function<void(State&, std::int64_t batch, const Logs&)> on_train_batch_end = {};
};

/// Calls those functions that were given: `LambdaCallback({.on_epoch_end = [](FitState&, int, Logs&) {}})`.
template <class T>
class LambdaCallbackImpl final : public BasicCallbackImpl<T> {
 public:
  explicit LambdaCallbackImpl(BasicLambdaCallbackOptions<T> options) : options_(std::move(options)) {}
  void on_train_begin(BasicFitState<T>& state) override;
  void on_train_end(BasicFitState<T>& state) override;
  void on_epoch_begin(BasicFitState<T>& state, int epoch) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  void on_train_batch_begin(BasicFitState<T>& state, std::int64_t batch) override;
  void on_train_batch_end(BasicFitState<T>& state, std::int64_t batch, const Logs& logs) override;

 private:
  BasicLambdaCallbackOptions<T> options_;
};

template <class T>
using BasicCSVLogger = CallbackHandle<CSVLoggerImpl<T>, CSVLoggerOptions, T>;
using CSVLogger = BasicCSVLogger<float>;
template <class T>
using BasicTerminateOnNaN = CallbackHandle<TerminateOnNaNImpl<T>, TerminateOnNaNOptions, T>;
using TerminateOnNaN = BasicTerminateOnNaN<float>;
template <class T>
using BasicLearningRateScheduler = CallbackHandle<LearningRateSchedulerImpl<T>, Schedule, T>;
using LearningRateScheduler = BasicLearningRateScheduler<float>;
template <class T>
using BasicLambdaCallback = CallbackHandle<LambdaCallbackImpl<T>, BasicLambdaCallbackOptions<T>, T>;
using LambdaCallback = BasicLambdaCallback<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/logging.ipp>
#endif
