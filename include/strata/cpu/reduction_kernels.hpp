#pragma once

#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// sums[c] = sum over rows of term(row, c) from c on, `Vectors` at once, so that additions need not wait for
/// each other; `term(offset, c, rest)` returns a vector, `rest` > 0 for an incomplete one. A few rows are
/// added in float, those sums in double: a gradient is often the small difference of large sums.
template <int Vectors, class Term>
STRATA_ALWAYS_INLINE void sum_vectors(long rows, long channels, long c, long rest, double* sums, Term term) {
  typedef double Doubles __attribute__((vector_size(8 * width)));
  constexpr long few = 8;
  Doubles total[Vectors] = {};
  for (long first = 0; first < rows; first += few) {
    const long last = first + few < rows ? first + few : rows;
    Vec sum[Vectors] = {};
    for (long r = first; r < last; ++r) {
      STRATA_UNROLL
      for (int i = 0; i < Vectors; ++i) sum[i] += term(r * channels + c + i * width, c + i * width, rest);
    }
    STRATA_UNROLL
    for (int i = 0; i < Vectors; ++i) total[i] += __builtin_convertvector(sum[i], Doubles);
  }
  STRATA_UNROLL
  for (int i = 0; i < Vectors; ++i)
    __builtin_memcpy(sums + c + i * width, &total[i],
                     static_cast<unsigned long>(rest ? rest : width) * sizeof(double));
}
template <class Term>
STRATA_ALWAYS_INLINE void sum_columns(long rows, long channels, double* sums, Term term) {
  long c = 0;
  for (; c + 4 * width <= channels; c += 4 * width) sum_vectors<4>(rows, channels, c, 0, sums, term);
  for (; c + 2 * width <= channels; c += 2 * width) sum_vectors<2>(rows, channels, c, 0, sums, term);
  for (; c < channels; c += width)
    sum_vectors<1>(rows, channels, c, channels - c < width ? channels - c : 0, sums, term);
}
inline void column_sums(long rows, long channels, const float* x, double* sums) {
  sum_columns(rows, channels, sums, [&](long i, long, long rest) { return load_some(x + i, rest); });
}
/// Sums of (x - mean)^2.
inline void column_squares(long rows, long channels, const float* x, const float* mean, double* sums) {
  sum_columns(rows, channels, sums, [&](long i, long c, long rest) {
    const Vec d = load_some(x + i, rest) - load_some(mean + c, rest);
    return d * d;
  });
}
/// Sums of (x - mean) * dy.
inline void column_products(long rows, long channels, const float* x, const float* mean, const float* dy,
                            double* sums) {
  sum_columns(rows, channels, sums, [&](long i, long c, long rest) {
    return (load_some(x + i, rest) - load_some(mean + c, rest)) * load_some(dy + i, rest);
  });
}

/// Lanes are kept in double: squares of a long array lose digits in float.
inline double sum_of_squares(long count, const float* x) {
  double lanes[8] = {};
  long i = 0;
  for (; i + 8 <= count; i += 8)
    for (int j = 0; j < 8; ++j) lanes[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  for (; i < count; ++i) lanes[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

/// `gradient` may be null.
inline double l1_l2(long count, double l1, double l2, const float* w, float* gradient) {
  double absolute = 0, squares = 0;
  const float first = static_cast<float>(l1), second = static_cast<float>(2 * l2);
  for (long i = 0; i < count; ++i) {
    const double value = static_cast<double>(w[i]);
    absolute += value < 0 ? -value : value;
    squares += value * value;
    const float sign = w[i] > 0 ? 1.f : w[i] < 0 ? -1.f : 0.f;
    if (gradient) gradient[i] += first * sign + second * w[i];
  }
  return l1 * absolute + l2 * squares;
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
