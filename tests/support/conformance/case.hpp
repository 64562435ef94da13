#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include <strata/core/random.hpp>
#include <strata/tensor/backend.hpp>

namespace strata_test {

/// One pointer handed to a primitive: what lies there before, and whether it is an output, compared after.
struct Operand {
  std::vector<float> values{};
  bool output = false;
  bool null = false;
  bool bytes = false;  ///< the values are uint8
};

/// The operands of one run as pointers of the device and scalar type at hand; null stays null.
template <class T>
struct Arguments {
  const std::vector<void*>& pointers;
  const strata::PixelWarp* warps;              ///< the case's, on the device; null where it has none
  const strata::PixelAdjustment* adjustments;  ///< likewise
  double* sums;  ///< 16 doubles on the device, 0 before and compared like an output after

  T* operator[](std::size_t i) const { return static_cast<T*>(pointers[i]); }
  const std::uint8_t* bytes(std::size_t i) const { return static_cast<const std::uint8_t*>(pointers[i]); }
};

/// One call of one primitive.
struct Case {
  std::string primitive{};
  std::string description{};
  std::vector<Operand> operands{};
  std::vector<strata::PixelWarp> warps{};
  std::vector<strata::PixelAdjustment> adjustments{};
  std::function<void(strata::Backend<float>&, const Arguments<float>&)> run_float{};
  std::function<void(strata::Backend<double>&, const Arguments<double>&)> run_double{};

  /// Beyond the relative L2 error: |found - expected| <= tolerance * (|expected| + floor) for every element.
  bool elementwise = false;
  double floor = 1e-33;       ///< float has no relative precision below 1e-38
  bool float_oracle = false;  ///< expected values from the reference in float too: where its limits count
};

/// Hands cases to a visitor one by one, so that only one is in memory.
class Cases {
 public:
  using Visitor = std::function<void(const Case&)>;
  Cases(Visitor visit, bool large) : visit_(std::move(visit)), large_(large) {}

  /// Whether cases are wanted that take the naive reference long.
  bool large() const { return large_; }

  /// `body(backend, arguments)` is a generic lambda that calls the primitive once.
  template <class Body>
  void add(std::string primitive, std::string description, std::vector<Operand> operands, Body body,
           Case options = {}) {
    options.primitive = std::move(primitive);
    options.description = std::move(description);
    options.operands = std::move(operands);
    options.run_float = body;
    options.run_double = body;
    visit_(options);
  }

  /// Uniform in [low, high), different at every call.
  Operand random(std::int64_t count, double low = -1, double high = 1);
  /// Multiples of 0.5 in [-2, 2]: full of ties.
  Operand ties(std::int64_t count) {
    Operand out = random(count, 0, 9);
    for (float& value : out.values) value = 0.5f * static_cast<float>(static_cast<int>(value)) - 2;
    return out;
  }
  /// Random values that the primitive reads and writes.
  Operand random_output(std::int64_t count, double low = -1, double high = 1) {
    Operand out = random(count, low, high);
    out.output = true;
    return out;
  }
  /// Written without being read: starts as NaN.
  static Operand output(std::int64_t count);
  static Operand null() { return {.null = true}; }
  static Operand of(std::vector<float> values) { return {std::move(values)}; }

 private:
  Visitor visit_;
  bool large_;
  std::uint64_t draws_ = 0;
};

/// The case tables.
void convolution_cases(Cases& cases);
/// A kernel gradient of more pixels and outputs than the blocks of a card take at once.
void many_pixels_cases(Cases& cases);
void pooling_cases(Cases& cases);
void dense_cases(Cases& cases);
void elementwise_cases(Cases& cases);
void pixel_cases(Cases& cases);
void normalization_cases(Cases& cases);
void loss_cases(Cases& cases);
void optimizer_cases(Cases& cases);

}  // namespace strata_test
