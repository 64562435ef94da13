#pragma once

#include <algorithm>
#include <array>
#include <cstdio>

#include <strata/model/model.hpp>
#include <strata/model/summary.hpp>

namespace strata { inline namespace STRATA_ABI { namespace detail {

STRATA_COLD STRATA_INLINE std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = std::ssize(digits) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

STRATA_COLD STRATA_INLINE std::string with_unit(double number, double base,
                                                std::initializer_list<const char*> units) {
  const char* const* unit = units.begin();
  for (; number >= base && unit + 1 != units.end(); ++unit) number /= base;
  char text[64];
  std::snprintf(text, sizeof text, "%.2f %s", number, *unit);
  return text;
}

STRATA_COLD inline std::string with_size(std::int64_t numbers, std::size_t scalar) {
  const double bytes = static_cast<double>(numbers) * static_cast<double>(scalar);
  return concat(with_commas(numbers), " (", with_unit(bytes, 1024, {"B", "KB", "MB", "GB", "TB"}), ")");
}

template <class T>
STRATA_COLD std::string summary_text(const BasicNetwork<T>& model) {
  const auto& graph = model.model().graph();
  model.model().require_built();
  // A column for connections only where the layers are not simply one after the other.
  bool chain = true;
  for (std::size_t i = 1; i < graph.nodes().size(); ++i)
    chain = chain && graph.nodes()[i].inputs == std::vector<int>{static_cast<int>(i) - 1};

  using Row = std::array<std::string, 4>;
  std::vector<Row> rows{{"Layer (type)", "Output Shape", "Param #", "Connected to"}};
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const auto& node = graph.nodes()[i];
    if (node.call > 0) continue;
    std::string shape = "(None";
    for (const std::int64_t extent : node.shape) shape += ", " + std::to_string(extent);
    std::string from;
    for (const auto& other : graph.nodes())
      if (other.layer == node.layer)
        for (const int input : other.inputs)
          from += (from.empty() ? "" : ", ") + graph.nodes()[static_cast<std::size_t>(input)].layer->name();
    rows.push_back({concat(node.layer->name(), " (", node.layer->class_name(), ")"), shape + ")",
                    with_commas(BasicLayer<T>(node.layer).count_params()), from});
  }
  const std::size_t columns = chain ? 3 : 4;
  std::array<std::size_t, 4> widths{};
  for (const Row& row : rows)
    for (std::size_t c = 0; c < columns; ++c) widths[c] = std::max(widths[c], row[c].size() + 3);
  std::size_t width = 0;
  for (std::size_t c = 0; c < columns; ++c) width += widths[c];

  std::string out = concat("Model: \"", model.name(), "\"\n", std::string(width, '_'), "\n");
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < columns; ++c)
      line += rows[r][c] + std::string(widths[c] - rows[r][c].size(), ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    if (r == 0) out += std::string(width, '=') + "\n";
  }
  std::int64_t trainable = 0;
  for (const auto& weight : model.trainable_weights()) trainable += weight->shape().size();
  const std::int64_t total = model.count_params();
  return out + concat(std::string(width, '='), "\nTotal params: ", with_size(total, sizeof(T)),
                      "\nTrainable params: ", with_size(trainable, sizeof(T)),
                      "\nNon-trainable params: ", with_size(total - trainable, sizeof(T)), "\n");
}

STRATA_COLD STRATA_INLINE std::string text_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size() + 3);
  }
  std::string out, rule;
  for (const std::size_t width : widths) rule += std::string(width, '=');
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) line += row[c] + std::string(widths[c] - row[c].size(), ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    if (&row == &rows.front()) out += rule + "\n";
  }
  return out;
}

#if !STRATA_HEADER_ONLY
template std::string summary_text(const BasicNetwork<float>&);
template std::string summary_text(const BasicNetwork<double>&);
#endif

}}}  // namespace strata::STRATA_ABI::detail
