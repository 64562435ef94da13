#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include <strata/core/parallel.hpp>
#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/tensor/backend.hpp>

namespace strata_bench {

using Floats = std::vector<float>;

/// STRATA_BENCH_THREADS, or every CPU.
inline int thread_count() {
  const char* text = std::getenv("STRATA_BENCH_THREADS");
  return text ? std::atoi(text) : strata::available_cpus();
}
/// STRATA_BENCH_POLICY, or float32.
inline strata::Policy policy() {
  const char* text = std::getenv("STRATA_BENCH_POLICY");
  return text ? strata::policy(text) : strata::Policy::float32;
}
/// What the planner may do for `device()`.
inline strata::cpu::PlanLimits plan_limits() {
  const bool narrow = policy() == strata::Policy::mixed_bfloat16;
  return {.bfloat16 = narrow ? strata::cpu::bfloat16_product(strata::cpu::kernels()) : nullptr};
}
inline strata::Device& device() {
  static const strata::DevicePtr device =
      strata::cpu::device({.threads = thread_count(), .policy = policy()});
  return *device;
}

inline strata::Backend<float>& backend() {
  static const auto backend = device().make_backend<float>();
  return *backend;
}

inline Floats random_floats(std::int64_t count, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  Floats out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(generator);
  return out;
}

/// Calls `work` on every thread, repeatedly, and returns the shortest time in seconds.
template <class Work>
double best_seconds(Work work) {
  double best = 1e300;
  for (int i = 0; i < 7; ++i) {
    const auto start = std::chrono::steady_clock::now();
    device().threads()->run(thread_count(), [&](std::int64_t task, int) { work(task); });
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// What all threads reach together with the micro-kernel on data in the nearest cache: the FMA peak.
inline double peak_flops() {
  static const double peak = [] {
    const strata::cpu::KernelTable& kernels = strata::cpu::kernels();
    const long k = 128, repeats = 20'000, rows = kernels.product.max_rows, panel = kernels.panel();
    const double seconds = best_seconds([&](std::int64_t) {
      const Floats a(static_cast<std::size_t>(rows * k), 1.f), b(static_cast<std::size_t>(k * panel), 1.f);
      Floats c(static_cast<std::size_t>(rows * panel));
      for (long i = 0; i < repeats; ++i)
        kernels.product.multiply_rows[rows](k, strata::cpu::packed_rows(kernels, a.data(), rows), b.data(),
                                            panel, c.data(), panel, false, {});
      benchmark::DoNotOptimize(c.data());
    });
    return 2.0 * static_cast<double>(rows * k * panel * repeats) * thread_count() / seconds;
  }();
  return peak;
}

/// Bytes read and written per second by y += x over arrays that no cache holds.
inline double memory_bandwidth() {
  static const double bandwidth = [] {
    constexpr std::int64_t count = std::int64_t{32} << 20;
    const Floats x(count, 1.f);
    Floats y(count, 1.f);
    const std::int64_t part = count / thread_count();
    const double seconds = best_seconds([&](std::int64_t task) {
      strata::cpu::kernels().add(part, x.data() + task * part, y.data() + task * part);
    });
    return 12.0 * static_cast<double>(count) / seconds;
  }();
  return bandwidth;
}

inline void report_flops(benchmark::State& state, double flops) {
  const double total = flops * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(total / 1e9, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(total / peak_flops(), benchmark::Counter::kIsRate);
}
inline void report_bytes(benchmark::State& state, double bytes) {
  const double total = bytes * static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(total / 1e9, benchmark::Counter::kIsRate);
  state.counters["of_bandwidth"] =
      benchmark::Counter(total / memory_bandwidth(), benchmark::Counter::kIsRate);
}

/// ||found - expected|| / ||expected|| over samples found(i), expected(i).
template <class Found, class Expected>
double relative_error(std::int64_t samples, Found found, Expected expected) {
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < samples; ++i) {
    const double e = expected(i), d = static_cast<double>(found(i)) - e;
    difference += d * d;
    norm += e * e;
  }
  return std::sqrt(difference / norm);
}

}  // namespace strata_bench
