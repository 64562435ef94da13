#pragma once

#include <array>
#include <cstdint>

namespace fake_cuda {

/// Of any strides, in elements; {n, c, h, w}.
struct Tensor {
  std::array<std::int64_t, 4> size{}, stride{};
  std::int64_t id = 0, alignment = 1;
  bool is_virtual = false;

  std::int64_t n() const { return size[0]; }
  std::int64_t c() const { return size[1]; }
  std::int64_t h() const { return size[2]; }
  std::int64_t w() const { return size[3]; }
  std::int64_t at(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) const {
    return n * stride[0] + c * stride[1] + h * stride[2] + w * stride[3];
  }
  /// From the first to the last.
  std::int64_t extent() const { return 1 + at(n() - 1, c() - 1, h() - 1, w() - 1); }
};

enum class Pass { forward, backward_data, backward_filter };

/// A cross-correlation y = x * w and its gradients: the tensor that `pass` computes becomes alpha times the
/// result plus beta times what it was; the forward one is followed by bias and relu.
struct Convolution {
  Pass pass = Pass::forward;
  Tensor x, w, y, bias;
  std::array<std::int64_t, 2> pad{}, stride{}, dilation{};
  double alpha = 1, beta = 0;
  bool has_bias = false, has_relu = false;

  std::int64_t groups() const { return x.c() / w.c(); }
  /// Whether sizes and channels fit together.
  bool consistent() const;
  /// All sums in double and in a fixed order.
  void run(float* x_data, float* w_data, const float* bias_data, float* y_data) const;
};

}  // namespace fake_cuda
