#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Named figures in the order in which they were added: {"loss": 0.31, "accuracy": 0.87, "val_loss": ...}.
class Logs {
 public:
  using Entry = std::pair<std::string, double>;

  Logs() = default;
  /// Figures that are fetched when somebody first looks at them.
  explicit Logs(std::function<Logs()> fetch);
  Logs(const Logs& other);
  Logs(Logs&&) noexcept;
  Logs& operator=(Logs other);
  ~Logs();

  void set(std::string_view name, double value);
  /// Null where there is no such figure.
  const double* find(std::string_view name) const;
  /// Throws ConfigError that lists the figures there are.
  double operator[](std::string_view name) const;
  bool empty() const { return entries().empty(); }
  auto begin() const { return std::as_const(entries()).begin(); }
  auto end() const { return std::as_const(entries()).end(); }

 private:
  std::vector<Entry>& entries() const;
  mutable std::vector<Entry> entries_;
  mutable std::function<Logs()> fetch_;
};

/// Whether training is to lower a figure or to raise it; automatic: as the figure itself says.
enum class MonitorMode { automatic, min, max };

/// A figure that the logs of an epoch will hold, and which way it is to go where that is known.
struct Figure {
  std::string name;
  MonitorMode mode = MonitorMode::automatic;
};

/// What `fit` returns: the figures of every epoch it ran.
class History {
 public:
  void add(int epoch, const Logs& logs);
  /// Numbers of the epochs, from 0.
  const std::vector<int>& epoch() const { return epochs_; }
  const Logs& at(std::size_t index) const { return logs_.at(index); }
  std::size_t size() const { return logs_.size(); }
  bool empty() const { return logs_.empty(); }

  /// Names of all figures, in order.
  std::vector<std::string> names() const;
  /// One figure over the epochs. Throws ConfigError that lists the figures where there is none of that name.
  std::vector<double> operator[](std::string_view name) const;

 private:
  std::vector<int> epochs_;
  std::vector<Logs> logs_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/history.ipp>
#endif
