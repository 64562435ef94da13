#pragma once

#include <strata/training/history.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE Logs::Logs(std::function<Logs()> fetch) : fetch_(std::move(fetch)) {}
STRATA_COLD STRATA_INLINE Logs::Logs(const Logs& other) : entries_(other.entries()) {}
STRATA_COLD STRATA_INLINE Logs::Logs(Logs&&) noexcept = default;
STRATA_COLD STRATA_INLINE Logs& Logs::operator=(Logs other) {
  entries_ = std::move(other.entries_);
  fetch_ = std::move(other.fetch_);
  return *this;
}
STRATA_COLD STRATA_INLINE Logs::~Logs() = default;

STRATA_COLD STRATA_INLINE void Logs::set(std::string_view name, double value) {
  for (Entry& entry : entries())
    if (entry.first == name) {
      entry.second = value;
      return;
    }
  entries().emplace_back(name, value);
}

STRATA_COLD STRATA_INLINE const double* Logs::find(std::string_view name) const {
  for (const Entry& entry : entries())
    if (entry.first == name) return &entry.second;
  return nullptr;
}

STRATA_COLD STRATA_INLINE double Logs::operator[](std::string_view name) const {
  if (const double* found = find(name)) return *found;
  std::string names;
  for (const Entry& entry : entries()) names += (names.empty() ? "" : ", ") + entry.first;
  throw ConfigError(concat("[logs] there is no '", name, "'; there are ", names.empty() ? "none" : names));
}

STRATA_COLD STRATA_INLINE std::vector<Logs::Entry>& Logs::entries() const {
  if (fetch_) entries_ = std::exchange(fetch_, nullptr)().entries();
  return entries_;
}

STRATA_COLD STRATA_INLINE void History::add(int epoch, const Logs& logs) {
  epochs_.push_back(epoch);
  logs_.push_back(logs);
}

STRATA_COLD STRATA_INLINE std::vector<std::string> History::names() const {
  std::vector<std::string> out;
  if (!logs_.empty())
    for (const auto& [name, value] : logs_.front()) out.push_back(name);
  return out;
}

STRATA_COLD STRATA_INLINE std::vector<double> History::operator[](std::string_view name) const {
  std::vector<double> out;
  for (const Logs& logs : logs_) out.push_back(logs[name]);
  return out;
}

}}  // namespace strata::STRATA_ABI
