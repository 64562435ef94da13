#pragma once

#include <string>

#include <strata/training/callbacks.hpp>

namespace strata { inline namespace STRATA_ABI {

struct BackupAndRestoreOptions {
  std::string backup_dir = {};  ///< of this run alone; made where it is missing
  std::int64_t save_freq =
      0;  ///< batches, counted over the epochs, between backups; 0: one after every epoch
  bool delete_checkpoint = true;  ///< when training has ended
};

/// Lets a run that was cut off go on: the same program, run again, ends with the same weights, history and
/// log, bit for bit, as if it had never stopped. It keeps weights, optimizer, figures, history and what the
/// other callbacks give as their state, in one file that is replaced atomically. Must be the last of
/// `.callbacks`. Where it resumes inside an epoch, on_epoch_begin is not called again. Source: Keras's
/// BackupAndRestore.
template <class T>
class BackupAndRestoreImpl final : public BasicCallbackImpl<T> {
 public:
  explicit BackupAndRestoreImpl(BackupAndRestoreOptions options);
  /// Resumes where there is a backup. Throws DataError, naming the file, for a damaged one and for one of
  /// another model, of other options or of other data; only `.epochs` may differ.
  void on_train_begin(BasicFitState<T>& state) override;
  void on_train_batch_end(BasicFitState<T>& state, std::int64_t batch, const Logs& logs) override;
  void on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) override;
  void on_train_end(BasicFitState<T>& state) override;

  /// Saves now: for the on_train_batch_end of a callback that is about to end the program.
  void save(const BasicFitState<T>& state);
  /// The backup, `backup_dir`/backup.safetensors.
  std::string file() const { return options_.backup_dir + "/backup.safetensors"; }
  /// Deletes it; no error where there is none.
  void remove();

 private:
  void write(const BasicFitState<T>& state, int epoch, std::int64_t step, const History& history);
  void restore(BasicFitState<T>& state);

  BackupAndRestoreOptions options_;
  Json run_;  // what must be the same in a run that resumes
};

template <class T>
using BasicBackupAndRestore = CallbackHandle<BackupAndRestoreImpl<T>, BackupAndRestoreOptions, T>;
using BackupAndRestore = BasicBackupAndRestore<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/backup.ipp>
#endif
