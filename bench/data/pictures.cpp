// Pictures of the size of Kaggle's cats and dogs on their way from file to network: decoding, resizing,
// augmenting. MB/s counts the bytes that a step reads: of files where it decodes, else of pixels.
#include "../ops/measure.hpp"

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include <strata/applications/book.hpp>
#include <strata/data/image.hpp>
#include <strata/data/prefetch.hpp>
#include <strata/data/resize.hpp>
#include <strata/training/fit.hpp>

namespace {

using namespace strata;
using namespace strata_bench;

constexpr std::int64_t height = 375, width = 500, side = 150, batch_size = 20;

/// Waves of all lengths, each as strong as it is long, as in a photograph: a JPEG of 37 kB.
Tensor<std::uint8_t> draw(unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(0, 1);
  Tensor<float> sum({height, width, 3});
  for (float length = 2; length < 600; length *= 1.3f) {
    const float turn = 6.2832f * uniform(random), phase = 6.2832f * uniform(random);
    const float down = 6.2832f * std::sin(turn) / length, across = 6.2832f * std::cos(turn) / length;
    const float strength[] = {uniform(random), uniform(random), uniform(random)};
    for (std::int64_t i = 0; i < height * width; ++i) {
      const float wave = std::pow(length, 0.6f) * std::sin(down * static_cast<float>(i / width) +
                                                           across * static_cast<float>(i % width) + phase);
      for (std::int64_t c = 0; c < 3; ++c) sum.data()[3 * i + c] += strength[c] * wave;
    }
  }
  Tensor<std::uint8_t> out(sum.shape());
  std::transform(sum.data(), sum.data() + sum.size(), out.data(), [&](float value) {
    return static_cast<std::uint8_t>(std::clamp(128 + value + 6 * uniform(random), 0.f, 255.f));
  });
  return out;
}

const Tensor<std::uint8_t>& picture() {
  static const Tensor<std::uint8_t> picture = draw(1);
  return picture;
}

void report(benchmark::State& state, double pictures, double bytes) {
  const double count = static_cast<double>(state.iterations());
  state.counters["pictures/s"] = benchmark::Counter(count * pictures, benchmark::Counter::kIsRate);
  state.counters["MB/s"] = benchmark::Counter(count * bytes / 1e6, benchmark::Counter::kIsRate);
}

void decode(benchmark::State& state, std::string (*encode)(TensorView<const std::uint8_t>)) {
  const std::string file = encode(picture());
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
  for (auto _ : state) benchmark::DoNotOptimize(decode_image(bytes).data());
  report(state, 1, static_cast<double>(file.size()));
}
BENCHMARK_CAPTURE(decode, jpeg, [](TensorView<const std::uint8_t> pixels) {
  return encode_jpeg(pixels);
})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, png, encode_png)->Unit(benchmark::kMillisecond);

template <class Resize>
void resize(benchmark::State& state, Resize method) {
  for (auto _ : state) benchmark::DoNotOptimize(method(picture()).data());
  report(state, 1, static_cast<double>(picture().size()));
}
const auto pillow_nearest = [](const auto& pixels) { return resize_pillow(pixels, side, side); };
const auto pillow_bilinear = [](const auto& pixels) {
  return resize_pillow(pixels, side, side, PillowFilter::bilinear);
};
const auto tensorflow_bilinear = [](const auto& pixels) { return resize_tf(pixels, side, side); };
BENCHMARK_CAPTURE(resize, pillow_nearest, pillow_nearest)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(resize, pillow_bilinear, pillow_bilinear)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(resize, tensorflow_bilinear, tensorflow_bilinear)->Unit(benchmark::kMillisecond);

/// A batch of 150x150 from bytes in memory to the network's input, on all threads.
void load_pixels(benchmark::State& state, bool augment) {
  const std::int64_t pictures = state.range(0);
  Tensor<std::uint8_t> pixels({pictures, side, side, 3});
  const Tensor<std::uint8_t> small = pillow_bilinear(picture());
  for (std::int64_t i = 0; i < pictures; ++i)
    std::copy_n(small.data(), small.size(), pixels.slice(i, i + 1).data());
  const auto settings = book::first_edition();
  const Batch batch = ImageDataGenerator(augment ? settings.augmented : settings.plain)
                          .flow(pixels, {}, {.batch_size = pictures, .shuffle = false})
                          .batch(0);
  Floats y(static_cast<std::size_t>(pixels.size()));
  for (auto _ : state)
    backend().load_pixels({pictures, side, side, 3}, batch.scaling, batch.sampling,
                          augment ? batch.warps.data() : nullptr, batch.pixels.data(), y.data());
  report(state, static_cast<double>(pictures), static_cast<double>(pixels.size()));
}
BENCHMARK_CAPTURE(load_pixels, scaled, false)
    ->Arg(1)
    ->Arg(batch_size)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(load_pixels, augmented, true)
    ->Arg(1)
    ->Arg(batch_size)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// Eighty JPEGs in two class folders, while the program runs.
struct Files {
  static constexpr unsigned count = 80;
  std::filesystem::path folder = std::filesystem::temp_directory_path() / concat("strata_bench_", ::getpid());
  double bytes = 0;

  Files() {
    std::vector<Tensor<std::uint8_t>> drawn;
    for (unsigned seed = 0; seed < 8; ++seed) drawn.push_back(draw(seed));
    for (unsigned i = 0; i < count; ++i) {
      const auto path = folder / (i % 2 ? "dogs" : "cats") / concat(i, ".jpg");
      std::filesystem::create_directories(path.parent_path());
      write_jpeg(path.string(), drawn[i % drawn.size()]);
      bytes += static_cast<double>(std::filesystem::file_size(path));
    }
  }
  ~Files() { std::filesystem::remove_all(folder); }
};

/// An epoch of augmented pictures as fit reads it, by loaders and a device of that many threads.
void epoch(benchmark::State& state, bool first) {
  static const Files files;
  const int threads = static_cast<int>(state.range(0));
  FlowFromDirectoryOptions flow = book::first_edition().flow;
  if (first) flow.cache_bytes = 0;
  const Dataset data =
      ImageDataGenerator(book::first_edition().augmented).flow_from_directory(files.folder.string(), flow);
  BatchLoader<float> loader(std::make_shared<Session<float>>(cpu::device({.threads = threads})));
  const auto run = [&](std::int64_t pass) {
    PrefetchQueue queue(data, pass * data.batches(), data.batches(), 2 * threads, threads > 1 ? threads : 0);
    while (std::optional<Batch> batch = queue.next())
      benchmark::DoNotOptimize(loader.load(std::move(*batch)).x.data());
  };
  std::int64_t pass = 0;
  run(pass);
  for (auto _ : state) run(++pass);
  report(state, Files::count, first ? files.bytes : Files::count * 3.0 * side * side);
}
void threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("threads")->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();
  if (thread_count() > 1) benchmark->Arg(thread_count());
}
BENCHMARK_CAPTURE(epoch, decoded, true)->Apply(threads);
BENCHMARK_CAPTURE(epoch, kept, false)->Apply(threads);

}  // namespace
