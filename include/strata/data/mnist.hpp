#pragma once

#include <cstdint>
#include <string>

#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// An IDX file of unsigned bytes, gzipped or not (its content tells). Throws DataError naming the file where
/// it is something else, damaged, or shorter or longer than it says, and above 1 GiB.
/// Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits"; RFC 1952.
Tensor<std::uint8_t> read_idx(const std::string& path);

enum class MNISTSubset { train, test };

struct MNIST {
  Tensor<std::uint8_t> pixels;  ///< [n,28,28,1], 0 is paper
  Tensor<float> labels;         ///< [n], 0 to 9
};

/// The handwritten digits from a folder with the official files, `train-images-idx3-ubyte` and so on, each as
/// it is or with `.gz`. Throws DataError.
MNIST load_mnist(const std::string& folder, MNISTSubset subset);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/mnist.ipp>
#endif
