#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <strata/core/config.hpp>
#include <strata/io/csv.hpp>
#include <strata/io/file.hpp>
#include <strata/io/json.hpp>
#include <strata/io/svg.hpp>
#include <strata/training/history.hpp>

#include "flags.hpp"

namespace examples {

/// Wilson's 95 % interval of a fraction seen in `count` trials. Source: Wilson, JASA 22, 1927.
inline std::pair<double, double> wilson_interval(double fraction, std::int64_t count) {
  const double z = 1.959963984540054, n = static_cast<double>(count), z2 = z * z / n;
  const double middle = (fraction + z2 / 2) / (1 + z2);
  const double half = z / (1 + z2) * std::sqrt(fraction * (1 - fraction) / n + z2 / (4 * n));
  return {middle - half, middle + half};
}

/// The most memory this process has held so far.
inline std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

/// A folder with the results of one run; its files look the same for every training example.
class RunDirectory {
 public:
  /// Throws UsageError where a run lies there already, unless it may be overwritten, then it goes, or is to
  /// be resumed: then it must be there, and not have ended.
  explicit RunDirectory(std::string path, bool overwrite = false, bool resume = false, bool resumable = true)
      : path_(std::move(path)) {
    const auto there = [&](const char* name) { return std::ifstream(file(name)).is_open(); };
    if (overwrite && resume) throw UsageError("--overwrite and --resume exclude each other");
    const bool holds_run = there("config.json");
    if (resume && !holds_run) throw UsageError("'" + path_ + "' holds no run that could be resumed");
    if (resume && there("metrics.json") && !there("backup/backup.safetensors"))
      throw UsageError("the run in '" + path_ + "' has ended; --overwrite replaces it");
    if (holds_run && !overwrite && !resume)
      throw UsageError("'" + path_ +
                       "' holds a run already; --run-dir names another folder, --overwrite replaces it" +
                       (resumable ? ", --resume goes on with it" : ""));
    strata::make_directories(path_);
    for (const char* name :
         {"config.json", "history.csv", "metrics.json", "curves.svg", "report.html", "model.safetensors",
          "best.safetensors", "deploy.safetensors", "profile.csv", "backup/backup.safetensors", "backup"})
      if (holds_run && overwrite) std::remove(file(name).c_str());
  }

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// The same for ModelCheckpoint, to which braces mean something.
  std::string pattern(const std::string& name) const {
    std::string out;
    for (const char c : file(name)) out.append(c == '{' || c == '}' ? 2 : 1, c);
    return out;
  }

  const std::string& path() const { return path_; }
  /// What a file of the run holds, "config.json".
  strata::Json read(const std::string& name) const {
    return strata::Json::parse(strata::read_file(file(name)), file(name));
  }

  void write_config(strata::Json config) const {
    config["version"] = STRATA_VERSION;
    strata::write_file_atomically(file("config.json"), config.dump(2) + "\n");
  }

  /// A row per epoch, numbered from 1.
  void write_history(const strata::History& history) const {
    std::vector<std::string> columns = history.names();
    columns.insert(columns.begin(), "epoch");
    strata::CsvTable table(columns);
    for (std::size_t i = 0; i < history.size(); ++i) {
      std::vector<strata::CsvField> row{history.epoch()[i] + 1};
      for (const auto& [name, value] : history.at(i)) row.emplace_back(value);
      table.append(row);
    }
    strata::write_file_atomically(file("history.csv"), table.to_string());
  }

  /// Loss and accuracy over the epochs, as they are (pale) and smoothed.
  static std::vector<strata::Chart> charts(const strata::History& history) {
    std::vector<strata::Chart> charts;
    for (const auto& [name, title] : {std::pair{"loss", "Loss"}, std::pair{"accuracy", "Accuracy"}}) {
      strata::Chart chart{.title = title};
      int color = 0;
      for (const auto& [prefix, subset] : {std::pair{"", "training"}, std::pair{"val_", "validation"}}) {
        const std::vector<double> values = history[std::string(prefix) + name];
        chart.series.push_back({.name = subset, .y = values, .color = color, .faint = true});
        chart.series.push_back({.name = subset + std::string(", smoothed 0.8"),
                                .y = strata::ema(values, 0.8),
                                .color = color++});
      }
      charts.push_back(std::move(chart));
    }
    return charts;
  }
  void write_curves(const strata::History& history) const {
    strata::write_file_atomically(file("curves.svg"), strata::svg(charts(history)));
  }

  /// Times what `work` does to `images` pictures, which it may count itself, tells it on stdout and keeps it
  /// for metrics.json.
  template <class Work>
  void phase(const std::string& name, const std::int64_t& images, Work work) {
    std::fflush(stdout);
    const auto start = std::chrono::steady_clock::now();
    work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double rate = static_cast<double>(images) / std::max(seconds, 1e-9);
    std::printf("%-20s %7lld images %8.1f s %9.0f images/s\n", name.c_str(), static_cast<long long>(images),
                seconds, rate);
    phases_[name] = strata::Json::object({{"seconds", seconds}, {"images_per_second", rate}});
  }

  /// `train` is the last epoch's mean, as the curves show it; the test's accuracy has an interval. What is
  /// not finite is null. Tells the figures on stdout, too.
  void write_metrics(const strata::Logs& train, const strata::Logs& validation, const strata::Logs& test,
                     std::int64_t test_images) const {
    const auto number = [](double value) {
      return std::isfinite(value) ? strata::Json(value) : strata::Json();
    };
    const auto entry = [&](const char* name, const strata::Logs& logs) {
      std::printf("%-12s loss %.4f   accuracy %.4f", name, logs["loss"], logs["accuracy"]);
      return strata::Json::object({{"loss", number(logs["loss"])}, {"accuracy", number(logs["accuracy"])}});
    };
    strata::Json metrics;
    metrics["train"] = entry("\ntraining", train);
    metrics["validation"] = entry("\nvalidation", validation);
    metrics["test"] = entry("\ntest", test);
    const auto [low, high] = wilson_interval(test["accuracy"], test_images);
    std::printf("   (95 %% interval %.4f to %.4f)\n", low, high);
    metrics["test"]["accuracy_ci95"] = strata::Json::array({low, high});
    metrics["phases"] = phases_;
    metrics["peak_memory_bytes"] = peak_memory_bytes();
    std::printf("peak memory  %.0f MB\n", static_cast<double>(peak_memory_bytes()) / 1e6);
    strata::write_file_atomically(file("metrics.json"), metrics.dump(2) + "\n");
  }

 private:
  std::string path_;
  strata::Json phases_ = strata::Json::object();
};

}  // namespace examples
