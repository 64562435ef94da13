#pragma once

#include <algorithm>
#include <cmath>

#include <strata/data/prefetch.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/most_wrong.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD std::vector<WrongSample> most_wrong(const BasicModel<T>& model, const Dataset& data,
                                                std::int64_t count) {
  const Shape input[] = {data.element_shape()};
  model.model().build_once(input);
  const std::string who = model.model().who();
  const Activation last = model.model().final_activation();
  const Shape output = model.output_shape();
  require<ConfigError>(output.rank() == 1 && (last == Activation::softmax || last == Activation::sigmoid),
                       who,
                       "most_wrong expects a model that ends in softmax or sigmoid, found one that gives ",
                       output, " by '", name_of(last), "'");
  require<ConfigError>(count >= 0, who, "most_wrong expects a count of 0 or more, found ", count);

  const std::int64_t outputs = output[0], classes = std::max<std::int64_t>(outputs, 2);
  const bool one_hot = outputs > 1, independent = one_hot && last == Activation::sigmoid;
  // The logarithm of a class's score, which tells those apart that are 0 to the last bit.
  const auto log_score = [&](const std::vector<double>& logits, std::int64_t c) {
    const double logit = logits[static_cast<std::size_t>(c)];
    if (independent) return std::min(logit, 0.0) - std::log1p(std::exp(-std::fabs(logit)));
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double value : logits) sum += std::exp(value - largest);
    return logit - largest - std::log(sum);
  };
  const auto session = model.model().session();
  PrefetchQueue queue(data, 0, data.batches(), 4, 1, session->device()->host_memory());
  BatchLoader<T> loader(session);
  std::vector<std::pair<double, WrongSample>> found;
  std::vector<double> logits(static_cast<std::size_t>(classes));
  std::int64_t sample = 0;
  for (std::int64_t step = 0; step < data.batches(); ++step) {
    Batch batch = queue.next().value();
    const std::int64_t n = batch.size(), width = batch.y.size() / n;
    const Tensor<float> y = batch.y;
    require<DataError>(width == 1 || (one_hot && width == outputs), who,
                       "most_wrong expects targets that are class numbers, or one-hot of ", classes,
                       " classes, found ", y.shape());
    const std::vector<TensorView<const T>> x = loader.load(std::move(batch)).inputs();
    model.model().require_inputs(x);
    BasicContext<T>& context = session->begin({.linear_output = true, .seed = model.model().seed()});
    const auto result = session->scratch(output.with_batch(n));
    const TensorView<T> on_device = result.view();
    model.model().graph().forward(x, {&on_device, 1}, context);
    const Tensor<T> rows = session->download(on_device);
    for (std::int64_t i = 0; i < n; ++i, ++sample) {
      // One sigmoid unit is a softmax of 0 and its logit.
      const T* const row = rows.data() + i * outputs;
      std::copy_n(row, outputs, logits.end() - outputs);
      for (const double logit : logits)
        require<DataError>(std::isfinite(logit), who, "sample ", sample,
                           ": expected finite scores, found a logit of ", logit);
      const float* const target = y.data() + i * width;
      const double label = width == 1
                               ? std::nearbyint(static_cast<double>(*target))
                               : static_cast<double>(std::max_element(target, target + width) - target);
      require<DataError>(label >= 0 && label < static_cast<double>(classes), who, "sample ", sample,
                         ": expected one of ", classes, " classes, from 0 on, found ", label);
      WrongSample wrong{.sample = sample,
                        .label = static_cast<std::int64_t>(label),
                        .predicted = std::max_element(logits.begin(), logits.end()) - logits.begin()};
      if (wrong.predicted == wrong.label) continue;
      const double own = log_score(logits, wrong.label);
      wrong.label_score = std::exp(own);
      wrong.predicted_score = std::exp(log_score(logits, wrong.predicted));
      found.emplace_back(own, wrong);
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<WrongSample> out;
  for (std::size_t i = 0; i < std::min(found.size(), static_cast<std::size_t>(count)); ++i)
    out.push_back(found[i].second);
  return out;
}

#if !STRATA_HEADER_ONLY
template std::vector<WrongSample> most_wrong(const BasicModel<float>&, const Dataset&, std::int64_t);
template std::vector<WrongSample> most_wrong(const BasicModel<double>&, const Dataset&, std::int64_t);
#endif

}}  // namespace strata::STRATA_ABI
