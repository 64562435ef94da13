#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <strata/core/profile.hpp>
#include <strata/io/json.hpp>
#include <strata/training/history.hpp>
#include <strata/training/model.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What a callback sees of a running `fit` and can change.
template <class T>
struct BasicFitState {
  BasicModel<T> model;
  int epochs = 0;
  std::int64_t steps_per_epoch = 0;
  bool stop_training = false;  ///< set it, and `fit` ends after this step (a batch hook) or epoch
  /// What the logs of an epoch will hold. A callback that adds to the logs adds the name here when training
  /// begins.
  std::vector<Figure> figures = {};
  int epoch = 0;          ///< the present one
  std::int64_t step = 0;  ///< batches of it that have ended; where training begins inside an epoch, above 0
  History history = {};   ///< of the epochs before
  Dataset data = {};
  const BasicFitOptions<T>* options = nullptr;
  std::shared_ptr<Profile> profile = {};  ///< gets the times; a callback may set it when training begins
};
using FitState = BasicFitState<float>;

/// What a callback has to know to go on where it was: any plain value, whose numbers may be NaN and infinite,
/// and tensors in host memory.
template <class T>
struct BasicCallbackState {
  Json values = {};
  std::vector<std::pair<std::string, Tensor<T>>> tensors = {};
};
using CallbackState = BasicCallbackState<float>;

/// Derive from this to act during `fit`; hooks run in the order of `.callbacks`. Epochs and batches count
/// from 0.
template <class T>
class BasicCallbackImpl {
 public:
  virtual ~BasicCallbackImpl() = default;
  virtual void on_train_begin(BasicFitState<T>&) {}
  virtual void on_train_end(BasicFitState<T>&) {}
  virtual void on_epoch_begin(BasicFitState<T>&, int epoch) { (void)epoch; }
  /// May add to the logs: what it adds goes into the history.
  virtual void on_epoch_end(BasicFitState<T>&, int epoch, Logs& logs) { (void)epoch, (void)logs; }
  virtual void on_train_batch_begin(BasicFitState<T>&, std::int64_t batch) { (void)batch; }
  virtual void on_train_batch_end(BasicFitState<T>&, std::int64_t batch, const Logs& logs) {
    (void)batch, (void)logs;
  }

  /// What changes here during a run, for one that resumes.
  virtual BasicCallbackState<T> state() const { return {}; }
  /// Goes on from there; called after `on_train_begin`. Throws DataError for a state that is not one of
  /// these.
  virtual void load_state(const BasicCallbackState<T>& from) { (void)from; }
};
using CallbackImpl = BasicCallbackImpl<float>;

/// Shared handle to a callback: `std::make_shared<Mine>(...)` converts.
template <class T>
class BasicCallback {
 public:
  template <std::derived_from<BasicCallbackImpl<T>> Impl>
  BasicCallback(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {
    require<ConfigError>(impl_ != nullptr, "[callback] a callback was never made");
  }
  BasicCallbackImpl<T>& impl() const { return *impl_; }

 private:
  std::shared_ptr<BasicCallbackImpl<T>> impl_;
};
using Callback = BasicCallback<float>;

/// `EarlyStopping({.patience = 5})`.
template <class Impl, class Options, class T>
class CallbackHandle : public BasicCallback<T> {
 public:
  explicit CallbackHandle(Options options = {})
      : BasicCallback<T>(std::make_shared<Impl>(std::move(options))) {}
  Impl& impl() const { return static_cast<Impl&>(BasicCallback<T>::impl()); }
};

}}  // namespace strata::STRATA_ABI
