#include <catch2/catch.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include <strata/tensor/backend.hpp>
#include <strata/tensor/tensor.hpp>

#include "support/counting_memory.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using strata_test::reference_device;

TEST_CASE("A new tensor is zero, or what it is given") {
  const Tensor<float> zeros({2, 3});
  CHECK(zeros.shape() == Shape{2, 3});
  CHECK(zeros.size() == 6);
  CHECK(zeros.bytes() == 24);
  CHECK(zeros.device() == nullptr);
  for (const float value : zeros.values()) CHECK(value == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(zeros.data()) % 64 == 0);

  const Tensor<std::int32_t> t({2, 2}, {1, 2, 3, 4});
  CHECK(t(0, 1) == 2);
  CHECK(t(1, 0) == 3);
  CHECK_THROWS_WITH((Tensor<float>({2, 2}, {1, 2, 3})), "[tensor] shape [2,2] takes 4 values, found 3");
}

TEST_CASE("Empty and scalar tensors") {
  const Tensor<float> none;
  CHECK(none.empty());
  CHECK(none.size() == 0);
  CHECK(none.values().empty());
  const Tensor<float> no_rows({0, 5});
  CHECK(no_rows.empty());
  CHECK(no_rows.shape() == Shape{0, 5});
  CHECK(Tensor<float>(no_rows) == no_rows);
  CHECK(no_rows.slice(0, 0).size() == 0);
  CHECK(no_rows != Tensor<float>({0, 4}));
  Tensor<double> scalar(Shape{}, {2.5});
  CHECK(scalar.size() == 1);
  CHECK(scalar() == 2.5);
}

TEST_CASE("Copies are deep, moves are free") {
  Tensor<float> a({3}, {1, 2, 3});
  Tensor<float> copy = a;
  copy(0) = 9;
  CHECK(a(0) == 1);
  CHECK(copy != a);

  const float* memory = a.data();
  Tensor<float> moved = std::move(a);
  CHECK(moved.data() == memory);
  CHECK(a.empty());  // NOLINT: a moved-from tensor is empty, not unspecified
  CHECK(a.shape() == Shape{0});

  a = moved;
  CHECK(a == moved);
  a = std::move(moved);
  CHECK(a.data() == memory);
  Tensor<float>& same = a;
  a = same;
  CHECK(a == Tensor<float>({3}, {1, 2, 3}));
}

TEST_CASE("Elements are checked") {
  Tensor<float> t({2, 3}, {0, 1, 2, 3, 4, 5});
  CHECK(t(1, 2) == 5);
  CHECK_THROWS_WITH(t(2, 0), "[tensor] [2,0] is not an index into [2,3]");
  CHECK_THROWS_WITH(t(0, -1), "[tensor] [0,-1] is not an index into [2,3]");
  CHECK_THROWS_WITH(t(0), "[tensor] [0] is not an index into [2,3]");
  CHECK_THROWS_AS(t(0, 0, 0), ShapeError);
  CHECK_THROWS_AS(t(0, 0, 0, 0, 0, 0, 0, 0, 0), ShapeError);
}

TEST_CASE("Views share memory") {
  Tensor<float> t({4, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  const TensorView<float> rows = t.slice(1, 3);
  CHECK(rows.shape() == Shape{2, 2});
  CHECK(rows.data() == t.data() + 2);
  rows.data()[0] = 42;
  CHECK(t(1, 0) == 42);
  const TensorView<const float> flat = rows.reshaped({4});
  CHECK(flat.size() == 4);
  CHECK(flat.data() == rows.data());
  CHECK(flat.slice(3, 4).data()[0] == 5);
  CHECK(t.slice(4, 4).size() == 0);
  CHECK_FALSE(TensorView<float>());

  CHECK_THROWS_WITH(t.slice(1, 5), "[slice] [1,5) is not inside the first axis of [4,2]");
  CHECK_THROWS_AS(t.slice(-1, 2), ShapeError);
  CHECK_THROWS_AS(t.slice(3, 2), ShapeError);
  CHECK_THROWS_AS(Tensor<float>(Shape{}).slice(0, 1), ShapeError);
  CHECK_THROWS_WITH(rows.reshaped({3}), "[reshape] [2,2] does not fit into [3]");
}

TEST_CASE("reshape keeps the elements, reinterpret keeps the room") {
  Tensor<float> t({2, 3}, {0, 1, 2, 3, 4, 5});
  CHECK(t.reshape({3, 2})(2, 0) == 4);
  CHECK_THROWS_AS(t.reshape({7}), ShapeError);
  const float* memory = t.data();
  CHECK(t.reinterpret({4}).size() == 4);
  CHECK(t.capacity() == 6);
  CHECK(t.data() == memory);
  CHECK(Tensor<float>(t).capacity() == 4);
  CHECK_THROWS_WITH(t.reinterpret({7}), "[tensor] [7] does not fit into room for 6 elements");
  t.reinterpret({6});
  CHECK(t.size() == 6);
}

TEST_CASE("Sizes beyond memory are errors") {
  CHECK_THROWS_AS(Tensor<float>({std::int64_t{1} << 61}), ShapeError);
  CHECK_THROWS_AS(Tensor<std::uint8_t>({std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError);
}

TEST_CASE("cast converts every element") {
  const Tensor<float> t({4}, {-1.75f, 0, 2.5f, 255});
  CHECK(t.cast<std::int32_t>() == Tensor<std::int32_t>({4}, {-1, 0, 2, 255}));
  CHECK(t.cast<double>() == Tensor<double>({4}, {-1.75, 0, 2.5, 255}));
  CHECK(Tensor<std::uint8_t>({2}, {0, 255}).cast<float>() == Tensor<float>({2}, {0, 255}));
  const Tensor<float> wild({4}, {-1e30f, 256, std::numeric_limits<float>::infinity(), std::nanf("")});
  CHECK(wild.cast<std::uint8_t>() == Tensor<std::uint8_t>({4}, {0, 255, 255, 0}));
  CHECK(wild.cast<std::int8_t>() == Tensor<std::int8_t>({4}, {-128, 127, 127, 0}));
}

TEST_CASE("Tensors move between devices") {
  const DevicePtr device = reference_device({.host_accessible = false}),
                  other = reference_device({.host_accessible = false});
  const Tensor<float> host({2, 2}, {1, 2, 3, 4});
  const Tensor<float> there = host.to(device);
  CHECK(there.device() == device);
  CHECK(there.shape() == host.shape());
  CHECK(there.to(nullptr) == host);
  CHECK(there == host);  // compared on the host
  CHECK(there.to(device) == host);
  CHECK(there.to(other).device() == other);
  CHECK(there.to(other) == host);
  CHECK(there.cast<double>() == host.cast<double>());

  Tensor<float> copy = there;  // stays on the device
  CHECK(copy.device() == device);
  CHECK(copy.data() != there.data());
  CHECK(copy == there);
  const Tensor<float> moved = std::move(copy);
  CHECK(moved.device() == device);
  CHECK(copy.empty());  // NOLINT

  const Tensor<float> zeros({3}, device);
  CHECK(zeros == Tensor<float>({3}));
  const Tensor<float> none = Tensor<float>({0, 3}).to(device);
  CHECK(none.to(nullptr).shape() == Shape{0, 3});

  const std::string message = "[tensor] the elements are on a device; copy them with to(nullptr) first";
  CHECK_THROWS_WITH(there.values(), message);
  CHECK_THROWS_WITH(there(0, 0), message);
  Tensor<float> writable = host.to(device);
  CHECK_THROWS_AS(writable.values(), DeviceError);
}

TEST_CASE("A device that shares the host's memory holds host tensors") {
  const Tensor<float> t = Tensor<float>({2}, {1, 2}).to(reference_device());
  CHECK(t.device() == nullptr);
  CHECK(t(1) == 2);
}

TEST_CASE("Fresh device memory is not mistaken for zeros") {
  const DevicePtr device = reference_device({.host_accessible = false});
  const Tensor<float> t = Tensor<float>::uninitialized({8}, device).to(nullptr);
  for (const float value : t.values()) CHECK(std::isnan(value));
}

TEST_CASE("The reference device refuses host pointers") {
  const DevicePtr device = reference_device({.host_accessible = false});
  const Tensor<float> host({4});
  Tensor<float> there({4}, device);
  CHECK_THROWS_AS(device->make_backend<float>()->axpy(4, 1, host.data(), there.data()), DeviceError);
  float value = 0;
  CHECK_THROWS_AS(device->fill_zero(&value, sizeof value), DeviceError);
}

namespace {
struct Nothing final : Device {
  std::string description() const override { return "nothing"; }
  bool host_accessible() const override { return true; }
  void* allocate(std::size_t) override { throw DeviceError("[nothing] no memory"); }
  void deallocate(void*, std::size_t) noexcept override {}
  void copy_from_host(void*, const void*, std::size_t) override {}
  void copy_to_host(void*, const void*, std::size_t) override {}
  void copy(void*, const void*, std::size_t) override {}
  void fill_zero(void*, std::size_t) override {}
  void synchronize() override {}
};
}  // namespace

TEST_CASE("A device without a backend says so") {
  Nothing device;
  CHECK_THROWS_WITH(device.make_backend<float>(), "[device] nothing does not compute in float");
  CHECK_THROWS_WITH(device.make_backend<double>(), "[device] nothing does not compute in double");
  CHECK(device.threads() == nullptr);
  CHECK(device.host_memory() == nullptr);
}

TEST_CASE("Rows are a copy in host memory, of a tensor anywhere") {
  const Tensor<float> x({3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor<float> expected({2, 2}, {3, 4, 5, 6});
  for (const DevicePtr& device : {DevicePtr(), reference_device()}) {
    const Tensor<float> rows = x.to(device).rows(1, 3);
    CHECK_FALSE(rows.device());
    CHECK(rows == expected);
    CHECK(x.to(device).rows(3, 3).shape() == Shape{0, 2});
    CHECK_THROWS_AS(x.to(device).rows(2, 4), ShapeError);
  }
}

TEST_CASE("A host tensor moves into other memory of the host, and copies of it do not lie there") {
  const auto memory = std::make_shared<strata_test::CountingMemory>(2);
  const Tensor<float> expected({3}, {1, 2, 3});
  {
    Tensor<float> x = expected;
    x.reinterpret({2}).move_to(memory);
    CHECK(x == Tensor<float>({2}, {1, 2}));
    CHECK(x.capacity() == 2);
    CHECK(memory->holds(x.data()));
    CHECK(x.device() == nullptr);
    const float* const place = x.data();
    Tensor<float> y = std::move(x);
    CHECK(y.data() == place);
    x = expected;
    CHECK_FALSE(memory->holds(x.data()));
    std::swap(x, y);
    CHECK(x.data() == place);
    CHECK_FALSE(memory->holds(Tensor<float>(x).data()));
    CHECK_FALSE(memory->holds(x.to(nullptr).data()));

    y.move_to(memory);
    CHECK(y == expected);
    CHECK(memory->blocks() == 2);
    y = expected;
    CHECK(memory->blocks() == 1);
    y.move_to(memory);  // which is full
    CHECK(y == expected);
    y.move_to(nullptr);
    CHECK(y == expected);
    const DevicePtr device = reference_device({.host_accessible = false});
    Tensor<float> there = expected.to(device);
    there.move_to(std::make_shared<strata_test::CountingMemory>());
    CHECK(there.device() == device);
    CHECK(there == expected);
    Tensor<float> none;
    none.move_to(memory);
    CHECK(none.empty());
  }
  CHECK(memory->blocks() == 0);
  CHECK_FALSE(memory->wrong());
}
