#include <catch2/catch.hpp>

#include <atomic>
#include <stdexcept>
#include <thread>

#include <strata/tensor/activation.hpp>
#include <strata/tensor/packed_weights.hpp>

using namespace strata;

namespace {
int number(const std::shared_ptr<const void>& packed) {
  return *static_cast<const int*>(packed.get());
}
}  // namespace

TEST_CASE("A weight is packed once per key and version") {
  PackedWeights packed;
  int made = 0;
  const auto make = [&](auto) { return std::make_shared<const int>(++made); };
  CHECK(number(packed.get(1, 10, make)) == 1);
  CHECK(number(packed.get(1, 10, make)) == 1);
  CHECK(number(packed.get(2, 10, make)) == 2);  // another way of packing
  CHECK(number(packed.get(1, 10, make)) == 1);
  const auto held = packed.get(1, 10, make);
  CHECK(number(packed.get(1, 11, make)) == 3);  // the weight changed
  CHECK(number(packed.get(1, 11, make)) == 3);
  CHECK(number(held) == 1);  // whoever still reads the old one may finish
  CHECK(number(packed.get(2, 11, make)) == 4);
  packed.clear();
  CHECK(number(packed.get(1, 11, make)) == 5);

  std::shared_ptr<const void> seen;
  const auto again = [&](std::shared_ptr<const void> before) { return seen = std::move(before); };
  const void* const memory = packed.get(1, 11, make).get();
  CHECK(packed.get(1, 12, again).get() == memory);  // its memory, used again
  CHECK(packed.get(3, 12, make).get() != memory);
}

TEST_CASE("Packing that fails leaves nothing behind") {
  PackedWeights packed;
  const auto fail = [](auto) -> std::shared_ptr<const void> { throw std::runtime_error("no memory"); };
  const auto make = [](auto) { return std::make_shared<const int>(7); };
  CHECK_THROWS_WITH(packed.get(1, 1, fail), "no memory");
  CHECK(number(packed.get(1, 1, make)) == 7);
  CHECK_THROWS_AS(packed.get(1, 2, fail), std::runtime_error);
  CHECK(number(packed.get(1, 1, make)) == 7);
  CHECK_THROWS_AS(packed.get(1, 2, fail), std::runtime_error);
  const auto again = [](auto) { return std::make_shared<const int>(8); };
  CHECK(number(packed.get(1, 2, again)) == 8);
}

TEST_CASE("Threads that ask at once share one packing") {
  PackedWeights packed;
  std::atomic<int> made{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&] {
      for (std::uint64_t key = 0; key < 200; ++key)
        if (number(packed.get(key, 1, [&](auto) {
              ++made;
              return std::make_shared<const int>(static_cast<int>(key));
            })) != static_cast<int>(key))
          ++wrong;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(made == 200);
  CHECK(wrong == 0);
}

TEST_CASE("Activations compare by kind and slope and carry Keras's names") {
  CHECK(Activation{} == Activation::linear);
  CHECK(Activation::leaky_relu(0.1) != Activation::leaky_relu(0.2));
  CHECK(Activation::leaky_relu().negative_slope == 0.2);
  CHECK(Activation::leaky_relu(0) == Activation::relu);
  CHECK_THROWS_WITH(Activation::leaky_relu(-1),
                    "[leaky_relu] expected a negative_slope of 0 or more, found -1");
  CHECK(name_of(Activation::relu) == "relu");
  CHECK(name_of(Activation::leaky_relu(0.3)) == "leaky_relu");
  CHECK(name_of(Activation::softmax) == "softmax");
}

TEST_CASE("An activation is named by a text as Keras names it, and has its defaults") {
  for (const std::string_view name : activation_names) CHECK(name_of(activation(name)) == name);
  const Activation silu = "silu";
  CHECK(silu == Activation::silu);
  CHECK(activation("swish") == Activation::silu);
  CHECK(activation("leaky_relu") == Activation::leaky_relu(0.2));
  CHECK_THROWS_AS(activation("rleu"), ConfigError);
  CHECK_THROWS_WITH(
      Activation("rleu"),
      "[activation] 'rleu' is not an activation; there are linear, relu, leaky_relu, elu, sigmoid, "
      "tanh, relu6, silu, gelu, selu, softplus, softsign, hard_sigmoid, mish, softmax");
}
