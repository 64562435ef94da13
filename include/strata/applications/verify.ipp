#pragma once

#include <algorithm>
#include <cmath>

#include <strata/applications/verify.hpp>
#include <strata/io/file.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

namespace detail {
// The input that weights/convert feeds: element i is low + (high - low) * frac(i * 2654435761 / 2^32).
template <class T>
STRATA_COLD Tensor<T> probe_input(const Json& input) {
  constexpr std::int64_t limit = std::int64_t{1} << 26;  // four pictures of 2048 x 2048
  const Shape shape = input.get<Shape>("shape");
  require<DataError>(shape.rank() > 0 && shape.size() > 0 && shape.size() <= limit,
                     "[verify] expected a probe input of 1 to ", limit, " elements, found shape ", shape);
  auto x = Tensor<T>::uninitialized(shape);
  const double low = input.get<double>("low"), high = input.get<double>("high");
  std::uint32_t word = 0;
  for (T& value : x.values()) {
    value = static_cast<T>(low + (high - low) * (word * 0x1p-32));
    word += 2654435761U;
  }
  return x;
}

template <class T>
STRATA_COLD double deviation(const Json& expected, const Tensor<T>& found) {
  const auto values = found.values();
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const T each : values) {
    const auto value = static_cast<double>(each);
    sum += value;
    squares += value * value;
  }
  const double l2 = expected.get<double>("l2"), rms = std::max(l2 / std::sqrt(count), 1e-30);
  double worst = std::max(std::abs(sum / count - expected.get<double>("mean")),
                          std::abs(std::sqrt(squares) - l2) / std::sqrt(count));
  const auto samples = expected.at("samples").as<std::vector<double>>();
  for (std::size_t k = 0; k < samples.size(); ++k) {
    const std::size_t at = (2 * k + 1) * values.size() / (2 * samples.size());
    worst = std::max(worst, std::abs(static_cast<double>(values[at]) - samples[k]));
  }
  // NaN must not pass as the smaller of two.
  return std::isfinite(squares) ? worst / rms : std::numeric_limits<double>::infinity();
}
}  // namespace detail

template <class T>
STRATA_COLD std::vector<LayerDeviation> verify(const BasicModel<T>& model, const std::string& path,
                                               double tolerance) {
  const Json probe = Json::parse(read_file(path), path);
  require<DataError>(probe.get("format", "") == "strata-probe/1", "[verify] '", path,
                     "' is not a probe: expected format 'strata-probe/1'");
  require<ConfigError>(model.model().graph().inputs().size() == 1, model.model().who(),
                       "verification takes models of one input");
  const Tensor<T> x = detail::probe_input<T>(probe.at("input")).to(model.device());

  // The same layers on the probe's input, every layer the probe knows an output.
  auto nodes = model.model().graph().nodes();
  std::vector<const Json*> expected;
  std::vector<int> outputs;
  for (int i = 0; i < static_cast<int>(nodes.size()); ++i) {
    auto& node = nodes[static_cast<std::size_t>(i)];
    if (node.inputs.empty())
      node.layer = std::make_shared<InputImpl<T>>(InputOptions{.shape = x.shape().without_batch()});
    for (const Json& layer : probe.at("layers").as_array())
      if (layer.get<std::string>("name") == node.layer->name()) {
        expected.push_back(&layer);
        outputs.push_back(i);
      }
  }
  require<WeightError>(!outputs.empty(), "[verify] model '", model.name(), "' has none of the layers of '",
                       path, "'");
  const Graph<T> graph(std::move(nodes), model.model().graph().inputs(), outputs);
  std::vector<Tensor<T>> results;
  std::vector<TensorView<T>> views;
  for (const int output : outputs) {
    const Json& wanted = *expected[results.size()];
    const Shape shape = graph.nodes()[static_cast<std::size_t>(output)].shape.with_batch(x.shape()[0]);
    require<WeightError>(shape == wanted.get<Shape>("shape"), "[verify] layer '",
                         wanted.get<std::string>("name"), "': expected a result of shape ",
                         wanted.get<Shape>("shape"), ", found ", shape);
    require<DataError>(shape.size() > 0, "[verify] layer '", wanted.get<std::string>("name"),
                       "': a result of shape ", shape, " has nothing to compare");
    results.push_back(Tensor<T>::uninitialized(shape, model.device()));
  }
  for (auto& result : results) views.push_back(result);
  Session<T> session(model.device());
  const TensorView<const T> input = x;
  graph.forward({&input, 1}, views, session.begin({}));

  std::vector<LayerDeviation> out;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Json& wanted = *expected[i];
    const std::string name = wanted.get<std::string>("name");
    const double relative = detail::deviation(wanted, results[i].to(nullptr));
    require<WeightError>(relative <= tolerance, "[verify] layer '", name,
                         "' is the first that differs from the probe '", path, "': by ", relative,
                         " of the size of its values, allowed ", tolerance);
    out.push_back({name, relative});
  }
  return out;
}

#if !STRATA_HEADER_ONLY
template std::vector<LayerDeviation> verify(const BasicModel<float>&, const std::string&, double);
template std::vector<LayerDeviation> verify(const BasicModel<double>&, const std::string&, double);
#endif

}}}  // namespace strata::STRATA_ABI::applications
