#pragma once

#include <algorithm>
#include <map>
#include <numeric>

#include <strata/core/random.hpp>
#include <strata/data/dataset.hpp>
#include <strata/io/npy.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE std::int64_t BatchSource::first_sample(std::int64_t batch) const {
  return std::min(batch * batch_size(), samples());
}

STRATA_COLD STRATA_INLINE std::vector<std::int64_t> BatchSource::draws_of(std::int64_t batch) const {
  require<DataError>(batch >= 0, "[dataset] expected a draw index of 0 or more, found ", batch);
  const std::int64_t number = batch % batches(), begin = first_sample(number);
  std::vector<std::int64_t> draws(static_cast<std::size_t>(first_sample(number + 1) - begin));
  std::iota(draws.begin(), draws.end(), batch / batches() * samples() + begin);
  return draws;
}

STRATA_COLD STRATA_INLINE void Batch::take_targets(Batch& from) {
  y = std::move(from.y);
  other_y = std::move(from.other_y);
  sample_weight = std::move(from.sample_weight);
}

STRATA_COLD STRATA_INLINE Batch BatchSource::targets(std::span<const std::int64_t> draws) const {
  Batch whole = gather(draws), out;
  out.take_targets(whole);
  return out;
}

STRATA_COLD STRATA_INLINE DrawOrder::DrawOrder(std::int64_t samples, std::int64_t batch_size, bool shuffle,
                                               std::uint64_t seed)
    : samples_(samples), batch_size_(batch_size), shuffle_(shuffle), seed_(seed) {
  require<ConfigError>(batch_size >= 1 && batch_size <= (std::int64_t{1} << 31),
                       "[dataset] expected a batch size of 1 or more, found ", batch_size);
  require<DataError>(samples >= 1, "[dataset] there are no samples");
  require<DataError>(samples < (std::int64_t{1} << 32),
                     "[dataset] at most 2^32 - 1 samples are supported, found ", samples);
}

STRATA_COLD STRATA_INLINE DrawOrder::Order DrawOrder::pass(std::int64_t number) const {
  const std::lock_guard lock(mutex_);
  // Two passes are alive at once while a prefetcher runs across the boundary.
  auto& recent = recent_[number % 2];
  if (recent.first != number) {
    const RandomStream stream(seed_, Purpose::shuffle, 0, static_cast<std::uint64_t>(number));
    recent = {number, std::make_shared<const std::vector<std::int64_t>>(stream.permutation(samples_))};
  }
  return recent.second;
}

STRATA_COLD STRATA_INLINE std::vector<DrawnSample> DrawOrder::samples(
    std::span<const std::int64_t> draws) const {
  std::vector<DrawnSample> out;
  std::map<std::int64_t, Order> orders;  // a shuffled repeat draws from more passes than are remembered
  for (const std::int64_t draw : draws) {
    DrawnSample sample{draw / samples_, draw % samples_};
    if (shuffle_) {
      Order& order = orders[sample.pass];
      if (!order) order = pass(sample.pass);
      sample.number = (*order)[static_cast<std::size_t>(sample.number)];
    }
    out.push_back(sample);
  }
  return out;
}

STRATA_COLD STRATA_INLINE std::vector<std::int64_t> DrawOrder::numbers(
    std::span<const std::int64_t> draws) const {
  std::vector<std::int64_t> out;
  for (const DrawnSample& sample : samples(draws)) out.push_back(sample.number);
  return out;
}

namespace detail {

template <class T>
STRATA_COLD Tensor<T> gather_rows(const Tensor<T>& from, const std::vector<DrawnSample>& rows) {
  if (from.empty()) return {};
  const Shape element = from.shape().without_batch();
  Tensor<T> out = Tensor<T>::uninitialized(element.with_batch(static_cast<std::int64_t>(rows.size())));
  const std::int64_t count = element.size();
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(from.data() + rows[i].number * count, count,
                out.data() + static_cast<std::int64_t>(i) * count);
  return out;
}

template <class T>
class TensorSource final : public BatchSource {
 public:
  using Others = std::vector<Tensor<float>>;
  TensorSource(Tensor<T> x, Tensor<float> y, TensorDatasetOptions options, Others other_x = {},
               Others other_y = {})
      : order_(x.rank() > 0 ? x.shape()[0] : 0, options.batch_size, options.shuffle, options.seed),
        x_(x.to(nullptr)),
        y_(y.to(nullptr)),
        sample_weight_(options.sample_weight.to(nullptr)),
        scaling_(options.scaling),
        standardization_(options.standardization),
        augmentation_(std::move(options.augmentation)),
        other_x_(std::move(other_x)),
        other_y_(std::move(other_y)) {
    require<ShapeError>(!x_.empty(), "[dataset_from_tensors] x ", x_.shape(), " has no elements");
    require<ShapeError>(y_.empty() || y_.shape()[0] == samples(), "[dataset_from_tensors] expected ",
                        samples(), " labels for x ", x_.shape(), ", found y ", y_.shape());
    require<ShapeError>(sample_weight_.empty() || sample_weight_.shape() == Shape{samples()},
                        "[dataset_from_tensors] expected sample_weight [", samples(), "], found ",
                        sample_weight_.shape());
    require<ShapeError>((std::same_as<T, float> && !augmentation_) || x_.rank() == 4,
                        "[dataset_from_tensors] expected pictures [n,height,width,channels], found ",
                        x_.shape());
    for (Others* others : {&other_x_, &other_y_})
      for (Tensor<float>& other : *others) {
        other = other.to(nullptr);
        require<ShapeError>(other.rank() > 0 && other.shape()[0] == samples(),
                            "[dataset_from_tensors] expected ", samples(), " samples of every ",
                            others == &other_x_ ? "input" : "target", " for x ", x_.shape(), ", found ",
                            other.shape());
      }
  }

  std::int64_t samples() const override { return order_.samples(); }
  std::int64_t batch_size() const override { return order_.batch_size(); }
  Shape element_shape() const override { return x_.shape().without_batch(); }
  std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const override {
    return augmentation_ ? std::vector<std::int64_t>() : order_.numbers(draws);
  }
  Batch gather(std::span<const std::int64_t> draws) const override {
    const std::vector<DrawnSample> rows = order_.samples(draws);
    Batch out = targets_of(rows);
    if constexpr (std::same_as<T, float>)
      out.x = gather_rows(x_, rows);
    else
      out.pixels = gather_rows(x_, rows);
    out.scaling = scaling_;
    out.standardization = standardization_;
    if (augmentation_) {
      out.warps = augmentation_.warps(order_.seed(), rows, x_.shape()[1], x_.shape()[2]);
      out.sampling = augmentation_.sampling();
    }
    for (const Tensor<float>& other : other_x_) out.other_x.push_back(gather_rows(other, rows));
    return out;
  }
  Batch targets(std::span<const std::int64_t> draws) const override {
    return targets_of(order_.samples(draws));
  }

 private:
  Batch targets_of(const std::vector<DrawnSample>& rows) const {
    Batch out;
    out.y = gather_rows(y_, rows);
    out.sample_weight = gather_rows(sample_weight_, rows);
    for (const Tensor<float>& other : other_y_) out.other_y.push_back(gather_rows(other, rows));
    return out;
  }

  DrawOrder order_;
  Tensor<T> x_;
  Tensor<float> y_, sample_weight_;
  PixelScaling scaling_;
  SampleStandardization standardization_;
  Augmentation augmentation_;
  Others other_x_, other_y_;
};

class NpySource final : public BatchSource {
 public:
  NpySource(const std::string& x_path, const std::string& y_path, TensorDatasetOptions options)
      : x_(x_path),
        y_(y_path.empty() ? Tensor<float>() : load_npy<float>(y_path)),
        sample_weight_(options.sample_weight.to(nullptr)),
        order_(x_.shape().rank() > 0 ? x_.shape()[0] : 0, options.batch_size, options.shuffle, options.seed) {
    require<DataError>(y_path.empty() || (y_.rank() > 0 && y_.shape()[0] == samples()),
                       "[dataset_from_npy] expected ", samples(), " labels in '", y_path, "' for '", x_path,
                       "' ", x_.shape(), ", found ", y_.shape());
    require<ShapeError>(sample_weight_.empty() || sample_weight_.shape() == Shape{samples()},
                        "[dataset_from_npy] expected sample_weight [", samples(), "], found ",
                        sample_weight_.shape());
  }

  std::int64_t samples() const override { return order_.samples(); }
  std::int64_t batch_size() const override { return order_.batch_size(); }
  Shape element_shape() const override { return x_.shape().without_batch(); }
  std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const override {
    return order_.numbers(draws);
  }
  Batch gather(std::span<const std::int64_t> draws) const override {
    const std::vector<DrawnSample> rows = order_.samples(draws);
    Batch out = targets_of(rows);
    out.x = Tensor<float>::uninitialized(element_shape().with_batch(static_cast<std::int64_t>(rows.size())));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto to = static_cast<std::int64_t>(i);
      x_.read<float>(rows[i].number, rows[i].number + 1, out.x.slice(to, to + 1));
    }
    return out;
  }
  Batch targets(std::span<const std::int64_t> draws) const override {
    return targets_of(order_.samples(draws));
  }

 private:
  Batch targets_of(const std::vector<DrawnSample>& rows) const {
    Batch out;
    out.y = gather_rows(y_, rows);
    out.sample_weight = gather_rows(sample_weight_, rows);
    return out;
  }

  NpyReader x_;
  Tensor<float> y_, sample_weight_;
  DrawOrder order_;
};

}  // namespace detail

STRATA_COLD STRATA_INLINE Dataset dataset_from_tensors(Tensor<float> x, Tensor<float> y,
                                                       TensorDatasetOptions options) {
  return Dataset(
      std::make_shared<detail::TensorSource<float>>(std::move(x), std::move(y), std::move(options)));
}

STRATA_COLD STRATA_INLINE Dataset dataset_from_tensors(std::vector<Tensor<float>> x,
                                                       std::vector<Tensor<float>> y,
                                                       TensorDatasetOptions options) {
  require<ShapeError>(!x.empty(), "[dataset_from_tensors] expected an x, found none");
  const auto take_first = [](std::vector<Tensor<float>>& from) {
    Tensor<float> first;
    if (from.empty()) return first;
    first = std::move(from.front());
    from.erase(from.begin());
    return first;
  };
  Tensor<float> first_x = take_first(x), first_y = take_first(y);
  return Dataset(std::make_shared<detail::TensorSource<float>>(
      std::move(first_x), std::move(first_y), std::move(options), std::move(x), std::move(y)));
}

STRATA_COLD STRATA_INLINE Dataset dataset_from_tensors(Tensor<std::uint8_t> pixels, Tensor<float> y,
                                                       TensorDatasetOptions options) {
  return Dataset(std::make_shared<detail::TensorSource<std::uint8_t>>(std::move(pixels), std::move(y),
                                                                      std::move(options)));
}

STRATA_COLD STRATA_INLINE Dataset dataset_from_npy(const std::string& x_path, const std::string& y_path,
                                                   TensorDatasetOptions options) {
  return Dataset(std::make_shared<detail::NpySource>(x_path, y_path, std::move(options)));
}

}}  // namespace strata::STRATA_ABI
