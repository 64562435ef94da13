#pragma once

#include <strata/cpu/simd.hpp>

// Winograd's minimal filtering F(m, r): m outputs of a convolution with r taps from n = m + r - 1
// multiplications instead of m r. Inputs and taps are the coefficients of two polynomials; their product is
// found by evaluating both at n points, multiplying the values, and interpolating. Evaluation and
// interpolation are constant matrices, and because the points are small numbers the matrices are cheap:
//
//   y = A^T ((G g) .* (B^T x))             in one dimension,
//   Y = A^T ((G g G^T) .* (B^T X B)) A     in two, for tiles of m x m outputs and n x n inputs.
//
// Here the matrices follow from a list of points at compile time, and multiplying by them is unrolled:
// zeros vanish, ones are additions, and rows of opposite points share their even and odd halves.

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// The n - 1 finite points for n evaluations (the last is infinity); opposite points stand side by side.
/// Small points of similar size keep rounding errors low: those of n = 6 err 40 % less than 1, -1, 2, -2.
template <int N>
struct Points;
template <>
struct Points<4> {
  static constexpr double value[] = {0, 1, -1};
};
template <>
struct Points<5> {
  static constexpr double value[] = {0, 1, -1, 0.5};
};
template <>
struct Points<6> {
  static constexpr double value[] = {0, 0.75, -0.75, 1.5, -1.5};
};
template <>
struct Points<7> {
  static constexpr double value[] = {0, 1, -1, 2, -2, 0.5};
};
template <>
struct Points<8> {
  static constexpr double value[] = {0, 1, -1, 2, -2, 0.5, -0.5};
};

template <int Rows, int Columns>
struct Matrix {
  static constexpr int rows = Rows, columns = Columns;
  double at[Rows][Columns]{};

  /// Whether row i + 1 is row i with the sign of every odd (+1) or every even (-1) column changed; else 0.
  constexpr int mirror(int i) const {
    if (i + 1 >= Rows) return 0;
    bool odd = true, even = true;
    for (int k = 0; k < Columns; ++k) {
      odd = odd && at[i + 1][k] == (k % 2 ? -at[i][k] : at[i][k]);
      even = even && at[i + 1][k] == (k % 2 ? at[i][k] : -at[i][k]);
    }
    return odd ? 1 : even ? -1 : 0;
  }
  /// The same for columns j and j + 1 and the signs of rows.
  constexpr bool mirrored_column(int j) const {
    if (j + 1 >= Columns) return false;
    for (int i = 0; i < Rows; ++i)
      if (at[i][j + 1] != (i % 2 ? -at[i][j] : at[i][j])) return false;
    return at[0][j] != 0;
  }
};

/// B^T: row j holds the coefficients of the product of (x - p_l) over the other finite points l != j.
template <int N>
constexpr Matrix<N, N> input_matrix() {
  Matrix<N, N> b;
  for (int j = 0; j < N; ++j) {
    b.at[j][0] = 1;
    int degree = 0;
    for (int l = 0; l < N - 1; ++l) {
      if (l == j) continue;
      for (int k = ++degree; k > 0; --k) b.at[j][k] = b.at[j][k - 1] - Points<N>::value[l] * b.at[j][k];
      b.at[j][0] *= -Points<N>::value[l];
    }
  }
  return b;
}
/// G: the taps' polynomial at every point, divided by what B^T leaves out; infinity takes the last tap.
template <int N, int Taps>
constexpr Matrix<N, Taps> kernel_matrix() {
  Matrix<N, Taps> g;
  for (int j = 0; j < N - 1; ++j) {
    double scale = 1, power = 1;
    for (int l = 0; l < N - 1; ++l)
      if (l != j) scale *= Points<N>::value[j] - Points<N>::value[l];
    for (int k = 0; k < Taps; ++k, power *= Points<N>::value[j]) g.at[j][k] = power / scale;
  }
  g.at[N - 1][Taps - 1] = 1;
  return g;
}
/// A^T: row i holds the i-th powers of the points; infinity adds to the last output.
template <int N, int Outputs>
constexpr Matrix<Outputs, N> output_matrix() {
  Matrix<Outputs, N> a;
  for (int j = 0; j < N - 1; ++j) {
    double power = 1;
    for (int i = 0; i < Outputs; ++i, power *= Points<N>::value[j]) a.at[i][j] = power;
  }
  a.at[Outputs - 1][N - 1] = 1;
  return a;
}

typedef double DoubleVec __attribute__((vector_size(4 * width)));  // half as many numbers
typedef float HalfVec __attribute__((vector_size(2 * width)));
STRATA_ALWAYS_INLINE Vec multiply_add(float c, Vec x, Vec sum) {
  return fma(splat(c), x, sum);
}
STRATA_ALWAYS_INLINE DoubleVec multiply_add(double c, DoubleVec x, DoubleVec sum) {
  return c * x + sum;
}
float scalar_of(Vec);
double scalar_of(DoubleVec);

/// sum + M[Row][K] * x[K] + M[Row][K + Step] * x[K + Step] + ...; Empty: nothing is in `sum` yet.
template <const auto& M, int Row, int K, int Step, bool Empty, class V>
STRATA_ALWAYS_INLINE V row_product(const V* x, V sum) {
  if constexpr (K >= M.columns) {
    return sum;
  } else {
    constexpr auto c = static_cast<decltype(scalar_of(V{}))>(M.at[Row][K]);
    if constexpr (c == 0)
      return row_product<M, Row, K + Step, Step, Empty>(x, sum);
    else if constexpr (Empty && c == 1)
      return row_product<M, Row, K + Step, Step, false>(x, x[K]);
    else if constexpr (Empty)
      return row_product<M, Row, K + Step, Step, false>(x, c * x[K]);
    else if constexpr (c == 1)
      return row_product<M, Row, K + Step, Step, false>(x, sum + x[K]);
    else if constexpr (c == -1)
      return row_product<M, Row, K + Step, Step, false>(x, sum - x[K]);
    else
      return row_product<M, Row, K + Step, Step, false>(x, multiply_add(c, x[K], sum));
  }
}

/// use(i, (M x)[i]) for every row i; mirrored rows share their even and odd parts.
template <const auto& M, int Row = 0, class V, class Use>
STRATA_ALWAYS_INLINE void apply(const V* x, Use use) {
  if constexpr (Row < M.rows) {
    constexpr int mirror = M.mirror(Row);
    if constexpr (mirror != 0) {
      const V even = row_product<M, Row, 0, 2, true>(x, V{}), odd = row_product<M, Row, 1, 2, true>(x, V{});
      use(Row, even + odd);
      use(Row + 1, mirror > 0 ? even - odd : odd - even);
      apply<M, Row + 2>(x, use);
    } else {
      use(Row, row_product<M, Row, 0, 1, true>(x, V{}));
      apply<M, Row + 1>(x, use);
    }
  }
}

/// M without the second of every two mirrored columns.
template <const auto& M>
constexpr auto without_mirrored_columns() {
  auto reduced = M;
  for (int j = 0; j + 1 < M.columns; ++j)
    if (M.mirrored_column(j))
      for (int i = 0; i < M.rows; ++i) reduced.at[i][j + 1] = 0;
  return reduced;
}
template <const auto& M>
inline constexpr auto reduced = without_mirrored_columns<M>();

template <const auto& M, int Row = 0, class V, class Use>
STRATA_ALWAYS_INLINE void apply_reduced(const V* even, const V* odd, Use use) {
  if constexpr (Row < M.rows) {
    use(Row, row_product<reduced<M>, Row, 0, 1, true>(Row % 2 ? odd : even, V{}));
    apply_reduced<M, Row + 1>(even, odd, use);
  }
}
/// The same result for matrices with mirrored columns: x of opposite points are added and subtracted first.
template <const auto& M, class V, class Use>
STRATA_ALWAYS_INLINE void apply_by_columns(const V* x, Use use) {
  V even[M.columns], odd[M.columns];
  STRATA_UNROLL
  for (int j = 0; j < M.columns; ++j) {
    even[j] = M.mirrored_column(j) ? x[j] + x[j + 1] : x[j];
    odd[j] = M.mirrored_column(j) ? x[j] - x[j + 1] : x[j];
  }
  apply_reduced<M>(even, odd, use);
}

template <int N>
inline constexpr Matrix<N, N> input_transform = input_matrix<N>();
template <int N, int Taps>
inline constexpr Matrix<N, Taps> kernel_transform = kernel_matrix<N, Taps>();
template <int N, int Outputs>
inline constexpr Matrix<Outputs, N> output_transform = output_matrix<N, Outputs>();

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
