#pragma once

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
