#pragma once

#include <cstring>
#include <initializer_list>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <strata/core/host_memory.hpp>
#include <strata/core/shape.hpp>
#include <strata/tensor/device.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A shaped window on memory somebody else owns; `TensorView<const T>` only reads. Copying it copies no data.
template <class T>
class TensorView {
 public:
  TensorView() = default;
  TensorView(T* data, Shape shape) : data_(data), shape_(shape) {}
  operator TensorView<const T>() const { return {data_, shape_}; }

  T* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  std::int64_t size() const { return shape_.size(); }
  explicit operator bool() const { return data_ != nullptr; }

  /// The same elements under another shape. Throws ShapeError where the counts differ.
  TensorView reshaped(Shape shape) const {
    require<ShapeError>(shape.size() == size(), "[reshape] ", shape_, " does not fit into ", shape);
    return {data_, shape};
  }
  /// Entries [begin, end) along the first axis.
  TensorView slice(std::int64_t begin, std::int64_t end) const {
    require<ShapeError>(shape_.rank() > 0 && begin >= 0 && begin <= end && end <= shape_[0], "[slice] [",
                        begin, ",", end, ") is not inside the first axis of ", shape_);
    Shape shape = shape_;
    shape[0] = end - begin;
    return {data_ + (shape_[0] ? begin * (size() / shape_[0]) : 0), shape};
  }

 private:
  T* data_ = nullptr;
  Shape shape_;
};

/// A dense array with value semantics: copies are deep, moves are free. Lives in host memory or on a device.
///
/// T is float or double for arithmetic; uint8_t, int32_t and int64_t are for storage, copies and casts.
template <class T>
class Tensor {
 public:
  Tensor() = default;

  /// Zeros of `shape` on `device` (null: host memory).
  explicit Tensor(Shape shape, DevicePtr device = nullptr) : Tensor(uninitialized(shape, std::move(device))) {
    if (!data_) return;
    if (device_)
      device_->fill_zero(data_, bytes());
    else
      std::memset(static_cast<void*>(data_), 0, bytes());
  }
  /// Host tensor with the given values in row-major order. Throws ShapeError where the count does not fit.
  Tensor(Shape shape, std::span<const T> values) : Tensor(uninitialized(shape)) {
    require<ShapeError>(static_cast<std::int64_t>(values.size()) == size(), "[tensor] shape ", shape,
                        " takes ", size(), " values, found ", values.size());
    T* to = data_;
    for (const T value : values) *to++ = value;
  }
  Tensor(Shape shape, std::initializer_list<T> values)
      : Tensor(shape, std::span<const T>(values.begin(), values.size())) {}

  /// Memory as it comes: for buffers that are written before they are read. Throws DeviceError where there is
  /// none left.
  static Tensor uninitialized(Shape shape, DevicePtr device = nullptr) {
    Tensor out;
    if (device && device->host_accessible()) device = nullptr;
    out.shape_ = shape;
    out.device_ = std::move(device);
    const std::int64_t count = shape.size();
    require<ShapeError>(
        count <= std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(sizeof(T)), "[tensor] ",
        shape, " does not fit into memory");
    out.capacity_ = count;
    if (count > 0) out.data_ = static_cast<T*>(out.allocate());
    return out;
  }

  Tensor(const Tensor& other) : Tensor(uninitialized(other.shape_, other.device_)) {
    if (!data_) return;
    if (device_)
      device_->copy(data_, other.data_, bytes());
    else
      std::memcpy(static_cast<void*>(data_), other.data_, bytes());
  }
  Tensor(Tensor&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)),
        shape_(std::exchange(other.shape_, Shape{0})),
        device_(std::move(other.device_)),
        memory_(std::move(other.memory_)) {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(shape_, other.shape_);
    std::swap(device_, other.device_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~Tensor() { release(); }

  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  std::int64_t size() const { return shape_.size(); }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * sizeof(T); }
  bool empty() const { return data_ == nullptr; }
  /// Elements there is room for.
  std::int64_t capacity() const { return capacity_; }
  /// Null for host memory.
  const DevicePtr& device() const { return device_; }

  T* data() { return data_; }
  const T* data() const { return data_; }

  /// All elements, row-major. Throws DeviceError where the host cannot reach them (see `to`).
  std::span<T> values() { return {host(data_), static_cast<std::size_t>(size())}; }
  std::span<const T> values() const { return {host(data_), static_cast<std::size_t>(size())}; }

  /// One element of a host tensor. Throws ShapeError for indices outside the shape.
  template <class... Index>
  T& operator()(Index... index) {
    return host(data_)[offset({static_cast<std::int64_t>(index)...})];
  }
  template <class... Index>
  const T& operator()(Index... index) const {
    return host(data_)[offset({static_cast<std::int64_t>(index)...})];
  }

  TensorView<T> view() { return {data_, shape_}; }
  TensorView<const T> view() const { return {data_, shape_}; }
  operator TensorView<T>() { return view(); }
  operator TensorView<const T>() const { return view(); }
  TensorView<T> slice(std::int64_t begin, std::int64_t end) { return view().slice(begin, end); }
  TensorView<const T> slice(std::int64_t begin, std::int64_t end) const { return view().slice(begin, end); }

  /// Entries [begin, end) along the first axis, copied to the host. Throws ShapeError where they are not
  /// there.
  Tensor rows(std::int64_t begin, std::int64_t end) const {
    if (device_) return to(nullptr).rows(begin, end);
    const TensorView<const T> from = slice(begin, end);
    return {from.shape(), std::span(from.data(), static_cast<std::size_t>(from.size()))};
  }

  /// The same elements under another shape; the count must not change.
  Tensor& reshape(Shape shape) {
    require<ShapeError>(shape.size() == size(), "[reshape] ", shape_, " does not fit into ", shape);
    shape_ = shape;
    return *this;
  }

  /// Any shape that fits the capacity; the values are then unspecified. For buffers that are used again.
  Tensor& reinterpret(Shape shape) {
    require<ShapeError>(shape.size() <= capacity_, "[tensor] ", shape, " does not fit into room for ",
                        capacity_, " elements");
    shape_ = shape;
    return *this;
  }

  /// Moves a host tensor into `memory`, from where its device uploads without a copy in between; where there
  /// is none left, or for null, it stays. Copies of it are in ordinary memory. Throws what `memory` throws.
  void move_to(const std::shared_ptr<HostMemory>& memory) {
    if (!data_ || device_ || !memory) return;
    void* const there = memory->allocate(bytes());
    if (!there) return;
    std::memcpy(there, data_, bytes());
    release();
    data_ = static_cast<T*>(there);
    capacity_ = size();
    memory_ = memory;
  }

  /// A copy on `device` (null or any host-accessible device: host memory).
  Tensor to(const DevicePtr& device) const {
    Tensor out = uninitialized(shape_, device);
    if (!data_) return out;
    if (out.device_ == device_) return *this;
    if (device_ && out.device_) return to(nullptr).to(device);
    if (device_)
      device_->copy_to_host(out.data_, data_, bytes());
    else
      out.device_->copy_from_host(out.data_, data_, bytes());
    return out;
  }

  /// A host copy with every element converted to `U`; integers are cut to their range, and NaN becomes 0.
  template <class U>
  Tensor<U> cast() const {
    if (device_) return to(nullptr).template cast<U>();
    Tensor<U> out = Tensor<U>::uninitialized(shape_);
    const auto convert = [](T value) {
      if constexpr (std::is_floating_point_v<T> && std::is_integral_v<U>) {
        using Limits = std::numeric_limits<U>;
        if (!(value > static_cast<T>(Limits::min()))) return value != value ? U(0) : Limits::min();
        if (value >= static_cast<T>(Limits::max())) return Limits::max();
      }
      return static_cast<U>(value);
    };
    for (std::int64_t i = 0; i < size(); ++i) out.data()[i] = convert(data_[i]);
    return out;
  }

  /// Equal shapes and equal elements, on the host.
  friend bool operator==(const Tensor& a, const Tensor& b) {
    if (a.device_ || b.device_) return a.to(nullptr) == b.to(nullptr);
    if (a.shape_ != b.shape_) return false;
    for (std::int64_t i = 0; i < a.size(); ++i)
      if (a.data_[i] != b.data_[i]) return false;
    return true;
  }

 private:
  std::size_t capacity_bytes() const { return static_cast<std::size_t>(capacity_) * sizeof(T); }
  void* allocate() const {
    if (device_) return device_->allocate(capacity_bytes());
    void* memory = allocate_host(capacity_bytes());
    require<OutOfMemoryError>(memory != nullptr, "[tensor] there is no memory for the ", capacity_bytes(),
                              " bytes of a tensor of shape ", shape_);
    return memory;
  }
  void release() noexcept {
    if (!data_) return;
    if (device_)
      device_->deallocate(data_, capacity_bytes());
    else if (memory_)
      memory_->deallocate(data_, capacity_bytes());
    else
      free_host(data_);
    data_ = nullptr;
  }
  template <class Pointer>
  Pointer host(Pointer pointer) const {
    require<DeviceError>(!device_, "[tensor] the elements are on a device; copy them with to(nullptr) first");
    return pointer;
  }
  std::int64_t offset(std::initializer_list<std::int64_t> index) const {
    bool inside = static_cast<int>(index.size()) == shape_.rank();
    std::int64_t position = 0;
    int axis = 0;
    for (const std::int64_t i : index) {
      inside = inside && i >= 0 && i < shape_[axis];
      if (!inside) break;
      position = position * shape_[axis++] + i;
    }
    if (!inside) [[unlikely]] {
      std::string text;
      for (const std::int64_t i : index) {
        if (!text.empty()) text += ',';
        text += std::to_string(i);
      }
      throw ShapeError(concat("[tensor] [", text, "] is not an index into ", shape_));
    }
    return position;
  }

  T* data_ = nullptr;
  std::int64_t capacity_ = 0;
  Shape shape_{0};
  DevicePtr device_;
  std::shared_ptr<HostMemory> memory_;  // null for ordinary memory of the host
};

#if !STRATA_HEADER_ONLY
extern template class Tensor<float>;
#endif

}}  // namespace strata::STRATA_ABI
