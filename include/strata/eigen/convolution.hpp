#pragma once

#include <strata/core/parallel.hpp>
#include <strata/eigen/activation.hpp>
#include <strata/eigen/pooling.hpp>

// A convolution is a matrix product: im2col lays out, for every output pixel, the numbers under the kernel.
// Images are independent of each other, so each is one task and no result depends on the number of threads.

namespace strata { inline namespace STRATA_ABI { namespace eigen {

/// Which elements of the kernel a matrix of columns covers: taps [first, first + count) in row-major order.
struct Taps {
  Index first = 0, count = 0;
};
inline Taps all_taps(const Conv2DGeometry& g) {
  return {0, g.kernel_h * g.kernel_w};
}

/// Calls f(output pixel, tap, input pixel) where the tap meets the image; the rest is padding.
template <class F>
void for_taps(const Conv2DGeometry& g, Taps taps, F f) {
  for (Index oy = 0; oy < g.out_h; ++oy)
    for (Index ox = 0; ox < g.out_w; ++ox)
      for (Index tap = 0; tap < taps.count; ++tap) {
        const Index ky = (taps.first + tap) / g.kernel_w, kx = (taps.first + tap) % g.kernel_w;
        const Index iy = oy * g.stride_h - g.pad_top + ky * g.dilation_h;
        const Index ix = ox * g.stride_w - g.pad_left + kx * g.dilation_w;
        if (iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w) continue;
        f(oy * g.out_w + ox, tap, iy * g.in_w + ix);
      }
}

/// From columns of an image [in_h * in_w, channels] the matrix [out_h * out_w, taps * channels] of what each
/// output pixel sees.
template <class T, class Image>
Matrix<T> im2col(const Conv2DGeometry& g, Taps taps, const Image& image) {
  const Index channels = image.cols();
  Matrix<T> columns = Matrix<T>::Zero(g.out_h * g.out_w, taps.count * channels);
  for_taps(g, taps, [&](Index out, Index tap, Index in) {
    columns.row(out).segment(tap * channels, channels) = image.row(in);
  });
  return columns;
}

/// The transpose of im2col: adds every element of the columns to the input pixel it was copied from.
template <class T, class Image>
void col2im(const Conv2DGeometry& g, const Matrix<T>& columns, Image&& image) {
  const Index channels = image.cols();
  for_taps(g, all_taps(g), [&](Index out, Index tap, Index in) {
    image.row(in) += columns.row(out).segment(tap * channels, channels);
  });
}

/// Image n of x [batch, in_h, in_w, in_c] or y [batch, out_h, out_w, out_c] as a matrix [pixels, channels].
template <class T>
MatrixMap<T> input_image(const Conv2DGeometry& g, T* x, Index n) {
  return {x + n * g.in_h * g.in_w * g.in_c, g.in_h * g.in_w, g.in_c};
}
template <class T>
MatrixMap<T> output_image(const Conv2DGeometry& g, T* y, Index n) {
  return {y + n * g.out_h * g.out_w * g.out_c, g.out_h * g.out_w, g.out_c};
}
/// A kernel [kernel_h, kernel_w, in_c / groups, out_c] as a matrix [taps * in_c / groups, out_c].
template <class T>
MatrixMap<T> kernel_matrix(const Conv2DGeometry& g, T* kernel) {
  return {kernel, g.kernel_h * g.kernel_w * g.group_in(), g.out_c};
}
/// The columns of a group: of an input, and of an output or a kernel.
template <class M>
auto inputs_of(const Conv2DGeometry& g, Index group, M&& matrix) {
  return matrix.middleCols(group * g.group_in(), g.group_in());
}
template <class M>
auto outputs_of(const Conv2DGeometry& g, Index group, M&& matrix) {
  return matrix.middleCols(group * g.group_out(), g.group_out());
}

/// y = epilogue(im2col(x) * kernel)
template <class T>
void conv2d(ThreadPool& pool, const Conv2DGeometry& g, const T* x, const T* kernel,
            const Epilogue<T>& epilogue, T* y) {
  const Pool2DGeometry pooling{.batch = 1,
                               .in_h = g.out_h,
                               .in_w = g.out_w,
                               .channels = g.out_c,
                               .out_h = g.out_h / 2,
                               .out_w = g.out_w / 2,
                               .pool_h = 2,
                               .pool_w = 2,
                               .stride_h = 2,
                               .stride_w = 2};
  pool.run(g.batch, [&](Index n, int) {
    const auto convolve_into = [&](MatrixMap<T> image) {
      for (Index group = 0; group < g.groups; ++group)
        outputs_of(g, group, image).noalias() =
            im2col<T>(g, all_taps(g), inputs_of(g, group, input_image(g, x, n))) *
            outputs_of(g, group, kernel_matrix(g, kernel));
      Epilogue<T> part = epilogue;
      if (part.residual) part.residual += n * image.size();
      finish<T>(part, {image.data(), image.rows(), image.cols()});
    };
    if (epilogue.max_pool_2x2) {
      Matrix<T> image(g.out_h * g.out_w, g.out_c);
      convolve_into({image.data(), image.rows(), image.cols()});
      pool_image<T>(pooling, PoolKind::max, image.data(), y + n * pooling.out_h * pooling.out_w * g.out_c);
    } else {
      convolve_into(output_image(g, y, n));
    }
  });
}

/// dx = col2im(dy * kernel^T)
template <class T>
void conv2d_backward_input(ThreadPool& pool, const Conv2DGeometry& g, const T* dy, const T* kernel,
                           Gradient<T> dx) {
  pool.run(g.batch, [&](Index n, int) {
    if (!dx.accumulate) input_image(g, dx.data, n).setZero();
    for (Index group = 0; group < g.groups; ++group) {
      const Matrix<T> columns = outputs_of(g, group, output_image(g, dy, n)) *
                                outputs_of(g, group, kernel_matrix(g, kernel)).transpose();
      col2im<T>(g, columns, inputs_of(g, group, input_image(g, dx.data, n)));
    }
  });
}

/// dkernel = sum over the images of im2col(x)^T * dy. Every tap is one task, which adds images in their
/// order.
template <class T>
void conv2d_backward_kernel(ThreadPool& pool, const Conv2DGeometry& g, const T* x, const T* dy,
                            Gradient<T> dkernel) {
  pool.run(g.kernel_h * g.kernel_w, [&](Index tap, int) {
    auto gradient = kernel_matrix(g, dkernel.data).middleRows(tap * g.group_in(), g.group_in());
    if (!dkernel.accumulate) gradient.setZero();
    for (Index n = 0; n < g.batch; ++n)
      for (Index group = 0; group < g.groups; ++group)
        outputs_of(g, group, gradient).noalias() +=
            im2col<T>(g, {tap, 1}, inputs_of(g, group, input_image(g, x, n))).transpose() *
            outputs_of(g, group, output_image(g, dy, n));
  });
}

}}}  // namespace strata::STRATA_ABI::eigen
