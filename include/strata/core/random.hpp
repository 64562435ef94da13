#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): 128 random bits from
/// a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// What a stream of random numbers is for. Part of every key, so that no two uses share numbers.
enum class Purpose : std::uint32_t { initializer = 1, layer = 2, shuffle = 3, augment = 4, user = 5 };

/// A stable 64-bit hash of a name (FNV-1a), e.g. of a layer's path in its model.
constexpr std::uint64_t hash_name(std::string_view name, std::uint64_t basis = 0xcbf29ce484222325) {
  for (const char c : name) basis = (basis ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return basis;
}

/// A stream of random numbers as a pure function of (seed, purpose, path, step, element): element i can be
/// drawn in any order, on any thread and on any device. 64 bits of step and 64 bits of element never run out.
class RandomStream {
 public:
  constexpr RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t path = 0, std::uint64_t step = 0)
      : step_(step) {
    // Mixing through Philox itself keeps related seeds and paths unrelated.
    const auto mixed = philox4x32({static_cast<std::uint32_t>(path), static_cast<std::uint32_t>(path >> 32),
                                   static_cast<std::uint32_t>(purpose), 0x53545241},
                                  {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    key_ = {mixed[0], mixed[1]};
  }

  /// The four 32-bit words of block `index`; element i is word i % 4 of block i / 4.
  constexpr std::array<std::uint32_t, 4> block(std::uint64_t index) const {
    return philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                       static_cast<std::uint32_t>(step_), static_cast<std::uint32_t>(step_ >> 32)},
                      key_);
  }
  constexpr std::uint32_t bits(std::uint64_t element) const { return block(element / 4)[element % 4]; }

  /// Uniform in [0, 1), 24 bits: the same float on every device.
  constexpr float uniform(std::uint64_t element) const {
    return static_cast<float>(bits(element) >> 8) * 0x1p-24f;
  }

  /// Uniform in [0, 1) with 53 bits; element i uses words 2i and 2i + 1.
  constexpr double uniform_double(std::uint64_t element) const {
    const auto words = block(element / 2);
    const std::uint64_t high = words[2 * (element % 2)], low = words[2 * (element % 2) + 1];
    return static_cast<double>((high << 21) ^ (low >> 11)) * 0x1p-53;
  }

  /// Standard normal (Box-Muller); element i uses doubles 2i and 2i + 1.
  double normal(std::uint64_t element) const;

  /// Uniform integer in [0, bound), bound < 2^32: the high half of a 64-bit product, biased by less than
  /// bound / 2^32.
  constexpr std::uint32_t below(std::uint32_t bound, std::uint64_t element) const {
    return static_cast<std::uint32_t>((std::uint64_t{bits(element)} * bound) >> 32);
  }

  /// A permutation of 0..count-1, count < 2^32 (Fisher-Yates).
  std::vector<std::int64_t> permutation(std::int64_t count) const {
    std::vector<std::int64_t> order(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) order[static_cast<std::size_t>(i)] = i;
    for (std::int64_t i = count - 1; i > 0; --i) {
      const auto j = below(static_cast<std::uint32_t>(i) + 1, static_cast<std::uint64_t>(i));
      std::swap(order[static_cast<std::size_t>(i)], order[j]);
    }
    return order;
  }

  constexpr std::array<std::uint32_t, 2> key() const { return key_; }
  constexpr std::uint64_t step() const { return step_; }

 private:
  std::array<std::uint32_t, 2> key_{};
  std::uint64_t step_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/core/random.ipp>
#endif
