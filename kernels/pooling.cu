#include <strata/cuda/kernels/pooling.hpp>

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
