#pragma once

#include <cstdint>
#include <vector>

#include <strata/training/model.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A sample that a model takes for another class than its target says.
struct WrongSample {
  std::int64_t sample = 0;     ///< its place in the dataset's first pass: source().gather gives it again
  std::int64_t label = 0;      ///< the class it has
  std::int64_t predicted = 0;  ///< the class of the highest score, the first of equal ones
  double label_score = 0;      ///< what the model gives the one class, from 0 to 1
  double predicted_score = 0;  ///< and the other
};

/// The samples of one pass that the model gets wrong, the most wrong first: in the order of the score that
/// their own class gets, which for crossentropies is that of falling loss, also where float scores are 0;
/// equal ones in the dataset's order.
/// At most `count`. The model ends in softmax, or in sigmoid, of which a single unit p tells two classes with
/// scores 1 - p and p. Targets are class numbers, [n] or [n,1], or one-hot. Throws ConfigError for another
/// model and for a count below 0; DataError for targets that are missing or name no class, and for scores
/// that are not finite.
template <class T>
std::vector<WrongSample> most_wrong(const BasicModel<T>& model, const Dataset& data, std::int64_t count = 16);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/most_wrong.ipp>
#endif
