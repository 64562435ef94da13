#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include <strata/applications/application.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications { namespace detail {

STRATA_COLD STRATA_INLINE std::string weights_file(const std::string& weights, const std::string& name) {
  if (weights == "random") return "";
  if (!weights.empty() && weights != "imagenet") return weights;
  const char* home = std::getenv("STRATA_HOME");
  const char* user = std::getenv("HOME");
  const std::string folder = home && *home ? home : concat(user ? user : "", "/.cache/strata");
  const std::string file = concat(folder, "/", name, ".safetensors");
  const bool there = access(file.c_str(), R_OK) == 0;
  const std::string missing = concat("[", name, "] the ImageNet weights are not at '", file,
                                     "'; this brings them: bash weights/fetch ", name);
  require<WeightError>(there || weights.empty(), missing);
  if (weights.empty())
    std::fputs(
        (there ? concat("[", name, "] ImageNet weights from '", file, "'\n")
               : concat("warning: ", missing, ". They are random now, as .weights = \"random\" asks for\n"))
            .c_str(),
        stderr);
  return there ? file : "";
}

template <class T>
STRATA_COLD BasicModel<T> make_application(const ApplicationOptions& options, const Application& application,
                                           FunctionRef<BasicSymbol<T>(BasicSymbol<T>)> network) {
  const auto& [name, published, trained_at, smallest, fixed_top, top] = application;
  const Shape shape = options.input_shape.empty() ? trained_at : options.input_shape;
  require<ShapeError>(shape.rank() == 3 && shape[2] == 3 && shape[0] >= smallest && shape[1] >= smallest, "[",
                      name, "] expected an input_shape of [height,width,3] with at least ", smallest,
                      " rows and columns, found ", shape);
  // A dense classifier fits one size of its input; a convolutional one fits them all.
  require<ShapeError>(!options.include_top || !fixed_top || shape == trained_at, "[", name,
                      "] with its top the network takes ", trained_at, ", found an input_shape of ", shape);
  const BasicSymbol<T> input = BasicInput<T>({.shape = shape, .name = "input_layer"});
  const BasicModel<T> model(input, network(input),
                            {.name = options.name.empty() ? name : options.name, .seed = options.seed});
  const std::string file = weights_file(options.weights, options.include_top ? name : published);
  if (!file.empty())
    load_weights<T>(model, file, {.ignore = options.include_top ? std::vector<std::string>{} : top});
  return model;
}

#if !STRATA_HEADER_ONLY
template BasicModel<float> make_application(const ApplicationOptions&, const Application&,
                                            FunctionRef<BasicSymbol<float>(BasicSymbol<float>)>);
template BasicModel<double> make_application(const ApplicationOptions&, const Application&,
                                             FunctionRef<BasicSymbol<double>(BasicSymbol<double>)>);
#endif

}}}}  // namespace strata::STRATA_ABI::applications::detail
