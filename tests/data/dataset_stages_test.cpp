#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <new>
#include <stdexcept>
#include <thread>

#include <strata/core/random.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/data/prefetch.hpp>

#include "support/golden.hpp"

using namespace strata;
using Catch::Matchers::Contains;

namespace {

using Batches = std::vector<std::vector<std::int64_t>>;

/// Samples 0, 1, 2, ... with y = -x and sample_weight = x + 0.5.
Dataset numbers(std::int64_t count, std::int64_t batch_size) {
  Tensor<float> x({count, 1}), y({count}), weight({count});
  for (std::int64_t i = 0; i < count; ++i) {
    x(i, 0) = static_cast<float>(i);
    y(i) = -x(i, 0);
    weight(i) = x(i, 0) + 0.5F;
  }
  return dataset_from_tensors(x, y, {.batch_size = batch_size, .sample_weight = weight});
}

std::vector<std::int64_t> numbers_in(const Batch& batch) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    REQUIRE(batch.y(i) == -batch.x(i, 0));
    REQUIRE(batch.sample_weight(i) == batch.x(i, 0) + 0.5F);
    out.push_back(static_cast<std::int64_t>(batch.x(i, 0)));
  }
  return out;
}

Batches batches_of(const Dataset& dataset, std::int64_t pass = 0) {
  Batches out;
  for (std::int64_t i = 0; i < dataset.batches(); ++i)
    out.push_back(numbers_in(dataset.batch(pass * dataset.batches() + i)));
  return out;
}

bool same(const Batch& a, const Batch& b) {
  const auto warps_agree = std::equal(
      a.warps.begin(), a.warps.end(), b.warps.begin(), b.warps.end(), [](const auto& v, const auto& w) {
        return std::equal(v.matrix, v.matrix + 6, w.matrix) && v.flip_horizontal == w.flip_horizontal;
      });
  return a.x == b.x && a.pixels == b.pixels && a.y == b.y && a.sample_weight == b.sample_weight &&
         a.scaling == b.scaling && a.sampling == b.sampling && warps_agree;
}

/// Twelve pictures with labels; every pass draws their warps anew.
Dataset pictures() {
  Tensor<std::uint8_t> pixels({12, 4, 6, 3});
  Tensor<float> y({12, 1});
  for (std::int64_t i = 0; i < pixels.size(); ++i)
    pixels.data()[i] =
        static_cast<std::uint8_t>(RandomStream(2, Purpose::user).bits(static_cast<std::uint64_t>(i)));
  for (std::int64_t i = 0; i < 12; ++i) y(i, 0) = static_cast<float>(i);
  return ImageDataGenerator({.rotation_range = 30, .horizontal_flip = true, .rescale = 0.5})
      .flow(pixels, y, {.batch_size = 5, .shuffle = false, .seed = 3});
}

}  // namespace

TEST_CASE("take, skip, repeat and rebatch count batches", "[data][dataset]") {
  const Dataset seven = numbers(7, 3);
  CHECK(batches_of(seven.take(2)) == Batches{{0, 1, 2}, {3, 4, 5}});
  CHECK(batches_of(seven.take(5)) == Batches{{0, 1, 2}, {3, 4, 5}, {6}});
  CHECK(batches_of(seven.skip(1)) == Batches{{3, 4, 5}, {6}});
  CHECK(batches_of(seven.skip(0)) == batches_of(seven));
  CHECK(batches_of(seven.rebatch(4)) == Batches{{0, 1, 2, 3}, {4, 5, 6}});
  CHECK(batches_of(seven.rebatch(9)) == Batches{{0, 1, 2, 3, 4, 5, 6}});
  CHECK(batches_of(seven.repeat(2)) == Batches{{0, 1, 2}, {3, 4, 5}, {6}, {0, 1, 2}, {3, 4, 5}, {6}});
  CHECK(batches_of(seven.repeat(2).skip(2).take(2)) == Batches{{6}, {0, 1, 2}});
  CHECK(batches_of(seven.repeat(2).skip(2).take(2), 4) == Batches{{6}, {0, 1, 2}});
  CHECK(batches_of(seven.repeat(2).rebatch(5)) == Batches{{0, 1, 2, 3, 4}, {5, 6, 0, 1, 2}, {3, 4, 5, 6}});
  CHECK(batches_of(seven.rebatch(1).take(4).rebatch(3)) == Batches{{0, 1, 2}, {3}});

  const Dataset some = seven.repeat(2).skip(2).take(2);
  CHECK(some.samples() == 4);
  CHECK(some.batches() == 2);
  CHECK(some.batch_size() == 3);
  CHECK(some.element_shape() == Shape{1});
}

TEST_CASE("Chains of stages have tf.data's batches in every pass", "[data][dataset][golden]") {
  const strata_test::Golden golden("stages");
  for (const Json& chain : golden.cases()) {
    const auto count = chain.get<std::int64_t>("samples");
    Tensor<float> x({count, 1});
    for (std::int64_t i = 0; i < count; ++i) x(i, 0) = static_cast<float>(i);
    Dataset dataset = dataset_from_tensors(x, {}, {.batch_size = chain.get<std::int64_t>("batch_size")});
    std::string stages = concat(count, " samples");
    for (const Json& stage : chain.at("stages").as_array()) {
      const auto name = stage.at(0).as<std::string>();
      const auto n = stage.at(1).as<std::int64_t>();
      stages += concat(", ", name, " ", n);
      if (name == "take") dataset = dataset.take(n);
      if (name == "skip") dataset = dataset.skip(n);
      if (name == "repeat") dataset = dataset.repeat(n);
      if (name == "rebatch") dataset = dataset.rebatch(n);
      if (name == "cache") dataset = dataset.cache();
      if (name == "map")
        dataset = dataset.map([](Batch batch) {
          for (float& value : batch.x.values()) value = 2 * value + 1;
          return batch;
        });
    }
    INFO(stages);
    const auto sizes = golden.read<std::int32_t>(chain, "sizes");
    const auto samples = golden.read<std::int32_t>(chain, "samples").cast<float>();
    REQUIRE(dataset.batches() == sizes.size());
    REQUIRE(dataset.samples() == samples.size());
    for (std::int64_t draw = 0, row = 0; draw < 3 * sizes.size(); ++draw) {
      if (draw % sizes.size() == 0) row = 0;
      const Batch batch = dataset.batch(draw);
      REQUIRE(batch.size() == sizes(draw % sizes.size()));
      for (std::int64_t i = 0; i < batch.size(); ++i) REQUIRE(batch.x(i, 0) == samples(row++));
    }
  }
}

TEST_CASE("shuffle permutes the samples of each pass", "[data][dataset]") {
  const Dataset shuffled = numbers(10, 4).shuffle(5);
  for (const std::int64_t pass : {0, 1, 7}) {
    const auto order = RandomStream(5, Purpose::shuffle, 0, static_cast<std::uint64_t>(pass)).permutation(10);
    const Batches expected{{order.begin(), order.begin() + 4},
                           {order.begin() + 4, order.begin() + 8},
                           {order.begin() + 8, order.end()}};
    CHECK(batches_of(shuffled, pass) == expected);
    CHECK(batches_of(shuffled.take(1), pass) == Batches{expected[0]});
    CHECK(batches_of(shuffled.skip(2), pass) == Batches{expected[2]});
    CHECK(batches_of(shuffled.pass(pass)) == expected);
    CHECK(batches_of(shuffled.cache(), pass) == batches_of(shuffled));
    CHECK(batches_of(numbers(10, 4).shuffle(5, false), pass) == batches_of(shuffled));
  }
  CHECK(batches_of(shuffled, 0) != batches_of(shuffled, 1));
  CHECK(batches_of(shuffled) != batches_of(numbers(10, 4).shuffle(6)));
}

TEST_CASE("a split of a fixed shuffle keeps its sides apart", "[data][dataset]") {
  const Dataset all = numbers(12, 3).shuffle(1, false), train = all.take(3).shuffle(2), rest = all.skip(3);
  for (std::int64_t pass = 0; pass < 3; ++pass) {
    std::vector<std::int64_t> seen;
    for (const Dataset& side : {train, rest})
      for (const auto& batch : batches_of(side, pass)) seen.insert(seen.end(), batch.begin(), batch.end());
    std::sort(seen.begin(), seen.end());
    for (std::size_t i = 0; i < 12; ++i) REQUIRE(seen[i] == static_cast<std::int64_t>(i));
    CHECK(batches_of(rest, pass) == batches_of(rest));
  }
}

TEST_CASE("stages compose in any order as plain lists of batches do", "[data][dataset]") {
  /// What a dataset is: the batches of each pass.
  using Plain = std::function<Batches(std::int64_t pass)>;
  const auto flat = [](const Batches& batches) {
    std::vector<std::int64_t> out;
    for (const auto& batch : batches) out.insert(out.end(), batch.begin(), batch.end());
    return out;
  };
  const RandomStream random(11, Purpose::user);
  std::uint64_t drawn = 0;
  const auto below = [&](std::uint32_t bound) { return std::int64_t{random.below(bound, drawn++)}; };
  for (int chain = 0; chain < 300; ++chain) {
    const std::int64_t count = 1 + below(13), size = 1 + below(5);
    Dataset dataset = numbers(count, size);
    Plain plain = [=](std::int64_t) {
      Batches out(static_cast<std::size_t>((count + size - 1) / size));
      for (std::int64_t i = 0; i < count; ++i) out[static_cast<std::size_t>(i / size)].push_back(i);
      return out;
    };
    std::string stages = concat(count, " by ", size);
    for (std::int64_t stage = 1 + below(5); stage > 0; --stage) {
      const Plain before = plain;
      const std::int64_t n = 1 + below(4);
      switch (below(7)) {
        case 0:
          stages += concat(" take ", n);
          dataset = dataset.take(n);
          plain = [=](std::int64_t pass) {
            Batches out = before(pass);
            out.resize(std::min(out.size(), static_cast<std::size_t>(n)));
            return out;
          };
          break;
        case 1:
          if (n >= dataset.batches()) break;
          stages += concat(" skip ", n);
          dataset = dataset.skip(n);
          plain = [=](std::int64_t pass) {
            const Batches out = before(pass);
            return Batches(out.begin() + n, out.end());
          };
          break;
        case 2:
          stages += concat(" repeat ", n);
          dataset = dataset.repeat(n);
          plain = [=](std::int64_t pass) {
            Batches out;
            for (std::int64_t i = 0; i < n; ++i)
              for (const auto& batch : before(pass * n + i)) out.push_back(batch);
            return out;
          };
          break;
        case 3:
          stages += concat(" rebatch ", n);
          dataset = dataset.rebatch(n);
          plain = [=](std::int64_t pass) {
            Batches out;
            for (const std::int64_t number : flat(before(pass))) {
              if (out.empty() || std::ssize(out.back()) == n) out.emplace_back();
              out.back().push_back(number);
            }
            return out;
          };
          break;
        case 4:
          stages += concat(" shuffle ", n);
          dataset = dataset.shuffle(static_cast<std::uint64_t>(n));
          plain = [=](std::int64_t pass) {
            Batches out = before(pass);
            const auto samples = flat(out);
            const RandomStream stream(static_cast<std::uint64_t>(n), Purpose::shuffle, 0,
                                      static_cast<std::uint64_t>(pass));
            const auto order = stream.permutation(std::ssize(samples));
            std::size_t place = 0;
            for (auto& batch : out)
              for (std::int64_t& number : batch) number = samples[static_cast<std::size_t>(order[place++])];
            return out;
          };
          break;
        case 5:
          stages += " cache";
          dataset = dataset.cache();
          plain = [=](std::int64_t) { return before(0); };
          break;
        default:
          stages += concat(" pass ", n);
          dataset = dataset.pass(n);
          plain = [=](std::int64_t pass) { return before(pass + n); };
      }
    }
    INFO(stages);
    for (const std::int64_t pass : {0, 1, 2, 5}) {
      const Batches expected = plain(pass);
      REQUIRE(dataset.batches() == std::ssize(expected));
      REQUIRE(dataset.samples() == std::ssize(flat(expected)));
      REQUIRE(batches_of(dataset, pass) == expected);
    }
  }
}

TEST_CASE("map changes batches and may change their shape", "[data][dataset]") {
  const Dataset tripled = numbers(5, 2).map([](Batch batch) {
    Tensor<float> x({batch.size(), 3});
    for (std::int64_t i = 0; i < batch.size(); ++i)
      for (std::int64_t k = 0; k < 3; ++k) x(i, k) = batch.x(i, 0) + static_cast<float>(10 * k);
    batch.x = x;
    return batch;
  });
  CHECK(tripled.element_shape() == Shape{3});
  CHECK(tripled.batch(1).x == Tensor<float>({2, 3}, {2, 12, 22, 3, 13, 23}));
  CHECK(batches_of(tripled.skip(1).rebatch(3)) == Batches{{2, 3, 4}});
}

TEST_CASE("map gets the groups of later stages, a cache its own", "[data][dataset]") {
  const auto centred = [](Batch batch) {  // mixes samples
    float mean = 0;
    for (const float value : batch.x.values()) mean += value / static_cast<float>(batch.size());
    for (float& value : batch.x.values()) value -= mean;
    return batch;
  };
  const Dataset dataset = numbers(8, 2).map(centred);
  CHECK(dataset.skip(1).batch(0).x == Tensor<float>({2, 1}, {-0.5F, 0.5F}));
  CHECK(dataset.rebatch(4).batch(1).x == Tensor<float>({4, 1}, {-1.5F, -0.5F, 0.5F, 1.5F}));
  CHECK(dataset.cache().rebatch(4).batch(1).x == Tensor<float>({4, 1}, {-0.5F, 0.5F, -0.5F, 0.5F}));
  CHECK(dataset.rebatch(4).cache().rebatch(1).batch(7).x == Tensor<float>({1, 1}, {1.5F}));
}

TEST_CASE("Samples come from a function of number and pass", "[data][dataset]") {
  const Dataset dataset = dataset_from_function(5, 2, [](std::int64_t sample, std::int64_t pass) {
    Batch out;
    out.x = Tensor<float>({1, 2}, {static_cast<float>(sample), static_cast<float>(pass)});
    out.y = Tensor<float>({1}, {static_cast<float>(-sample)});
    return out;
  });
  CHECK(dataset.samples() == 5);
  CHECK(dataset.batches() == 3);
  CHECK(dataset.element_shape() == Shape{2});
  CHECK(dataset.batch(1).x == Tensor<float>({2, 2}, {2, 0, 3, 0}));
  CHECK(dataset.batch(5).x == Tensor<float>({1, 2}, {4, 1}));
  CHECK(dataset.batch(5).y == Tensor<float>({1}, {-4}));
  // Two passes as one: the function still sees which is which.
  CHECK(dataset.repeat(2).rebatch(2).batch(7).x == Tensor<float>({2, 2}, {4, 2, 0, 3}));
}

TEST_CASE("Every stage keeps the names of the classes", "[data][dataset]") {
  struct Named final : BatchSource {
    std::int64_t samples() const override { return 4; }
    std::int64_t batch_size() const override { return 2; }
    Shape element_shape() const override { return {1}; }
    Batch gather(std::span<const std::int64_t> draws) const override {
      Batch out;
      out.x = Tensor<float>({std::ssize(draws), 1});
      return out;
    }
    std::vector<std::string> class_names() const override { return {"cats", "dogs"}; }
  };
  const Dataset named(std::make_shared<Named>());
  for (const Dataset& stage :
       {named.map([](Batch batch) { return batch; }), named.shuffle(), named.rebatch(3), named.take(1),
        named.skip(1), named.repeat(2), named.cache(), named.pass(1)})
    CHECK(stage.class_names() == std::vector<std::string>{"cats", "dogs"});
}

TEST_CASE("Targets alone are those of whole batches, at every stage", "[data][dataset]") {
  const auto negated = [](Batch batch) {
    for (float& y : batch.y.values()) y = -y;
    return batch;
  };
  const Tensor<float> x({7, 2}, std::vector<float>(14, 1)), y({7}, {1, 2, 3, 4, 5, 6, 7});
  const Dataset plain = numbers(7, 3), several = dataset_from_tensors({x, x}, {y, x}, {.batch_size = 3});
  for (const Dataset& data :
       {plain, several, several.cache(), pictures(), plain.map(negated),
        plain.map(negated).cache().rebatch(2), plain.shuffle(4), plain.rebatch(2), plain.take(2),
        plain.skip(1), plain.repeat(2).rebatch(4), plain.pass(1), pictures().cache().shuffle(2)})
    for (std::int64_t draw = 0; draw < 2 * data.batches(); ++draw) {
      const Batch whole = data.batch(draw), bare = data.source().targets(data.source().draws_of(draw));
      CHECK(bare.y == whole.y);
      CHECK(bare.other_y == whole.other_y);
      CHECK(bare.sample_weight == whole.sample_weight);
      CHECK((bare.x.empty() && bare.pixels.empty() && bare.other_x.empty() && bare.warps.empty()));
      CHECK(bare.size() == whole.size());
    }
}

TEST_CASE("A range-for goes through one pass", "[data][dataset]") {
  const Dataset dataset = numbers(7, 3).shuffle(4);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    Batches seen;
    for (const Batch& batch : dataset.pass(epoch)) seen.push_back(numbers_in(batch));
    CHECK(seen == batches_of(dataset, epoch));
  }
  Batches first;
  for (const Batch& batch : dataset) {
    first.push_back(numbers_in(batch));
    if (first.size() == 2) break;
  }
  CHECK(first == batches_of(dataset.take(2)));
  CHECK_THROWS_AS(begin(Dataset()), DataError);
}

TEST_CASE("Stages give the same bits on any number of loaders", "[data][dataset]") {
  const auto all = [] {
    return pictures()
        .map([](Batch batch) {
          for (float& y : batch.y.values()) y *= 2;
          return batch;
        })
        .repeat(2)
        .shuffle(6)
        .skip(1)
        .cache()
        .shuffle(7)
        .rebatch(4);
  };
  std::vector<Batch> expected;
  const std::int64_t count = 3 * all().batches();
  for (const int workers : {0, 1, 2, 5}) {
    PrefetchQueue queue(all(), 0, count, 6, workers);
    for (std::int64_t i = 0; i < count; ++i) {
      const Batch batch = queue.next().value();
      if (workers == 0)
        expected.push_back(batch);
      else
        CHECK(same(batch, expected[static_cast<std::size_t>(i)]));
    }
  }
  // And from the middle, as a run that resumes begins.
  PrefetchQueue resumed(all(), 7, count - 7, 6, 2);
  for (std::int64_t i = 7; i < count; ++i)
    CHECK(same(*resumed.next(), expected[static_cast<std::size_t>(i)]));
}

TEST_CASE("Pictures keep their warps and scaling through stages", "[data][dataset]") {
  const Dataset source = pictures();
  const auto one = [&](std::int64_t pass, std::int64_t sample) {
    const std::int64_t draws[] = {12 * pass + sample};
    return source.source().gather(draws);
  };
  const Dataset dataset = source.repeat(2).shuffle(9).rebatch(1);
  for (std::int64_t draw = 0; draw < 48; ++draw) {
    const std::int64_t pass = draw / 24;
    const auto order = RandomStream(9, Purpose::shuffle, 0, static_cast<std::uint64_t>(pass)).permutation(24);
    const std::int64_t place = order[static_cast<std::size_t>(draw % 24)];
    CHECK(same(dataset.batch(draw), one(2 * pass + place / 12, place % 12)));
  }
  CHECK_FALSE(same(one(0, 3), one(1, 3)));  // a pass draws its warps
  CHECK(same(source.cache().rebatch(1).batch(12 + 3), one(0, 3)));
  CHECK(dataset.batch(0).scaling.scale == 0.5F);
  CHECK(dataset.element_shape() == Shape{4, 6, 3});
}

TEST_CASE("A cache loads every batch once, for any number of threads", "[data][dataset]") {
  std::atomic<int> calls{0};
  const Dataset cached = numbers(40, 4)
                             .map([&](Batch batch) {
                               ++calls;
                               std::this_thread::yield();
                               return batch;
                             })
                             .cache();
  CHECK(calls == 1);  // for the shape
  const Dataset shuffled = cached.shuffle(1).rebatch(3);
  PrefetchQueue queue(shuffled, 0, 3 * shuffled.batches(), 8, 5);
  while (queue.next()) {
  }
  CHECK(calls == 11);
  CHECK(batches_of(cached, 5) == batches_of(numbers(40, 4)));

  CHECK_NOTHROW(numbers(40, 4).cache(480).batch(0));  // three floats a sample
  const Dataset large = numbers(40, 4).cache(479);
  CHECK_THROWS_AS(large.batch(0), DataError);
  CHECK_THROWS_WITH(large.batch(0), Contains("[cache]") && Contains("479") && Contains("480"));
}

TEST_CASE("What a cache could not load it loads when asked again", "[data][dataset]") {
  std::atomic<bool> broken{false};
  const Dataset cached = numbers(4, 2)
                             .map([&](Batch batch) {
                               require<DataError>(!broken, "the disk is away");
                               return batch;
                             })
                             .cache();
  broken = true;
  CHECK_THROWS_WITH(cached.batch(1), "[map] the disk is away");
  broken = false;
  CHECK(batches_of(cached) == Batches{{0, 1}, {2, 3}});
}

TEST_CASE("Stages say what is wrong with them", "[data][dataset]") {
  const Dataset dataset = numbers(7, 3);
  CHECK_THROWS_AS(dataset.take(0), ConfigError);
  CHECK_THROWS_WITH(dataset.take(-1), Contains("[take]") && Contains("-1"));
  CHECK_THROWS_AS(dataset.skip(-1), ConfigError);
  CHECK_THROWS_AS(dataset.skip(3), DataError);
  CHECK_THROWS_WITH(dataset.skip(4), Contains("[skip]") && Contains("3 batches") && Contains("4"));
  CHECK_THROWS_AS(dataset.repeat(0), ConfigError);
  CHECK_THROWS_WITH(dataset.repeat(std::int64_t{1} << 62), Contains("[repeat]"));
  CHECK_THROWS_AS(dataset.rebatch(0), ConfigError);
  CHECK_THROWS_AS(dataset.pass(-1), ConfigError);
  CHECK_THROWS_AS(dataset.map(nullptr), ConfigError);
  CHECK_THROWS_AS(dataset_from_function(3, 1, nullptr), ConfigError);
  const auto one = [](std::int64_t, std::int64_t) { return Batch(); };
  CHECK_THROWS_WITH(dataset_from_function(0, 1, one), Contains("[dataset_from_function]") && Contains("0"));
  CHECK_THROWS_AS(dataset_from_function(-1, 1, one), ConfigError);
  CHECK_THROWS_AS(dataset_from_function(1, 0, one), ConfigError);
  CHECK_THROWS_AS(Dataset().take(1), DataError);
  CHECK_THROWS_AS(Dataset().shuffle(), DataError);
}

TEST_CASE("What a user's function throws names its stage", "[data][dataset]") {
  struct Mine : std::runtime_error {
    using runtime_error::runtime_error;
  };
  const auto failing = [](std::int64_t sample, std::int64_t pass) {
    if (sample == 2 && pass == 1) throw Mine("no such cat");
    if (sample == 1 && pass == 1) throw std::bad_alloc();
    Batch out;
    out.x = Tensor<float>({1, 1}, {1});
    if (sample == 2 && pass == 2) out.x = Tensor<float>({1, 2});
    if (sample == 2 && pass == 3) out.y = Tensor<float>({1});
    if (sample == 2 && pass == 4) out.x = Tensor<float>({2, 1});
    if (sample == 2 && pass == 5) out.x = {};
    if (sample == 2 && pass == 6) out.scaling.scale = 2;
    if (sample == 2 && pass == 7) out.warps.resize(1);
    return out;
  };
  const Dataset dataset = dataset_from_function(4, 2, failing);
  CHECK_NOTHROW(dataset.batch(1));
  CHECK_THROWS_AS(dataset.batch(2), std::bad_alloc);
  CHECK_THROWS_WITH(dataset.batch(3), "[dataset_from_function] sample 2 of pass 1: no such cat");
  try {
    dataset.batch(3);
    FAIL("batch 3 is broken");
  } catch (const DataError& error) {
    CHECK_THROWS_AS(std::rethrow_if_nested(error), Mine);
  }
  CHECK_THROWS_WITH(dataset.batch(5), Contains("sample 2") && Contains("[1]") && Contains("[2]"));
  CHECK_THROWS_WITH(dataset.rebatch(4).batch(3), Contains("[dataset_from_function]") && Contains("y"));
  CHECK_THROWS_WITH(dataset.batch(9), Contains("x of 1 sample") && Contains("[2,1]"));
  CHECK_THROWS_WITH(dataset.batch(11), Contains("neither"));
  CHECK_THROWS_AS(dataset.rebatch(4).batch(6), ShapeError);
  CHECK_THROWS_AS(dataset.rebatch(4).batch(7), ShapeError);

  CHECK_THROWS_WITH(dataset.map([](Batch) -> Batch { throw Mine("too dark"); }), "[map] too dark");
  CHECK_THROWS_WITH(dataset.map([](Batch) { return Batch(); }), Contains("[map]") && Contains("neither"));
  const Dataset halved = numbers(4, 4).map([](Batch batch) {
    if (batch.size() > 1) batch.y = Tensor<float>({2});
    return batch;
  });
  CHECK_THROWS_WITH(halved.batch(0), Contains("[map]") && Contains("y of 4 samples") && Contains("[2]"));
  const Dataset grown = numbers(4, 4).map([](Batch batch) {
    batch.x = Tensor<float>({batch.size(), batch.size()});
    return batch;
  });
  CHECK_THROWS_WITH(grown.batch(0), Contains("[map]") && Contains("[1]") && Contains("[4]"));
}
