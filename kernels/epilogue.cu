// What follows a product: scale, bias, residual, activation, pooling. Transposes too, which products need.

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
