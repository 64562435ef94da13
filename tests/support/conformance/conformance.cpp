#include "support/conformance/conformance.hpp"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <list>
#include <map>
#include <regex>
#include <thread>

#include <catch2/catch.hpp>

#include <strata/ops/geometry.hpp>
#include <strata/tensor/tensor.hpp>

#include "support/guarded_copy.hpp"
#include "support/reference/reference.hpp"

namespace strata_test {

using namespace strata;

namespace {

#ifdef STRATA_SANITIZED
constexpr bool sanitized = true;  // memory is looked at, not numbers: the naive reference would take minutes
#else
constexpr bool sanitized = false;
#endif

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t margin = 16;  // elements around every operand: NaN in front of and behind it

/// What a run left in its operands and returned.
template <class T>
struct Outcome {
  std::vector<std::vector<T>> operands;
  std::vector<double> results;
  bool margins_intact = true;
};

template <class T>
std::vector<T> poisoned(const Operand& operand, std::int64_t shift) {
  std::vector<T> out(operand.values.size() + static_cast<std::size_t>(2 * margin + shift));
  std::memset(out.data(), 0xFF, out.size() * sizeof(T));
  std::copy(operand.values.begin(), operand.values.end(), out.begin() + margin + shift);
  return out;
}

/// The structs on the device, aligned as a tensor is.
template <class Struct>
Tensor<std::uint8_t> bytes_of(const std::vector<Struct>& structs, const DevicePtr& device) {
  Tensor<std::uint8_t> out(Shape{static_cast<std::int64_t>(structs.size() * sizeof(Struct))});
  if (!out.empty()) std::memcpy(out.data(), structs.data(), out.bytes());
  return out.to(device);
}

enum class Behind { margin, guard };

/// Runs the case; `shift` moves the operands off their alignment by so many elements. A margin behind them
/// shows what is written there, a guard stops the program where it is read.
template <class T>
Outcome<T> run(const Case& c, const DevicePtr& device, std::int64_t shift = 0,
               Behind behind = Behind::margin) {
  std::vector<std::vector<T>> before;
  std::vector<Tensor<T>> memory;
  std::vector<Tensor<std::uint8_t>> bytes;
  bytes.reserve(c.operands.size());
  std::vector<void*> pointers;
  for (const Operand& operand : c.operands) {
    before.push_back(poisoned<T>(operand, shift));
    const Shape shape{static_cast<std::int64_t>(before.back().size())};
    memory.push_back(Tensor<T>(shape, before.back()).to(device));
    bytes.push_back(operand.bytes ? Tensor<T>(shape, before.back()).template cast<std::uint8_t>().to(device)
                                  : Tensor<std::uint8_t>());
  }
  for (std::size_t i = 0; i < c.operands.size(); ++i)
    pointers.push_back(c.operands[i].null    ? nullptr
                       : c.operands[i].bytes ? static_cast<void*>(bytes[i].data() + margin + shift)
                                             : static_cast<void*>(memory[i].data() + margin + shift));
  std::list<GuardedCopy> guarded;
  if (behind == Behind::guard)
    for (std::size_t i = 0; i < c.operands.size(); ++i) {
      const std::size_t size = c.operands[i].values.size() * (c.operands[i].bytes ? 1 : sizeof(T));
      if (pointers[i]) pointers[i] = guarded.emplace_back(pointers[i], size).data();
    }
  Outcome<T> out;
  Tensor<double> sums({16}, device);
  const Tensor<std::uint8_t> warps = bytes_of(c.warps, device), adjustments = bytes_of(c.adjustments, device);
  const Arguments<T> arguments{pointers, reinterpret_cast<const PixelWarp*>(warps.data()),
                               reinterpret_cast<const PixelAdjustment*>(adjustments.data()), sums.data()};
  const auto backend = device->make_backend<T>();
  if constexpr (std::is_same_v<T, float>)
    c.run_float(*backend, arguments);
  else
    c.run_double(*backend, arguments);
  backend->synchronize();
  sums = sums.to(nullptr);
  out.results.assign(sums.data(), sums.data() + sums.size());
  for (std::size_t i = 0; i < c.operands.size(); ++i) {
    Tensor<T> after = memory[i].to(nullptr);
    const auto begin = static_cast<std::size_t>(margin + shift), end = begin + c.operands[i].values.size();
    if (behind == Behind::guard && c.operands[i].output)
      std::copy_n(static_cast<const T*>(pointers[i]), end - begin, after.data() + begin);
    for (std::size_t e = 0; e < before[i].size(); ++e) {
      const bool may_change = c.operands[i].output && e >= begin && e < end;
      if (!may_change && std::memcmp(&after.data()[e], &before[i][e], sizeof(T)) != 0)
        out.margins_intact = false;
    }
    out.operands.emplace_back(after.data() + begin, after.data() + end);
  }
  return out;
}

/// The worst relative L2 error of an output; infinite where the special values or an element disagree.
template <class T, class Expected>
double error(const Case& c, double tolerance, const Outcome<T>& found, const Outcome<Expected>& expected) {
  double worst = 0;
  const auto compare = [&](const auto& is, const auto& should) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < should.size(); ++i) {
      const double a = is[i], b = should[i];
      if (!std::isfinite(a) || !std::isfinite(b)) {
        if (!(a == b || (std::isnan(a) && std::isnan(b)))) return std::numeric_limits<double>::infinity();
        continue;
      }
      if (c.elementwise && std::fabs(a - b) > tolerance * (std::fabs(b) + c.floor))
        return std::numeric_limits<double>::infinity();
      difference += (a - b) * (a - b);
      norm += b * b;
    }
    return std::sqrt(difference) / (std::sqrt(norm) + 1e-33);  // below that float has no relative precision
  };
  for (std::size_t i = 0; i < c.operands.size(); ++i)
    if (c.operands[i].output) worst = std::max(worst, compare(found.operands[i], expected.operands[i]));
  return std::max(worst, compare(found.results, expected.results));
}

template <class U>
bool same_bits(const std::vector<U>& a, const std::vector<U>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(U)) == 0);
}
template <class T>
bool same_bits(const Outcome<T>& a, const Outcome<T>& b) {
  bool same = same_bits(a.results, b.results);
  for (std::size_t i = 0; i < a.operands.size(); ++i) same = same && same_bits(a.operands[i], b.operands[i]);
  return same;
}

}  // namespace

Operand Cases::random(std::int64_t count, double low, double high) {
  const RandomStream stream(20240607, Purpose::user, draws_++);
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t block = 0; static_cast<std::int64_t>(values.size()) < count; ++block)
    for (const std::uint32_t bits : stream.block(block))
      if (static_cast<std::int64_t>(values.size()) < count)
        values.push_back(static_cast<float>(low + (high - low) * (bits >> 8) * 0x1p-24));
  return {std::move(values)};
}

Operand Cases::output(std::int64_t count) {
  return {.values = std::vector<float>(static_cast<std::size_t>(count), nan), .output = true};
}

template <class T>
int check_conformance(const DevicePtr& device, const ConformanceGroup& group,
                      const ConformanceOptions& options) {
  struct Figure {
    int cases = 0;
    double error = 0;
    std::string worst;
  };
  std::map<std::string, Figure> figures;
  const DevicePtr reference = reference_device();
  const std::regex only(options.only);
  int count = 0;
  unsigned turn = 0;
  const auto check = [&](const Case& c) {
    if (!std::regex_search(c.primitive + ' ' + c.description, only)) return;
    ++count;
    INFO(c.primitive << " " << c.description);
    if (sanitized) {
      // Only one of the places, which takes half the time; cases come in pairs and threes, and this does not.
      CHECK(run<T>(c, device, std::popcount(++turn) % 2).margins_intact);
      return;
    }
    double worst = 0;
    const auto compare = [&](const auto& expected) {
      const Outcome<T> aligned = run<T>(c, device), shifted = run<T>(c, device, 1);
      worst = std::max(error(c, options.tolerance, aligned, expected),
                       error(c, options.tolerance, shifted, expected));
      CHECK(worst <= options.tolerance);
      CHECK((aligned.margins_intact && shifted.margins_intact));
      const Behind behind =
          device->host_accessible() && options.any_alignment ? Behind::guard : Behind::margin;
      CHECK(same_bits(run<T>(c, device, 0, behind), aligned));
      for (const DevicePtr& variant : options.variants) {
        INFO("on " << variant->description());
        CHECK(same_bits(run<T>(c, variant), aligned));
      }
    };
    if (c.float_oracle)
      compare(run<T>(c, reference));
    else
      compare(run<double>(c, reference));
    Figure& figure = figures[c.primitive];
    ++figure.cases;
    if (worst >= figure.error) figure.error = worst, figure.worst = c.description;
  };
  Cases cases(check, options.large && !sanitized);
  group.cases(cases);
  for (const auto& [primitive, figure] : figures)
    std::printf("%-24s %4d cases, relative error at most %.1e (%s)\n", primitive.c_str(), figure.cases,
                figure.error, figure.worst.c_str());
  return count;
}

template int check_conformance<float>(const DevicePtr&, const ConformanceGroup&, const ConformanceOptions&);
template int check_conformance<double>(const DevicePtr&, const ConformanceGroup&, const ConformanceOptions&);

namespace {

Tensor<float> random(const Shape& shape, std::uint64_t path) {
  const RandomStream stream(7, Purpose::user, path);
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = 2 * stream.uniform(static_cast<std::uint64_t>(i)) - 1;
  return out;
}

double distance(const Tensor<float>& a, const Tensor<float>& b) {
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double d = double(a.data()[i]) - double(b.data()[i]);
    difference += d * d;
    norm += double(b.data()[i]) * double(b.data()[i]);
  }
  return std::sqrt(difference / norm);
}

Tensor<float> convolve(const DevicePtr& device, const Conv2DGeometry& g, const Tensor<float>& x,
                       const Tensor<float>& kernel, std::uint64_t version = 0,
                       PackedWeights* packed = nullptr, const Epilogue<float>& epilogue = {},
                       bool changes = false) {
  const Tensor<float> on_device = x.to(device), weight = kernel.to(device);
  auto y = Tensor<float>::uninitialized({g.batch, g.out_h, g.out_w, g.out_c}, device);
  device->make_backend<float>()->conv2d(g, on_device.data(), {weight.data(), version, packed, changes},
                                        epilogue, y.data());
  device->synchronize();
  return y.to(nullptr);
}

}  // namespace

void check_nan_propagation(const DevicePtr& device) {
  const DevicePtr reference = reference_device();
  const ops::Window window{.size = 3, .padding = Padding::same};
  for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{3, 8}, {16, 17}, {64, 64}}) {
    const Conv2DGeometry g = ops::conv2d_geometry("", {13, 11, in}, out, window, 3);
    Tensor<float> x = random({3, 13, 11, in}, 1);
    const Tensor<float> kernel = random({3, 3, in, out}, 2);
    const Epilogue<float> relu{.activation = Activation::relu};
    const Tensor<float> clean = convolve(reference, g, x, kernel, 0, nullptr, relu);
    x(1, 5, 6, in - 1) = nan;
    const Tensor<float> y = convolve(device, g, x, kernel, 0, nullptr, relu);
    INFO("3x3 convolution of " << in << " to " << out << " channels");
    bool reached = true, contained = true;
    for (std::int64_t n = 0; n < 3; ++n)
      for (std::int64_t h = 0; h < 13; ++h)
        for (std::int64_t w = 0; w < 11; ++w)
          for (std::int64_t c = 0; c < out; ++c) {
            if (n == 1 && std::abs(h - 5) <= 1 && std::abs(w - 6) <= 1)
              reached = reached && std::isnan(y(n, h, w, c));
            if (n != 1) contained = contained && std::fabs(y(n, h, w, c) - clean(n, h, w, c)) < 1e-3;
          }
    CHECK(reached);
    CHECK(contained);
  }

  // A row of a dense product, and a pooling window of nothing but NaN.
  Tensor<float> x = random({4, 40}, 3);
  x(2, 39) = nan;
  const Tensor<float> on_device = x.to(device), kernel = random({40, 17}, 4).to(device);
  Tensor<float> y = Tensor<float>::uninitialized({4, 17}, device);
  device->make_backend<float>()->dense({4, 40, 17}, on_device.data(), {kernel.data()},
                                       {.activation = Activation::relu}, y.data());
  const Tensor<float> host = y.to(nullptr);
  for (std::int64_t i = 0; i < host.size(); ++i) CHECK(std::isnan(host.data()[i]) == (i / 17 == 2));

  const Pool2DGeometry pool = ops::pool2d_geometry("", {4, 4, 9}, {.size = 2, .strides = 2});
  Tensor<float> image = random({4, 4, 9}, 5);
  for (std::int64_t c = 0; c < 9; ++c)
    image(0, 0, c) = image(0, 1, c) = image(1, 0, c) = image(1, 1, c) = nan;
  const Tensor<float> pixels = image.to(device);
  Tensor<float> pooled = Tensor<float>::uninitialized({2, 2, 9}, device);
  for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
    device->make_backend<float>()->pool2d(pool, kind, pixels.data(), pooled.data());
    const Tensor<float> found = pooled.to(nullptr);
    for (std::int64_t i = 0; i < found.size(); ++i) CHECK(std::isnan(found.data()[i]) == (i < 9));
  }
}

void check_packed_weights(const DevicePtr& device) {
  const DevicePtr reference = reference_device();
  const ops::Window window{.size = 3, .padding = Padding::same};
  for (const std::int64_t channels : {3, 32}) {
    const Conv2DGeometry g = ops::conv2d_geometry("", {10, 12, channels}, 24, window, 2);
    const Tensor<float> x = random({2, 10, 12, channels}, 1), dy = random({2, 10, 12, 24}, 2);
    const Tensor<float> first = random({3, 3, channels, 24}, 3), second = random({3, 3, channels, 24}, 4);
    PackedWeights packed;
    std::uint64_t version = 0;
    for (const Tensor<float>* kernel : {&first, &first, &second, &first}) {
      ++version;
      const Tensor<float> expected = convolve(reference, g, x, *kernel);
      for (const bool changes : {false, true, false}) {
        CHECK(distance(convolve(device, g, x, *kernel, version, &packed, {}, changes), expected) < 1e-5);
        // Another geometry and another primitive may pack the same weight in their own way.
        const Conv2DGeometry strided = ops::conv2d_geometry(
            "", {10, 12, channels}, 24, {.size = 3, .strides = 2, .padding = Padding::same}, 2);
        CHECK(distance(convolve(device, strided, x, *kernel, version, &packed, {}, changes),
                       convolve(reference, strided, x, *kernel)) < 1e-5);
        Tensor<float> dx[2];
        for (int i = 0; i < 2; ++i) {
          const DevicePtr& where = i ? reference : device;
          const Tensor<float> weight = kernel->to(where), gradient = dy.to(where);
          dx[i] = Tensor<float>::uninitialized(x.shape(), where);
          where->make_backend<float>()->conv2d_backward_input(
              g, gradient.data(), {weight.data(), version, i ? nullptr : &packed, changes}, {dx[i].data()});
          dx[i] = dx[i].to(nullptr);
        }
        CHECK(distance(dx[0], dx[1]) < 1e-5);
      }
    }

    std::vector<Tensor<float>> results(4);
    PackedWeights shared;
    std::vector<std::thread> threads;
    for (Tensor<float>& result : results)
      threads.emplace_back([&] {
        for (int i = 0; i < 5; ++i) result = convolve(device, g, x, first, 1, &shared);
      });
    for (std::thread& thread : threads) thread.join();
    const Tensor<float> alone = convolve(device, g, x, first, 1, &shared);
    for (const Tensor<float>& result : results) CHECK(result == alone);
  }

  const Tensor<float> x = random({5, 70}, 5);
  PackedWeights packed;
  for (std::uint64_t version = 1; version < 4; ++version) {
    const Tensor<float> kernel = random({70, 33}, 10 + version);
    Tensor<float> y[2];
    for (int i = 0; i < 2; ++i) {
      const DevicePtr& where = i ? reference : device;
      const Tensor<float> weight = kernel.to(where), input = x.to(where);
      y[i] = Tensor<float>::uninitialized({5, 33}, where);
      where->make_backend<float>()->dense({5, 70, 33}, input.data(),
                                          {weight.data(), version, i ? nullptr : &packed}, {}, y[i].data());
      y[i] = y[i].to(nullptr);
    }
    CHECK(distance(y[0], y[1]) < 1e-5);
  }
}

void check_dropout_mask(const DevicePtr& device) {
  const std::int64_t count = 10007;
  Tensor<float> ones({count});
  std::fill(ones.values().begin(), ones.values().end(), 1.0f);
  // The steps differ in their high words alone.
  for (const std::uint64_t step : {std::uint64_t{3}, std::uint64_t{3} << 32 | 3}) {
    const RandomStream stream(42, Purpose::layer, hash_name("dropout"), step);
    // The last rates are the number drawn for element 4, which is kept, and the next one, by which it is not:
    // they must be compared in double.
    const double edge = std::nextafter(double(stream.uniform(4)), 1.0);
    for (const double rate : {0.0, 0.25, 0.5, 0.9, double(stream.uniform(4)), edge}) {
      Tensor<float> y = ones.to(device);
      device->make_backend<float>()->dropout(count, rate, stream, y.data(), y.data());
      const Tensor<float> found = y.to(nullptr);
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < count; ++i)
        wrong += (found.data()[i] != 0) != (double(stream.uniform(static_cast<std::uint64_t>(i))) >= rate);
      INFO("rate " << rate << ", step " << step);
      CHECK(wrong == 0);
    }
  }
}

}  // namespace strata_test
