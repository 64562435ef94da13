#pragma once

// Written by cmake/embed_kernels.cmake from kernels/ and the headers that kernels include. Do not edit.

#include <strata/core/config.hpp>

// clang-format off
namespace strata { inline namespace STRATA_ABI { namespace cuda {

struct KernelSource {
  const char *name, *text;
};

inline constexpr KernelSource kernel_sources[] = {
{"activation.cuh", R"source(#pragma once

// Activations of one value, for every kernel that ends in one. Softmax needs a row: see elementwise.cu.

#include "common.cuh"

#include <strata/cuda/kernels/activation.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// exp never overflows; NaN stays NaN.
__device__ inline float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

/// The normal distribution's share below x.
__device__ inline float normal_cdf(float x) {
  return 0.5f * erfcf(-0.70710678118654752f * x);
}

constexpr float selu_scale = 1.0507009873554805f, selu_slope = 1.7580993408473766f;  // slope: scale * alpha

__device__ inline float softplus(float x) {
  return (x < 0 ? 0.0f : x) + log1pf(expf(-fabsf(x)));
}

/// `kind` is one of activation_kind; linear and softmax leave x as it is.
__device__ inline float activate(int kind, float negative_slope, float x) {
  switch (kind) {
    case activation_kind::relu:
      return x < 0 ? 0.0f : x;
    case activation_kind::leaky_relu:
      return x < 0 ? negative_slope * x : x;
    case activation_kind::elu:
      return x < 0 ? expm1f(x) : x;
    case activation_kind::sigmoid:
      return sigmoid(x);
    case activation_kind::tanh:
      return tanhf(x);
    case activation_kind::relu6:
      return x < 0 ? 0.0f : x > 6 ? 6.0f : x;
    case activation_kind::silu:
      return x * sigmoid(x);
    case activation_kind::gelu:
      return x * normal_cdf(x);
    case activation_kind::selu:
      return x < 0 ? selu_slope * expm1f(x) : selu_scale * x;
    case activation_kind::softplus:
      return softplus(x);
    case activation_kind::softsign:
      return x / (1 + fabsf(x));
    case activation_kind::hard_sigmoid:
      return (x < -3 ? 0.0f : x > 3 ? 6.0f : x + 3) / 6;
    case activation_kind::mish:
      return x * tanhf(softplus(x));
    default:
      return x;
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"columns.cuh", R"source(#pragma once

// Matrices [rows,channels] by blocks that keep to their channels: what belongs to a channel is read once per
// thread.

#include "common.cuh"

#include <strata/cuda/kernels/columns.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// This thread's channel; may lie beyond the last.
__device__ inline Int own_channel(const Columns& p) {
  return Int(blockIdx.x) * p.width + threadIdx.x % p.width;
}

__device__ inline Int slice_begin(const Columns& p) {
  return blockIdx.y * p.slice;
}
__device__ inline Int slice_end(const Columns& p) {
  const Int end = slice_begin(p) + p.slice;
  return end < p.rows ? end : p.rows;
}

/// Calls store(element, load(element)) for this thread's elements of the slice, four rows at a time: all four
/// are loaded before one is stored, so that their ways from memory overlap.
template <class Load, class Store>
__device__ inline void for_slice(const Columns& p, Load load, Store store) {
  constexpr int together = 4;
  const Int channel = own_channel(p), end = slice_end(p), lanes = blockDim.x / p.width;
  if (channel >= p.channels) return;
  for (Int row = slice_begin(p) + threadIdx.x / p.width; row < end; row += together * lanes) {
    decltype(load(Int())) loaded[together] = {};
    for (int k = 0; k < together; ++k)
      if (row + k * lanes < end) loaded[k] = load((row + k * lanes) * p.channels + channel);
    for (int k = 0; k < together; ++k)
      if (row + k * lanes < end) store((row + k * lanes) * p.channels + channel, loaded[k]);
  }
}

/// Sums what add(row, sums) adds to this thread's channel for the rows from begin to end, over the block and
/// in a fixed order; every thread gets the sums of its channel. All threads of the block must call it.
template <int N, class Add>
__device__ inline void sum_columns(const Columns& p, Int begin, Int end, double (&sums)[N], Add add) {
  __shared__ double shared[N][Columns::threads];
  const unsigned width = unsigned(p.width);
  for (int k = 0; k < N; ++k) sums[k] = 0;
  if (own_channel(p) < p.channels)
    STRATA_UNROLL for (Int row = begin + threadIdx.x / width; row < end; row += blockDim.x / width)
        add(row, sums);
  __syncthreads();  // `shared` may still be read by an earlier call
  for (int k = 0; k < N; ++k) shared[k][threadIdx.x] = sums[k];
  for (unsigned half = blockDim.x / 2; half >= width; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half)
      for (int k = 0; k < N; ++k) shared[k][threadIdx.x] += shared[k][threadIdx.x + half];
  }
  __syncthreads();
  for (int k = 0; k < N; ++k) sums[k] = shared[k][threadIdx.x % width];
}

/// Whether this thread writes its channel's sums.
__device__ inline bool owns_channel(const Columns& p) {
  return threadIdx.x < unsigned(p.width) && own_channel(p) < p.channels;
}

/// Where the N sums of a channel's slice lie between two kernels: [slices,N,channels].
template <int N>
__device__ inline void store_partial(const Columns& p, const double (&sums)[N], double* partial) {
  if (owns_channel(p))
    for (int k = 0; k < N; ++k) partial[(Int(blockIdx.y) * N + k) * p.channels + own_channel(p)] = sums[k];
}
template <int N>
__device__ inline void sum_partial(const Columns& p, const double* partial, double (&sums)[N]) {
  sum_columns(p, 0, p.slices, sums, [&](Int slice, double(&to)[N]) {
    for (int k = 0; k < N; ++k) to[k] += partial[(slice * N + k) * p.channels + own_channel(p)];
  });
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"common.cuh", R"source(#pragma once

// What every kernel file shares. Kernels are compiled by NVRTC for the card at hand
// (strata/cuda/kernels.ipp), by nvcc for tuning, and by any C++ compiler under the tests' emulator, which
// defines STRATA_KERNEL and CUDA's words first.

#include <strata/core/config.hpp>

#include <cstdint>

#ifdef __CUDACC_RTC__  // it has no <cmath>
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif

/// In front of a loop: four rounds at once, so that their loads overlap.
#ifdef __CUDACC__
#define STRATA_UNROLL _Pragma("unroll 4")
#else
#define STRATA_UNROLL
#endif

#ifndef STRATA_KERNEL
/// A kernel takes one plain struct, which the host knows too (include/strata/cuda/kernels/).
#define STRATA_KERNEL(name, Parameters) extern "C" __global__ void name(const Parameters p)
#endif

namespace strata { inline namespace STRATA_ABI { namespace cuda {

using Int = std::int64_t;

/// This thread's place in the grid, and the number of threads in it: for (Int i = first(); i < n; i +=
/// stride()).
__device__ inline Int first() {
  return Int(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline Int stride() {
  return Int(gridDim.x) * blockDim.x;
}

/// The greater; NaN wins, as it must not be lost on its way to the loss.
__device__ inline float maximum(float a, float b) {
  return a != a || a > b ? a : b;
}

/// Sum over `lanes` neighbouring threads, a power of two; every one gets it. Whole warps must call it.
template <class T>
__device__ inline T lane_sum(T value, int lanes = 32) {
  for (int offset = lanes / 2; offset; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

/// Sum over the threads of a block (a multiple of 32, at most 1024), in a fixed order; every thread gets it.
__device__ inline double block_sum(double value) {
  __shared__ double warps[32];
  value = lane_sum(value);
  __syncthreads();  // `warps` may still be read by an earlier call
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) sum += warps[i];
  return sum;
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"convolution.cu", R"source(// Convolutions by their definition, for what cuDNN has no engine for, and the gradient by the kernel of
// those with few input channels, where cuDNN's engines that always give the same bits are slow.

#include <strata/cuda/kernels/convolution.hpp>

#include "common.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Where element i of [.., height, width, channels] lies.
struct PixelPlace {
  Int n, h, w, c;
};
__device__ inline PixelPlace pixel_place(Int i, Int height, Int width, Int channels) {
  const Int pixel = i / channels, row = pixel / width;
  return {row / height, row % height, pixel % width, i % channels};
}

/// One thread per output.
STRATA_KERNEL(strata_convolution, DirectConvolution) {
  const Conv2DGeometry& g = p.g;
  const Int inputs = g.group_in(), count = g.batch * g.out_h * g.out_w * g.out_c;
  for (Int i = first(); i < count; i += stride()) {
    const PixelPlace at = pixel_place(i, g.out_h, g.out_w, g.out_c);
    const Int channel = at.c / g.group_out() * inputs;
    float sum = 0;
    for (Int ky = 0; ky < g.kernel_h; ++ky) {
      const Int iy = at.h * g.stride_h - g.pad_top + ky * g.dilation_h;
      if (iy < 0 || iy >= g.in_h) continue;
      for (Int kx = 0; kx < g.kernel_w; ++kx) {
        const Int ix = at.w * g.stride_w - g.pad_left + kx * g.dilation_w;
        if (ix < 0 || ix >= g.in_w) continue;
        const float* const x = p.x + ((at.n * g.in_h + iy) * g.in_w + ix) * g.in_c + channel;
        const float* const kernel = p.kernel + (ky * g.kernel_w + kx) * inputs * g.out_c + at.c;
        for (Int ci = 0; ci < inputs; ++ci) sum += x[ci] * kernel[ci * g.out_c];
      }
    }
    p.result[i] = sum;
  }
}

/// One thread per input: the outputs that read it.
STRATA_KERNEL(strata_convolution_backward_input, DirectConvolution) {
  const Conv2DGeometry& g = p.g;
  const Int inputs = g.group_in(), outputs = g.group_out(), count = g.batch * g.in_h * g.in_w * g.in_c;
  for (Int i = first(); i < count; i += stride()) {
    const PixelPlace at = pixel_place(i, g.in_h, g.in_w, g.in_c);
    const Int channel = at.c / inputs * outputs;
    float sum = 0;
    for (Int ky = 0; ky < g.kernel_h; ++ky) {
      const Int y = at.h + g.pad_top - ky * g.dilation_h;
      if (y < 0 || y % g.stride_h || y / g.stride_h >= g.out_h) continue;
      for (Int kx = 0; kx < g.kernel_w; ++kx) {
        const Int x = at.w + g.pad_left - kx * g.dilation_w;
        if (x < 0 || x % g.stride_w || x / g.stride_w >= g.out_w) continue;
        const float* const dy =
            p.dy + ((at.n * g.out_h + y / g.stride_h) * g.out_w + x / g.stride_w) * g.out_c + channel;
        const float* const kernel =
            p.kernel + ((ky * g.kernel_w + kx) * inputs + at.c % inputs) * g.out_c + channel;
        for (Int co = 0; co < outputs; ++co) sum += dy[co] * kernel[co];
      }
    }
    p.result[i] = p.accumulate ? p.result[i] + sum : sum;
  }
}

/// One block per weight: the sum over all pixels it was multiplied with.
STRATA_KERNEL(strata_convolution_backward_kernel, DirectConvolution) {
  const Conv2DGeometry& g = p.g;
  const Int inputs = g.group_in(), count = g.kernel_h * g.kernel_w * inputs * g.out_c;
  for (Int i = blockIdx.x; i < count; i += gridDim.x) {
    const PixelPlace at = pixel_place(i, g.kernel_w, inputs, g.out_c);  // {ky, kx, ci, co}
    const Int channel = at.c / g.group_out() * inputs + at.w;
    double sum = 0;
    for (Int pixel = threadIdx.x; pixel < g.batch * g.out_h * g.out_w; pixel += blockDim.x) {
      const Int row = pixel / g.out_w, n = row / g.out_h;
      const Int iy = row % g.out_h * g.stride_h - g.pad_top + at.n * g.dilation_h;
      const Int ix = pixel % g.out_w * g.stride_w - g.pad_left + at.h * g.dilation_w;
      if (iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w) continue;
      sum += double(p.x[((n * g.in_h + iy) * g.in_w + ix) * g.in_c + channel]) *
             double(p.dy[pixel * g.out_c + at.c]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) p.result[i] = float(p.accumulate ? double(p.result[i]) + sum : sum);
  }
}

/// Side by side in memory, for one load.
struct alignas(16) Four {
  float at[WindowGradient::own];
};

/// A pixel of the output, and the image it is of.
struct Pixel {
  const float* image;
  int y, x;
};
__device__ inline Pixel pixel_at(const WindowGradient& p, Int pixel) {
  const Conv2DGeometry& g = p.g;
  const Int row = pixel / g.out_w;
  return {p.x + row / g.out_h * g.in_h * g.in_w * g.in_c, int(row % g.out_h), int(pixel % g.out_w)};
}
__device__ inline void advance(const Conv2DGeometry& g, int by, Pixel& pixel) {
  for (pixel.x += by; pixel.x >= g.out_w; pixel.x -= int(g.out_w))
    if (++pixel.y == g.out_h) pixel.y = 0, pixel.image += g.in_h * g.in_w * g.in_c;
}

/// A thread keeps four taps of four outputs in registers. Windows and gradients of some pixels at a time lie
/// in shared memory; those of the next are on their way to registers meanwhile.
template <int outputs>
__device__ inline void window_gradient(const WindowGradient& p) {
  constexpr int own = WindowGradient::own, pixels = WindowGradient::pixels, taps = WindowGradient::taps;
  constexpr int threads = WindowGradient::threads(outputs), across = outputs / own;
  __shared__ Four windows[pixels][taps / own], gradients[pixels][across];
  const Conv2DGeometry& g = p.g;
  const int thread = int(threadIdx.x), in_h = int(g.in_h), in_w = int(g.in_w), in_c = int(g.in_c);
  const int all_taps = int(g.kernel_h * g.kernel_w) * in_c;
  const Int count = g.batch * g.out_h * g.out_w, begin = blockIdx.x * p.slice;
  const Int end = begin + p.slice < count ? begin + p.slice : count;

  // What this thread brings: every few pixels' value under one tap and gradient of one output.
  constexpr int pixel_step = threads / taps, row_step = threads / outputs;
  const int tap = int(blockIdx.y) * taps + thread % taps, channel = tap % in_c;
  const int left = tap / in_c % int(g.kernel_w) * int(g.dilation_w) - int(g.pad_left);
  const int top = tap / in_c / int(g.kernel_w) * int(g.dilation_h) - int(g.pad_top);
  const Int output = Int(blockIdx.z) * outputs + thread % outputs;
  Pixel at = pixel_at(p, begin + thread / taps);
  float window[pixels / pixel_step], gradient[pixels / row_step];
  const auto load = [&](Int pixel) {
    for (int i = 0; i < pixels / pixel_step; ++i) {
      const int y = at.y * int(g.stride_h) + top, x = at.x * int(g.stride_w) + left;
      const bool inside = tap < all_taps && pixel + thread / taps + i * pixel_step < end && y >= 0 &&
                          y < in_h && x >= 0 && x < in_w;
      window[i] = inside ? at.image[(y * in_w + x) * in_c + channel] : 0;
      advance(g, pixel_step, at);
    }
    const Int row = pixel + thread / outputs;
    const float* dy = p.dy + row * g.out_c + output;
    for (int i = 0; i < pixels / row_step; ++i, dy += row_step * g.out_c)
      gradient[i] = row + i * row_step < end && output < g.out_c ? *dy : 0;
  };

  float sums[own][own] = {};
  load(begin);
  for (Int pixel = begin; pixel < end; pixel += pixels) {
    for (int i = 0; i < pixels / pixel_step; ++i)
      windows[thread / taps + i * pixel_step][thread % taps / own].at[thread % own] = window[i];
    for (int i = 0; i < pixels / row_step; ++i)
      gradients[thread / outputs + i * row_step][thread % outputs / own].at[thread % own] = gradient[i];
    __syncthreads();
    load(pixel + pixels);
    STRATA_UNROLL for (int k = 0; k < pixels; ++k) {
      const Four a = windows[k][thread / across], b = gradients[k][thread % across];
      for (int i = 0; i < own; ++i)
        for (int j = 0; j < own; ++j) sums[i][j] += a.at[i] * b.at[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < own; ++i)
    for (int j = 0; j < own; ++j) {
      const int to_tap = int(blockIdx.y) * taps + thread / across * own + i;
      const Int to_output = Int(blockIdx.z) * outputs + thread % across * own + j;
      if (to_tap < all_taps && to_output < g.out_c)
        p.parts[(Int(blockIdx.x) * all_taps + to_tap) * g.out_c + to_output] = sums[i][j];
    }
}

STRATA_KERNEL(strata_window_gradient_32, WindowGradient) {
  window_gradient<32>(p);
}
STRATA_KERNEL(strata_window_gradient_64, WindowGradient) {
  window_gradient<64>(p);
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"elementwise.cu", R"source(#include "elementwise.cuh"

#include <strata/cuda/kernels/elementwise.hpp>

#include "activation.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// The derivative at `value`, which is the function's input for silu, gelu and mish and its output for the
/// others, times the gradient behind it.
__device__ inline float derivative(int kind, float negative_slope, float value, float gradient) {
  switch (kind) {
    case activation_kind::relu:
      return value > 0 ? gradient : 0.0f;
    case activation_kind::leaky_relu:
      return value > 0 ? gradient : negative_slope * gradient;
    case activation_kind::elu:
      return value < 0 ? (value + 1) * gradient : gradient;
    case activation_kind::sigmoid:
      return value * (1 - value) * gradient;
    case activation_kind::tanh:
      return (1 - value) * (1 + value) * gradient;
    case activation_kind::relu6:
      return value > 0 && value < 6 ? gradient : 0.0f;
    case activation_kind::silu:
      return sigmoid(value) * (1 + value * sigmoid(-value)) * gradient;
    case activation_kind::gelu: {
      const float density = 0.39894228040143268f * expf(-0.5f * value * value);
      return (normal_cdf(value) + value * density) * gradient;
    }
    case activation_kind::selu:
      return (value < 0 ? value + selu_slope : selu_scale) * gradient;
    case activation_kind::softplus:
      return -expm1f(-value) * gradient;
    case activation_kind::softsign:
      return (1 - fabsf(value)) * (1 - fabsf(value)) * gradient;
    case activation_kind::hard_sigmoid:
      return value > 0 && value < 1 ? gradient / 6 : 0.0f;
    case activation_kind::mish: {
      const float t = tanhf(softplus(value));
      return (t + value * (1 - t * t) * sigmoid(value)) * gradient;
    }
    default:
      return gradient;
  }
}

STRATA_KERNEL(strata_activation_backward, ActivationBackwardParameters) {
  map(p.rows * p.channels, 1, p.dx,
      [&](Int i, Int) { return derivative(p.kind, p.negative_slope, p.from[i], p.dy[i]); });
}

STRATA_KERNEL(strata_softmax_backward, ActivationBackwardParameters) {
  const RowTeam team(p.wide);
  for (Int row = team.row; row < p.rows; row += team.rows) {
    const float *y = p.from + row * p.channels, *dy = p.dy + row * p.channels;
    double dot = 0;
    for (Int c = team.lane; c < p.channels; c += team.lanes) dot += double(y[c]) * double(dy[c]);
    dot = team.sum(dot);
    for (Int c = team.lane; c < p.channels; c += team.lanes)
      p.dx[row * p.channels + c] = y[c] * float(double(dy[c]) - dot);
  }
}

STRATA_KERNEL(strata_affine, AffineParameters) {
  map(p.count, 1, p.y, [&](Int i, Int) { return p.scale * p.x[i] + p.offset; });
}

STRATA_KERNEL(strata_axpy, AxpyParameters) {
  map(p.count, 1, p.y, [&](Int i, Int) { return p.y[i] + p.alpha * p.x[i]; });
}

STRATA_KERNEL(strata_copy_block, CopyBlockParameters) {
  map_to(
      p.rows * p.columns, p.columns, [&](Int i, Int c) { return p.x[(i - c) / p.columns * p.x_stride + c]; },
      [&](Int i, Int c, float value) { p.y[(i - c) / p.columns * p.y_stride + c] = value; });
}

STRATA_KERNEL(strata_pad2d, Pad2DParameters) {
  const Int inner = p.g.in_w * p.g.channels, left = p.g.left * p.g.channels;  // of one row of pixels
  const Int outer = left + inner + p.g.right * p.g.channels;
  const Int out_h = p.g.top + p.g.in_h + p.g.bottom;
  map(p.g.batch * out_h * outer, outer, p.y, [&](Int i, Int place) {
    const Int line = (i - place) / outer, image = line / out_h, row = line - image * out_h - p.g.top;
    const Int column = place - left;
    const bool inside = row >= 0 && row < p.g.in_h && column >= 0 && column < inner;
    return inside ? p.x[(image * p.g.in_h + row) * inner + column] : 0.0f;
  });
}

/// x is the gradient of the padded images, y that of the inner ones.
STRATA_KERNEL(strata_pad2d_backward, Pad2DParameters) {
  const Int inner = p.g.in_w * p.g.channels, left = p.g.left * p.g.channels;
  const Int outer = left + inner + p.g.right * p.g.channels;
  const Int out_h = p.g.top + p.g.in_h + p.g.bottom;
  map(p.g.batch * p.g.in_h * inner, inner, p.y, [&](Int i, Int place) {
    const Int line = (i - place) / inner, image = line / p.g.in_h, row = line - image * p.g.in_h + p.g.top;
    return p.x[(image * out_h + row) * outer + left + place];
  });
}

/// Philox 4x32-10: the 128 bits of one block, as core/random.hpp computes them.
__device__ inline void philox(std::uint32_t (&counter)[4], std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter[0] = std::uint32_t(b >> 32) ^ counter[1] ^ key0;
    counter[1] = std::uint32_t(b);
    counter[2] = std::uint32_t(a >> 32) ^ counter[3] ^ key1;
    counter[3] = std::uint32_t(a);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
}

/// A thread per block of four numbers.
STRATA_KERNEL(strata_dropout, DropoutParameters) {
  for (Int block = first(); block < (p.count + 3) / 4; block += stride()) {
    std::uint32_t words[4] = {std::uint32_t(block), std::uint32_t(block >> 32), p.step[0], p.step[1]};
    philox(words, p.key[0], p.key[1]);
    const float* const x = p.x + 4 * block;
    float* const y = p.y + 4 * block;
    float values[4] = {};
    for (int k = 0; k < 4; ++k)
      if (4 * block + k < p.count) values[k] = (words[k] >> 8) >= p.threshold ? x[k] * p.scale : 0.0f;
    for (int k = 0; k < 4; ++k)
      if (4 * block + k < p.count) y[k] = values[k];
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"elementwise.cuh", R"source(#pragma once

// Loops that several kernels share: over elements, and over rows.

#include "common.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// store(i, c, load(i, c)) for all i < count, c being i % channels. Each thread loads four elements before it
/// stores the first, which keeps memory busy, so `load` must read nothing that is stored but at i. Start it
/// over count / 4.
template <class Load, class Store>
__device__ inline void map_to(Int count, Int channels, Load load, Store store) {
  const Int step = stride(), channel_step = step % channels;
  Int i = first(), c = i % channels;
  const auto next = [&] {  // without a division per element
    i += step;
    c += channel_step;
    if (c >= channels) c -= channels;
  };
  while (i + 3 * step < count) {
    Int places[4], channel[4];
    float values[4];
    for (int k = 0; k < 4; ++k, next()) places[k] = i, channel[k] = c;
    for (int k = 0; k < 4; ++k) values[k] = load(places[k], channel[k]);
    for (int k = 0; k < 4; ++k) store(places[k], channel[k], values[k]);
  }
  while (i < count) {
    store(i, c, load(i, c));
    next();
  }
}

/// y[i] = f(i, i % channels), likewise.
template <class F>
__device__ inline void map(Int count, Int channels, float* y, F f) {
  map_to(count, channels, f, [=](Int i, Int, float value) { y[i] = value; });
}

/// Calls f(image, row, place) for all of [images,rows,width]. Blocks lie along a row (x), the rows (y) and
/// the images (z), so that nothing has to be divided to tell them apart. Start it with launch_images.
template <class F>
__device__ inline void for_images(Int images, int rows, int width, F f) {
  for (Int image = blockIdx.z; image < images; image += gridDim.z)
    for (int row = blockIdx.y; row < rows; row += gridDim.y)
      for (int place = int(first()); place < width; place += int(stride())) f(image, row, place);
}

/// The threads that share a row: a warp, or a whole block where rows are long.
struct RowTeam {
  bool wide;
  Int row, rows;    // this team's first row, and the number of teams
  int lane, lanes;  // this thread's place among the lanes of its team

  __device__ explicit RowTeam(bool whole_block)
      : wide(whole_block),
        row(wide ? Int(blockIdx.x) : first() / 32),
        rows(wide ? Int(gridDim.x) : stride() / 32),
        lane(wide ? threadIdx.x : threadIdx.x % 32),
        lanes(wide ? blockDim.x : 32) {}

  /// Every thread of the team gets the result.
  __device__ double sum(double value) const { return wide ? block_sum(value) : lane_sum(value); }
  __device__ float greatest(float value) const {
    for (int offset = 16; offset; offset /= 2)
      value = maximum(value, __shfl_xor_sync(0xffffffffu, value, offset));
    if (!wide) return value;
    __shared__ float warps[32];
    __syncthreads();  // `warps` may still be read by an earlier call
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    for (unsigned i = 0; i < blockDim.x / 32; ++i) value = maximum(value, warps[i]);
    return value;
  }
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"epilogue.cu", R"source(// What follows a product: scale, bias, residual, activation, pooling. Transposes too, which products need.

#include "common.cuh"

#include <strata/cuda/kernels/epilogue.hpp>

#include "activation.cuh"
#include "elementwise.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Element i, of channel c, as the activation gets it.
__device__ inline float linear_output(const ApplyParameters& p, Int i, Int c) {
  float value = p.x[i];
  if (p.scale) value *= p.scale[c];
  if (p.bias) value += p.bias[c];
  if (p.residual) value += p.residual[i];
  return value;
}

STRATA_KERNEL(strata_apply, ApplyParameters) {
  map(p.rows * p.channels, p.channels, p.y,
      [&](Int i, Int c) { return activate(p.kind, p.negative_slope, linear_output(p, i, c)); });
}

STRATA_KERNEL(strata_apply_softmax, ApplyParameters) {
  const RowTeam team(p.wide);
  for (Int row = team.row; row < p.rows; row += team.rows) {
    const Int begin = row * p.channels;
    const auto logit = [&](Int c) { return linear_output(p, begin + c, c); };
    float top = logit(0);
    for (Int c = team.lane; c < p.channels; c += team.lanes) top = maximum(top, logit(c));
    top = team.greatest(top);
    double sum = 0;
    for (Int c = team.lane; c < p.channels; c += team.lanes) sum += double(expf(logit(c) - top));
    const float total = float(team.sum(sum));
    for (Int c = team.lane; c < p.channels; c += team.lanes) p.y[begin + c] = expf(logit(c) - top) / total;
  }
}

STRATA_KERNEL(strata_apply_pooled, ApplyPooledParameters) {
  const int channels = int(p.apply.channels), columns = int(p.w) / 2, rows = int(p.h) / 2;
  for_images(p.batch, rows, columns * channels, [&](Int image, int row, int place) {
    const int column = place / channels, c = place - column * channels;
    const Int corner = ((image * p.h + 2 * row) * p.w + 2 * column) * channels + c;
    const Int below = corner + p.w * channels;
    const auto value = [&](Int at) {
      return activate(p.apply.kind, p.apply.negative_slope, linear_output(p.apply, at, c));
    };
    p.apply.y[(image * rows + row) * columns * channels + place] = maximum(
        maximum(value(corner), value(corner + channels)), maximum(value(below), value(below + channels)));
  });
}

/// A block of 256 threads per tile; both sides are read and written along their rows.
STRATA_KERNEL(strata_transpose, TransposeParameters) {
  constexpr int side = 32;
  __shared__ float tile[side][side + 1];  // one more, or a column would lie in one bank
  const Int across = (p.columns + side - 1) / side;
  const Int row = blockIdx.x / across * side, column = blockIdx.x % across * side;
  const int x = threadIdx.x % side, y = threadIdx.x / side, step = blockDim.x / side;
  for (int i = y; i < side; i += step)
    if (row + i < p.rows && column + x < p.columns) tile[i][x] = p.from[(row + i) * p.columns + column + x];
  __syncthreads();
  for (int i = y; i < side; i += step)
    if (column + i < p.columns && row + x < p.rows) {
      float& to = p.to[(column + i) * p.rows + row + x];
      to = p.accumulate ? to + tile[x][i] : tile[x][i];
    }
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"normalization.cu", R"source(#include "activation.cuh"
#include "columns.cuh"
#include "common.cuh"

#include <strata/cuda/kernels/normalization.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

__device__ inline void store_gradient(double value, bool accumulate, float* to) {
  *to = float(accumulate ? double(*to) + value : value);
}

STRATA_KERNEL(strata_bias_gradient_sums, BiasGradient) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns);
  double sums[1];
  sum_columns(columns, slice_begin(columns), slice_end(columns), sums,
              [&](Int row, double(&to)[1]) { to[0] += double(p.dy[row * columns.channels + channel]); });
  store_partial(columns, sums, p.partial);
}

STRATA_KERNEL(strata_bias_gradient, BiasGradient) {
  double sums[1];
  sum_partial(p.columns, p.partial, sums);
  if (owns_channel(p.columns)) store_gradient(sums[0], p.accumulate, &p.dbias[own_channel(p.columns)]);
}

// Mean and variance come from one pass over x: x less its first row has its mean within a few deviations of
// 0, so that nothing is lost, in double, when the mean's square is taken off the mean square.

STRATA_KERNEL(strata_batch_moments_sums, BatchMoments) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns);
  const double center = channel < columns.channels ? double(p.x[channel]) : 0;
  double sums[2];
  sum_columns(columns, slice_begin(columns), slice_end(columns), sums, [&](Int row, double(&to)[2]) {
    const double value = double(p.x[row * columns.channels + channel]) - center;
    to[0] += value;
    to[1] += value * value;
  });
  store_partial(columns, sums, p.partial);
}

STRATA_KERNEL(strata_batch_moments, BatchMoments) {
  const Columns& columns = p.columns;
  double sums[2];
  sum_partial(columns, p.partial, sums);
  if (!owns_channel(columns)) return;
  const Int c = own_channel(columns);
  const double rows = double(columns.rows), offset = sums[0] / rows, mean = double(p.x[c]) + offset;
  const double difference = sums[1] / rows - offset * offset, variance = difference < 0 ? 0 : difference;
  p.exact_mean[c] = mean;
  p.mean[c] = float(mean);
  p.variance[c] = float(variance);
  p.moving_mean[c] = float(p.momentum * double(p.moving_mean[c]) + (1 - p.momentum) * mean);
  p.moving_variance[c] = float(p.momentum * double(p.moving_variance[c]) + (1 - p.momentum) * variance);
}

STRATA_KERNEL(strata_batch_norm, BatchNorm) {
  const Int c = own_channel(p.columns);
  if (c >= p.columns.channels) return;
  const double mean = p.exact_mean ? p.exact_mean[c] : double(p.mean[c]);
  const float high = float(mean), low = float(mean - double(high));  // together as good as the double
  const double gamma = p.gamma ? double(p.gamma[c]) : 1;
  const float scale = float(gamma / sqrt(double(p.variance[c]) + p.epsilon)),
              beta = p.beta ? p.beta[c] : 0.0f;
  for_slice(
      p.columns, [&](Int i) { return p.x[i]; },
      [&](Int i, float x) {
        p.y[i] = activate(p.activation, p.negative_slope, (x - high - low) * scale + beta);
      });
}

STRATA_KERNEL(strata_batch_norm_backward_sums, BatchNormBackward) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns);
  const double mean = channel < columns.channels ? double(p.mean[channel]) : 0;
  double sums[2];
  sum_columns(columns, slice_begin(columns), slice_end(columns), sums, [&](Int row, double(&to)[2]) {
    const Int i = row * columns.channels + channel;
    const double dy = double(p.dy[i]);
    to[0] += dy;
    to[1] += dy * (double(p.x[i]) - mean);
  });
  store_partial(columns, sums, p.partial);
}

STRATA_KERNEL(strata_batch_norm_gradients, BatchNormBackward) {
  const Columns& columns = p.columns;
  double sums[2];
  sum_partial(columns, p.partial, sums);
  if (!owns_channel(columns)) return;
  const Int c = own_channel(columns);
  sums[1] /= sqrt(double(p.variance[c]) + p.epsilon);
  if (p.dbeta) store_gradient(sums[0], p.accumulate_dbeta, &p.dbeta[c]);
  if (p.dgamma) store_gradient(sums[1], p.accumulate_dgamma, &p.dgamma[c]);
  for (int k = 0; k < 2; ++k) p.sums[k * columns.channels + c] = sums[k];
}

STRATA_KERNEL(strata_batch_norm_backward, BatchNormBackward) {
  struct Pair {
    float x, dy;
  };
  const Int c = own_channel(p.columns), channels = p.columns.channels;
  if (c >= channels) return;
  const double inverse_deviation = 1 / sqrt(double(p.variance[c]) + p.epsilon), rows = double(p.columns.rows);
  const float mean = p.mean[c], scale = float(inverse_deviation * (p.gamma ? double(p.gamma[c]) : 1));
  // What every row shares, and what goes with x - mean.
  const float shared = p.fixed ? 0.0f : float(p.sums[c] / rows);
  const float slope = p.fixed ? 0.0f : float(p.sums[channels + c] / rows * inverse_deviation);
  for_slice(
      p.columns,
      [&](Int i) {
        return p.fixed ? Pair{0, p.dy[i]} : Pair{p.x[i], p.dy[i]};
      },
      [&](Int i, Pair from) {
        p.dx[i] = (p.fixed ? from.dy : from.dy - shared - (from.x - mean) * slope) * scale;
      });
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"pixels.cu", R"source(#include "columns.cuh"
#include "common.cuh"

#include <strata/cuda/kernels/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

__device__ inline double clamp_pixel(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

/// The two pixels around a place along one axis, and how much of it each has; -1 is outside.
struct PixelNeighbours {
  Int index[2];
  double share[2];
};

/// The rules of scipy.ndimage (ni_interpolation.c, map_coordinate) and of TensorFlow (image_ops.h,
/// MapCoordinate).
__device__ inline PixelNeighbours pixel_neighbours(double at, Int size, const PixelSampling& sampling) {
  const FillMode mode = sampling.fill_mode;
  const bool scipy = sampling.edges == EdgeRule::scipy, constant = mode == FillMode::constant;
  const double last = double(size - 1), n = double(size);
  const PixelNeighbours outside = {{-1, -1}, {1, 0}};
  if (constant && scipy && !(at >= 0 && at <= last)) return outside;
  if (mode == FillMode::nearest) at = clamp_pixel(at, 0, last);
  if (mode == FillMode::reflect) {
    at = fmod(at < 0 ? -at - 1 : at, 2 * n);
    if (at > last + 0.5) at = 2 * n - 1 - at;
  }
  if (mode == FillMode::wrap && (at < 0 || at > last)) {
    // At whole periods the last pixel is taken below the picture, the first above it.
    const double periods = at < 0 ? -floor(-at / last) - 1 : floor(at / last);
    at = size == 1 ? 0 : at - (scipy ? last : n) * periods;
  }
  if (mode == FillMode::wrap) at = clamp_pixel(at, 0, last);
  if (sampling.interpolation == Interpolation::nearest) at = scipy ? floor(at + 0.5) : round(at);
  if (!(fabs(at) < 1e9)) return outside;
  const double low = floor(at);
  const auto index = [&](double i) -> Int {
    return constant && !(i >= 0 && i <= last) ? -1 : Int(clamp_pixel(i, 0, last));
  };
  return {{index(low), index(low + 1)}, {1 - (at - low), at - low}};
}

/// offset + row * by_row + column * by_column, every operation rounded as scipy's: fused ones would fall on
/// the other side of an edge.
__device__ inline double warped_coordinate(double offset, double row, double by_row, double column,
                                           double by_column) {
  return __dadd_rn(__dadd_rn(offset, __dmul_rn(row, by_row)), __dmul_rn(column, by_column));
}

/// Calls f(channel, value) for the channels of a pixel of picture n, interpolated where it is warped.
template <class X, class F>
__device__ inline void read_pixel(const WarpPixels<X>& p, Int n, Int pixel, F f) {
  const PixelGeometry& g = p.geometry;
  const X* const x = p.x + n * g.height * g.width * g.channels;
  if (!p.warps) {
    for (Int c = 0; c < g.channels; ++c) f(c, double(x[pixel * g.channels + c]));
    return;
  }
  const PixelWarp& warp = p.warps[n];
  const double* const m = warp.matrix;
  const Int i = pixel / g.width, j = pixel - i * g.width;
  const double row = double(warp.flip_vertical ? g.height - 1 - i : i);
  const double column = double(warp.flip_horizontal ? g.width - 1 - j : j);
  const PixelNeighbours rows =
      pixel_neighbours(warped_coordinate(m[2], row, m[0], column, m[1]), g.height, p.sampling);
  const PixelNeighbours columns =
      pixel_neighbours(warped_coordinate(m[5], row, m[3], column, m[4]), g.width, p.sampling);
  for (Int c = 0; c < g.channels; ++c) {
    double sum = 0;
    for (int r = 0; r < 2; ++r)
      for (int k = 0; k < 2; ++k) {
        const double share = rows.share[r] * columns.share[k];
        if (share == 0) continue;  // what has no part in it may be NaN
        const bool outside = rows.index[r] < 0 || columns.index[k] < 0;
        sum +=
            share * double(outside ? p.sampling.cval
                                   : float(x[(rows.index[r] * g.width + columns.index[k]) * g.channels + c]));
      }
    f(c, sum);
  }
}

/// The least and greatest value of each warped picture that needs them: a block per picture.
template <class X>
__device__ inline void find_pixel_ranges(const WarpPixels<X>& p) {
  __shared__ double least[Columns::threads], greatest[Columns::threads];
  const Int pixels = p.geometry.height * p.geometry.width;
  for (Int n = blockIdx.x; n < p.geometry.batch; n += gridDim.x) {
    if (p.warps[n].channel_shift == 0) continue;
    double low = INFINITY, high = -INFINITY;
    for (Int i = threadIdx.x; i < pixels; i += blockDim.x)
      read_pixel(p, n, i, [&](Int, double value) {
        low = value < low ? value : low;
        high = value > high ? value : high;
      });
    least[threadIdx.x] = low;
    greatest[threadIdx.x] = high;
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
      __syncthreads();
      if (threadIdx.x >= half) continue;
      least[threadIdx.x] = fmin(least[threadIdx.x], least[threadIdx.x + half]);
      greatest[threadIdx.x] = fmax(greatest[threadIdx.x], greatest[threadIdx.x + half]);
    }
    if (threadIdx.x == 0) {
      p.ranges[2 * n] = least[0];
      p.ranges[2 * n + 1] = greatest[0];
    }
    __syncthreads();
  }
}

/// As Pillow does it: whole numbers times the brightness, rounded down.
__device__ inline double brighten(double value, float brightness, bool alpha) {
  const float whole = float(floor(clamp_pixel(double(float(value)), 0, 255)));
  return alpha ? double(whole) : floor(clamp_pixel(double(brightness * whole), 0, 255));
}

/// A thread per pixel, blockIdx.y counts pictures.
template <class X>
__device__ inline void warp_pixels(const WarpPixels<X>& p) {
  const PixelGeometry& g = p.geometry;
  for (Int n = blockIdx.y; n < g.batch; n += gridDim.y) {
    const float shift = p.warps ? p.warps[n].channel_shift : 0;
    const float brightness = p.warps ? p.warps[n].brightness : 1;
    const double low = shift != 0 ? p.ranges[2 * n] : 0, high = shift != 0 ? p.ranges[2 * n + 1] : 0;
    for (Int i = first(); i < g.height * g.width; i += stride()) {
      float* const y = p.y + (n * g.height * g.width + i) * g.channels;
      read_pixel(p, n, i, [&](Int c, double value) {
        if (shift != 0) value = clamp_pixel(value + double(shift), low, high);
        if (brightness != 1) value = brighten(value, brightness, g.channels == 4 && c == 3);
        const Int to = p.reverse_channels ? g.channels - 1 - c : c;
        y[to] = float(p.scaled ? p.scale[to] * value - p.mean[to] : value);
      });
    }
  }
}

STRATA_KERNEL(strata_load_pixels_ranges, LoadPixels) {
  find_pixel_ranges(p);
}
STRATA_KERNEL(strata_load_pixels, LoadPixels) {
  warp_pixels(p);
}
STRATA_KERNEL(strata_warp_ranges, WarpValues) {
  find_pixel_ranges(p);
}
STRATA_KERNEL(strata_warp, WarpValues) {
  warp_pixels(p);
}

/// contrast * x + offset, with the offset of one picture's channel.
struct PixelLine {
  double contrast, offset;
  __device__ double operator()(float x) const { return contrast * double(x) + offset; }
};

/// Of picture n, from the sums of its slices. All threads of the block must call it.
__device__ inline PixelLine adjustment_line(const AdjustPixels& p, Int n, const double* partial,
                                            double brightness) {
  const double contrast = p.adjustments[n].contrast;
  if (contrast == 1) return {1, brightness};  // whatever the mean
  double sums[1];
  sum_partial(p.columns, partial + n * p.columns.slices * p.columns.channels, sums);
  return {contrast, (1 - contrast) * (sums[0] / double(p.columns.rows)) + brightness};
}

/// dy where the adjusted x is not clipped.
__device__ inline float passed_gradient(const PixelAdjustment& a, double adjusted, float dy) {
  return adjusted < a.least || adjusted > a.greatest ? 0.0f : dy;
}

/// Sums of the pictures' slices: of x, or of the dy that pass.
STRATA_KERNEL(strata_adjust_pixels_sums, AdjustPixels) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns), channels = columns.channels;
  for (Int n = blockIdx.z; n < p.batch; n += gridDim.z) {
    const PixelAdjustment& a = p.adjustments[n];
    if (a.contrast == 1) continue;  // no mean counts
    const PixelLine line = p.dy ? adjustment_line(p, n, p.x_partial, a.brightness) : PixelLine{1, 0};
    double sums[1];
    sum_columns(columns, slice_begin(columns), slice_end(columns), sums, [&](Int row, double(&to)[1]) {
      const Int i = (n * columns.rows + row) * channels + channel;
      to[0] += double(p.dy ? passed_gradient(a, line(p.x[i]), p.dy[i]) : p.x[i]);
    });
    store_partial(columns, sums, (p.dy ? p.dy_partial : p.x_partial) + n * columns.slices * channels);
  }
}

STRATA_KERNEL(strata_adjust_pixels, AdjustPixels) {
  const Int size = p.columns.rows * p.columns.channels;
  for (Int n = blockIdx.z; n < p.batch; n += gridDim.z) {
    const PixelAdjustment& a = p.adjustments[n];
    const PixelLine line = adjustment_line(p, n, p.x_partial, a.brightness);
    for_slice(
        p.columns, [&](Int i) { return p.x[n * size + i]; },
        [&](Int i, float x) { p.y[n * size + i] = float(clamp_pixel(line(x), a.least, a.greatest)); });
  }
}

/// Contrast is its own transpose.
STRATA_KERNEL(strata_adjust_pixels_backward, AdjustPixels) {
  struct Pair {
    float x, dy;
  };
  const Int size = p.columns.rows * p.columns.channels;
  for (Int n = blockIdx.z; n < p.batch; n += gridDim.z) {
    const PixelAdjustment& a = p.adjustments[n];
    const PixelLine line = adjustment_line(p, n, p.x_partial, a.brightness);
    const PixelLine transposed = adjustment_line(p, n, p.dy_partial, 0);
    for_slice(
        p.columns,
        [&](Int i) {
          return Pair{p.x[n * size + i], p.dy[n * size + i]};
        },
        [&](Int i, Pair from) {
          p.y[n * size + i] = float(transposed(passed_gradient(a, line(from.x), from.dy)));
        });
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"pooling.cu", R"source(#include <strata/cuda/kernels/pooling.hpp>

#include "elementwise.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Places along one axis of an image; they fit an int, which is what they are reckoned in for speed.
struct PoolingRange {
  int begin, end;
};

/// The pixels of window `out` along one axis, cut at the border.
__device__ inline PoolingRange pooling_window(int out, Int pool, Int stride, Int pad, Int size) {
  const int begin = out * int(stride) - int(pad), end = begin + int(pool);
  return {begin < 0 ? 0 : begin, end > size ? int(size) : end};
}

/// The windows that contain pixel `in` along one axis.
__device__ inline PoolingRange windows_of_pixel(int in, Int pool, Int stride, Int pad, Int windows) {
  // Windows that start at `last` or before it, but after `early`.
  const int last = in + int(pad), early = last - int(pool);
  const int begin = early < 0 ? 0 : early / int(stride) + 1, end = last / int(stride) + 1;
  return {begin, end > windows ? int(windows) : end};
}

STRATA_KERNEL(strata_pool2d, Pool2DParameters) {
  const Pool2DGeometry& g = p.g;
  const int channels = int(g.channels);
  for_images(g.batch, int(g.out_h), int(g.out_w) * channels, [&](Int image, int out_row, int place) {
    const int out_column = place / channels, c = place - out_column * channels;
    const PoolingRange rows = pooling_window(out_row, g.pool_h, g.stride_h, g.pad_top, g.in_h);
    const PoolingRange columns = pooling_window(out_column, g.pool_w, g.stride_w, g.pad_left, g.in_w);
    const float* const x = p.x + image * g.in_h * g.in_w * channels + c;
    float best = x[(rows.begin * g.in_w + columns.begin) * channels];
    double sum = 0;
    for (int row = rows.begin; row < rows.end; ++row)
      for (int column = columns.begin; column < columns.end; ++column) {
        const float value = x[(row * g.in_w + column) * channels];
        if (p.max)
          best = maximum(best, value);
        else
          sum += double(value);
      }
    const double size = double((rows.end - rows.begin) * (columns.end - columns.begin));
    p.y[(image * g.out_h + out_row) * g.out_w * channels + place] = p.max ? best : float(sum / size);
  });
}

/// What makes a pixel the maximum of its window; NaN wins.
__device__ inline bool is_maximum(float value, float top) {
  return value == top || value != value;
}

/// Where windows do not overlap: each writes its own pixels, and reads them once.
STRATA_KERNEL(strata_pool2d_backward_apart, Pool2DBackwardParameters) {
  const Pool2DGeometry& g = p.g;
  const int channels = int(g.channels);
  for_images(g.batch, int(g.out_h), int(g.out_w) * channels, [&](Int image, int out_row, int place) {
    const int out_column = place / channels, c = place - out_column * channels;
    const PoolingRange rows = pooling_window(out_row, g.pool_h, g.stride_h, g.pad_top, g.in_h);
    const PoolingRange columns = pooling_window(out_column, g.pool_w, g.stride_w, g.pad_left, g.in_w);
    const Int start = image * g.in_h * g.in_w * channels + c;
    const Int out = (image * g.out_h + out_row) * g.out_w * channels + place;
    const float top = p.max ? p.y[out] : 0.0f, dy = p.dy[out];
    const float share = dy / float((rows.end - rows.begin) * (columns.end - columns.begin));
    bool waiting = true;  // for the first maximum
    for (int row = rows.begin; row < rows.end; ++row)
      for (int column = columns.begin; column < columns.end; ++column) {
        const Int i = start + (row * g.in_w + column) * channels;
        const bool receives = p.max && waiting && is_maximum(p.x[i], top);
        p.dx[i] = !p.max ? share : receives ? dy : 0.0f;
        waiting = waiting && !receives;
      }
  });
}

/// Each pixel gathers from the windows that contain it, so that sums have one order.
STRATA_KERNEL(strata_pool2d_backward, Pool2DBackwardParameters) {
  const Pool2DGeometry& g = p.g;
  const int channels = int(g.channels);
  for_images(g.batch, int(g.in_h), int(g.in_w) * channels, [&](Int image, int row, int place) {
    const int column = place / channels, c = place - column * channels;
    const PoolingRange down = windows_of_pixel(row, g.pool_h, g.stride_h, g.pad_top, g.out_h);
    const PoolingRange across = windows_of_pixel(column, g.pool_w, g.stride_w, g.pad_left, g.out_w);
    const float* const x = p.x + image * g.in_h * g.in_w * channels + c;
    const Int pixel = (row * g.in_w + column) * channels;
    const float own = p.max ? x[pixel] : 0.0f;
    double sum = 0;
    for (int window_row = down.begin; window_row < down.end; ++window_row)
      for (int window_column = across.begin; window_column < across.end; ++window_column) {
        const PoolingRange rows = pooling_window(window_row, g.pool_h, g.stride_h, g.pad_top, g.in_h);
        const PoolingRange columns = pooling_window(window_column, g.pool_w, g.stride_w, g.pad_left, g.in_w);
        const Int out = ((image * g.out_h + window_row) * g.out_w + window_column) * channels + c;
        if (!p.max) {
          sum += double(p.dy[out] / float((rows.end - rows.begin) * (columns.end - columns.begin)));
          continue;
        }
        const float top = p.y[out];
        bool receives = is_maximum(own, top);
        for (int r = rows.begin; receives && r <= row; ++r)  // unless one stands before it
          for (int k = columns.begin; receives && k < (r < row ? columns.end : column); ++k)
            receives = !is_maximum(x[(r * g.in_w + k) * channels], top);
        if (receives) sum += double(p.dy[out]);
      }
    p.dx[image * g.in_h * g.in_w * channels + pixel + c] = float(sum);
  });
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"sums.cu", R"source(// Sums in two steps of a fixed order: blocks leave their parts, then one block per sum adds them up.

#include "sums.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// A block per sum.
STRATA_KERNEL(strata_add_parts, AddPartsParameters) {
  const double* const parts = p.target.parts + blockIdx.x * p.blocks;
  double sum = 0;
  for (Int i = threadIdx.x; i < p.blocks; i += blockDim.x) sum += parts[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) p.target.to[blockIdx.x] += p.target.scale * sum;
}

STRATA_KERNEL(strata_sum, SumParameters) {
  double sum = 0;
  for (Int i = first(); i < p.count; i += stride()) {
    const double value = p.x[i];
    sum += p.squares ? value * value : value;
  }
  hand_in(p.target, 0, sum);
}

/// One thread.
STRATA_KERNEL(strata_add_scalar, AddScalarParameters) {
  *p.to += p.alpha * *p.x;
}

__device__ inline double sample_weight(const PredictionParameters& of, Int row) {
  return of.sample_weight ? double(of.sample_weight[row]) : 1.0;
}

/// The place of a row's largest value, as std::max_element finds it: the first of equals, and NaN counts only
/// at the row's head, where nothing is greater. Threads of a warp together; each gets it.
__device__ inline int largest_place(const float* row, Int classes) {
  float value = row[0];
  int place = 0;
  for (Int c = threadIdx.x % 32; c < classes; c += 32)
    if (row[c] > value) value = row[c], place = int(c);
  for (int offset = 16; offset; offset /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, value, offset);
    const int other_place = __shfl_xor_sync(0xffffffffu, place, offset);
    if (other > value || (other == value && other_place < place)) value = other, place = other_place;
  }
  return place;
}

/// The sum of f(class) over a row. Threads of a warp together; each gets it.
template <class F>
__device__ inline double row_sum(Int classes, F f) {
  double part = 0;
  for (Int c = threadIdx.x % 32; c < classes; c += 32) part += f(c);
  return lane_sum(part);
}

/// Whether fewer than k outputs exceed the label's. Threads of a warp together.
__device__ inline bool in_top_k(const RowMetricParameters& p, const float* values, float label) {
  if (!(label >= 0 && label < float(p.of.classes))) return false;
  const float chosen = values[Int(label)];
  return row_sum(p.of.classes, [&](Int c) { return values[c] <= chosen ? 0.0 : 1.0; }) < double(p.k);
}

/// The figure of a row. Threads of a warp together.
__device__ inline double row_figure(const RowMetricParameters& p, Int row) {
  const Int classes = p.of.classes;
  const float *values = p.of.values + row * classes, *target = p.of.target + row * classes;
  const auto mean = [&](auto f) { return row_sum(classes, f) / double(classes); };
  const auto error = [&](Int c) { return double(values[c]) - double(target[c]); };
  switch (p.kind) {
    case row_metric_kind::binary_accuracy:
      return mean([&](Int c) { return (values[c] > p.threshold ? 1.0f : 0.0f) == target[c] ? 1.0 : 0.0; });
    case row_metric_kind::categorical_accuracy:
      return largest_place(values, classes) == largest_place(target, classes);
    case row_metric_kind::sparse_categorical_accuracy:
      return float(largest_place(values, classes)) == p.of.target[row];
    case row_metric_kind::top_k_categorical_accuracy:
      return in_top_k(p, values, float(largest_place(target, classes)));
    case row_metric_kind::sparse_top_k_categorical_accuracy:
      return in_top_k(p, values, p.of.target[row]);
    case row_metric_kind::mean_absolute_error:
      return mean([&](Int c) { return fabs(error(c)); });
    default:
      return mean([&](Int c) { return error(c) * error(c); });
  }
}

/// A warp per row.
STRATA_KERNEL(strata_add_row_metric, RowMetricParameters) {
  double sum = 0, total = 0;
  for (Int row = first() / 32; row < p.of.rows; row += stride() / 32) {
    const double figure = row_figure(p, row);
    if (threadIdx.x % 32 != 0) continue;  // the warp's first thread counts for all
    const double weight = sample_weight(p.of, row);
    sum += weight * figure;
    total += weight;
  }
  hand_in(p.target, 0, sum);
  hand_in(p.target, 1, total);
}

/// A line of blocks (y) per sum, each of which looks at all outputs: that takes neither atomics nor an order
/// of its own.
STRATA_KERNEL(strata_add_confusion, ConfusionParameters) {
  const Int count = p.of.rows * p.of.classes;
  for (Int s = blockIdx.y; s < p.sums; s += gridDim.y) {
    double sum = 0;
    for (Int i = first(); i < count; i += stride()) {
      const float value = p.of.values[i];
      Int above = 1;  // how many thresholds the output exceeds
      if (p.intervals == 0)
        above = value > p.threshold;
      else if (value > 0)  // the rounding of the product is Keras's
        above = Int(ceilf(__fmul_rn(fminf(value, 1.0f), p.intervals)));
      if (s == 2 * above + (p.of.target[i] != 0)) sum += sample_weight(p.of, i / p.of.classes);
    }
    hand_in(p.target, s, sum);
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"sums.cuh", R"source(#pragma once

#include "common.cuh"

#include <strata/cuda/kernels/sums.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Every thread of the block hands in its part of sum s.
__device__ inline void hand_in(const SumTarget& target, Int s, double part) {
  const double sum = block_sum(part);
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1)
    target.to[s] += target.scale * sum;
  else
    target.parts[s * gridDim.x + blockIdx.x] = sum;
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"training.cu", R"source(#include <strata/cuda/kernels/training.hpp>
#include <strata/tensor/nadam.hpp>

#include "sums.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

// Losses follow keras.losses, in double: probabilities are clipped as Keras clips them, in float, and nothing
// flows back through what was clipped.

constexpr double lowest_probability = double(1e-7f), highest_probability = double(1.0f - 1e-7f);

__device__ inline double clip_probability(double p) {
  return p < lowest_probability ? lowest_probability : p > highest_probability ? highest_probability : p;
}

/// The maximum over the `lanes` threads of a row, as lane_sum; NaN wins.
__device__ inline double row_maximum(double value, int lanes) {
  for (int offset = lanes / 2; offset; offset /= 2) {
    const double other = __shfl_xor_sync(0xffffffffu, value, offset);
    value = value != value || value > other ? value : other;
  }
  return value;
}

/// This thread's share of a row: every `lanes`th class from its own lane on. Beyond the last row there are
/// none.
struct LossRow {
  const Loss& p;
  Int row;
  int lane;
  Int label = -1;  ///< of sparse targets
  double weight = 1;

  __device__ Int element(Int c) const { return row * p.classes + c; }
  __device__ double prediction(Int c) const { return double(p.prediction[element(c)]); }
  __device__ double target(Int c) const {
    if (p.kind == loss_kind::sparse_categorical_crossentropy) return c == label ? 1 : 0;
    return double(p.target[element(c)]) * p.target_scale + p.target_offset;
  }
  template <class F>
  __device__ void for_classes(F f) const {
    if (row < p.rows)
      for (Int c = lane; c < p.classes; c += p.lanes) f(c);
  }
  /// The sum of f(class) over the row.
  template <class F>
  __device__ double sum(F f) const {
    double part = 0;
    for_classes([&](Int c) { part += f(c); });
    return lane_sum(part, p.lanes);
  }
  /// Writes the derivatives f(class).
  template <class F>
  __device__ void store_gradient(F f) const {
    if (!p.gradient) return;
    for_classes([&](Int c) { p.gradient[element(c)] = float(f(c) * weight * p.gradient_scale); });
  }
};

__device__ inline double mean_squared_error(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) { return 2 * (row.prediction(c) - row.target(c)) / count; });
  return row.sum([&](Int c) {
    const double difference = row.prediction(c) - row.target(c);
    return difference * difference / count;
  });
}

__device__ inline double mean_absolute_error(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) {
    const double d = row.prediction(c) - row.target(c);
    return (d > 0 ? 1 : d < 0 ? -1 : d) / count;
  });
  return row.sum([&](Int c) { return fabs(row.prediction(c) - row.target(c)) / count; });
}

__device__ inline double huber(const LossRow& row) {
  const double count = double(row.p.classes), delta = row.p.delta;
  row.store_gradient([&](Int c) {
    const double d = row.prediction(c) - row.target(c);
    return (d < -delta ? -delta : d > delta ? delta : d) / count;
  });
  return row.sum([&](Int c) {
    const double size = fabs(row.prediction(c) - row.target(c));
    return (size > delta ? delta * (size - delta / 2) : size * size / 2) / count;
  });
}

__device__ inline double binary_crossentropy_from_logits(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) {
    const double z = row.prediction(c), e = exp(-fabs(z));
    return ((z < 0 ? e : 1) / (1 + e) - row.target(c)) / count;
  });
  return row.sum([&](Int c) {
    const double z = row.prediction(c);
    return ((z < 0 ? 0 : z) - z * row.target(c) + log1p(exp(-fabs(z)))) / count;
  });
}

__device__ inline double binary_crossentropy(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) {
    const double p = row.prediction(c), t = row.target(c);
    return clip_probability(p) == p ? ((1 - t) / (1 - p) - t / p) / count : p * 0;
  });
  return row.sum([&](Int c) {
    const double q = clip_probability(row.prediction(c)), t = row.target(c);
    return -(t * log(q) + (1 - t) * log(1 - q)) / count;
  });
}

/// Keras divides by the sum before it clips, so the derivative has a second term.
__device__ inline double categorical_crossentropy(const LossRow& row) {
  const double total = row.sum([&](Int c) { return row.prediction(c); });
  const auto derivative = [&](Int c) {
    const double q = row.prediction(c) / total;
    return clip_probability(q) == q ? -row.target(c) / q : q * 0;
  };
  if (row.p.gradient) {
    const double through_total = row.sum([&](Int c) { return derivative(c) * (row.prediction(c) / total); });
    row.store_gradient([&](Int c) { return (derivative(c) - through_total) / total; });
  }
  return row.sum([&](Int c) { return -row.target(c) * log(clip_probability(row.prediction(c) / total)); });
}

/// Of logits(class), whose derivatives by the prediction are derivative(class, derivative by the logit).
template <class Logit, class Derivative>
__device__ inline double softmax_crossentropy(const LossRow& row, Logit logit, Derivative derivative) {
  double top = -double(INFINITY);
  row.for_classes([&](Int c) {
    const double z = logit(c);
    top = top != top || top > z ? top : z;
  });
  top = row_maximum(top, row.p.lanes);
  const double powers = row.sum([&](Int c) { return exp(logit(c) - top); }), log_sum = top + log(powers);
  if (row.p.gradient) {
    const double total = row.sum([&](Int c) { return row.target(c); });
    row.store_gradient(
        [&](Int c) { return derivative(c, total * (exp(logit(c) - top) / powers) - row.target(c)); });
  }
  return row.sum([&](Int c) {
    const double t = row.target(c);
    return t != 0 ? t * (log_sum - logit(c)) : 0;
  });
}

STRATA_KERNEL(strata_loss, Loss) {
  LossRow row{p, first() / p.lanes, int(threadIdx.x) % p.lanes};
  const bool inside = row.row < p.rows, sparse = p.kind == loss_kind::sparse_categorical_crossentropy;
  const float target = inside && sparse ? p.target[row.row] : 0.0f;
  const bool known = !sparse || (target >= 0 && target < float(p.classes));
  if (sparse && known) row.label = Int(target);
  if (inside && p.sample_weight) row.weight = double(p.sample_weight[row.row]);
  const auto probability_or_logit = [&](Int c) { return row.prediction(c); };

  double value = 0;
  if (p.kind == loss_kind::mean_squared_error)
    value = mean_squared_error(row);
  else if (p.kind == loss_kind::mean_absolute_error)
    value = mean_absolute_error(row);
  else if (p.kind == loss_kind::huber)
    value = huber(row);
  else if (p.kind == loss_kind::binary_crossentropy)
    value = p.from_logits ? binary_crossentropy_from_logits(row) : binary_crossentropy(row);
  else if (p.from_logits)
    value =
        softmax_crossentropy(row, probability_or_logit, [](Int, double derivative) { return derivative; });
  else if (!sparse)
    value = categorical_crossentropy(row);
  else  // unlike its dense sister it takes the logarithm of clipped probabilities for logits
    value = softmax_crossentropy(
        row, [&](Int c) { return log(clip_probability(row.prediction(c))); },
        [&](Int c, double derivative) {
          const double q = row.prediction(c);
          return clip_probability(q) == q ? derivative / q : q * 0;
        });

  if (!known) {  // no such class
    value = NAN;
    row.store_gradient([](Int) { return double(NAN); });
  }
  if (inside && row.lane == 0) p.losses[row.row] = float(value * row.weight);
}

STRATA_KERNEL(strata_penalty, Penalty) {
  double sum = 0;
  for (Int i = first(); i < p.count; i += stride()) {
    const double w = double(p.w[i]);
    sum += p.l1 * fabs(w) + p.l2 * w * w;
    if (p.gradient)
      p.gradient[i] = float(double(p.gradient[i]) + p.l1 * double((w > 0) - (w < 0)) + 2 * p.l2 * w);
  }
  hand_in(p.target, 0, sum);
}

/// Counts the step and finds what all weights share, in one thread.
STRATA_KERNEL(strata_begin_step, OptimizerStep) {
  const double step = p.state->iteration += 1, learning_rate = p.state->learning_rate;
  double rate = learning_rate;
  double gradient_rate = 0, epsilon = p.epsilon;
  if (p.kind == optimizer_kind::adam) rate *= sqrt(1 - pow(p.beta_2, step)) / (1 - pow(p.beta_1, step));
  if (p.kind == optimizer_kind::nadam) {
    const NadamMomentum u(p.beta_1, step);
    const double root = sqrt(1 - pow(p.beta_2, step));
    gradient_rate = rate * root * (1 - u.now) / (1 - u.product);
    epsilon *= root;
    rate *= root * u.next / (1 - u.product * u.next);
  }
  p.rates->rate = float(rate);
  p.rates->gradient_rate = float(gradient_rate);
  p.rates->epsilon = float(epsilon);
  p.rates->keep = float(1 - learning_rate * p.weight_decay);
}

/// Formulas are Keras's: what is added to a weight with gradient g; updates the slots s.
__device__ inline float optimizer_delta(const OptimizerStep& p, const StepRates& rates, float g,
                                        float (&s)[3]) {
  const float rate = rates.rate;
  if (p.kind == optimizer_kind::sgd) {
    if (p.momentum == 0) return -rate * g;
    s[0] = p.momentum * s[0] - rate * g;
    return p.nesterov ? p.momentum * s[0] - rate * g : s[0];
  }
  if (p.kind == optimizer_kind::rmsprop || p.kind == optimizer_kind::adagrad) {
    s[0] = p.rho * s[0] + p.one_minus_rho * (g * g);
    if (p.centered) s[2] = p.rho * s[2] + p.one_minus_rho * g;
    const float increment = rate * g / sqrtf(s[0] - (p.centered ? s[2] * s[2] : 0.0f) + p.epsilon);
    if (p.momentum == 0) return -increment;
    s[1] = p.momentum * s[1] + increment;
    return -s[1];
  }
  s[0] += p.one_minus_beta_1 * (g - s[0]);
  s[1] += p.one_minus_beta_2 * (g * g - s[1]);
  if (p.amsgrad) s[2] = s[2] < s[1] ? s[1] : s[2];
  return -(rate * s[0] + rates.gradient_rate * g) / (sqrtf(p.amsgrad ? s[2] : s[1]) + rates.epsilon);
}

/// A block has OptimizerStep::block_size elements of one weight.
STRATA_KERNEL(strata_optimizer_step, OptimizerStep) {
  int index = 0;
  while (p.updates[index].end_block <= blockIdx.x) ++index;
  const WeightUpdate& u = p.updates[index];
  const Int begin = (blockIdx.x - (index ? p.updates[index - 1].end_block : 0)) * OptimizerStep::block_size;
  const Int rest = u.size - begin,
            count = rest < OptimizerStep::block_size ? rest : OptimizerStep::block_size;

  const StepRates rates = *p.rates;
  const float keep = rates.keep, bound = p.clip_value;
  const double norm = p.clip_norm > 0 ? sqrt(*u.squares) : 0;
  const float gradient_scale = norm > p.clip_norm ? float(p.clip_norm / norm) : 1.0f;

  constexpr int together = 4;  // elements of a thread whose way from memory overlaps
  for (Int start = threadIdx.x; start < count; start += together * blockDim.x) {
    float w[together] = {}, g[together] = {}, s[together][3] = {};
    for (int k = 0; k < together; ++k) {
      const Int offset = start + k * Int(blockDim.x), i = begin + offset;
      if (offset >= count) continue;
      w[k] = u.value[i];
      g[k] = u.gradient[i];
      for (int slot = 0; slot < 3; ++slot)
        if (u.slots[slot]) s[k][slot] = u.slots[slot][i];
    }
    for (int k = 0; k < together; ++k) {
      const Int offset = start + k * Int(blockDim.x), i = begin + offset;
      if (offset >= count) continue;
      float gradient = g[k] * gradient_scale;
      if (bound > 0) gradient = gradient < -bound ? -bound : gradient > bound ? bound : gradient;
      u.value[i] = w[k] * keep + optimizer_delta(p, rates, gradient, s[k]);
      for (int slot = 0; slot < 3; ++slot)
        if (u.slots[slot]) u.slots[slot][i] = s[k][slot];
    }
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/activation.hpp", R"source(#pragma once

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Activation::Kind for kernels, whose compiler has no standard library; epilogue.ipp checks that they agree.
namespace activation_kind {
inline constexpr int linear = 0, relu = 1, leaky_relu = 2, elu = 3, sigmoid = 4, tanh = 5, relu6 = 6,
                     silu = 7, gelu = 8, selu = 9, softplus = 10, softsign = 11, hard_sigmoid = 12, mish = 13,
                     softmax = 14;
}

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/columns.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// How a grid of blocks shares out a matrix [rows,channels]. Block (x, y) has `width` channels, and of them
/// the rows of slice y. Its threads lie `width` beside each other, so that they read whole lines, and the
/// rest of them below.
struct Columns {
  static constexpr int threads = 256;

  std::int64_t rows = 0, channels = 0;
  std::int64_t slice = 1;   ///< rows of a block
  std::int64_t slices = 0;  ///< of all rows; 0 where there are none
  int width = 1;            ///< a power of two, at most 32
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/convolution.hpp", R"source(#pragma once

#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Tensors of a convolution as Strata has them: the kernel [kernel_h,kernel_w,in_c/groups,out_c].
struct DirectConvolution {
  Conv2DGeometry g;
  const float *x, *kernel, *dy;
  float* result;
  bool accumulate;
};

/// The gradient by the kernel of a convolution without groups, a product of two tall matrices: the windows
/// [pixels,taps] and dy [pixels,out_c]. Blocks take a slice of the pixels (x), some taps (y) and some
/// outputs (z), and leave their part of the sum in parts [slices,taps,out_c].
struct WindowGradient {
  static constexpr int taps = 32, pixels = 32;  // of a block, and at a time
  static constexpr int own = 4;                 // taps and outputs of a thread
  static constexpr int threads(int outputs) { return taps / own * (outputs / own); }

  Conv2DGeometry g;
  std::int64_t slice;  // pixels
  const float *x, *dy;
  float* parts;
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/elementwise.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/core/config.hpp>
#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Longer rows take a block each, shorter ones a warp.
inline constexpr std::int64_t widest_warp_row = 1024;
/// Threads for a kernel with a RowTeam per row, in blocks of 256.
constexpr std::int64_t threads_for_rows(std::int64_t rows, std::int64_t channels) {
  return rows * (channels > widest_warp_row ? 256 : 32);
}

struct ActivationBackwardParameters {
  std::int64_t rows, channels;
  const float *from, *dy;  ///< `from`: what the derivative follows from, the function's input or its output
  float* dx;
  int kind;  ///< one of activation_kind
  float negative_slope;
  bool wide;  ///< softmax: a block per row, not a warp
};

struct AffineParameters {
  std::int64_t count;
  float scale, offset;
  const float* x;
  float* y;
};

struct AxpyParameters {
  std::int64_t count;
  float alpha;
  const float* x;
  float* y;
};

struct CopyBlockParameters {
  std::int64_t rows, columns, x_stride, y_stride;
  const float* x;
  float* y;
};

struct Pad2DParameters {
  Pad2DGeometry g;
  const float* x;
  float* y;
};

/// See RandomStream: what it drew in 24 bits is compared with `threshold`.
struct DropoutParameters {
  std::int64_t count;
  std::uint32_t key[2], step[2];
  std::uint32_t threshold;
  float scale;
  const float* x;
  float* y;
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/epilogue.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// y = activation(scale x + bias + residual) of x [rows,channels]; scale, bias and residual may be null.
struct ApplyParameters {
  std::int64_t rows, channels;
  const float *x, *scale, *bias, *residual;
  float* y;
  int kind;  ///< one of activation_kind
  float negative_slope;
  bool wide;  ///< softmax: a block per row, not a warp
};

/// The same, then 2x2 max-pooling of images [batch,h,w,channels]; not softmax.
struct ApplyPooledParameters {
  ApplyParameters apply;  ///< its rows do not count
  std::int64_t batch, h, w;
};

struct TransposeParameters {
  std::int64_t rows, columns;  ///< of `from`
  const float* from;
  float* to;
  bool accumulate;
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/normalization.hpp", R"source(#pragma once

#include <strata/cuda/kernels/columns.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Partial sums of dy, of [slices,1,channels], and what becomes of them.
struct BiasGradient {
  Columns columns;
  const float* dy = nullptr;
  double* partial = nullptr;
  float* dbias = nullptr;
  bool accumulate = false;
};

/// The moments of x: partial sums [slices,2,channels], then all that follows from them.
struct BatchMoments {
  Columns columns;
  const float* x = nullptr;
  double* partial = nullptr;
  double momentum = 0;
  double* exact_mean = nullptr;  ///< the mean before it is rounded
  float *mean = nullptr, *variance = nullptr, *moving_mean = nullptr, *moving_variance = nullptr;
};

/// y from x and moments.
struct BatchNorm {
  Columns columns;
  double epsilon = 0;
  const float *gamma = nullptr, *beta = nullptr;  ///< or null
  const double* exact_mean = nullptr;             ///< or null: `mean`
  const float *mean = nullptr, *variance = nullptr;
  int activation = 0;  ///< see activation_kind
  float negative_slope = 0;
  const float* x = nullptr;
  float* y = nullptr;
};

/// Sums of dy and dy * normalized x: partial ones [slices,2,channels], then [2,channels].
struct BatchNormBackward {
  Columns columns;
  double epsilon = 0;
  const float *gamma = nullptr, *mean = nullptr, *variance = nullptr;
  const float *x = nullptr, *dy = nullptr;
  double *partial = nullptr, *sums = nullptr;
  bool fixed = false;                                        ///< the moments do not depend on x
  float *dx = nullptr, *dgamma = nullptr, *dbeta = nullptr;  ///< or null
  bool accumulate_dgamma = false, accumulate_dbeta = false;
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/pixels.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/cuda/kernels/columns.hpp>
#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Pictures of X, warped and scaled.
template <class X>
struct WarpPixels {
  PixelGeometry geometry;
  PixelSampling sampling;
  const PixelWarp* warps = nullptr;  ///< or null
  double* ranges = nullptr;  ///< least and greatest warped value of each picture whose values are shifted
  bool scaled = false;       ///< y[c] = scale[c] * value - mean[c]
  bool reverse_channels = false;
  double scale[4] = {}, mean[4] = {};
  const X* x = nullptr;
  float* y = nullptr;
};
using LoadPixels = WarpPixels<std::uint8_t>;
using WarpValues = WarpPixels<float>;

/// Adjusted pictures, or the gradient dx = y of what is adjusted from dy. `columns` are those of one picture.
struct AdjustPixels {
  Columns columns;
  std::int64_t batch = 0;
  const PixelAdjustment* adjustments = nullptr;
  const float *x = nullptr, *dy = nullptr;  ///< dy: null in the forward pass
  double *x_partial = nullptr,
         *dy_partial = nullptr;  ///< sums of x and of the dy that pass: [batch,slices,1,channels]
  float* y = nullptr;
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/pooling.hpp", R"source(#pragma once

#include <strata/core/config.hpp>
#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

struct Pool2DParameters {
  Pool2DGeometry g;
  bool max;  ///< else the average
  const float* x;
  float* y;
};

struct Pool2DBackwardParameters {
  Pool2DGeometry g;
  bool max;
  const float *x, *y, *dy;
  float* dx;
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/sums.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// How many blocks of 256 threads share a sum over `count` elements: the same on every card, so that its bits
/// are too.
constexpr std::int64_t blocks_of_sum(std::int64_t count) {
  const std::int64_t blocks = (count + 4095) / 4096;
  return blocks < 1024 ? blocks : 1024;
}

/// Where sums go: to[s] += scale * (part of block 0 + part of block 1 + ...). A grid of one block (x) adds at
/// once; a greater one leaves `parts` [sums][gridDim.x] to strata_add_parts.
struct SumTarget {
  double scale;
  double *to, *parts;
};

struct AddPartsParameters {
  std::int64_t blocks;
  SumTarget target;
};

struct SumParameters {
  std::int64_t count;
  const float* x;
  bool squares;
  SumTarget target;
};

struct AddScalarParameters {
  double alpha;
  const double* x;
  double* to;
};

/// Predictions<float> (tensor/metric_sums.hpp).
struct PredictionParameters {
  std::int64_t rows, classes;
  const float *values, *target, *sample_weight;
};

/// RowMetricKind for kernels; sums.ipp checks that they agree.
namespace row_metric_kind {
inline constexpr int binary_accuracy = 0, categorical_accuracy = 1, sparse_categorical_accuracy = 2,
                     top_k_categorical_accuracy = 3, sparse_top_k_categorical_accuracy = 4,
                     mean_absolute_error = 5, mean_squared_error = 6;
}

struct RowMetricParameters {
  int kind;  ///< one of row_metric_kind
  float threshold;
  std::int64_t k;
  PredictionParameters of;
  SumTarget target;
};

struct ConfusionParameters {
  float threshold, intervals;
  std::int64_t sums;
  PredictionParameters of;
  SumTarget target;
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/cuda/kernels/training.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/core/config.hpp>
#include <strata/cuda/kernels/sums.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// LossKind and OptimizerKind for kernels; training.ipp checks that they agree.
namespace loss_kind {
inline constexpr int binary_crossentropy = 0, categorical_crossentropy = 1,
                     sparse_categorical_crossentropy = 2, mean_squared_error = 3, mean_absolute_error = 4,
                     huber = 5;
}
namespace optimizer_kind {
inline constexpr int sgd = 0, rmsprop = 1, adam = 2, adagrad = 3, nadam = 4;
}

struct Loss {
  int kind = 0;  ///< see loss_kind
  bool from_logits = false;
  int lanes = 32;                              ///< threads per row, a power of two
  double target_scale = 1, target_offset = 0;  ///< label smoothing
  double delta = 1;                            ///< of huber
  double gradient_scale = 1;
  std::int64_t rows = 0, classes = 0;
  const float *prediction = nullptr, *target = nullptr;
  const float* sample_weight = nullptr;  ///< or null
  float* losses = nullptr;
  float* gradient = nullptr;  ///< or null
};

struct Penalty {
  std::int64_t count = 0;
  double l1 = 0, l2 = 0;
  const float* w = nullptr;
  float* gradient = nullptr;  ///< or null
  SumTarget target = {};
};

/// OptimizerState.
struct StepState {
  double learning_rate, iteration;
};
/// OptimizerUpdate, and the first of the blocks that follow its own.
struct WeightUpdate {
  std::int64_t size;
  float* value;
  const float* gradient;
  float* slots[3];
  const double* squares;
  std::int64_t end_block;
};
/// What a step has for all weights alike, found on the device from the state.
struct StepRates {
  float rate;                    ///< for adam and nadam corrected for the bias of the moments
  float gradient_rate, epsilon;  ///< nadam's of the gradient itself; epsilon as corrected
  float keep;                    ///< what decay leaves of a weight
};

/// One launch's part of an optimizer step.
struct OptimizerStep {
  static constexpr int most_updates = 48, threads = 256;
  static constexpr std::int64_t block_size = 4096;  ///< elements

  int kind = 0;  ///< see optimizer_kind
  bool nesterov = false, centered = false, amsgrad = false;
  double beta_1 = 0, beta_2 = 0, weight_decay = 0, clip_norm = 0;
  float momentum = 0, rho = 0, one_minus_rho = 0, one_minus_beta_1 = 0, one_minus_beta_2 = 0, epsilon = 0;
  float clip_value = 0;
  StepState* state = nullptr;
  StepRates* rates = nullptr;
  WeightUpdate updates[most_updates] = {};
};

}}}  // namespace strata::STRATA_ABI::cuda
)source"},
{"strata/core/config.hpp", R"source(#pragma once

#define STRATA_VERSION "0.1.0"

// Header-only is the default. With STRATA_COMPILED (set by the CMake target strata::compiled) the `.ipp`
// files stay out of user code and the library carries them once; with STRATA_SPLIT a file of the user's does,
// which includes strata/implementation.hpp.
#if defined(STRATA_SPLIT)
#define STRATA_HEADER_ONLY 0
#define STRATA_INLINE
#define STRATA_ABI split
#elif defined(STRATA_COMPILED)
#define STRATA_HEADER_ONLY 0
#define STRATA_INLINE
#define STRATA_ABI compiled
#else
#define STRATA_HEADER_ONLY 1
#define STRATA_INLINE inline
// Objects built with different -m flags must not share inline functions, so the instruction set is part of
// every name.
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define STRATA_ABI header_only_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define STRATA_ABI header_only_avx2
#else
#define STRATA_ABI header_only_baseline
#endif
#endif

// For code that runs per call or per step, not per element: the compiler keeps it small, and takes less time
// for it.
#define STRATA_COLD [[gnu::cold]]
)source"},
{"strata/tensor/geometry.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Everything a convolution needs to know. x is [batch,in_h,in_w,in_c], the kernel
/// [kernel_h,kernel_w,in_c/groups,out_c], y [batch,out_h,out_w,out_c]; output (oy, ox) reads input row oy *
/// stride_h - pad_top + ky * dilation_h. The channels of x and y fall into `groups` parts that know nothing
/// of each other; with one input channel each, the convolution is depthwise.
struct Conv2DGeometry {
  std::int64_t batch = 0;
  std::int64_t in_h = 0, in_w = 0, in_c = 0;
  std::int64_t out_h = 0, out_w = 0, out_c = 0;
  std::int64_t kernel_h = 0, kernel_w = 0;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t groups = 1;

  /// Channels of one group.
  constexpr std::int64_t group_in() const { return in_c / groups; }
  constexpr std::int64_t group_out() const { return out_c / groups; }
  /// Multiplications and additions of the forward pass, or of either backward pass.
  constexpr std::int64_t flops() const {
    return 2 * batch * out_h * out_w * out_c * kernel_h * kernel_w * group_in();
  }
  friend constexpr bool operator==(const Conv2DGeometry&, const Conv2DGeometry&) = default;
};

/// A product of x [rows,in] and a kernel [in,out].
struct DenseGeometry {
  std::int64_t rows = 0, in = 0, out = 0;

  constexpr std::int64_t flops() const { return 2 * rows * in * out; }
};

/// A pooling window sliding over [batch,in_h,in_w,channels]. Windows are cut at the border: padding takes no
/// part in the maximum or the average.
struct Pool2DGeometry {
  std::int64_t batch = 0;
  std::int64_t in_h = 0, in_w = 0, channels = 0;
  std::int64_t out_h = 0, out_w = 0;
  std::int64_t pool_h = 0, pool_w = 0;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0;
};

/// Zeros around [batch,in_h,in_w,channels].
struct Pad2DGeometry {
  std::int64_t batch = 0;
  std::int64_t in_h = 0, in_w = 0, channels = 0;
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};

}}  // namespace strata::STRATA_ABI
)source"},
{"strata/tensor/nadam.hpp", R"source(#pragma once

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Nadam's momentum u = beta_1 (1 - 0.96^t / 2) of step t and of the next, and the product of those up to t.
/// Found from the step alone, so that a run that is resumed needs nothing else; for kernels as well, whose
/// compiler has no standard library.
struct NadamMomentum {
  double now = 0, next = 0, product = 1;

  constexpr NadamMomentum(double beta_1, double step) {
    double decay = 0.96;
    next = beta_1 * (1 - decay / 2);
    for (double t = 0; t < step && (decay > 1e-17 || product > 1e-17);
         ++t) {  // then nothing changes any more
      decay *= 0.96;
      now = next;
      next = beta_1 * (1 - decay / 2);
      product *= now;
    }
  }
};

}}  // namespace strata::STRATA_ABI
)source"},
{"strata/tensor/pixels.hpp", R"source(#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Pictures [batch,height,width,channels].
struct PixelGeometry {
  std::int64_t batch = 0, height = 0, width = 0, channels = 0;
};

/// How values from 0 to 255 become a network's input: y[c] = (scale * x[reverse_channels ? channels-1-c : c]
/// - mean[c]) / std[c], channels <= 4.
struct PixelScaling {
  float scale = 1;
  float mean[4] = {0, 0, 0, 0};
  bool reverse_channels = false;
  float std[4] = {1, 1, 1, 1};

  friend bool operator==(const PixelScaling&, const PixelScaling&) = default;
};

/// What lies around a row abcd of pixels: aaaa|abcd|dddd, kkkk|abcd|kkkk, dcba|abcd|dcba, abcd|abcd|abcd.
enum class FillMode { nearest, constant, reflect, wrap };

enum class Interpolation { nearest, bilinear };

/// Whose edges a picture has: scipy.ndimage's, which ImageDataGenerator uses, or TensorFlow's
/// (ImageProjectiveTransformV3), which Keras's layers use. They differ in two fill modes. `constant`: scipy
/// fills from the centre of the outermost pixel on, TensorFlow fades over one pixel. `wrap`: scipy repeats
/// after size - 1 pixels; TensorFlow too, but moves each time by size and stops at the last pixel.
enum class EdgeRule { scipy, tensorflow };

/// How warped pictures are read.
struct PixelSampling {
  FillMode fill_mode = FillMode::nearest;
  float cval = 0;  ///< of FillMode::constant
  Interpolation interpolation = Interpolation::bilinear;
  EdgeRule edges = EdgeRule::scipy;

  friend bool operator==(const PixelSampling&, const PixelSampling&) = default;
};

/// What happens to one picture before its values are scaled. The defaults leave it as it is.
struct PixelWarp {
  /// The result at (row, column) is what lies at (m[0] row + m[1] column + m[2], m[3] row + m[4] column +
  /// m[5]).
  double matrix[6] = {1, 0, 0, 0, 1, 0};
  /// Mirrors the warped picture.
  bool flip_horizontal = false, flip_vertical = false;
  /// Added to all values, which then are clipped to the least and greatest of the warped picture: Keras's
  /// apply_channel_shift.
  float channel_shift = 0;
  /// Multiplies values from 0 to 255 as Pillow's ImageEnhance.Brightness does: on whole numbers, rounded
  /// down, clipped to 255, alpha (the last of 4 channels) left alone. 1: none.
  float brightness = 1;
};

/// Contrast and brightness of one picture: contrast * (x - mean) + mean + brightness, clipped, with the mean
/// of the picture's channel.
struct PixelAdjustment {
  double contrast = 1, brightness = 0;
  double least = 0, greatest = 255;
};

}}  // namespace strata::STRATA_ABI
)source"},
};

}}}  // namespace strata::STRATA_ABI::cuda
