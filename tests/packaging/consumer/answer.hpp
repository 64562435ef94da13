#pragma once

#include <strata/core/parallel.hpp>
#include <strata/tensor/tensor.hpp>

// Defined in every file that includes it, with that file's flags.
static double answer() {
  strata::Tensor<float> tensor({100, 3});
  strata::ThreadPool pool(2);
  pool.for_range(tensor.size(), 7, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) tensor.data()[i] = static_cast<float>(i);
  });
  double sum = 0;
  for (const float value : tensor.values()) sum += value;
  return sum;
}
