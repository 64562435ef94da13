#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <set>

#include <strata/core/random.hpp>

using namespace strata;

using Words = std::array<std::uint32_t, 4>;

// From kat_vectors of Random123 1.14, "philox4x32 10".
TEST_CASE("Philox gives Random123's known answers") {
  static_assert(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t f = 0xffffffff;
  CHECK(philox4x32({f, f, f, f}, {f, f}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("hash_name is FNV-1a") {
  static_assert(hash_name("") == 0xcbf29ce484222325);
  static_assert(hash_name("a") == 0xaf63dc4c8601ec8c);
  static_assert(hash_name("foobar") == 0x85944171f73967e8);
  CHECK(hash_name("b", hash_name("a")) == hash_name("ab"));
}

TEST_CASE("An element is the same whenever it is drawn") {
  constexpr RandomStream stream(1, Purpose::user, 2, 3);
  const float late = stream.uniform(1'000'000'007);
  for (int i = 0; i < 10; ++i) stream.uniform(static_cast<std::uint64_t>(i));
  CHECK(stream.uniform(1'000'000'007) == late);
  CHECK(RandomStream(1, Purpose::user, 2, 3).uniform(1'000'000'007) == late);
  for (std::uint64_t i = 0; i < 16; ++i) CHECK(stream.bits(i) == stream.block(i / 4)[i % 4]);
}

TEST_CASE("Seed, purpose, path and step each give other numbers") {
  std::set<std::uint32_t> first;
  for (const std::uint64_t seed : {0, 1, 2})
    for (const Purpose purpose : {Purpose::initializer, Purpose::layer, Purpose::shuffle})
      for (const std::uint64_t path : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32})
        for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32})
          first.insert(RandomStream(seed, purpose, path, step).bits(0));
  CHECK(first.size() == 81);
  const RandomStream stream(1, Purpose::user);
  CHECK(stream.bits(0) != stream.bits(std::uint64_t{1} << 34));  // block numbers have 64 bits
}

namespace {
struct Moments {
  double mean = 0, variance = 0, skew = 0, kurtosis = 0, correlation = 0;
};
template <class Draw>
Moments moments(std::uint64_t count, Draw draw) {
  Moments m;
  const double n = double(count);
  for (std::uint64_t i = 0; i < count; ++i) m.mean += draw(i) / n;
  double before = draw(0) - m.mean;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double d = draw(i) - m.mean;
    m.variance += d * d / n;
    m.skew += d * d * d / n;
    m.kurtosis += d * d * d * d / n;
    if (i > 0) m.correlation += d * before / n;
    before = d;
  }
  m.correlation /= m.variance;
  m.skew /= std::pow(m.variance, 1.5);
  m.kurtosis /= m.variance * m.variance;
  return m;
}
}  // namespace

TEST_CASE("Uniform numbers are uniform") {
  const RandomStream stream(11, Purpose::user, 5, 7);
  constexpr std::uint64_t count = 200'000;
  for (const bool wide : {false, true}) {
    const auto draw = [&](std::uint64_t i) {
      return wide ? stream.uniform_double(i) : double(stream.uniform(i));
    };
    const Moments m = moments(count, draw);
    CHECK(m.mean == Approx(0.5).margin(0.003));  // four and a half standard errors
    CHECK(m.variance == Approx(1.0 / 12).margin(0.001));
    CHECK(std::fabs(m.correlation) < 0.01);
    std::array<int, 100> bins{};
    double low = 1, high = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const double value = draw(i);
      REQUIRE(value >= 0);
      REQUIRE(value < 1);
      ++bins[static_cast<std::size_t>(value * 100)];
      low = std::min(low, value), high = std::max(high, value);
    }
    double chi_square = 0;
    for (const int bin : bins) chi_square += (bin - 2000.0) * (bin - 2000.0) / 2000;
    CHECK(chi_square > 50);  // 99 degrees of freedom: 99 +- 14
    CHECK(chi_square < 155);
    CHECK(low < 1e-4);
    CHECK(high > 1 - 1e-4);
  }
}

TEST_CASE("Normal numbers are normal") {
  const RandomStream stream(3, Purpose::initializer, hash_name("dense/kernel"));
  const Moments m = moments(100'000, [&](std::uint64_t i) { return stream.normal(i); });
  CHECK(m.mean == Approx(0).margin(0.015));
  CHECK(m.variance == Approx(1).margin(0.02));
  CHECK(m.skew == Approx(0).margin(0.035));
  CHECK(m.kurtosis == Approx(3).margin(0.07));
  CHECK(std::fabs(m.correlation) < 0.015);
}

TEST_CASE("below stays below its bound and reaches every number") {
  const RandomStream stream(9, Purpose::user);
  std::array<int, 7> seen{};
  for (std::uint64_t i = 0; i < 70'000; ++i) ++seen.at(stream.below(7, i));
  for (const int count : seen) CHECK(std::abs(count - 10'000) < 450);
  CHECK(stream.below(1, 0) == 0);
}

TEST_CASE("A permutation holds every number once and is fair") {
  const RandomStream stream(4, Purpose::shuffle);
  CHECK(stream.permutation(0).empty());
  CHECK(stream.permutation(1) == std::vector<std::int64_t>{0});
  std::vector<std::int64_t> order = stream.permutation(1000);
  CHECK(order == stream.permutation(1000));
  CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < 1000; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);

  std::array<std::array<int, 4>, 4> places{};  // how often number n lands at place p
  for (std::uint64_t step = 0; step < 24'000; ++step) {
    const auto small = RandomStream(4, Purpose::shuffle, 0, step).permutation(4);
    for (std::size_t p = 0; p < 4; ++p) ++places[static_cast<std::size_t>(small[p])][p];
  }
  for (const auto& row : places)
    for (const int count : row) CHECK(std::abs(count - 6000) < 320);
}
