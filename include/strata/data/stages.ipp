#pragma once

#include <algorithm>
#include <exception>
#include <limits>
#include <mutex>
#include <new>
#include <numeric>
#include <string_view>

#include <strata/core/checked.hpp>
#include <strata/data/dataset.hpp>

namespace strata { inline namespace STRATA_ABI {
namespace detail {

/// What a user's function gives. What it throws becomes a DataError opened by `who`, with the cause nested.
template <class Function, class... Parts>
STRATA_COLD Batch call_user(const Function& function, const Parts&... who) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    std::throw_with_nested(DataError(concat(who..., error.what())));
  }
}

/// Of a batch's samples. Throws ShapeError where its parts are not of so many samples.
STRATA_COLD STRATA_INLINE Shape checked_element(const Batch& batch, std::int64_t samples,
                                                std::string_view who) {
  require<ShapeError>(batch.pixels.empty() != batch.x.empty(), who, "expected pixels or x, found ",
                      batch.x.empty() ? "neither" : "both");
  const Shape x = batch.pixels.empty() ? batch.x.shape() : batch.pixels.shape();
  const auto expect = [&](std::string_view part, const Shape& shape) {
    require<ShapeError>(shape.rank() > 0 && shape[0] == samples, who, "expected ", part, " of ", samples,
                        samples == 1 ? " sample" : " samples", ", found the shape ", shape);
  };
  expect(batch.pixels.empty() ? "x" : "pixels", x);
  if (!batch.y.empty()) expect("y", batch.y.shape());
  for (const auto& other : batch.other_x) expect("other_x", other.shape());
  for (const auto& other : batch.other_y) expect("other_y", other.shape());
  if (!batch.sample_weight.empty()) expect("sample_weight", batch.sample_weight.shape());
  if (!batch.warps.empty()) expect("warps", {static_cast<std::int64_t>(batch.warps.size())});
  return x.without_batch();
}

/// Adds a sample, or its targets, to a batch that will have `rows`. Throws ShapeError where it is not like
/// the first.
STRATA_COLD STRATA_INLINE void copy_sample(const Batch& from, std::int64_t sample, Batch& to,
                                           std::int64_t row, std::int64_t rows, std::string_view who,
                                           bool targets_only = false) {
  const auto copy = [&](std::string_view part, const auto& source, auto& target) {
    using Part = std::remove_cvref_t<decltype(target)>;
    if (row == 0 && !source.empty())
      target = Part::uninitialized(source.shape().without_batch().with_batch(rows));
    const Shape element = source.shape().without_batch(), first = target.shape().without_batch();
    require<ShapeError>(source.empty() == target.empty() && element == first, who,
                        "expected samples of one shape, found ", part, " ", first, " and ", element);
    const std::int64_t count = source.empty() ? 0 : element.size();
    std::copy_n(source.data() + sample * count, count, target.data() + row * count);
  };
  copy("y", from.y, to.y);
  copy("sample_weight", from.sample_weight, to.sample_weight);
  const auto copy_others = [&](std::string_view part, const auto& source, auto& target) {
    if (row == 0) target.resize(source.size());
    require<ShapeError>(source.size() == target.size(), who, "expected samples of one kind, found ", part,
                        " of ", target.size(), " tensors and of ", source.size());
    for (std::size_t i = 0; i < source.size(); ++i) copy(part, source[i], target[i]);
  };
  copy_others("other_y", from.other_y, to.other_y);
  if (targets_only) return;
  copy("pixels", from.pixels, to.pixels);
  copy("x", from.x, to.x);
  copy_others("other_x", from.other_x, to.other_x);
  if (row == 0)
    to.scaling = from.scaling, to.sampling = from.sampling, to.standardization = from.standardization;
  require<ShapeError>(from.scaling == to.scaling && from.sampling == to.sampling &&
                          from.standardization == to.standardization &&
                          static_cast<std::int64_t>(to.warps.size()) == (from.warps.empty() ? 0 : row),
                      who, "expected samples that are all warped, scaled and read alike");
  if (!from.warps.empty()) to.warps.push_back(from.warps[static_cast<std::size_t>(sample)]);
}

class FunctionSource final : public BatchSource {
 public:
  using Function = std::function<Batch(std::int64_t, std::int64_t)>;
  FunctionSource(std::int64_t samples, std::int64_t batch_size, Function function)
      : order_(samples, batch_size, false, 0),
        function_(std::move(function)),
        element_(checked_element(sample({}), 1, who)) {}

  std::int64_t samples() const override { return order_.samples(); }
  std::int64_t batch_size() const override { return order_.batch_size(); }
  Shape element_shape() const override { return element_; }
  Batch gather(std::span<const std::int64_t> draws) const override {
    Batch out;
    std::int64_t row = 0;
    for (const DrawnSample& drawn : order_.samples(draws)) {
      const Batch made = sample(drawn);
      const Shape element = checked_element(made, 1, who);
      require<ShapeError>(element == element_, who, "expected sample ", drawn.number, " of shape ", element_,
                          ", found ", element);
      copy_sample(made, 0, out, row++, std::ssize(draws), who);
    }
    return out;
  }

 private:
  static constexpr std::string_view who = "[dataset_from_function] ";
  Batch sample(const DrawnSample& drawn) const {
    return call_user([&] { return function_(drawn.number, drawn.pass); }, who, "sample ", drawn.number,
                     " of pass ", drawn.pass, ": ");
  }

  DrawOrder order_;
  Function function_;
  Shape element_;
};

/// A source made of another one: what a stage leaves alone is as it was there.
class Stage : public BatchSource {
 public:
  using Source = std::shared_ptr<const BatchSource>;
  explicit Stage(Source source) : source_(std::move(source)) {}

  std::int64_t samples() const override { return source_->samples(); }
  std::int64_t batch_size() const override { return source_->batch_size(); }
  std::int64_t batches() const override { return source_->batches(); }
  std::int64_t first_sample(std::int64_t batch) const override { return source_->first_sample(batch); }
  Shape element_shape() const override { return source_->element_shape(); }
  std::vector<std::string> class_names() const override { return source_->class_names(); }
  Batch gather(std::span<const std::int64_t> draws) const override { return source_->gather(places(draws)); }
  Batch targets(std::span<const std::int64_t> draws) const override {
    return source_->targets(places(draws));
  }
  std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const override {
    return source_->numbers(places(draws));
  }

 protected:
  /// Which draws of the source these are.
  virtual std::vector<std::int64_t> places(std::span<const std::int64_t> draws) const {
    return {draws.begin(), draws.end()};
  }

  Source source_;
};

class MapStage final : public Stage {
 public:
  MapStage(Source source, std::function<Batch(Batch)> function)
      : Stage(std::move(source)), function_(std::move(function)) {
    const std::int64_t first[] = {0};
    element_ = checked_element(mapped(first), 1, who);
  }

  Shape element_shape() const override { return element_; }
  Batch gather(std::span<const std::int64_t> draws) const override {
    Batch out = mapped(draws);
    const Shape element = checked_element(out, std::ssize(draws), who);
    require<ShapeError>(element == element_, who, "expected samples of shape ", element_, ", found ",
                        element);
    return out;
  }
  Batch targets(std::span<const std::int64_t> draws) const override { return BatchSource::targets(draws); }
  /// The function may look at other samples of the batch.
  std::vector<std::int64_t> numbers(std::span<const std::int64_t>) const override { return {}; }

 private:
  static constexpr std::string_view who = "[map] ";
  Batch mapped(std::span<const std::int64_t> draws) const {
    Batch batch = source_->gather(draws);
    return call_user([&] { return function_(std::move(batch)); }, who);
  }

  std::function<Batch(Batch)> function_;
  Shape element_;
};

class ShuffleStage final : public Stage {
 public:
  ShuffleStage(Source source, std::uint64_t seed, bool reshuffle)
      : Stage(std::move(source)), order_(samples(), batch_size(), true, seed), reshuffle_(reshuffle) {}

 private:
  std::vector<std::int64_t> places(std::span<const std::int64_t> draws) const override {
    std::vector<std::int64_t> out;
    for (const std::int64_t draw : draws) out.push_back(reshuffle_ ? draw : draw % samples());
    out = order_.numbers(out);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += draws[i] - draws[i] % samples();
    return out;
  }

  DrawOrder order_;
  bool reshuffle_;
};

class RebatchStage final : public Stage {
 public:
  RebatchStage(Source source, std::int64_t batch_size) : Stage(std::move(source)), batch_size_(batch_size) {}

  std::int64_t batch_size() const override { return batch_size_; }
  std::int64_t batches() const override { return BatchSource::batches(); }
  std::int64_t first_sample(std::int64_t batch) const override { return BatchSource::first_sample(batch); }

 private:
  std::int64_t batch_size_;
};

/// Batches [begin, end) of every pass.
class SliceStage final : public Stage {
 public:
  SliceStage(Source source, std::int64_t begin, std::int64_t end)
      : Stage(std::move(source)), begin_(begin), end_(end), skipped_(source_->first_sample(begin)) {}

  std::int64_t samples() const override { return first_sample(batches()); }
  std::int64_t batches() const override { return end_ - begin_; }
  std::int64_t first_sample(std::int64_t batch) const override {
    return source_->first_sample(begin_ + batch) - skipped_;
  }

 private:
  std::vector<std::int64_t> places(std::span<const std::int64_t> draws) const override {
    std::vector<std::int64_t> out;
    for (const std::int64_t draw : draws)
      out.push_back(draw / samples() * source_->samples() + skipped_ + draw % samples());
    return out;
  }

  std::int64_t begin_, end_, skipped_;
};

class RepeatStage final : public Stage {
 public:
  RepeatStage(Source source, std::int64_t times) : Stage(std::move(source)), times_(times) {
    checked_multiply("[repeat] ", source_->samples(), times);
  }

  std::int64_t samples() const override { return times_ * source_->samples(); }
  std::int64_t batches() const override { return times_ * source_->batches(); }
  std::int64_t first_sample(std::int64_t batch) const override {
    return batch / source_->batches() * source_->samples() +
           source_->first_sample(batch % source_->batches());
  }

 private:
  std::int64_t times_;
};

/// Keeps batches, not samples: whoever loads one first loads the same, whatever is asked for.
class CacheStage final : public Stage {
 public:
  CacheStage(Source source, std::size_t max_bytes)
      : Stage(std::move(source)), max_bytes_(max_bytes), kept_(static_cast<std::size_t>(batches())) {
    for (std::int64_t batch = 0; batch <= batches(); ++batch) begins_.push_back(first_sample(batch));
  }

  Batch gather(std::span<const std::int64_t> draws) const override { return copy(draws, false); }
  Batch targets(std::span<const std::int64_t> draws) const override { return copy(draws, true); }
  std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const override {
    std::vector<std::int64_t> out;
    for (const std::int64_t draw : draws) out.push_back(draw % samples());
    return out;
  }

 private:
  Batch copy(std::span<const std::int64_t> draws, bool targets_only) const {
    Batch out;
    for (std::size_t i = 0; i < draws.size(); ++i) {
      const std::int64_t sample = draws[i] % samples();
      const auto batch = std::ranges::upper_bound(begins_, sample) - begins_.begin() - 1;
      copy_sample(kept(batch), sample - begins_[static_cast<std::size_t>(batch)], out,
                  static_cast<std::int64_t>(i), std::ssize(draws), "[cache] ", targets_only);
    }
    return out;
  }
  struct Kept {
    std::mutex mutex;
    Batch batch;
  };
  const Batch& kept(std::int64_t number) const {
    Kept& kept = kept_[static_cast<std::size_t>(number)];
    const std::lock_guard lock(kept.mutex);
    if (kept.batch.size() > 0) return kept.batch;
    Batch batch = source_->batch(number);
    std::size_t bytes = batch.pixels.bytes() + batch.x.bytes() + batch.y.bytes() +
                        batch.sample_weight.bytes() + batch.warps.size() * sizeof(PixelWarp);
    for (const auto* others : {&batch.other_x, &batch.other_y})
      for (const Tensor<float>& other : *others) bytes += other.bytes();
    const double pass =
        static_cast<double>(bytes) / static_cast<double>(batch.size()) * static_cast<double>(samples());
    require<DataError>(pass <= static_cast<double>(max_bytes_), "[cache] expected a pass of at most ",
                       max_bytes_, " bytes, found ", samples(), " samples that take ", pass);
    return kept.batch = std::move(batch);
  }

  std::size_t max_bytes_;
  std::vector<std::int64_t> begins_;
  mutable std::vector<Kept> kept_;
};

class PassStage final : public Stage {
 public:
  PassStage(Source source, std::int64_t pass)
      : Stage(std::move(source)), skipped_(checked_multiply("[pass] ", samples(), pass)) {}

 private:
  std::vector<std::int64_t> places(std::span<const std::int64_t> draws) const override {
    std::vector<std::int64_t> out;
    for (const std::int64_t draw : draws) out.push_back(skipped_ + draw);
    return out;
  }

  std::int64_t skipped_;
};

}  // namespace detail

STRATA_COLD STRATA_INLINE Dataset Dataset::map(std::function<Batch(Batch)> function) const {
  require<ConfigError>(function != nullptr, "[map] expected a function, found none");
  return {std::make_shared<detail::MapStage>(shared(), std::move(function))};
}

STRATA_COLD STRATA_INLINE Dataset Dataset::shuffle(std::uint64_t seed, bool reshuffle_each_iteration) const {
  return {std::make_shared<detail::ShuffleStage>(shared(), seed, reshuffle_each_iteration)};
}

STRATA_COLD STRATA_INLINE Dataset Dataset::rebatch(std::int64_t n) const {
  require<ConfigError>(n >= 1 && n <= std::int64_t{1} << 31,
                       "[rebatch] expected a batch size of 1 or more, found ", n);
  return {std::make_shared<detail::RebatchStage>(shared(), n)};
}

STRATA_COLD STRATA_INLINE Dataset Dataset::take(std::int64_t n) const {
  require<ConfigError>(n >= 1, "[take] expected 1 batch or more, found ", n);
  return {std::make_shared<detail::SliceStage>(shared(), 0, std::min(n, batches()))};
}

STRATA_COLD STRATA_INLINE Dataset Dataset::skip(std::int64_t n) const {
  require<ConfigError>(n >= 0, "[skip] expected 0 batches or more, found ", n);
  require<DataError>(n < batches(), "[skip] nothing is left of ", batches(), " batches without the first ",
                     n);
  return {std::make_shared<detail::SliceStage>(shared(), n, batches())};
}

STRATA_COLD STRATA_INLINE Dataset Dataset::repeat(std::int64_t n) const {
  require<ConfigError>(n >= 1, "[repeat] expected 1 pass or more, found ", n);
  return {std::make_shared<detail::RepeatStage>(shared(), n)};
}

STRATA_COLD STRATA_INLINE Dataset Dataset::cache(std::size_t max_bytes) const {
  return {std::make_shared<detail::CacheStage>(shared(), max_bytes)};
}

STRATA_COLD STRATA_INLINE Dataset Dataset::pass(std::int64_t number) const {
  require<ConfigError>(number >= 0, "[pass] expected a pass of 0 or more, found ", number);
  return {std::make_shared<detail::PassStage>(shared(), number)};
}

STRATA_COLD STRATA_INLINE Dataset dataset_from_function(std::int64_t samples, std::int64_t batch_size,
                                                        detail::FunctionSource::Function function) {
  require<ConfigError>(function != nullptr, "[dataset_from_function] expected a function, found none");
  require<ConfigError>(samples >= 1 && batch_size >= 1,
                       "[dataset_from_function] expected samples and a batch size of 1 or more, found ",
                       samples, " and ", batch_size);
  return {std::make_shared<detail::FunctionSource>(samples, batch_size, std::move(function))};
}

}}  // namespace strata::STRATA_ABI
