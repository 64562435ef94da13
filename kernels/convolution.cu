// Convolutions by their definition, for what cuDNN has no engine for, and the gradient by the kernel of
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
