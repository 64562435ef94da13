#pragma once

#include <type_traits>

#include <Eigen/Core>

#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

using Eigen::Index;

/// Row-major, as tensors are: a matrix for products, an array for arithmetic element by element.
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Array = Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
/// One number per channel.
template <class T>
using Row = Eigen::Array<T, 1, Eigen::Dynamic>;

/// Windows on memory somebody else owns; those of `const T` only read.
template <class T>
using MatrixMap = Eigen::Map<std::conditional_t<std::is_const_v<T>, const Matrix<std::remove_const_t<T>>,
                                                Matrix<std::remove_const_t<T>>>>;
template <class T>
using ArrayMap = Eigen::Map<std::conditional_t<std::is_const_v<T>, const Array<std::remove_const_t<T>>,
                                               Array<std::remove_const_t<T>>>>;

/// The view as a matrix [rows, last axis]; a scalar is [1,1].
template <class T>
MatrixMap<T> map(TensorView<T> view) {
  const Shape& shape = view.shape();
  if (shape.rank() == 0) return {view.data(), 1, 1};
  return {view.data(), Shape(shape.begin(), shape.end() - 1).size(), shape.back()};
}
/// The tensor as a matrix [rows, last axis], without a copy: it lives as long as the tensor's memory. Throws
/// DeviceError where the host cannot reach that.
template <class T>
MatrixMap<T> map(Tensor<T>& tensor) {
  return map(TensorView<T>(tensor.values().data(), tensor.shape()));
}
template <class T>
MatrixMap<const T> map(const Tensor<T>& tensor) {
  return map(TensorView<const T>(tensor.values().data(), tensor.shape()));
}
template <class T>
void map(const Tensor<T>&&) = delete;  // the memory would be gone

/// A host tensor [rows, columns] with the values of any matrix, array or expression of them. Reshape it for
/// more axes.
template <class Derived>
Tensor<typename Derived::Scalar> to_tensor(const Eigen::DenseBase<Derived>& matrix) {
  using T = typename Derived::Scalar;
  auto out = Tensor<T>::uninitialized({matrix.rows(), matrix.cols()});
  ArrayMap<T>(out.data(), matrix.rows(), matrix.cols()) = matrix.derived().array();
  return out;
}

}}}  // namespace strata::STRATA_ABI::eigen
