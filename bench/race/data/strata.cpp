// As `fit` reads pictures: loaders decode and resize ahead, the device warps and scales.
#include <sched.h>

#include <benchmark/benchmark.h>

#include <strata/strata.hpp>

#include "../case.hpp"

using namespace strata;
using namespace strata_bench;

namespace {

constexpr std::int64_t side = 150, batch_size = 20, compared = 40;  // as in pictures.py

/// What case.txt says after "work".
std::string work_of(const std::string& folder) {
  std::istringstream words(read_file(folder + "/case.txt"));
  for (std::string word; words >> word;)
    if (word == "work" && words >> word) return word;
  throw ConfigError("[race] case.txt names no work");
}

/// Loaders run beside the device's threads: together they shall have as many CPUs as everybody.
void limit_cpus(int count) {
  cpu_set_t all, some;
  CPU_ZERO(&some);
  if (sched_getaffinity(0, sizeof(all), &all) != 0) return;
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&some) < count; ++i)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &some);
  sched_setaffinity(0, sizeof(some), &some);
}

DirectoryDataset augmented(const std::string& pictures) {
  ImageDataGeneratorOptions options = book::first_edition().augmented;
  options.shear_range = 0.2;  // degrees, as the Keras of today has them
  FlowFromDirectoryOptions flow = book::first_edition().flow;
  flow.batch_size = batch_size;
  return ImageDataGenerator(options).flow_from_directory(pictures, flow);
}

/// The same, the same every time.
Dataset plain(const std::string& pictures, const std::string& work) {
  if (work == "tensorflow")
    return image_dataset_from_directory(pictures, {.label_mode = LabelMode::binary,
                                                   .batch_size = batch_size,
                                                   .image_size = {side, side},
                                                   .shuffle = false,
                                                   .cache_bytes = 0});
  return ImageDataGenerator().flow_from_directory(
      pictures, {.target_size = {side, side},
                 .batch_size = batch_size,
                 .class_mode = ClassMode::binary,
                 .shuffle = false,
                 .interpolation = work == "pillow" ? PillowFilter::bilinear : PillowFilter::nearest,
                 .cache_bytes = 0});
}

void race(const std::string& folder, const std::string& output, int threads) {
  limit_cpus(threads);
  const std::string work = work_of(folder), pictures = folder + "/pictures";
  const DevicePtr device = cpu::device({.threads = threads});
  // What augmentation gives is random, so that the pictures are compared as they are without it; tests hold
  // every transform to Keras's.
  std::vector<float> result;
  for (std::int64_t i = 0; i * batch_size < compared; ++i) {
    const Tensor<float> x = network_input(plain(pictures, work).batch(i));
    result.insert(result.end(), x.data(), x.data() + x.size());
  }
  write_floats(output, result);

  const bool augments = work == "first" || work == "later";
  Dataset data = augments ? augmented(pictures) : plain(pictures, work);
  BatchLoader<float> loader(std::make_shared<Session<float>>(device));
  std::int64_t pass = 0;
  const auto epoch = [&] {
    PrefetchQueue queue(data, pass++ * data.batches(), data.batches(), 2 * threads, threads);
    while (std::optional<Batch> batch = queue.next()) {
      if (augments)
        benchmark::DoNotOptimize(loader.load(std::move(*batch)).x.data());
      else
        benchmark::DoNotOptimize(batch->pixels.data());
    }
  };
  if (work == "later") epoch();
  serve(STRATA_VERSION, [&] {
    if (work == "first") data = augmented(pictures);  // with nothing kept
    epoch();
  });
}

}  // namespace

int main(int argc, char** argv) {
  return contend(argc, argv, race);
}
