// Contenders that multiply matrices and do no more: the layers of the race that are products.
#pragma once

#include "case.hpp"

namespace strata_bench {

/// The patches of one picture under a kernel, as rows [out_h*out_w, size*size*c] (im2col).
inline void lay_out(const CaseLayer& layer, const float* picture, float* rows) {
  const std::int64_t h = layer.input[1], w = layer.input[2], c = layer.input[3], out_h = layer.output[1],
                     out_w = layer.output[2];
  const std::int64_t top = layer.padding_before(1), left = layer.padding_before(2);
#pragma omp parallel for
  for (std::int64_t oy = 0; oy < out_h; ++oy) {
    float* to = rows + oy * out_w * layer.size * layer.size * c;
    for (std::int64_t ox = 0; ox < out_w; ++ox)
      for (std::int64_t ky = 0; ky < layer.size; ++ky)
        for (std::int64_t kx = 0; kx < layer.size; ++kx, to += c) {
          const std::int64_t y = oy * layer.stride - top + ky, x = ox * layer.stride - left + kx;
          if (y < 0 || x < 0 || y >= h || x >= w)
            std::fill_n(to, c, 0.f);
          else
            std::copy_n(picture + (y * w + x) * c, c, to);
        }
  }
}

/// Bias and relu over the rows of y [m,n].
inline void finish(std::int64_t m, std::int64_t n, const float* bias, bool relu, float* y) {
#pragma omp parallel for if (m > 1)
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const float value = y[i * n + j] + bias[j];
      y[i * n + j] = relu ? std::max(value, 0.f) : value;
    }
}

/// A contender of which `multiply(m, n, k, a, b, c)` makes c [m,n] of a [m,k] and b [k,n], all in row-major
/// order. Kernels that are larger than a pixel multiply patches that were laid out as rows, a picture at a
/// time.
template <class Multiply>
int contend_by_products(int argc, char** argv, const std::string& version, Multiply multiply) {
  return contend(argc, argv, [&](const std::string& folder, const std::string& output, int) {
    const Case race = load_case(folder);
    if (race.precision != "float32") throw Unsupported("has no product in bfloat16");
    if (race.layers.size() != 1) throw Unsupported("has products, no networks");
    const CaseLayer& layer = race.layers[0];
    if (layer.kind != "conv" && layer.kind != "dense") throw Unsupported("has products, no " + layer.kind);
    if (layer.activation != "relu" && layer.activation != "linear")
      throw Unsupported("the program has no " + layer.activation);
    const std::int64_t n = layer.output.back(), m = count_of(layer.output) / n;
    const std::int64_t pictures = layer.input[0], pixels = m / pictures;
    const std::int64_t k = static_cast<std::int64_t>(layer.kernel.size()) / n;
    const bool patches = layer.kind == "conv" && (layer.size > 1 || layer.stride > 1);
    std::vector<float> y(static_cast<std::size_t>(m * n)),
        rows(static_cast<std::size_t>(patches ? pixels * k : 0));
    const auto run = [&] {
      if (patches)
        for (std::int64_t i = 0; i < pictures; ++i) {
          lay_out(layer, race.input.data() + i * count_of(layer.input) / pictures, rows.data());
          multiply(pixels, n, k, rows.data(), layer.kernel.data(), y.data() + i * pixels * n);
        }
      else
        multiply(m, n, k, race.input.data(), layer.kernel.data(), y.data());
      finish(m, n, layer.bias.data(), layer.activation == "relu", y.data());
    };
    run();
    write_floats(output, y);
    serve(version, run);
  });
}

}  // namespace strata_bench
