#pragma once

#include <string>
#include <vector>

#include <strata/core/function_ref.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/model.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

/// Options of all pretrained networks.
struct ApplicationOptions {
  bool include_top = true;  ///< with the classifier for ImageNet's 1,000 classes
  Shape input_shape = {};   ///< [height,width,3]; {}: the size the network was trained at
  /// "imagenet": the file that `weights/fetch` left in $STRATA_HOME (~/.cache/strata). "random". Else a
  /// safetensors file (see docs/weights.md). Empty: "imagenet" if it is there, else "random"; a line on
  /// stderr says which.
  std::string weights = {};
  std::string name = {};
  std::uint64_t seed = 0;  ///< of random weights
};

namespace detail {
/// The file that `weights` means; empty: none. Throws WeightError with the command that brings it where
/// "imagenet" is not there.
std::string weights_file(const std::string& weights, const std::string& name);
struct Application {
  std::string name;
  std::string base_weights;  ///< name of the published weights without the top
  Shape trained_at;
  std::int64_t smallest;         ///< height and width
  bool fixed_top;                ///< the top takes features of one size only
  std::vector<std::string> top;  ///< its layers
};
/// Checks the input shape, builds the network, a function on symbolic tensors, and loads its weights.
template <class T>
BasicModel<T> make_application(const ApplicationOptions& options, const Application& application,
                               FunctionRef<BasicSymbol<T>(BasicSymbol<T>)> network);
}  // namespace detail

}}}  // namespace strata::STRATA_ABI::applications

#if STRATA_HEADER_ONLY
#include <strata/applications/application.ipp>
#endif
