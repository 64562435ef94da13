#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <strata/core/profile.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/frozen_prefix.hpp>

namespace strata { inline namespace STRATA_ABI { namespace detail {

template <class T>
STRATA_COLD FrozenPrefix<T>::FrozenPrefix(const BasicModel<T>& model, std::shared_ptr<Session<T>> session,
                                          const Dataset& data, bool training, bool worthwhile,
                                          const BasicFitOptions<T>& options, std::size_t taken)
    : model_(model),
      session_(std::move(session)),
      data_(data),
      training_(training),
      on_disk_(options.cache_frozen.value_or(false)),
      verbose_(options.verbose),
      memory_(options.cache_bytes - std::min(options.cache_bytes, taken)) {
  const bool wanted = options.cache_frozen.value_or(session_->device()->keeps_samples_apart());
  const std::int64_t first[] = {0};
  const bool repeated = !data_.source().numbers(first).empty();
  off_ = !wanted || !worthwhile || !repeated;
  if (wanted) look();
  if (training_ && on_disk_) {
    require<ConfigError>(repeated, model_.model().who(),
                         "cache_frozen: the training data is not known to be the same in every epoch: it is "
                         "augmented, or made by a function; behind .cache() it is");
    require<ConfigError>(!path_.empty(), model_.model().who(),
                         "cache_frozen: expected frozen layers in front, found none whose result alone the "
                         "rest is computed from");
  }
  if (off_ || path_.empty()) return;
  if (verbose_ == 2 || (verbose_ == 1 && isatty(STDERR_FILENO)))
    std::fprintf(
        stderr,
        "'%s' and what is in front of it is frozen: computed once for each of %lld %s samples (%.1f MB)\n",
        model_.model().graph().node_at(path_).layer->name().c_str(), static_cast<long long>(data_.samples()),
        training_ ? "training" : "validation", static_cast<double>(bytes()) / 1e6);
}

template <class T>
STRATA_COLD std::size_t FrozenPrefix<T>::bytes() const {
  return off_ || !rows_ ? 0 : static_cast<std::size_t>(data_.samples()) * rows_->row_bytes();
}

// Anew for each batch: freezing takes effect at once, and so do new weights.
template <class T>
STRATA_COLD void FrozenPrefix<T>::look() {
  const Graph<T>& graph = model_.model().graph();
  std::vector<int> path =
      graph.frozen_prefix({.training = training_,
                           .recording = training_,
                           .linear_output = model_.trainer().linear_outputs(model_.model())});
  std::vector<Weight> weights;
  const Graph<T>* part = &graph;
  for (std::size_t depth = 0; depth < path.size(); ++depth) {
    const bool last = depth + 1 == path.size();
    for (int i = 0; i < path[depth] + last; ++i)
      for (const auto& weight : part->nodes()[static_cast<std::size_t>(i)].layer->weights())
        weights.emplace_back(weight.get(), weight->view().version);
    part = part->nodes()[static_cast<std::size_t>(path[depth])].layer->inner_graph();
  }
  if (path == path_ && weights == weights_) return;
  path_ = std::move(path);
  weights_ = std::move(weights);
  rows_.reset();
  other_numbers_.clear();
  if (!path_.empty()) {
    const auto elements = graph.node_at(path_).shape.size();
    rows_.emplace(static_cast<std::size_t>(elements) * sizeof(T), memory_, on_disk_);
    if (!on_disk_ && bytes() > memory_) off_ = true;
  }
  forget();
}

template <class T>
STRATA_COLD void FrozenPrefix<T>::forget() {
  const std::lock_guard lock(mutex_);
  keeps_ = !off_ && !path_.empty();
  read_.clear();
  other_read_.clear();
}

template <class T>
STRATA_COLD std::function<bool(std::int64_t)> FrozenPrefix<T>::targets_suffice() {
  if (!off_) look();
  return [this](std::int64_t draw) {
    const BatchSource& source = data_.source();
    const std::lock_guard lock(mutex_);
    if (!keeps_) return false;
    const std::vector<std::int64_t> numbers = source.numbers(source.draws_of(draw));
    bool all = !numbers.empty();
    for (const std::int64_t number : numbers) all &= !read_.insert(number).second;
    return std::ssize(numbers) == full_batch() ? all : std::exchange(other_read_, numbers) == numbers;
  };
}

template <class T>
STRATA_COLD bool FrozenPrefix<T>::fetch(std::span<const std::int64_t> numbers, Tensor<T>& result) const {
  const std::int64_t row = result.size() / std::ssize(numbers);
  T* to = result.data();
  for (const std::int64_t number : numbers) {
    if (!rows_->load(number, to)) return false;
    to += row;
  }
  return true;
}

template <class T>
STRATA_COLD Tensor<T> FrozenPrefix<T>::compute(TensorView<const T> x) {
  const PhaseTimer timer(training_ ? Phase::forward : Phase::validation, session_->backend());
  const ModelImpl<T>& model = model_.model();
  BasicContext<T>& context = session_->begin({.training = training_,
                                              .gradients = training_ ? &model_.trainer() : nullptr,
                                              .linear_output = model_.trainer().linear_outputs(model),
                                              .seed = model.seed()});
  return session_->download(model.graph().forward_prefix({&x, 1}, path_, context));
}

template <class T>
STRATA_COLD void FrozenPrefix<T>::keep(std::span<const std::int64_t> numbers, const Tensor<T>& result) {
  const std::int64_t row = result.size() / result.shape()[0];
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::string failed = rows_->store(numbers[i], result.data() + static_cast<std::int64_t>(i) * row);
    if (failed.empty()) continue;
    // With shuffling nearly every batch would lack a row, so those that are there would be of little use.
    off_ = true;
    rows_.reset();
    forget();
    if (verbose_ > 0)
      std::fprintf(stderr,
                   "\nwarning: results of frozen layers cannot be kept, each step computes them: %s\n",
                   failed.c_str());
    return;
  }
}

template <class T>
STRATA_COLD const DeviceBatch<T>& FrozenPrefix<T>::load(std::int64_t draw, Batch batch,
                                                        BatchLoader<T>& loader) {
  if (!off_) look();
  const BatchSource& source = data_.source();
  const bool bare = batch.pixels.empty() && batch.x.empty();
  std::vector<std::int64_t> numbers;
  if (!off_ && !path_.empty()) numbers = source.numbers(source.draws_of(draw));
  const std::int64_t n = std::ssize(numbers), full = full_batch();
  const bool known = n > 0 && (bare || n == batch.size());

  if (known && n != full && numbers == other_numbers_) return loader.load(std::move(batch), path_, other_);
  if (known && n == full) {
    Tensor<T> result = Tensor<T>::uninitialized(model_.model().graph().node_at(path_).shape.with_batch(n));
    if (fetch(numbers, result)) return loader.load(std::move(batch), path_, std::move(result));
  }
  if (bare) {
    // What was to be there when this batch was loaded ahead has changed since.
    Batch whole = data_.batch(draw);
    whole.take_targets(batch);
    batch = std::move(whole);
  }
  if (!known) return loader.load(std::move(batch));
  Batch targets;
  targets.take_targets(batch);
  const DeviceBatch<T>& loaded = loader.load(std::move(batch));
  Tensor<T> result = compute(loaded.x);
  if (n == full) {
    keep(numbers, result);
  } else {
    if (n < full &&
        !std::all_of(numbers.begin(), numbers.end(), [&](auto i) { return rows_->contains(i); })) {
      const Tensor<T> x = session_->download(loaded.x);
      Tensor<T> filled = Tensor<T>::uninitialized(x.shape().without_batch().with_batch(full));
      for (std::int64_t at = 0; at < filled.size(); at += x.size())
        std::copy_n(x.data(), std::min(x.size(), filled.size() - at), filled.data() + at);
      keep(numbers, compute(filled.to(session_->device())));
    }
    other_numbers_ = numbers;
    other_ = result;
  }
  return loader.load(std::move(targets), path_, std::move(result));
}

#if !STRATA_HEADER_ONLY
template class FrozenPrefix<float>;
template class FrozenPrefix<double>;
#endif

}}}  // namespace strata::STRATA_ABI::detail
