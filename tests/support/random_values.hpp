#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace strata_test {

inline std::vector<float> random_values(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = normal(generator);
  return values;
}

/// ||found - expected|| / ||expected||, very large where the sizes differ.
inline double relative_error(const std::vector<float>& found, const std::vector<double>& expected) {
  if (found.size() != expected.size()) return 1e30;
  double difference = 0, norm = 1e-30;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double d = static_cast<double>(found[i]) - expected[i];
    difference += d * d;
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace strata_test
