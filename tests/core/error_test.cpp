#include <catch2/catch.hpp>

#include <strata/core/error.hpp>
#include <strata/core/function_ref.hpp>
#include <strata/core/shape.hpp>

using namespace strata;

TEST_CASE("A message joins text, numbers and shapes") {
  CHECK(concat("x ", 3, " ", true, " ", 0.5, " ", Shape{8, 150, 150, 3}) == "x 3 true 0.5 [8,150,150,3]");
  CHECK(concat(std::string("a"), std::string_view("b"), "c") == "abc");
  CHECK(concat(std::int64_t{-9223372036854775807 - 1}, " ", 18446744073709551615u) ==
        "-9223372036854775808 18446744073709551615");
  CHECK(concat(1e-7, " ", 2.5f, " ", 1.0 / 3) == "1e-07 2.5 0.333333333");
  CHECK(concat().empty());
}

TEST_CASE("A DeviceError is thrown again as what it was, with more around it") {
  const auto again = [](const auto& error) {
    try {
      throw error;
    } catch (const DeviceError&) {
      detail::rethrow_device_error("before, ", ", after");
    }
  };
  CHECK_THROWS_WITH(again(DeviceError("lost")), "before, lost, after");
  CHECK_THROWS_AS(again(OutOfMemoryError("full")), OutOfMemoryError);
  CHECK_THROWS_WITH(again(OutOfMemoryError("full")), "before, full, after");
  try {
    again(DeviceError("lost"));
  } catch (const OutOfMemoryError&) {
    FAIL("an OutOfMemoryError was made of a DeviceError");
  } catch (const DeviceError&) {
  }
}

TEST_CASE("require throws its own kind of Error, and only when the condition fails") {
  CHECK_NOTHROW(require<ShapeError>(true, "never seen"));
  CHECK_THROWS_WITH(require<ShapeError>(false, "[conv2d] expected ", 3, " channels, found ", 4),
                    "[conv2d] expected 3 channels, found 4");
  CHECK_THROWS_AS(require<WeightError>(false), WeightError);
  CHECK_THROWS_AS(require<DataError>(false), Error);
  CHECK_THROWS_AS(require<DeviceError>(false), std::runtime_error);
  try {
    require<ConfigError>(false, "units");
    FAIL("nothing was thrown");
  } catch (const ShapeError&) {
    FAIL("a ConfigError is not a ShapeError");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()) == "units");
  }
}

TEST_CASE("FunctionRef borrows any callable") {
  int calls = 0;
  const auto count = [&](int by) { return calls += by; };
  const FunctionRef<int(int)> ref = count;
  CHECK(ref(2) == 2);
  const FunctionRef<int(int)> copy = ref;
  CHECK(copy(3) == 5);
  struct Counter {
    int total = 0;
    void operator()(int by) { total += by; }
  } counter;
  const FunctionRef<void(int)> member = counter;  // by reference, not by copy
  member(4);
  CHECK(counter.total == 4);
  const FunctionRef<double(int)> converted = count;
  CHECK(converted(1) == 6.0);
}
