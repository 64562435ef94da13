#pragma once

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
