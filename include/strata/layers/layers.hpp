#pragma once

#include <strata/layers/activation.hpp>
#include <strata/layers/batch_normalization.hpp>
#include <strata/layers/conv2d.hpp>
#include <strata/layers/conv2d_transpose.hpp>
#include <strata/layers/dense.hpp>
#include <strata/layers/depthwise_conv2d.hpp>
#include <strata/layers/dropout.hpp>
#include <strata/layers/flatten.hpp>
#include <strata/layers/input.hpp>
#include <strata/layers/merge.hpp>
#include <strata/layers/normalization.hpp>
#include <strata/layers/pooling.hpp>
#include <strata/layers/random_colors.hpp>
#include <strata/layers/random_transforms.hpp>
#include <strata/layers/rescaling.hpp>
#include <strata/layers/separable_conv2d.hpp>
#include <strata/layers/up_sampling2d.hpp>
#include <strata/layers/zero_padding2d.hpp>

/// The list of layers, `X(...)` for the class of each. What a file can name, what the library compiles, and
/// what the tests ask for (a gradient check and a case of Keras's) follow from it.
#define STRATA_LAYERS(X, T)                    \
  X(InputImpl<T>)                              \
  X(Conv2DImpl<T>)                             \
  X(Conv2DTransposeImpl<T>)                    \
  X(DepthwiseConv2DImpl<T>)                    \
  X(SeparableConv2DImpl<T>)                    \
  X(DenseImpl<T>)                              \
  X(Pooling2DImpl<T, PoolKind::max>)           \
  X(Pooling2DImpl<T, PoolKind::average>)       \
  X(GlobalPooling2DImpl<T, PoolKind::max>)     \
  X(GlobalPooling2DImpl<T, PoolKind::average>) \
  X(ReshapingImpl<T, FlattenOptions>)          \
  X(ReshapingImpl<T, ReshapeOptions>)          \
  X(DropoutImpl<T>)                            \
  X(ActivationImpl<T, ActivationOptions>)      \
  X(ActivationImpl<T, ReLUOptions>)            \
  X(ActivationImpl<T, LeakyReLUOptions>)       \
  X(ActivationImpl<T, SoftmaxOptions>)         \
  X(BatchNormalizationImpl<T>)                 \
  X(NormalizationImpl<T>)                      \
  X(RescalingImpl<T>)                          \
  X(ZeroPadding2DImpl<T>)                      \
  X(UpSampling2DImpl<T>)                       \
  X(RandomFlipImpl<T>)                         \
  X(RandomRotationImpl<T>)                     \
  X(RandomZoomImpl<T>)                         \
  X(RandomTranslationImpl<T>)                  \
  X(RandomContrastImpl<T>)                     \
  X(RandomBrightnessImpl<T>)                   \
  X(MergeImpl<T, MergeKind::add>)              \
  X(MergeImpl<T, MergeKind::subtract>)         \
  X(MergeImpl<T, MergeKind::multiply>)         \
  X(MergeImpl<T, MergeKind::average>)          \
  X(MergeImpl<T, MergeKind::maximum>)          \
  X(MergeImpl<T, MergeKind::minimum>)          \
  X(ConcatenateImpl<T>)

#if !STRATA_HEADER_ONLY
#define STRATA_INSTANCE extern template class
#include <strata/layers/instances.ipp>
#endif
