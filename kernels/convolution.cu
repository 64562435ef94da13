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

/// A window's corner in x, and the start of its image.
struct Window {
  int y, x;
  Int image;
};
__device__ inline Window window_at(const Conv2DGeometry& g, Int pixel) {
  const auto row = unsigned(pixel / g.out_w), n = row / unsigned(g.out_h);
  return {int(row % unsigned(g.out_h)) * int(g.stride_h) - int(g.pad_top),
          int(pixel % g.out_w) * int(g.stride_w) - int(g.pad_left), n * g.in_h * g.in_w * g.in_c};
}

/// A thread keeps four taps of four outputs in registers; windows and gradients of some pixels at a time lie
/// in shared memory.
STRATA_KERNEL(strata_window_gradient, WindowGradient) {
  constexpr int own = WindowGradient::own, pixels = WindowGradient::pixels, taps = WindowGradient::taps;
  __shared__ Four windows[pixels][taps / own], gradients[pixels][WindowGradient::most_outputs / own];
  __shared__ Window corners[pixels];
  const Conv2DGeometry& g = p.g;
  const int thread = int(threadIdx.x), outputs = p.outputs, across = outputs / own;
  const Int all_taps = g.kernel_h * g.kernel_w * g.in_c, count = g.batch * g.out_h * g.out_w;
  const Int begin = blockIdx.x * p.slice, end = begin + p.slice < count ? begin + p.slice : count;

  // The tap and the output that this thread brings.
  const Int tap = Int(blockIdx.y) * taps + thread % taps,
            output = Int(blockIdx.z) * outputs + thread % outputs;
  const int tap_x = int(tap / g.in_c % g.kernel_w * g.dilation_w);
  const int tap_y = int(tap / g.in_c / g.kernel_w * g.dilation_h);
  const Int tap_offset = (tap_y * g.in_w + tap_x) * g.in_c + tap % g.in_c;

  float sums[own][own] = {};
  if (thread < pixels) corners[thread] = window_at(g, begin + thread);
  __syncthreads();
  for (Int pixel = begin; pixel < end; pixel += pixels) {
    STRATA_UNROLL for (int k = thread / taps; k < pixels; k += int(blockDim.x) / taps) {
      const Window& at = corners[k];
      const int y = at.y + tap_y, x = at.x + tap_x;
      const bool inside = tap < all_taps && pixel + k < end && y >= 0 && y < g.in_h && x >= 0 && x < g.in_w;
      windows[k][thread % taps / own].at[thread % own] =
          inside ? p.x[at.image + (at.y * g.in_w + at.x) * g.in_c + tap_offset] : 0;
    }
    STRATA_UNROLL for (int k = thread / outputs; k < pixels;
                       k += int(blockDim.x) / outputs) gradients[k][thread % outputs / own]
        .at[thread % own] = output < g.out_c && pixel + k < end ? p.dy[(pixel + k) * g.out_c + output] : 0;
    __syncthreads();
    STRATA_UNROLL for (int k = 0; k < pixels; ++k) {
      const Four window = windows[k][thread / across], gradient = gradients[k][thread % across];
      for (int i = 0; i < own; ++i)
        for (int j = 0; j < own; ++j) sums[i][j] += window.at[i] * gradient.at[j];
    }
    if (thread < pixels) corners[thread] = window_at(g, pixel + pixels + thread);
    __syncthreads();
  }
  for (int i = 0; i < own; ++i)
    for (int j = 0; j < own; ++j) {
      const Int to_tap = Int(blockIdx.y) * taps + thread / across * own + i;
      const Int to_output = Int(blockIdx.z) * outputs + thread % across * own + j;
      if (to_tap < all_taps && to_output < g.out_c)
        p.parts[(blockIdx.x * all_taps + to_tap) * g.out_c + to_output] = sums[i][j];
    }
}

}}}  // namespace strata::STRATA_ABI::cuda
