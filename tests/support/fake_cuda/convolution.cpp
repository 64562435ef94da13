#include "support/fake_cuda/convolution.hpp"

#include <algorithm>
#include <vector>

#include "support/fake_cuda/emulator.hpp"

namespace fake_cuda {
namespace {

using Int = std::int64_t;
using emulator::parallel_for;

/// A tensor as [n,h,w,c] without gaps.
std::vector<double> pack(const Tensor& t, const float* data) {
  std::vector<double> out(t.n() * t.h() * t.w() * t.c());
  parallel_for(t.n() * t.h(), [&](Int line) {
    double* to = &out[line * t.w() * t.c()];
    for (Int w = 0; w < t.w(); ++w)
      for (Int c = 0; c < t.c(); ++c) *to++ = data[t.at(line / t.h(), c, line % t.h(), w)];
  });
  return out;
}

/// w as [groups,taps,rows,columns], a row having the outputs of one input, or the inputs of one output.
std::vector<double> pack_filter(const Convolution& f, const float* data, bool by_input) {
  const Int inputs = f.w.c(), outputs = f.w.n() / f.groups();
  std::vector<double> out(f.w.n() * inputs * f.w.h() * f.w.w());
  double* to = out.data();
  for (Int g = 0; g < f.groups(); ++g)
    for (Int tap = 0; tap < f.w.h() * f.w.w(); ++tap)
      for (Int row = 0; row < (by_input ? inputs : outputs); ++row)
        for (Int column = 0; column < (by_input ? outputs : inputs); ++column) {
          const Int ci = by_input ? row : column, co = by_input ? column : row;
          *to++ = data[f.w.at(g * outputs + co, ci, tap / f.w.w(), tap % f.w.w())];
        }
  return out;
}

/// sums[j] += factor * row[j]
inline void add_row(double factor, const double* row, Int count, double* sums) {
  for (Int j = 0; j < count; ++j) sums[j] += factor * row[j];
}

void store(const Convolution& f, double value, float& to) {
  value *= f.alpha;
  if (f.beta != 0) value += f.beta * double(to);
  to = static_cast<float>(value);
}

/// Where tap k of a window reads, of one axis; outside of [0, size) there is padding.
Int input_of(const Convolution& f, int axis, Int out, Int k) {
  return out * f.stride[axis] - f.pad[axis] + k * f.dilation[axis];
}
/// The window whose tap k reads `in`, or -1.
Int output_of(const Convolution& f, int axis, Int in, Int k, Int size) {
  const Int place = in + f.pad[axis] - k * f.dilation[axis];
  if (place < 0 || place % f.stride[axis] || place / f.stride[axis] >= size) return -1;
  return place / f.stride[axis];
}

void forward(const Convolution& f, const float* x_data, const float* w_data, const float* bias,
             float* y_data) {
  const Tensor &x = f.x, &w = f.w, &y = f.y;
  const Int inputs = w.c(), outputs = y.c() / f.groups(), taps = w.h() * w.w();
  const std::vector<double> from = pack(x, x_data), filter = pack_filter(f, w_data, true);
  parallel_for(y.n() * y.h(), [&](Int line) {
    const Int n = line / y.h(), oy = line % y.h();
    std::vector<double> sums(y.c());
    for (Int ox = 0; ox < y.w(); ++ox) {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (Int tap = 0; tap < taps; ++tap) {
        const Int iy = input_of(f, 0, oy, tap / w.w()), ix = input_of(f, 1, ox, tap % w.w());
        if (iy < 0 || iy >= x.h() || ix < 0 || ix >= x.w()) continue;
        const double* const pixel = &from[((n * x.h() + iy) * x.w() + ix) * x.c()];
        for (Int c = 0; c < x.c(); ++c)
          add_row(pixel[c], &filter[((c / inputs * taps + tap) * inputs + c % inputs) * outputs], outputs,
                  &sums[c / inputs * outputs]);
      }
      for (Int c = 0; c < y.c(); ++c) {
        float& to = y_data[y.at(n, c, oy, ox)];
        store(f, sums[c], to);
        if (f.has_bias) to += bias[f.bias.at(0, c, 0, 0)];
        if (f.has_relu && to < 0) to = 0;
      }
    }
  });
}

void backward_data(const Convolution& f, float* x_data, const float* w_data, const float* y_data) {
  const Tensor &x = f.x, &w = f.w, &y = f.y;
  const Int inputs = w.c(), outputs = y.c() / f.groups(), taps = w.h() * w.w();
  const std::vector<double> from = pack(y, y_data), filter = pack_filter(f, w_data, false);
  parallel_for(x.n() * x.h(), [&](Int line) {
    const Int n = line / x.h(), iy = line % x.h();
    std::vector<double> sums(x.c());
    for (Int ix = 0; ix < x.w(); ++ix) {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (Int tap = 0; tap < taps; ++tap) {
        const Int oy = output_of(f, 0, iy, tap / w.w(), y.h()), ox = output_of(f, 1, ix, tap % w.w(), y.w());
        if (oy < 0 || ox < 0) continue;
        const double* const pixel = &from[((n * y.h() + oy) * y.w() + ox) * y.c()];
        for (Int c = 0; c < y.c(); ++c)
          add_row(pixel[c], &filter[((c / outputs * taps + tap) * outputs + c % outputs) * inputs], inputs,
                  &sums[c / outputs * inputs]);
      }
      for (Int c = 0; c < x.c(); ++c) store(f, sums[c], x_data[x.at(n, c, iy, ix)]);
    }
  });
}

void backward_filter(const Convolution& f, const float* x_data, float* w_data, const float* y_data) {
  constexpr Int rows = 8;  // inputs at a time, so that dy is read less often
  const Tensor &x = f.x, &w = f.w, &y = f.y;
  const Int inputs = w.c(), outputs = y.c() / f.groups(), taps = w.h() * w.w(),
            parts = (inputs + rows - 1) / rows;
  const std::vector<double> from = pack(x, x_data), gradient = pack(y, y_data);
  parallel_for(f.groups() * taps * parts, [&](Int item) {
    const Int part = item % parts, tap = item / parts % taps, group = item / parts / taps;
    const Int begin = part * rows, end = std::min(inputs, begin + rows);
    std::vector<double> sums((end - begin) * outputs);
    for (Int pixel = 0; pixel < y.n() * y.h() * y.w(); ++pixel) {
      const Int ox = pixel % y.w(), oy = pixel / y.w() % y.h(), n = pixel / y.w() / y.h();
      const Int iy = input_of(f, 0, oy, tap / w.w()), ix = input_of(f, 1, ox, tap % w.w());
      if (iy < 0 || iy >= x.h() || ix < 0 || ix >= x.w()) continue;
      const double* const in = &from[((n * x.h() + iy) * x.w() + ix) * x.c() + group * inputs];
      const double* const out = &gradient[pixel * y.c() + group * outputs];
      for (Int ci = begin; ci < end; ++ci) add_row(in[ci], out, outputs, &sums[(ci - begin) * outputs]);
    }
    for (Int ci = begin; ci < end; ++ci)
      for (Int co = 0; co < outputs; ++co)
        store(f, sums[(ci - begin) * outputs + co],
              w_data[w.at(group * outputs + co, ci, tap / w.w(), tap % w.w())]);
  });
}

}  // namespace

bool Convolution::consistent() const {
  for (int axis = 0; axis < 2; ++axis) {
    const Int reach = dilation[axis] * (w.size[2 + axis] - 1) + 1,
              room = x.size[2 + axis] + 2 * pad[axis] - reach;
    if (room < 0 || y.size[2 + axis] != room / stride[axis] + 1) return false;
  }
  return x.n() == y.n() && w.n() == y.c() && x.c() % w.c() == 0 && w.n() % groups() == 0;
}

void Convolution::run(float* x_data, float* w_data, const float* bias_data, float* y_data) const {
  switch (pass) {
    case Pass::forward:
      return forward(*this, x_data, w_data, bias_data, y_data);
    case Pass::backward_data:
      return backward_data(*this, x_data, w_data, y_data);
    case Pass::backward_filter:
      return backward_filter(*this, x_data, w_data, y_data);
  }
}

}  // namespace fake_cuda
