#include <catch2/catch.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>

#include <strata/cpu/device.hpp>
#include <strata/data/directory.hpp>
#include <strata/io/csv.hpp>
#include <strata/io/file.hpp>
#include <strata/layers/layers.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/monitoring.hpp>
#include <strata/training/saving.hpp>
#include <strata/training/tensorboard.hpp>

#include "data/pictures.hpp"
#include "support/events.hpp"
#include "support/temporary_directory.hpp"

// In this program every allocation and every system call that writes or reads a file can be made to fail,
// once.

namespace {

/// Counts down; the call that finds 0 fails.
class Fault {
 public:
  bool strikes() {
    return left_.load(std::memory_order_relaxed) >= 0 && left_.fetch_sub(1, std::memory_order_relaxed) == 0;
  }
  void arm(long calls) { left_ = calls; }
  /// Whether it struck since it was armed.
  bool disarm() { return left_.exchange(-1) < 0; }

 private:
  std::atomic<long> left_{-1};
};
constinit Fault of_memory, of_files;

template <class Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// What the call returns: as ever, or `failed`, the disk being full.
template <class Function, class Result, class... Arguments>
Result call(Function* function, const char* name, Result failed, Arguments... arguments) {
  if (!of_files.strikes()) return real(function, name)(arguments...);
  errno = ENOSPC;
  return failed;
}

}  // namespace

// Not inlined: the compiler would take each pair for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment,
                                     const std::nothrow_t&) noexcept {
  void* memory = nullptr;
  if (of_memory.strikes() || posix_memalign(&memory, static_cast<std::size_t>(alignment), bytes ? bytes : 1))
    return nullptr;
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  void* memory = operator new(bytes, alignment, std::nothrow);
  return memory ? memory : throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return operator new (bytes, std::align_val_t{alignof(std::max_align_t)}, std::nothrow);
}
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  return operator new (bytes, std::align_val_t{alignof(std::max_align_t)});
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

extern "C" {
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  void* memory = nullptr;
  return of_memory.strikes() || posix_memalign(&memory, alignment, bytes) ? nullptr : memory;
}
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return call(&open, "open", -1, path, flags, mode);
}
ssize_t pread(int file, void* to, std::size_t bytes, off_t offset) {
  return call(&pread, "pread", ssize_t{-1}, file, to, bytes, offset);
}
ssize_t pwrite(int file, const void* from, std::size_t bytes, off_t offset) {
  if (!of_files.strikes()) return real(&pwrite, "pwrite")(file, from, bytes, offset);
  real(&pwrite, "pwrite")(file, from, bytes / 2, offset);  // a disk fills up in the middle
  errno = ENOSPC;
  return -1;
}
std::size_t fwrite(const void* from, std::size_t size, std::size_t count, std::FILE* file) {
  if (!of_files.strikes()) return real(&fwrite, "fwrite")(from, size, count, file);
  errno = ENOSPC;
  return real(&fwrite, "fwrite")(from, size, count / 2, file);
}
int ftruncate(int file, off_t bytes) noexcept {
  return call(&ftruncate, "ftruncate", -1, file, bytes);
}
int truncate(const char* path, off_t bytes) noexcept {
  return call(&truncate, "truncate", -1, path, bytes);
}
int fsync(int file) {
  return call(&fsync, "fsync", -1, file);
}
int rename(const char* from, const char* to) noexcept {
  return call(&rename, "rename", -1, from, to);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return call(&mkdir, "mkdir", -1, path, mode);
}
}

using namespace strata;

namespace {

/// Has `work` attempt something with its first call failing, then its second, to where none is left to fail;
/// returns how many there were. What is thrown must be an error of Strata or std::bad_alloc.
template <class Work>
long every(Fault& fault, const Work& work, long step = 1) {
  for (long number = 0;; number += step) {
    CAPTURE(number);
    bool struck = false;
    work([&](auto&& action) {
      fault.arm(number);
      try {
        action();
        struck = fault.disarm();
        return true;
      } catch (const Error&) {
        struck = fault.disarm();
      } catch (const std::bad_alloc&) {
        struck = fault.disarm();
      }
      return false;
    });
    if (!struck) return number;
  }
}

Tensor<float> noise(Shape shape, std::uint64_t seed) {
  const RandomStream random(seed, Purpose::user);
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = static_cast<float>(random.uniform(static_cast<std::uint64_t>(i)));
  return out;
}

/// Every kind of convolution, each normalisation, pooling and merging there is.
Model network() {
  const Symbol input = Input({.shape = {10, 10, 3}});
  Symbol x = Conv2D({.filters = 8, .kernel_size = 3, .padding = Padding::same})(input);
  x = BatchNormalization()(x);
  x = ActivationLayer(Activation::relu)(x);
  Symbol y =
      Conv2D({.filters = 8, .kernel_size = 3, .padding = Padding::same, .activation = Activation::relu})(x);
  x = Add()({x, y});
  x = Conv2D({.filters = 8, .kernel_size = 3, .groups = 8})(x);
  x = MaxPooling2D()(x);
  x = Dropout(0.3)(Flatten()(x));
  x = Dense({.units = 1, .activation = Activation::sigmoid})(x);
  Model model(input, x, {.seed = 3});
  return model;
}

void compile(Model& model) {
  model.compile({.optimizer = Adam({.learning_rate = 0.01}),
                 .loss = BinaryCrossentropy(),
                 .metrics = {Accuracy(), AUC()}});
}

/// Two classes of three pictures each.
void write_pictures(const TemporaryDirectory& folder) {
  for (const char* name : {"pictures", "pictures/cats", "pictures/dogs"})
    std::filesystem::create_directory(folder / name);
  for (int i = 0; i < 6; ++i)
    folder.write(concat("pictures/", i % 2 ? "cats/" : "dogs/", i, ".bmp"),
                 strata_test::encode_bmp(strata_test::waves(12, 11, 3, i)));
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("A device is made, or not, where an allocation fails") {
  const long failures = every(of_memory, [&](const auto& attempt) {
    DevicePtr device;
    const bool made = attempt([&] { device = cpu::device({.threads = 4}); });
    CHECK(made == (device != nullptr));
  });
  CHECK(failures > 2);
}

TEST_CASE("A prediction in which an allocation fails can be made again") {
  const Tensor<float> x = noise({3, 10, 10, 3}, 1);
  const Tensor<float> expected = network().predict(x);
  const long failures = every(of_memory, [&](const auto& attempt) {
    Model model = network();
    model.to(cpu::device({.threads = 2}));
    Tensor<float> y;
    if (attempt([&] { y = model.predict(x); })) CHECK(y == expected);
    CHECK(model.predict(x) == expected);
  });
  CHECK(failures > 100);
}

TEST_CASE("Pictures of a folder can be predicted again where an allocation or a file failed") {
  const TemporaryDirectory folder;
  write_pictures(folder);
  const Model model = network();
  const auto predict = [&] {
    return model.predict(image_dataset_from_directory(
        folder / "pictures", {.batch_size = 4, .image_size = {10, 10}, .shuffle = false}));
  };
  const Tensor<float> expected = predict();
  for (Fault* fault : {&of_memory, &of_files}) {
    const long failures = every(*fault, [&](const auto& attempt) {
      Tensor<float> y;
      if (attempt([&] { y = predict(); })) CHECK(y == expected);
      CHECK(predict() == expected);
    });
    CHECK(failures > (fault == &of_memory ? 100 : 10));
  }
}

TEST_CASE("A save that fails leaves the file there was, and nothing else") {
  const TemporaryDirectory folder;
  const std::string path = folder / "model.safetensors", spare = folder / "new.safetensors";
  Model before = network(), after = network();
  compile(before);
  compile(after);
  after.fit(noise({4, 10, 10, 3}, 1), noise({4, 1}, 2), {.verbose = 0, .workers = 0});
  save_model(before, path);
  save_model(after, spare);
  const std::string old_bytes = read_file(path), new_bytes = read_file(spare);
  REQUIRE(old_bytes != new_bytes);
  for (Fault* fault : {&of_memory, &of_files}) {
    const long failures = every(*fault, [&](const auto& attempt) {
      folder.write("model.safetensors", old_bytes);
      const bool saved = attempt([&] { save_model(after, path); });
      const std::string bytes = read_file(path);
      // Only what follows the renaming, the directory's fsync, may fail with the new file in place.
      CHECK((bytes == new_bytes || (!saved && bytes == old_bytes)));
      CHECK(files_in(folder.path()) == std::vector<std::string>{"model.safetensors", "new.safetensors"});
    });
    CHECK(failures > (fault == &of_memory ? 100 : 5));
  }
}

TEST_CASE("A load that fails leaves the model as it was") {
  const TemporaryDirectory folder;
  const std::string path = folder / "model.safetensors";
  const Tensor<float> x = noise({3, 10, 10, 3}, 1);
  Model trained = network();
  compile(trained);
  trained.fit(noise({4, 10, 10, 3}, 1), noise({4, 1}, 2), {.verbose = 0, .workers = 0});
  save_model(trained, path);
  const Tensor<float> expected = trained.predict(x), fresh = network().predict(x);
  for (Fault* fault : {&of_memory, &of_files}) {
    const long loads = every(*fault, [&](const auto& attempt) {
      Model model;
      if (attempt([&] { model = load_model(path, {.loss = BinaryCrossentropy()}); }))
        CHECK(model.predict(x) == expected);
    });
    CHECK(loads > (fault == &of_memory ? 100 : 5));
    const long weights = every(*fault, [&](const auto& attempt) {
      Model model = network();
      const bool loaded = attempt([&] { load_weights(model, path); });
      CHECK(model.predict(x) == (loaded ? expected : fresh));
    });
    CHECK(weights > (fault == &of_memory ? 50 : 2));
  }
}

namespace {

struct Program {
  std::string folder;
  Model model = network();

  void run() {
    compile(model);
    model.fit(
        image_dataset_from_directory(
            folder + "/pictures", {.label_mode = LabelMode::binary, .batch_size = 2, .image_size = {10, 10}}),
        {.epochs = 2,
         .validation_data = dataset_from_tensors(noise({4, 10, 10, 3}, 4), noise({4, 1}, 5)),
         .callbacks = {ReduceLROnPlateau({.factor = 0.5, .patience = 1}),
                       EarlyStopping({.monitor = "loss", .patience = 2, .restore_best_weights = true}),
                       ModelCheckpoint({.filepath = folder + "/best.safetensors", .save_best_only = true}),
                       CSVLogger({.filename = folder + "/log.csv"}),
                       TensorBoard({.log_dir = folder + "/logs", .histogram_freq = 1, .write_images = true}),
                       BackupAndRestore({.backup_dir = folder + "/backup"})},
         .verbose = 0});
    save_model(model, folder + "/last.safetensors");
  }
  std::string result() const {
    return read_file(folder + "/log.csv") + read_file(folder + "/best.safetensors") +
           read_file(folder + "/last.safetensors") + strata_test::events_in(folder + "/logs/train") +
           strata_test::events_in(folder + "/logs/validation");
  }
};

}  // namespace

TEST_CASE("A training in which anything fails can go on, or be run again with the same bits") {
  const auto fresh = [](const TemporaryDirectory& folder) {
    write_pictures(folder);
    return Program{folder.path()};
  };
  const std::string expected = [&] {
    const TemporaryDirectory folder;
    Program program = fresh(folder);
    program.run();
    return program.result();
  }();
  const Tensor<float> x = noise({3, 10, 10, 3}, 1);
  const bool all = std::getenv("STRATA_ALL_FAULTS");  // minutes
  for (Fault* fault : {&of_memory, &of_files}) {
    const auto run = [&](const auto& attempt) {
      const TemporaryDirectory folder;
      Program program = fresh(folder);
      if (!attempt([&] { program.run(); })) {
        // What there is of files is whole, and the model can be used.
        for (const char* name : {"best.safetensors", "last.safetensors"})
          if (std::filesystem::exists(folder / name)) CHECK_NOTHROW(load_model(folder / name));
        const Tensor<float> y = program.model.predict(x);
        CHECK(std::all_of(y.values().begin(), y.values().end(),
                          [](float value) { return std::isfinite(value); }));
        if (program.model.compiled())
          CHECK_NOTHROW(program.model.fit(x, noise({3, 1}, 2), {.verbose = 0, .workers = 0}));
        Program{folder.path()}.run();
      }
      CHECK((program.result() == expected));
    };
    CHECK(every(*fault, run, all ? 1 : fault == &of_memory ? 97 : 5) > (fault == &of_memory ? 1000 : 50));
  }
}
