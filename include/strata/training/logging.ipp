#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>

#include <strata/io/csv.hpp>
#include <strata/io/file.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/logging.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

STRATA_COLD STRATA_INLINE std::string csv_row(const std::vector<std::string>& fields, char separator) {
  std::string out;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += separator;
    const bool quoted = fields[i].find_first_of("\"\r\n") != std::string::npos ||
                        fields[i].find(separator) != std::string::npos;
    if (quoted) out += '"';
    for (const char c : fields[i]) out.append(c == '"' ? 2 : 1, c);
    if (quoted) out += '"';
  }
  return out + '\n';
}

}  // namespace detail

template <class T>
STRATA_COLD CSVLoggerImpl<T>::CSVLoggerImpl(CSVLoggerOptions options) : options_(std::move(options)) {
  require<ConfigError>(!options_.filename.empty(), "[csv_logger] expected a filename, found none");
  const std::string separator(1, options_.separator);
  require<ConfigError>(separator.find_first_of("\"\r\n.+-0123456789") == separator.npos, "[csv_logger] '",
                       separator, "' cannot be a separator");
}

template <class T>
STRATA_COLD void CSVLoggerImpl<T>::on_train_begin(BasicFitState<T>&) {
  columns_.clear();
  header_.clear();
  written_.clear();
  file_.reset(std::fopen(options_.filename.c_str(), options_.append ? "a" : "w"));
  require<DataError>(file_ != nullptr, "[csv_logger] cannot write '", options_.filename,
                     "': ", std::generic_category().message(errno));
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);  // nothing may be left that close would write
  complete_ = 0;
  if (!options_.append) return;
  const std::string text = read_file(options_.filename);
  header_ = text.substr(0, text.find('\n') + 1);
  complete_ = static_cast<std::int64_t>(text.rfind('\n') + 1);
  require<DataError>(text.empty() || complete_ > 0, "[csv_logger] '", options_.filename,
                     "' ends in the middle of a line");
}

template <class T>
STRATA_COLD void CSVLoggerImpl<T>::on_epoch_end(BasicFitState<T>&, int epoch, Logs& logs) {
  if (columns_.empty()) {
    for (const auto& [name, value] : logs) columns_.push_back(name);
    std::sort(columns_.begin(), columns_.end());
    std::vector<std::string> names = columns_;
    names.insert(names.begin(), "epoch");
    const std::string header = detail::csv_row(names, options_.separator);
    require<DataError>(header_.empty() || header_ == header, "[csv_logger] '", options_.filename,
                       "' has other columns: expected ", header, "found ", header_);
    if (header_.empty())
      write(header);
    else
      cut();
  }
  std::vector<std::string> row{std::to_string(epoch)};
  for (const std::string& name : columns_) {
    const double* value = logs.find(name);
    row.push_back(value ? CsvField(*value).text : "NA");
  }
  write(detail::csv_row(row, options_.separator));
}

template <class T>
STRATA_COLD void CSVLoggerImpl<T>::on_train_end(BasicFitState<T>&) {
  file_.reset();
}

template <class T>
STRATA_COLD BasicCallbackState<T> CSVLoggerImpl<T>::state() const {
  return {Json::object({{"start", complete_ - std::ssize(written_)},
                        {"columns", Json::array(columns_)},
                        {"written", written_}})};
}

template <class T>
STRATA_COLD void CSVLoggerImpl<T>::load_state(const BasicCallbackState<T>& from) {
  const Json& values = from.values;
  const auto start = values.get<std::int64_t>("start");
  require<DataError>(start >= 0 && start <= complete_, "[csv_logger] '", options_.filename, "' has ",
                     complete_, " bytes, fewer than the ", start, " it had when the training began");
  columns_ = values.get<std::vector<std::string>>("columns");
  if (start == 0) header_.clear();
  complete_ = start;
  cut();
  write(values.get<std::string>("written"));
}

template <class T>
STRATA_COLD void CSVLoggerImpl<T>::write(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size()) {
    complete_ += static_cast<std::int64_t>(text.size());
    written_ += text;
    return;
  }
  const int error = errno;
  cut();  // half a row
  throw DataError(concat("[csv_logger] cannot write '", options_.filename,
                         "': ", std::generic_category().message(error)));
}

template <class T>
STRATA_COLD void CSVLoggerImpl<T>::cut() {
  // A pipe or a device cannot be cut, and has nothing to cut.
  if (ftruncate(fileno(file_.get()), complete_) != 0) return;
}

template <class T>
STRATA_COLD void TerminateOnNaNImpl<T>::on_epoch_begin(BasicFitState<T>&, int epoch) {
  epoch_ = epoch;
}
template <class T>
STRATA_COLD void TerminateOnNaNImpl<T>::on_train_batch_end(BasicFitState<T>& state, std::int64_t batch,
                                                           const Logs& logs) {
  if (std::isfinite(logs["loss"])) return;
  state.stop_training = true;
  const std::string message =
      concat("training stopped: the loss is not finite at epoch ", epoch_ + 1, ", step ", batch + 1,
             "; the first that is not finite is ", state.model.trainer().first_non_finite());
  require<Error>(!options_.raise_error, message);
  std::fprintf(stderr, "\n%s\n", message.c_str());
}

template <class T>
STRATA_COLD LearningRateSchedulerImpl<T>::LearningRateSchedulerImpl(Schedule schedule)
    : schedule_(std::move(schedule)) {
  require<ConfigError>(schedule_ != nullptr, "[learning_rate_scheduler] expected a schedule, found none");
}
template <class T>
STRATA_COLD void LearningRateSchedulerImpl<T>::on_train_begin(BasicFitState<T>& state) {
  state.model.optimizer().require_settable_rate("learning_rate_scheduler");
  state.figures.push_back({"learning_rate"});
}
template <class T>
STRATA_COLD void LearningRateSchedulerImpl<T>::on_epoch_begin(BasicFitState<T>& state, int epoch) {
  Optimizer& optimizer = state.model.optimizer();
  const double rate = schedule_(epoch, optimizer.learning_rate());
  require<ConfigError>(std::isfinite(rate) && rate >= 0,
                       "[learning_rate_scheduler] expected a learning rate of 0 or more for epoch ", epoch,
                       ", found ", rate);
  optimizer.set_learning_rate(rate);
}
template <class T>
STRATA_COLD void LearningRateSchedulerImpl<T>::on_epoch_end(BasicFitState<T>& state, int, Logs& logs) {
  logs.set("learning_rate", state.model.optimizer().learning_rate());
}

template <class T>
STRATA_COLD void LambdaCallbackImpl<T>::on_train_begin(BasicFitState<T>& state) {
  if (options_.on_train_begin) options_.on_train_begin(state);
}
template <class T>
STRATA_COLD void LambdaCallbackImpl<T>::on_train_end(BasicFitState<T>& state) {
  if (options_.on_train_end) options_.on_train_end(state);
}
template <class T>
STRATA_COLD void LambdaCallbackImpl<T>::on_epoch_begin(BasicFitState<T>& state, int epoch) {
  if (options_.on_epoch_begin) options_.on_epoch_begin(state, epoch);
}
template <class T>
STRATA_COLD void LambdaCallbackImpl<T>::on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) {
  if (options_.on_epoch_end) options_.on_epoch_end(state, epoch, logs);
}
template <class T>
STRATA_COLD void LambdaCallbackImpl<T>::on_train_batch_begin(BasicFitState<T>& state, std::int64_t batch) {
  if (options_.on_train_batch_begin) options_.on_train_batch_begin(state, batch);
}
template <class T>
STRATA_COLD void LambdaCallbackImpl<T>::on_train_batch_end(BasicFitState<T>& state, std::int64_t batch,
                                                           const Logs& logs) {
  if (options_.on_train_batch_end) options_.on_train_batch_end(state, batch, logs);
}

#if !STRATA_HEADER_ONLY
template class CSVLoggerImpl<float>;
template class CSVLoggerImpl<double>;
template class TerminateOnNaNImpl<float>;
template class TerminateOnNaNImpl<double>;
template class LearningRateSchedulerImpl<float>;
template class LearningRateSchedulerImpl<double>;
template class LambdaCallbackImpl<float>;
template class LambdaCallbackImpl<double>;
#endif

}}  // namespace strata::STRATA_ABI
