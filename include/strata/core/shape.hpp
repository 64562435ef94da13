#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Extents of a tensor, outermost first (NHWC for images). At most eight axes, held inline; {} is a scalar.
class Shape {
 public:
  static constexpr int max_rank = 8;

  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<std::int64_t> extents) : Shape(extents.begin(), extents.end()) {}

  /// From a range of extents. Throws ShapeError for more than eight axes or a negative extent.
  template <class Iterator>
  constexpr Shape(Iterator first, Iterator last) {
    for (; first != last; ++first) append(static_cast<std::int64_t>(*first));
  }

  constexpr int rank() const { return rank_; }
  constexpr bool empty() const { return rank_ == 0; }
  constexpr std::int64_t operator[](int axis) const { return extents_[axis < 0 ? rank_ + axis : axis]; }
  constexpr std::int64_t& operator[](int axis) { return extents_[axis < 0 ? rank_ + axis : axis]; }
  constexpr std::int64_t back() const { return extents_[rank_ - 1]; }
  constexpr const std::int64_t* begin() const { return extents_; }
  constexpr const std::int64_t* end() const { return extents_ + rank_; }

  constexpr void append(std::int64_t extent) {
    require<ShapeError>(rank_ < max_rank, "[shape] at most ", max_rank, " axes are supported");
    require<ShapeError>(extent >= 0, "[shape] axis ", rank_, " has the negative extent ", extent);
    extents_[rank_++] = extent;
  }

  /// Number of elements. Throws ShapeError where it does not fit 63 bits.
  [[gnu::noinline]] constexpr std::int64_t size() const {
    std::int64_t product = 1;
    for (const std::int64_t extent : *this) {
      const bool fits = extent == 0 || product <= std::numeric_limits<std::int64_t>::max() / extent;
      require<ShapeError>(fits, "[shape] ", *this, " has more elements than 63 bits can count");
      product *= extent;
    }
    return product;
  }

  /// Product of all axes but the last: a tensor seen as [rows,channels].
  [[gnu::noinline]] constexpr std::int64_t rows() const {
    require<ShapeError>(rank_ > 0, "[shape] a scalar has no rows");
    return back() == 0 ? 0 : size() / back();
  }

  /// This shape with a leading axis: [h,w,c] and 8 give [8,h,w,c].
  [[gnu::noinline]] constexpr Shape with_batch(std::int64_t batch) const {
    Shape out{batch};
    for (const std::int64_t extent : *this) out.append(extent);
    return out;
  }
  /// This shape without its leading axis.
  [[gnu::noinline]] constexpr Shape without_batch() const {
    require<ShapeError>(rank_ > 0, "[shape] a scalar has no batch axis");
    return Shape(begin() + 1, end());
  }

  friend constexpr bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int axis = 0; axis < a.rank_; ++axis)
      if (a.extents_[axis] != b.extents_[axis]) return false;
    return true;
  }

  /// "[8,150,150,3]"
  STRATA_COLD std::string to_string() const {
    std::string out = "[";
    for (int axis = 0; axis < rank_; ++axis) {
      if (axis > 0) out += ',';
      out += std::to_string(extents_[axis]);
    }
    out += ']';
    return out;
  }

 private:
  std::int64_t extents_[max_rank] = {};
  int rank_ = 0;
};

}}  // namespace strata::STRATA_ABI
