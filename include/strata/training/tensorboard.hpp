#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <strata/io/event_file.hpp>
#include <strata/training/callbacks.hpp>

namespace strata { inline namespace STRATA_ABI {

/// How often TensorBoard gets the losses and metrics of batches: `"epoch"`, never; `"batch"`; or every so
/// many batches. Throws ConfigError.
class UpdateFrequency {
 public:
  UpdateFrequency(const char* name);
  template <std::integral I>
  UpdateFrequency(I batches) : UpdateFrequency(nullptr, static_cast<std::int64_t>(batches)) {}
  std::int64_t batches() const { return batches_; }  ///< 0: epochs only

 private:
  UpdateFrequency(std::nullptr_t, std::int64_t batches);
  std::int64_t batches_;
};

struct TensorBoardOptions {
  std::string log_dir = "logs";  ///< made where it is missing; each run wants one of its own
  int histogram_freq = 0;        ///< epochs between histograms of the weights; 0: none
  bool write_graph = true;       ///< the layers, for the tab "Graphs"
  bool write_images = false;     ///< the weights as pictures, beside their histograms
  bool write_steps_per_second = false;
  UpdateFrequency update_freq = "epoch";
};

/// Writes what `tensorboard --logdir logs` shows, into log_dir/train and log_dir/validation, as it happens.
///
/// Of epoch e at step e: "epoch_loss" and so on, "epoch_learning_rate", and of each weight
/// "dense/kernel/histogram" and "dense/kernel/image"; of batch b of the whole training, from 1, at step b:
/// "batch_loss" and so on, means since the epoch began; of validation also "evaluation_loss_vs_iterations".
/// Source: Keras's TensorBoard. Other than there, the graph is that of the layers, those of nested models
/// grouped, with options and shapes (so no model as JSON, from which TensorBoard would draw the same), and a
/// training that resumes goes on with the numbers it had. Without profile and embeddings.
template <class T>
class TensorBoardImpl final : public BasicCallbackImpl<T> {
 public:
  /// Throws ConfigError.
  explicit TensorBoardImpl(TensorBoardOptions options);

  /// Pictures [n,height,width,channels] or one [height,width,channels], of 1, 3 or 4 channels, for the tab
  /// "Images": augmented samples, say. Written at once while training runs, else when it begins. Throws
  /// ShapeError, and DataError where the file cannot be written.
  void add_images(std::string_view tag, TensorView<const std::uint8_t> pictures, std::int64_t step = 0);

  // These throw DataError that names the file where one cannot be written.
  void on_train_begin(BasicFitState<T>& state) override;
  void on_train_batch_begin(BasicFitState<T>& state, std::int64_t batch) override;
  void on_train_batch_end(BasicFitState<T>& state, std::int64_t batch, const Logs& logs) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  void on_train_end(BasicFitState<T>& state) override;
  BasicCallbackState<T> state() const override;
  /// What was written after that state goes; the rest is written to files of its own.
  void load_state(const BasicCallbackState<T>& from) override;

 private:
  std::string path(const char* folder) const;
  EventFile& train(BasicFitState<T>& state);
  EventFile& validation();
  void write_weights(BasicFitState<T>& state, int epoch);

  TensorBoardOptions options_;
  std::string run_;     // of the names of its files: the part that stays when it resumes
  int part_ = 0;        // of the training: how often it resumed
  bool graph_ = false;  // is still to be written
  std::vector<std::pair<std::int64_t, ProtobufMessage>> images_;  // that wait for a file
  std::unique_ptr<EventFile> train_, validation_;
  double epoch_began_ = 0, batch_began_ = 0;  // seconds
  std::int64_t first_batch_ = -1;             // of this epoch that was trained here; -1: none yet
};

template <class T>
using BasicTensorBoard = CallbackHandle<TensorBoardImpl<T>, TensorBoardOptions, T>;
using TensorBoard = BasicTensorBoard<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/tensorboard.ipp>
#endif
