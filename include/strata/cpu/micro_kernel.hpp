#pragma once

#include <strata/cpu/elementwise_kernels.hpp>
#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// A number as products read it.
struct Floats {
  static constexpr int per_unit = 1;
  STRATA_ALWAYS_INLINE static Vec units(const float* p) { return load(p); }
  STRATA_ALWAYS_INLINE static Vec units(const float* p, long count) { return load_part(p, count); }
  STRATA_ALWAYS_INLINE static Vec broadcast(const float* unit) { return splat(*unit); }
  STRATA_ALWAYS_INLINE static Vec multiply_add(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
  STRATA_ALWAYS_INLINE static void multiply_add(const float* a, Vec b0, Vec b1, Vec& c0, Vec& c1) {
    add_splat_products(a, b0, b1, c0, c1);
  }
};

/// Functions that cost more than a pass over the nearest cache are no part of the kernels.
[[gnu::noinline]] inline void activate_rows(const ProductEpilogue& e, int rows, float* c, long c_stride) {
  for (int i = 0; i < rows; ++i, c += c_stride) activate(e.f, e.slope, panel, c, c);
}

/// The one loop that dense products and convolutions live in: c [Rows,panel] (+)= a [Rows,k] b [k,panel], k
/// counted in units (see ProductKernels). All sums stay in registers; each step broadcasts one unit of a per
/// row and multiplies a row of b. Rows of b and c are b_stride and c_stride apart, a residual's as c's.
template <int Rows, class Units = Floats>
void multiply_rows(long k, const LeftRows& a, const float* b, long b_stride, float* c, long c_stride,
                   const AfterSums& after, const FetchAhead& ahead) {
  Vec sum[Rows][2];
  STRATA_UNROLL
  for (int i = 0; i < Rows; ++i) sum[i][0] = sum[i][1] = Vec{};
  // Row by row: the compiler would work out all addresses beforehand and spill them.
  const auto for_rows = [&](auto use) {
    long at = 0;
    STRATA_UNROLL
    for (int i = 0; i < Rows; ++i, at += c_stride) {
      asm("" : "+r"(at));
      use(i, at);
    }
  };
  // The upper half of the rows has a pointer each, and the lower half lies a distance behind: an instruction
  // that multiplies by memory counts as one only where its address has no index. The compiler shall not
  // change that.
  constexpr int half = (Rows + 1) / 2;
  long distance = half * a.row_step * static_cast<long>(sizeof(float));
  asm("" : "+r"(distance));
  const float *first = a.data, *next = ahead.next;
  // Rows of a new c that lie apart are in no cache, and the stores at the end would wait for them; all at
  // once they would hold up what the loop loads.
  const float* awaited = c;
  long rows_awaited = !after.accumulate && c_stride > 2 * width ? Rows : 0;
  const long at_once = a.run < k ? half : Rows;
  for (long left = k; left > 0; left -= a.run, first += a.run_step, next += ahead.run_step) {
    const long steps = left < a.run ? left : a.run;
    for (long line = 0; line < ahead.lines; ++line) __builtin_prefetch(next + line * ahead.step, 0, 2);
    for (long row = 0; row < at_once && rows_awaited > 0; ++row, --rows_awaited, awaited += c_stride) {
      __builtin_prefetch(awaited, 1);
      __builtin_prefetch(awaited + width, 1);
    }
    const float* rows[half];
    STRATA_UNROLL
    for (int i = 0; i < half; ++i) rows[i] = first + i * a.row_step;
    const auto advance = [&](long count) __attribute__((always_inline)) {
      b += count * b_stride;
      STRATA_UNROLL
      for (int i = 0; i < half; ++i) {
        const float* row = rows[i] + count;
        asm("" : "+r"(row));
        rows[i] = row;
      }
    };
    const auto step = [&](long j) __attribute__((always_inline)) {
      const Vec b0 = load(b + j * b_stride), b1 = load(b + j * b_stride + width);
      STRATA_UNROLL
      for (int i = 0; i < half; ++i) {
        Units::multiply_add(rows[i] + j, b0, b1, sum[i][0], sum[i][1]);
        if (i + half == Rows) break;
        const auto* const below = reinterpret_cast<const char*>(rows[i]) + distance;
        const Vec s = Units::broadcast(reinterpret_cast<const float*>(below) + j);
        sum[i + half][0] = Units::multiply_add(s, b0, sum[i + half][0]);
        sum[i + half][1] = Units::multiply_add(s, b1, sum[i + half][1]);
      }
    };
    advance(0);
    STRATA_NO_UNROLL
    for (long j = steps; j > 1; j -= 2) step(0), step(1), advance(2);
    if (steps % 2) step(0), advance(1);
  }
  // c is read only now: loading it before the loop would spill the sums.
  const auto add = [&](const float* from) {
    for_rows([&](int i, long at) {
      sum[i][0] = load(from + at) + sum[i][0];
      sum[i][1] = load(from + at + width) + sum[i][1];
    });
  };
  const auto combine = [&](const float* columns, auto operation) {
    const Vec left = load(columns), right = load(columns + width);
    STRATA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      sum[i][0] = operation(sum[i][0], left);
      sum[i][1] = operation(sum[i][1], right);
    }
  };
  const ProductEpilogue* const e = after.epilogue;
  bool done = true;
  if (after.accumulate) add(c);
  if (e) {
    if (e->scale) combine(e->scale, [](Vec v, Vec by) { return v * by; });
    if (e->bias) combine(e->bias, [](Vec v, Vec more) { return v + more; });
    if (e->residual) add(e->residual);
    done = with_cheap_function(e->f, e->slope, [&](auto function) {
      STRATA_UNROLL
      for (int i = 0; i < Rows; ++i) {
        sum[i][0] = function(sum[i][0]);
        sum[i][1] = function(sum[i][1]);
      }
    });
  }
  for_rows([&](int i, long at) {
    store(c + at, sum[i][0]);
    store(c + at + width, sum[i][1]);
  });
  if (!done) activate_rows(*e, Rows, c, c_stride);
}

template <int Rows>
STRATA_ALWAYS_INLINE void add_scaled_rows(const float* a, const float* b, long b_stride, long columns,
                                          float* c, bool accumulate) {
  Vec scales[Rows];
  STRATA_UNROLL
  for (int i = 0; i < Rows; ++i) scales[i] = splat(a[i]);
  for_channels(columns, [&](long j, long rest) {
    Vec sum = scales[0] * load_some(b + j, rest);
    STRATA_UNROLL
    for (int i = 1; i < Rows; ++i) sum = fma(scales[i], load_some(b + i * b_stride + j, rest), sum);
    store_some(c + j, accumulate ? load_some(c + j, rest) + sum : sum, rest);
  });
}

/// c [columns] (+)= a [k] b [k,columns]. In multiply_rows a single row would wait for one sum after the
/// other.
inline void multiply_row(long k, const float* a, const float* b, long b_stride, long columns, float* c,
                         bool accumulate) {
  for (; k >= 8; k -= 8, a += 8, b += 8 * b_stride, accumulate = true)
    add_scaled_rows<8>(a, b, b_stride, columns, c, accumulate);
  for (; k > 0; --k, ++a, b += b_stride, accumulate = true)
    add_scaled_rows<1>(a, b, b_stride, columns, c, accumulate);
}

inline constexpr int transposed_rows = max_rows < 8 ? 4 : 8;

/// c [transposed_rows,panel] (+)= a^T b for a [k,transposed_rows] and b [k,panel]: both operands of a weight
/// gradient run along the reduction, so neither needs transposing.
inline void multiply_transposed(long k, const float* a, long a_stride, const float* b, long b_stride,
                                float* c, long c_stride, bool accumulate) {
  Vec sum[transposed_rows][2];
  STRATA_UNROLL
  for (int i = 0; i < transposed_rows; ++i) {
    sum[i][0] = sum[i][1] = Vec{};
    __builtin_prefetch(c + i * c_stride, 1);  // as in multiply_rows
    __builtin_prefetch(c + i * c_stride + width, 1);
  }
  STRATA_NO_UNROLL
  for (long j = 0; j < k; ++j, a += a_stride, b += b_stride)
    add_outer_product(a, load(b), load(b + width), sum);
  STRATA_UNROLL
  for (int i = 0; i < transposed_rows; ++i) {
    float* out = c + i * c_stride;
    store(out, accumulate ? load(out) + sum[i][0] : sum[i][0]);
    store(out + width, accumulate ? load(out + width) + sum[i][1] : sum[i][1]);
  }
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
