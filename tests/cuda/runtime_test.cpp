#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <thread>

#include <strata/cpu/device.hpp>
#include <strata/cuda.hpp>
#include <strata/io/checksum.hpp>
#include <strata/io/file.hpp>
#include <strata/training/fit.hpp>

#include "support/conformance/conformance.hpp"
#include "support/device_training.hpp"
#include "support/fake_cuda/fake_cuda.hpp"
#include "support/golden.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Contains;

// What the CUDA device asks of the runtime and its libraries, and what it does when they refuse.

namespace {

// Status codes of the libraries.
constexpr int out_of_memory = 2, insufficient_driver = 35, launch_failure = 719;
constexpr int cudnn_internal_error = 4000, cublas_not_supported = 15, nvrtc_compilation = 6;

/// Two fresh cards and a cache of kernels that is empty.
class Emulation {
 public:
  Emulation() {
    fake_cuda::reset();
    setenv("STRATA_CUDA_CACHE", cache.path().c_str(), 1);
  }
  ~Emulation() { fake_cuda::reset(); }
  Emulation(const Emulation&) = delete;
  Emulation& operator=(const Emulation&) = delete;

  TemporaryDirectory cache;
};

DevicePtr card(int index = 0) {
  return cuda::device({.index = index, .tf32 = false});
}

Sequential convnet(const DevicePtr& device) {
  Sequential model = small_convnet<float>();
  model.to(device);
  model.compile({.optimizer = Adam(), .loss = SparseCategoricalCrossentropy(), .metrics = {Accuracy()}});
  return model;
}

DeviceBatch<float> batch_on(const DevicePtr& device) {
  const SmallPictures<float> data;
  return {data.x.to(device), data.y.to(device), {}};
}

StepResult<float> train_step(Sequential& model, const DeviceBatch<float>& batch) {
  return model.trainer().train_step(model.model(), batch);
}

std::vector<Tensor<float>> trainable_values(const Sequential& model) {
  std::vector<Tensor<float>> values;
  for (const auto& weight : model.trainable_weights()) values.push_back(weight->value().to(nullptr));
  return values;
}

/// The cheap ones of the convolution cases: direct kernels take their time when they are emulated.
void small_convolutions(Cases& cases) {
  Cases all(
      [&](const Case& each) {
        std::size_t size = 0;
        for (const Operand& operand : each.operands) size += operand.values.size();
        if (size > 800) return;
        const auto run = [&each](auto& backend, const auto& arguments) {
          if constexpr (std::is_same_v<decltype(backend), Backend<float>&>)
            each.run_float(backend, arguments);
          else
            each.run_double(backend, arguments);
        };
        cases.add(each.primitive, each.description, each.operands, run, each);
      },
      false);
  convolution_cases(all);
}

/// Whether a device can be had without compiling the kernels.
bool starts_from_cache() {
  fake_cuda::fail("nvrtcCompileProgram", nvrtc_compilation);
  bool started = true;
  try {
    (void)card();
  } catch (const DeviceError&) {
    started = false;
  }
  fake_cuda::reset();
  return started;
}

}  // namespace

TEST_CASE_METHOD(Emulation, "Without a driver or with the wrong index the device says what to do") {
  CHECK(cuda::device_count() == 2);
  CHECK_THROWS_WITH(cuda::device(2), Contains("the index of a card from 0 to 1, found 2"));
  CHECK_THROWS_WITH(cuda::device(-1), Contains("found -1"));
  CHECK_THROWS_AS(cuda::device(-1), DeviceError);

  fake_cuda::set_device_count(0);
  CHECK(cuda::device_count() == 0);
  CHECK_THROWS_AS(cuda::device(), DeviceError);
  CHECK_THROWS_WITH(cuda::device(),
                    Contains("no CUDA-capable device is detected") && Contains("NVIDIA's driver"));

  fake_cuda::set_device_count(1);
  fake_cuda::fail("cudaGetDeviceCount", insufficient_driver);
  CHECK_THROWS_WITH(cuda::device(), Contains("no card can be used") && Contains("NVIDIA's driver"));
  fake_cuda::fail("cudaGetDeviceCount", insufficient_driver);
  CHECK(cuda::device_count() == 0);
  CHECK(cuda::device_count() == 1);
  CHECK_THAT(cuda::device()->description(), Contains("cuda:0 (Emulated card, TF32)"));
}

TEST_CASE_METHOD(Emulation, "A steady step on a card waits for nothing, allocates nothing, fetches nothing") {
  const DevicePtr device = card();
  Sequential model = convnet(device);
  const DeviceBatch<float> batch = batch_on(device);
  for (int i = 0; i < 3; ++i) train_step(model, batch);

  // Each of these would surface as an exception.
  for (const char* function : {"cudaMalloc", "cudaMallocHost", "cudaMemcpy"})
    fake_cuda::fail(function, out_of_memory);
  const fake_cuda::Counters before = fake_cuda::counters();
  for (int i = 0; i < 5; ++i) train_step(model, batch);
  const fake_cuda::Counters after = fake_cuda::counters();
  CHECK(after.synchronizations == before.synchronizations);
  CHECK(after.bytes == before.bytes);
  CHECK(after.allocations - before.allocations == after.frees - before.frees);  // scratch of the stream
  CHECK(after.launches > before.launches);
  CHECK(after.products > before.products);
  CHECK(after.convolutions > before.convolutions);

  const auto result = train_step(model, batch);
  CHECK(fake_cuda::counters().synchronizations == before.synchronizations);
  fake_cuda::reset();
  CHECK(std::isfinite(result.loss()));
  CHECK(fake_cuda::counters().synchronizations > 0);
  CHECK(fake_cuda::last_failure() == "");
}

TEST_CASE_METHOD(Emulation, "An upload waits for its staging memory only, and the host may go on at once") {
  const DevicePtr device = card();
  const auto backend = device->make_backend<float>();
  // More than there are staging buffers; the last takes three parts of 16 MiB.
  std::vector<std::int64_t> sizes(9, 1000);
  sizes.push_back(10 << 20);
  std::vector<Tensor<float>> there;
  for (const std::int64_t size : sizes) there.push_back(Tensor<float>({size}).to(device));
  const std::int64_t before = fake_cuda::counters().synchronizations;
  std::vector<float> host;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    host.assign(static_cast<std::size_t>(sizes[i]), static_cast<float>(i) + 1);
    backend->upload(there[i].data(), host.data(), host.size() * sizeof(float));
    std::fill(host.begin(), host.end(), -1.0f);
  }
  CHECK(fake_cuda::counters().synchronizations == before + 9 + 3);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    host.assign(static_cast<std::size_t>(sizes[i]), 0);
    backend->download(host.data(), there[i].data(), host.size() * sizeof(float));
    CHECK(host.front() == static_cast<float>(i) + 1);
    CHECK(host.back() == static_cast<float>(i) + 1);
  }
}

TEST_CASE_METHOD(Emulation, "Host memory of a card is copied from as it is, and kept until that is done") {
  const DevicePtr device = card();
  const auto backend = device->make_backend<float>(), other = device->make_backend<float>();
  const auto memory = device->host_memory();
  const auto loaded = [&](float value) {
    Tensor<float> out({1000});
    std::fill(out.values().begin(), out.values().end(), value);
    out.move_to(memory);
    return out;
  };
  const Tensor<float> zeros = Tensor<float>({1000}).to(device);
  Tensor<float> there = zeros, there_too = zeros, batch = loaded(1);
  const auto fetched = [&] {
    Tensor<float> out({1000});
    backend->download(out.data(), there.data(), out.bytes());
    return out;
  };
  const float* const place = batch.data();
  const std::int64_t before = fake_cuda::own_synchronizations();
  backend->upload(there.data(), batch.data(), batch.bytes());
  CHECK(fake_cuda::own_synchronizations() == before);

  SECTION("the copy reads what lies there when its turn comes") {
    batch.values()[5] = 2;
    const Tensor<float> found = fetched();
    CHECK(found(4) == 1);
    CHECK(found(5) == 2);
    backend->upload(there.data(), batch.data() + 5, 2 * sizeof(float));  // a part of it
    batch.values()[6] = 3;
    CHECK(fetched()(1) == 3);
  }
  SECTION("it is used again when all copies from it are done") {
    other->upload(there_too.data(), batch.data(), batch.bytes());
    batch = {};
    batch = loaded(2);
    CHECK(batch.data() == place);
    CHECK(fetched() == loaded(1));
    backend->upload(there.data(), batch.data(), batch.bytes());
    CHECK(fetched() == batch);
    other->synchronize();
    CHECK(there_too.to(nullptr) == loaded(1));
  }
  SECTION("two batches take two places") {
    const Tensor<float> second = loaded(2);
    CHECK(second.data() != place);
    CHECK(fetched() == batch);
  }
  SECTION("what is far too large is not used, and freed when its copies are done") {
    constexpr std::size_t large = std::size_t{257} << 20;
    auto* const values = static_cast<float*>(memory->allocate(large));
    std::fill_n(values, 1000, 3.0f);
    backend->upload(there.data(), values, 1000 * sizeof(float));
    memory->deallocate(values, large);
    const Tensor<float> second = loaded(2);
    CHECK(second.data() != values);
    CHECK(fake_cuda::counters().pinned < large);
    CHECK(fetched() == loaded(3));
  }
  SECTION("where there is none left, uploads are staged") {
    fake_cuda::fail("cudaMallocHost", out_of_memory);
    Tensor<float> second = loaded(2);
    backend->upload(there.data(), second.data(), second.bytes());
    std::fill(second.values().begin(), second.values().end(), -1.0f);
    CHECK(fetched() == loaded(2));
  }
  SECTION("another card's contexts stage it") {
    const DevicePtr next = card(1);
    const auto away = next->make_backend<float>();
    Tensor<float> elsewhere = Tensor<float>({1000}).to(next);
    away->upload(elsewhere.data(), batch.data(), batch.bytes());
    batch.values()[5] = 2;
    away->synchronize();
    CHECK(elsewhere.to(nullptr) == loaded(1));
  }
  SECTION("it outlives the device") {
    Tensor<float> alone = loaded(4);
    alone = Tensor<float>(alone);
    alone.move_to(card(1)->host_memory());
    CHECK(alone == loaded(4));
  }
  CHECK(fake_cuda::last_failure() == "");
}

TEST_CASE_METHOD(Emulation, "Who trains, evaluates or predicts waits for no upload of a batch") {
  const DevicePtr device = card();
  Sequential model = convnet(device);
  const SmallPictures<float> data;
  const auto batches_of = [&](std::int64_t size) {
    return dataset_from_tensors(data.x, data.y, {.batch_size = size});
  };
  const auto waits = [&](const auto& work) {
    for (int i = 0; i < 3; ++i) work();  // until all memory it takes is there, and no other
    const std::int64_t before = fake_cuda::own_synchronizations();
    work();
    return fake_cuda::own_synchronizations() - before;
  };
  const auto fit = [&](int epochs) {
    return waits([&] { model.fit(batches_of(4), {.epochs = epochs, .verbose = 0}); });
  };
  const std::int64_t one = fit(1), bytes = static_cast<std::int64_t>(fake_cuda::counters().bytes);
  // The sums of an epoch are set to zero and fetched.
  CHECK(fit(4) - one == 3 * (2 + 2));
  CHECK(static_cast<std::int64_t>(fake_cuda::counters().bytes) == bytes);
  const auto evaluate = [&](std::int64_t size) {
    return waits([&] { model.evaluate(batches_of(size), {.verbose = 0}); });
  };
  CHECK(evaluate(2) == evaluate(4));
  const auto predict = [&](std::int64_t size) { return waits([&] { model.predict(batches_of(size)); }); };
  CHECK(predict(2) - predict(4) == 4);  // the results of four batches more
}

TEST_CASE_METHOD(Emulation, "Out of memory is an error with numbers, and the CPU takes over") {
  const DevicePtr device = card();
  const SmallPictures<float> data;
  Sequential model = convnet(device);
  const Tensor<float> expected = model.predict(data.x);
  const std::vector<Tensor<float>> weights = model.get_weights();

  SECTION("for a tensor") {
    fake_cuda::set_memory(fake_cuda::counters().bytes + 5000);
    CHECK_THROWS_AS(device->allocate(6000), DeviceError);
    CHECK_THROWS_WITH(device->allocate(6000),
                      Contains("expected 6000 bytes of memory, found 5000 of") && Contains("free"));
  }
  SECTION("for a larger batch") {
    fake_cuda::set_memory(fake_cuda::counters().bytes + 20000);
    CHECK_THROWS_WITH(model.predict(Tensor<float>({64, 10, 9, 3}), 64),
                      Contains("[device] cuda:0") &&
                          Contains(". The plan of a run of 64 samples: Weights ") && Contains("Together "));
  }
  SECTION("for scratch") {
    fake_cuda::fail("cudaMallocAsync", out_of_memory);
    CHECK_THROWS_WITH(model.predict(data.x), Contains("layer 'conv2d") &&
                                                 Contains("bytes of scratch memory: out of memory") &&
                                                 Contains(concat(" of ", data.x.shape()[0], " samples: ")));
  }
  SECTION("for a step") {
    fake_cuda::fail("cudaMallocAsync", out_of_memory);
    CHECK_THROWS_WITH(model.train_on_batch(data.x, data.y),
                      Contains("layer '") && Contains(". The plan of a training step of ") &&
                          Contains("Gradients of weights "));
  }
  CHECK(model.get_weights() == weights);
  model.to(cpu::device());
  CHECK(model.get_weights() == weights);
  check_close("prediction", model.predict(data.x), expected, 1e-5);
  fake_cuda::reset();
  model.to(device);
  CHECK(model.predict(data.x) == expected);
}

TEST_CASE_METHOD(Emulation,
                 "A step that runs out of a card's memory changes no weight, wherever it happens") {
  const DevicePtr device = card();
  Sequential model = convnet(device), never_failed = convnet(device);
  const DeviceBatch<float> batch = batch_on(device);
  for (Sequential* each : {&model, &never_failed}) train_step(*each, batch);

  for (const char* function : {"cudaMalloc", "cudaMallocAsync"}) {
    INFO(function);
    const std::vector<Tensor<float>> before = trainable_values(model);
    const std::int64_t iterations = model.trainer().iterations();
    int failures = 0;
    for (bool failed = true; failed;) {
      model.release_memory();
      fake_cuda::fail(function, out_of_memory, failures);
      try {
        train_step(model, batch);
        failed = false;
      } catch (const DeviceError&) {
        ++failures;
        INFO("failure " << failures);
        CHECK(trainable_values(model) == before);
        CHECK(model.trainer().iterations() == iterations);
      }
      fake_cuda::reset();
    }
    CHECK(failures > 10);
    train_step(never_failed, batch);
    CHECK(trainable_values(model) == trainable_values(never_failed));
  }
}

TEST_CASE_METHOD(Emulation, "Where cuDNN has no engine, convolutions are computed directly") {
  fake_cuda::offer_engines(false);
  const DevicePtr device = card();
  check_conformance(device, {"direct convolution", small_convolutions}, {.tolerance = 1e-5, .large = false});
  CHECK(fake_cuda::counters().convolutions == 0);
}

TEST_CASE_METHOD(Emulation, "The kernels are compiled once and kept") {
  CHECK_FALSE(starts_from_cache());
  (void)card();
  const auto entries = list_directory(cache.path());
  REQUIRE(entries.size() == 1);
  const std::string path = cache / entries[0].name;
  CHECK_THAT(entries[0].name, Catch::StartsWith("kernels-sm_90-nvrtc-") && Catch::EndsWith(".cubin"));
  CHECK(starts_from_cache());
  CHECK_NOTHROW(card(1));

  SECTION("a damaged file is made whole") {
    const std::string whole = read_file(path);
    std::vector<std::string> damaged{"",
                                     "x",
                                     whole.substr(0, 4),
                                     whole.substr(0, whole.size() / 2),
                                     whole.substr(0, whole.size() - 1),
                                     whole + "x"};
    for (const std::size_t at : {std::size_t{0}, std::size_t{3}, std::size_t{4}, whole.size() - 1}) {
      damaged.push_back(whole);
      damaged.back()[at] ^= 1;
    }
    // Whole, but not what the card takes.
    const std::string other = "machine code of another kind";
    const std::uint32_t crc = crc32c(other.data(), other.size());
    damaged.emplace_back(sizeof crc, '\0');
    std::memcpy(damaged.back().data(), &crc, sizeof crc);
    damaged.back() += other;

    for (const std::string& bytes : damaged) {
      cache.write(entries[0].name, bytes);
      CHECK_FALSE(starts_from_cache());
      CHECK_NOTHROW(card());
      CHECK(read_file(path) == whole);
      CHECK(starts_from_cache());
    }
  }
  SECTION("a folder in its place costs the compilation, nothing else") {
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    CHECK_NOTHROW(card());
    CHECK_FALSE(starts_from_cache());
    CHECK(list_directory(cache.path()).size() == 1);
  }
  SECTION("so does a folder that cannot be made") {
    setenv("STRATA_CUDA_CACHE", (path + "/folder").c_str(), 1);
    CHECK_NOTHROW(card());
    CHECK_FALSE(starts_from_cache());
  }
  SECTION("so does one that cannot be written") {
    const TemporaryDirectory closed;
    std::filesystem::permissions(closed.path(),
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    setenv("STRATA_CUDA_CACHE", closed.path().c_str(), 1);
    CHECK_NOTHROW(card());
    std::filesystem::permissions(closed.path(), std::filesystem::perms::owner_all);
  }
}

TEST_CASE_METHOD(Emulation, "Kernels that do not compile are an error with the compiler's words") {
  fake_cuda::fail("nvrtcCompileProgram", nvrtc_compilation);
  CHECK_THROWS_WITH(card(), Contains("do not compile for sm_90: NVRTC_ERROR_COMPILATION") &&
                                Contains("a test wants this to fail"));
  CHECK_NOTHROW(card());
}

TEST_CASE_METHOD(Emulation, "An error of a library is a DeviceError in its words, and the next call works") {
  struct Case {
    const char* function;
    int status;
    const char* words[2];
  };
  const Case cases[] = {
      {"cudaLaunchKernel", launch_failure, {"unspecified launch failure", "cudaErrorLaunchFailure"}},
      {"cudaMemcpyAsync", launch_failure, {"unspecified launch failure", "a copy"}},
      {"cudaMemsetAsync", launch_failure, {"unspecified launch failure", "filling with zeros"}},
      {"cudnnBackendExecute",
       cudnn_internal_error,
       {"layer 'conv2d': [cuda] cuDNN, a convolution", "CUDNN_STATUS_INTERNAL_ERROR"}},
      {"cublasLtMatmul",
       cublas_not_supported,
       {"layer 'dense': [cuda] cuBLAS, a product", "functionality requested is not supported"}},
      {"cudaStreamCreateWithFlags", out_of_memory, {"a stream", "out of memory"}},
      {"cudaEventCreateWithFlags", out_of_memory, {"an event", "out of memory"}},
      {"cudaMallocHost", out_of_memory, {"pinned host memory", "out of memory"}},
      {"cudnnCreate", cudnn_internal_error, {"cuDNN, a handle", "CUDNN_STATUS_INTERNAL_ERROR"}},
      {"cublasLtCreate",
       cublas_not_supported,
       {"cuBLAS, a handle", "functionality requested is not supported"}}};
  const DevicePtr device = card();
  const SmallPictures<float> data;
  const Tensor<float> expected = convnet(device).predict(data.x);
  const double expected_loss = convnet(device).train_on_batch(data.x, data.y)["loss"];
  for (const Case& each : cases) {
    INFO(each.function);
    Sequential model = convnet(device);
    fake_cuda::fail(each.function, each.status);
    try {
      model.train_on_batch(data.x, data.y);
      FAIL_CHECK("no error in a step");
    } catch (const DeviceError& error) {
      CHECK_THAT(error.what(), Contains(each.words[0]) && Contains(each.words[1]));
    }
    CHECK(model.train_on_batch(data.x, data.y)["loss"] == expected_loss);

    const std::string_view function = each.function;
    if (function == "cudaMemsetAsync" || function == "cudaMallocHost") continue;  // no part of a prediction
    const Sequential fresh = convnet(device);
    fake_cuda::fail(each.function, each.status);
    try {
      fresh.predict(data.x);
      FAIL_CHECK("no error in a prediction");
    } catch (const DeviceError& error) {
      CHECK_THAT(error.what(), Contains(each.words[0]) && Contains(each.words[1]));
    }
    CHECK(fresh.predict(data.x) == expected);
  }
  CHECK(fake_cuda::last_failure() == "");
}

TEST_CASE_METHOD(Emulation, "An error inside a step names the layer, forward and backward") {
  const DevicePtr device = card();
  const SmallPictures<float> data;
  std::set<std::string> named;
  Sequential model = convnet(device);
  model.train_on_batch(data.x, data.y);
  for (int after = 0;; ++after) {
    fake_cuda::fail("cudnnBackendExecute", cudnn_internal_error, after);
    try {
      model.train_on_batch(data.x, data.y);
      break;
    } catch (const DeviceError& error) {
      CHECK_THAT(error.what(), Contains("[conv2d] layer '") && Contains("': [cuda] cuDNN, a convolution"));
      named.insert(error.what());
    }
    REQUIRE(after < 20);
  }
  CHECK(named.size() >= 2);
  fake_cuda::reset();
}

TEST_CASE_METHOD(Emulation, "A model moves from card to card to the CPU and stays what it was") {
  const DevicePtr first = card(0), second = card(1);
  CHECK_THAT(second->description(), Contains("cuda:1"));
  const SmallPictures<float> data;
  Sequential model = small_convnet<float>(), other = small_convnet<float>();
  CHECK(train_small_convnet<float>(model, first, 3) == train_small_convnet<float>(other, second, 3));
  const Tensor<float> expected = model.predict(data.x);
  CHECK(other.predict(data.x) == expected);

  const std::vector<Tensor<float>> weights = model.get_weights();
  model.to(second);
  CHECK(model.device() == second);
  CHECK(model.get_weights() == weights);
  CHECK(model.predict(data.x) == expected);
  model.train_on_batch(data.x, data.y);
  other.train_on_batch(data.x, data.y);
  CHECK(model.get_weights() == other.get_weights());

  const std::vector<Tensor<float>> trained = model.get_weights();
  const Tensor<float> before = model.predict(data.x);
  model.to(cpu::device());
  CHECK(model.get_weights() == trained);
  check_close("prediction", model.predict(data.x), before, 1e-5);
}

TEST_CASE_METHOD(Emulation, "Two threads train on a card each") {
  std::vector<double> losses[2];
  Tensor<float> predictions[2];
  std::vector<std::thread> threads;
  for (const int i : {0, 1})
    threads.emplace_back([&, i] {
      Sequential model = small_convnet<float>();
      losses[i] = train_small_convnet<float>(model, card(i), 4);
      predictions[i] = model.predict(SmallPictures<float>().x);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(losses[0].size() == 4);
  CHECK(losses[0] == losses[1]);
  CHECK(predictions[0] == predictions[1]);
  CHECK(fake_cuda::last_failure() == "");
}

TEST_CASE_METHOD(Emulation, "Eight threads predict right behind a step with the weights it left") {
  const DevicePtr device = card();
  Sequential model = convnet(device), twin = convnet(device);
  const SmallPictures<float> data;
  const DeviceBatch<float> batch = batch_on(device);
  for (int step = 0; step < 3; ++step) {
    train_step(twin, batch).loss();
    device->synchronize();
    const Tensor<float> expected = twin.predict(data.x);

    train_step(model, batch);  // still in its stream
    std::vector<Tensor<float>> predictions(8);
    std::vector<std::thread> threads;
    for (Tensor<float>& prediction : predictions)
      threads.emplace_back([&] { prediction = model.predict(data.x); });
    for (std::thread& thread : threads) thread.join();
    for (const Tensor<float>& prediction : predictions) CHECK(prediction == expected);
  }
}
