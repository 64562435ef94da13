#include <catch2/catch.hpp>

#include <vector>

#include <strata/core/shape.hpp>

using namespace strata;

TEST_CASE("A shape knows its extents") {
  const Shape shape{8, 150, 150, 3};
  CHECK(shape.rank() == 4);
  CHECK(shape.size() == 540000);
  CHECK(shape[0] == 8);
  CHECK(shape[3] == 3);
  CHECK(shape[-1] == 3);
  CHECK(shape[-4] == 8);
  CHECK(shape.back() == 3);
  CHECK(shape.to_string() == "[8,150,150,3]");
  CHECK(std::vector<std::int64_t>(shape.begin(), shape.end()) == std::vector<std::int64_t>{8, 150, 150, 3});
  CHECK_FALSE(shape.empty());
}

TEST_CASE("A scalar has no axes and one element") {
  const Shape scalar;
  CHECK(scalar.rank() == 0);
  CHECK(scalar.size() == 1);
  CHECK(scalar.empty());
  CHECK(scalar.to_string() == "[]");
  CHECK_THROWS_AS(scalar.without_batch(), ShapeError);
  CHECK(scalar.with_batch(4) == Shape{4});
}

TEST_CASE("Shapes compare by rank and extents") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(Shape{} != Shape{1});
}

TEST_CASE("The batch axis comes and goes") {
  CHECK(Shape{150, 150, 3}.with_batch(20) == Shape{20, 150, 150, 3});
  CHECK(Shape{20, 150, 150, 3}.without_batch() == Shape{150, 150, 3});
  CHECK(Shape{7}.without_batch() == Shape{});
}

TEST_CASE("A shape is rows of its last axis") {
  CHECK(Shape{2, 3, 4}.rows() == 6);
  CHECK(Shape{5}.rows() == 1);
  CHECK(Shape{7, 0}.rows() == 0);
  CHECK(Shape{0, 3}.rows() == 0);
  CHECK_THROWS_AS(Shape{}.rows(), ShapeError);
}

TEST_CASE("Shapes refuse what no array has") {
  CHECK_THROWS_WITH((Shape{2, -3}), "[shape] axis 1 has the negative extent -3");
  CHECK_THROWS_WITH((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), "[shape] at most 8 axes are supported");
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1}.with_batch(1)), ShapeError);
  const std::vector<std::int64_t> file{3, 224, -1};
  CHECK_THROWS_AS(Shape(file.begin(), file.end()), ShapeError);
}

TEST_CASE("The size of a shape never overflows silently") {
  const std::int64_t big = std::int64_t{1} << 32;
  CHECK_THROWS_WITH((Shape{big, big}.size()),
                    "[shape] [4294967296,4294967296] has more elements than 63 bits can count");
  CHECK((Shape{big, big >> 2}.size()) == std::int64_t{1} << 62);
  CHECK((Shape{big, 0}.size()) == 0);
  CHECK((Shape{0, 5}.size()) == 0);
}
