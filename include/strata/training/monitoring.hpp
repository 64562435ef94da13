#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <strata/training/callbacks.hpp>

namespace strata { inline namespace STRATA_ABI {

/// The best value of one figure so far: what the callbacks of this file share. Source: Keras's
/// MonitorCallback.
class Monitor {
 public:
  Monitor(std::string callback, std::string figure, MonitorMode mode, double min_delta = 0,
          std::optional<double> best = {});

  /// Throws ConfigError that lists the figures where this one is not among them, or where it is not known
  /// whether it should fall or rise.
  void check(const std::vector<Figure>& figures);
  double value(const Logs& logs) const { return logs[figure_]; }
  /// Whether `value` is better than the reference by more than min_delta; always where there is none.
  bool is_improvement(double value, std::optional<double> reference) const;
  /// Keeps a value that is better than all before.
  bool improves_best(double value);
  void reset() { best_.reset(); }
  /// The best value, or null.
  Json state() const { return best_ ? Json(*best_) : Json(); }
  void load_state(const Json& best) {
    best_ = best.is_null() ? std::nullopt : std::optional(best.as_double());
  }

 private:
  std::string callback_, figure_;
  MonitorMode mode_;
  double min_delta_;
  std::optional<double> best_;
};

struct EarlyStoppingOptions {
  std::string monitor = "val_loss";
  double min_delta = 0;  ///< smaller changes are no improvement
  int patience = 0;      ///< epochs without improvement after which training ends
  MonitorMode mode = MonitorMode::automatic;
  std::optional<double> baseline = {};  ///< to be beaten, too
  bool restore_best_weights = false;    ///< those of the best epoch, whatever ended the training
  int start_from_epoch = 0;             ///< epochs before it are not looked at
};

/// Ends training when a figure no longer improves. Source: Keras's EarlyStopping.
template <class T>
class EarlyStoppingImpl final : public BasicCallbackImpl<T> {
 public:
  explicit EarlyStoppingImpl(EarlyStoppingOptions options);
  void on_train_begin(BasicFitState<T>& state) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  void on_train_end(BasicFitState<T>& state) override;
  BasicCallbackState<T> state() const override;
  void load_state(const BasicCallbackState<T>& from) override;

  /// The epoch that was the last, or -1 where training was not stopped from here.
  int stopped_epoch() const { return stopped_epoch_; }
  int best_epoch() const { return best_epoch_; }

 private:
  EarlyStoppingOptions options_;
  Monitor monitor_;
  int wait_ = 0, stopped_epoch_ = -1, best_epoch_ = 0;
  std::vector<Tensor<T>> best_weights_;
};

struct ReduceLROnPlateauOptions {
  std::string monitor = "val_loss";
  double factor = 0.1;  ///< of the new learning rate to the old, below 1
  int patience = 10;    ///< epochs without improvement after which it is reduced
  MonitorMode mode = MonitorMode::automatic;
  double min_delta = 1e-4;  ///< smaller changes are no improvement
  int cooldown = 0;         ///< epochs after a reduction that are not counted
  double min_lr = 0;
};

/// Lowers the learning rate when a figure no longer improves; logs "learning_rate". Source: Keras's
/// ReduceLROnPlateau.
template <class T>
class ReduceLROnPlateauImpl final : public BasicCallbackImpl<T> {
 public:
  explicit ReduceLROnPlateauImpl(ReduceLROnPlateauOptions options);
  /// Throws ConfigError for a learning rate that follows a schedule.
  void on_train_begin(BasicFitState<T>& state) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  BasicCallbackState<T> state() const override;
  void load_state(const BasicCallbackState<T>& from) override;

 private:
  ReduceLROnPlateauOptions options_;
  Monitor monitor_;
  int wait_ = 0, cooldown_ = 0;
};

struct ModelCheckpointOptions {
  /// Where to save; missing folders are made. As in Keras it may hold `{epoch}` (from 1) and figures, with
  /// the formats d, e, f and g: "{epoch:02d}-{val_loss:.2f}.safetensors".
  std::string filepath = {};
  std::string monitor = "val_loss";
  bool save_best_only = false;
  bool save_weights_only = false;  ///< for load_weights; otherwise for load_model
  MonitorMode mode = MonitorMode::automatic;
  std::optional<double> initial_value_threshold = {};  ///< the best value of an earlier training
};

/// Saves the model after every epoch, or after those that are the best so far, atomically: a file is whole,
/// or the one before. The best value outlives a `fit`. Source: Keras's ModelCheckpoint.
template <class T>
class ModelCheckpointImpl final : public BasicCallbackImpl<T> {
 public:
  /// Throws ConfigError for a filepath that cannot be understood.
  explicit ModelCheckpointImpl(ModelCheckpointOptions options);
  /// Throws ConfigError for figures that do not exist, DataError where nothing can be written.
  void on_train_begin(BasicFitState<T>& state) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  BasicCallbackState<T> state() const override;
  void load_state(const BasicCallbackState<T>& from) override;

 private:
  ModelCheckpointOptions options_;
  Monitor monitor_;
};

template <class T>
using BasicEarlyStopping = CallbackHandle<EarlyStoppingImpl<T>, EarlyStoppingOptions, T>;
using EarlyStopping = BasicEarlyStopping<float>;
template <class T>
using BasicReduceLROnPlateau = CallbackHandle<ReduceLROnPlateauImpl<T>, ReduceLROnPlateauOptions, T>;
using ReduceLROnPlateau = BasicReduceLROnPlateau<float>;
template <class T>
using BasicModelCheckpoint = CallbackHandle<ModelCheckpointImpl<T>, ModelCheckpointOptions, T>;
using ModelCheckpoint = BasicModelCheckpoint<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/monitoring.ipp>
#endif
