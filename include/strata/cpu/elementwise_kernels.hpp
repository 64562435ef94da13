#pragma once

#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

inline constexpr float selu_scale = 1.050700987f, selu_slope = 1.758099341f;  // slope: scale * alpha

/// tanh(softplus(x)) = n / (n + 2) with n = e^x (e^x + 2), and the slope of x tanh(softplus(x)).
struct Mish {
  Vec tanh, slope;
  STRATA_ALWAYS_INLINE explicit Mish(Vec x) {
    const Vec in = x > 20.f ? splat(20.f) : x;  // from here on both are 1, and n^2 is no infinity
    const Vec e = exp(in), n = e * (e + 2.f);
    tanh = n / (n + 2.f);
    slope = tanh + in * 4.f * e * (1.f + e) / ((n + 2.f) * (n + 2.f));
  }
};

/// Calls `use` with a function that costs less than a pass over memory, as a callable of a vector; else
/// false.
template <class Use>
STRATA_ALWAYS_INLINE bool with_cheap_function(Function f, float slope, Use use) {
  switch (f) {
    case Function::linear:
      return use([](Vec x) { return x; }), true;
    case Function::relu:
      return use([](Vec x) { return relu(x); }), true;
    case Function::leaky_relu:
      return use([slope](Vec x) { return x < 0.f ? x * slope : x; }), true;
    case Function::relu6:
      return use([](Vec x) { return clamp(x, 0.f, 6.f); }), true;
    default:
      return false;
  }
}

inline void activate(Function f, float slope, long count, const float* from, float* to) {
  const auto apply = [&](auto function) { map(count, from, to, function); };
  if (with_cheap_function(f, slope, apply)) return;
  switch (f) {
    case Function::elu:
      return apply([](Vec x) { return x < 0.f ? expm1(x) : x; });
    case Function::sigmoid:
      return apply([](Vec x) { return sigmoid(x); });
    case Function::tanh:
      return apply([](Vec x) { return tanh(x); });
    case Function::silu:
      return apply([](Vec x) { return x * sigmoid(x); });
    case Function::gelu:
      return apply([](Vec x) { return x * normal_cdf(x); });
    case Function::selu:
      return apply([](Vec x) { return x < 0.f ? selu_slope * expm1(x) : selu_scale * x; });
    case Function::softplus:
      return apply([](Vec x) { return relu(x) + log1p(exp(-abs(x))); });
    case Function::softsign:
      return apply([](Vec x) { return x / (1.f + abs(x)); });
    case Function::hard_sigmoid:
      return apply([](Vec x) { return clamp(x + 3.f, 0.f, 6.f) / 6.f; });
    case Function::mish:
      return apply([](Vec x) { return x * Mish(x).tanh; });
    default:
      return;  // a cheap one
  }
}

/// dx = dy * f'(x). The derivative is taken from y = f(x) or, where it does not follow from that, from x.
inline void activate_backward(Function f, float slope, long count, const float* from, const float* dy,
                              float* dx) {
  switch (f) {
    case Function::linear:
      return map(count, dy, dx, [](Vec d) { return d; });
    case Function::relu:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return v > 0.f ? d : Vec{}; });
    case Function::leaky_relu:
      return map(count, from, dy, dx, [slope](Vec v, Vec d) { return v > 0.f ? d : d * slope; });
    case Function::elu:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return v > 0.f ? d : d * (v + 1.f); });
    case Function::sigmoid:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return d * v * (1.f - v); });
    case Function::tanh:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return d * (1.f - v * v); });
    case Function::relu6:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return ((v > 0.f) & (v < 6.f)) ? d : Vec{}; });
    case Function::silu:
      return map(count, from, dy, dx, [](Vec x, Vec d) {
        const Vec s = sigmoid(x);
        return d * s * (1.f + x * (1.f - s));
      });
    case Function::gelu:
      return map(count, from, dy, dx,
                 [](Vec x, Vec d) { return d * (normal_cdf(x) + x * 0.398942280f * bell(x)); });
    case Function::selu:
      return map(count, from, dy, dx,
                 [](Vec v, Vec d) { return d * (v < 0.f ? v + selu_slope : splat(selu_scale)); });
    case Function::softplus:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return -d * expm1(-v); });
    case Function::softsign:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return d * (1.f - abs(v)) * (1.f - abs(v)); });
    case Function::hard_sigmoid:
      return map(count, from, dy, dx, [](Vec v, Vec d) { return ((v > 0.f) & (v < 1.f)) ? d / 6.f : Vec{}; });
    case Function::mish:
      return map(count, from, dy, dx, [](Vec x, Vec d) { return d * Mish(x).slope; });
  }
}

/// scale * v + bias + residual, v being the result at `at` and of column `c`.
STRATA_ALWAYS_INLINE Vec scaled(const ProductEpilogue& e, Vec v, long c, long at, long rest) {
  if (e.scale) v *= load_some(e.scale + c, rest);
  if (e.bias) v += load_some(e.bias + c, rest);
  if (e.residual) v += load_some(e.residual + at, rest);
  return v;
}

/// y = f(scale * y + bias + residual) for [rows,columns] whose rows are `stride` apart; null: left out.
inline void finish(const ProductEpilogue& e, long rows, long columns, long stride, float* y) {
  const bool linear = !e.scale && !e.bias && !e.residual;
  if (linear && e.f == Function::linear) return;
  if (rows > 1 && stride == columns && columns < 4 * width) {
    // Many short rows are a few long ones, of repeated scales and biases, without a part of a vector in each.
    constexpr long longest = 32 * width;
    const long most = longest / columns, repeats = rows < most ? rows : most;
    float scale[longest], bias[longest];
    ProductEpilogue row = e;
    const auto repeat = [&](const float*& from, float* to) {
      if (!from) return;
      for (long i = 0; i < repeats * columns; ++i) to[i] = i < columns ? from[i] : to[i - columns];
      from = to;
    };
    repeat(row.scale, scale);
    repeat(row.bias, bias);
    for (long r = 0; r < rows; r += repeats, y += repeats * columns) {
      if (e.residual) row.residual = e.residual + r * columns;
      const long count = (rows - r < repeats ? rows - r : repeats) * columns;
      finish(row, 1, count, count, y);
    }
    return;
  }
  const bool done = with_cheap_function(e.f, e.slope, [&](auto function) {
    for (long r = 0; r < rows; ++r, y += stride) {
      if (e.scale || e.residual)
        for_channels(columns, [&](long c, long rest) {
          const Vec v = scaled(e, load_some(y + c, rest), c, r * stride + c, rest);
          store_some(y + c, function(v), rest);
        });
      else if (e.bias)
        map(columns, y, e.bias, y, [&](Vec v, Vec b) { return function(v + b); });
      else
        map(columns, y, y, function);
    }
  });
  if (done) return;
  // The others cost more than another pass over what lies in the nearest cache.
  const long block = stride == columns && columns < 2048 ? 2048 / columns : 1;  // rows
  ProductEpilogue rest = e;
  rest.f = Function::linear;
  for (long r = 0; r < rows; r += block, y += block * stride) {
    const long count = rows - r < block ? rows - r : block;
    if (e.residual) rest.residual = e.residual + r * stride;
    if (!linear) finish(rest, count, columns, stride, y);
    activate(e.f, e.slope, count * columns, y, y);
  }
}

/// Sum or maximum of the elements of a vector, in a fixed order.
STRATA_ALWAYS_INLINE float sum_of(Vec v) {
  float s = 0;
  for (int i = 0; i < width; ++i) s += v[i];
  return s;
}

inline void softmax(long rows, long channels, const float* x, float* y) {
  for (long r = 0; r < rows; ++r, x += channels, y += channels) {
    float largest = x[0];
    for (long c = 1; c < channels; ++c) largest = x[c] > largest || x[c] != x[c] ? x[c] : largest;
    map(channels, x, y, [&](Vec v) { return exp(v - largest); });
    Vec sums{};
    float sum = 0;
    long c = 0;
    for (; c + width <= channels; c += width) sums += load(y + c);
    for (; c < channels; ++c) sum += y[c];
    const float scale = 1.f / (sum + sum_of(sums));
    map(channels, y, y, [&](Vec v) { return v * scale; });
  }
}

/// dx = y * (dy - sum(dy * y)) per row.
inline void softmax_backward(long rows, long channels, const float* y, const float* dy, float* dx) {
  for (long r = 0; r < rows; ++r, y += channels, dy += channels, dx += channels) {
    float sum = 0;
    for (long c = 0; c < channels; ++c) sum += dy[c] * y[c];
    map(channels, y, dy, dx, [&](Vec v, Vec d) { return v * (d - sum); });
  }
}

inline void affine(long count, float scale, float offset, const float* x, float* y) {
  map(count, x, y, [=](Vec v) { return fma(v, splat(scale), splat(offset)); });
}
inline void axpy(long count, float alpha, const float* x, float* y) {
  map(count, x, y, y, [=](Vec a, Vec b) { return fma(a, splat(alpha), b); });
}
inline void add(long count, const float* x, float* y) {
  map(count, x, y, y, [](Vec a, Vec b) { return a + b; });
}

inline void normalize(long rows, long channels, const float* mean, const float* scale, const float* offset,
                      const float* x, float* y) {
  for (long r = 0; r < rows; ++r, x += channels, y += channels)
    for_channels(channels, [&](long c, long rest) {
      const auto read = [&](const float* p) { return load_some(p + c, rest); };
      const Vec v = fma(read(x) - read(mean), read(scale), read(offset));
      store_some(y + c, v, rest);
    });
}

/// dx = a (dy - d) + b (x - mean). The mean d of dy goes first: it must cancel exactly where all dy are
/// equal.
inline void normalize_backward(long rows, long channels, const float* mean, const float* a, const float* b,
                               const float* d, const float* dy, const float* x, float* dx) {
  for (long r = 0; r < rows; ++r, x += channels, dy += channels, dx += channels)
    for_channels(channels, [&](long c, long rest) {
      const auto read = [&](const float* p) { return load_some(p + c, rest); };
      const Vec v = fma(read(dy) - read(d), read(a), (read(x) - read(mean)) * read(b));
      store_some(dx + c, v, rest);
    });
}

/// One multiplication of Philox: high and low words of factor * x, lane by lane.
STRATA_ALWAYS_INLINE void wide_multiply(unsigned factor, UVec x, UVec& high, UVec& low) {
  typedef unsigned long long Wide __attribute__((vector_size(8 * width)));
  const Wide product = __builtin_convertvector(x, Wide) * static_cast<unsigned long long>(factor);
  high = __builtin_convertvector(product >> 32, UVec);
  low = __builtin_convertvector(product, UVec);
}

/// Inverted dropout with the numbers of RandomStream (core/random.hpp), `width` Philox blocks at a time.
/// `first_block` is the number of the block that x[0] belongs to, as its first word.
inline void dropout(long first_block, long count, float rate, float scale, const std::uint32_t* key,
                    std::uint64_t step, const float* x, float* y) {
  for (long i = 0; i < count; i += 4 * width) {
    UVec c0{}, c1{};
    for (int lane = 0; lane < width; ++lane) {
      const unsigned long block = static_cast<unsigned long>(first_block + i / 4 + lane);
      c0[lane] = static_cast<unsigned>(block);
      c1[lane] = static_cast<unsigned>(block >> 32);
    }
    UVec c2 = static_cast<unsigned>(step) + UVec{}, c3 = static_cast<unsigned>(step >> 32) + UVec{};
    unsigned k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
      UVec a_high, a_low, b_high, b_low;
      wide_multiply(0xD2511F53, c0, a_high, a_low);
      wide_multiply(0xCD9E8D57, c2, b_high, b_low);
      c0 = b_high ^ c1 ^ k0;
      c1 = b_low;
      c2 = a_high ^ c3 ^ k1;
      c3 = a_low;
    }
    const UVec words[4] = {c0, c1, c2, c3};
    const long here = count - i < 4 * width ? count - i : 4 * width;
    float uniform[4 * width];
    for (int word = 0; word < 4; ++word)
      for (int lane = 0; lane < width; ++lane)
        uniform[4 * lane + word] = static_cast<float>(words[word][lane] >> 8) * 0x1p-24f;
    map(here, uniform, x + i, y + i, [=](Vec u, Vec v) { return u >= rate ? v * scale : Vec{}; });
  }
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
