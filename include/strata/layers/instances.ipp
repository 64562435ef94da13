// The layers in float: compiled once in the library, which has this file alone, and only declared in its
// users' files, which get it from layers.hpp with STRATA_INSTANCE set. Hence no #pragma once.
#include <strata/core/config.hpp>

#if !STRATA_HEADER_ONLY
#ifndef STRATA_INSTANCE
#include <strata/layers/layers.hpp>
#define STRATA_INSTANCE template class
#endif

namespace strata { inline namespace STRATA_ABI {

STRATA_INSTANCE BasicLayerImpl<float>;
STRATA_INSTANCE LayerBase<ActivationImpl<float, ActivationOptions>, float, ActivationOptions>;
STRATA_INSTANCE ActivationImpl<float, ActivationOptions>;
STRATA_INSTANCE LayerBase<ActivationImpl<float, LeakyReLUOptions>, float, LeakyReLUOptions>;
STRATA_INSTANCE ActivationImpl<float, LeakyReLUOptions>;
STRATA_INSTANCE LayerBase<ActivationImpl<float, ReLUOptions>, float, ReLUOptions>;
STRATA_INSTANCE ActivationImpl<float, ReLUOptions>;
STRATA_INSTANCE LayerBase<ActivationImpl<float, SoftmaxOptions>, float, SoftmaxOptions>;
STRATA_INSTANCE ActivationImpl<float, SoftmaxOptions>;
STRATA_INSTANCE LayerBase<AddImpl<float>, float, AddOptions>;
STRATA_INSTANCE AddImpl<float>;
STRATA_INSTANCE LayerBase<BatchNormalizationImpl<float>, float, BatchNormalizationOptions>;
STRATA_INSTANCE BatchNormalizationImpl<float>;
STRATA_INSTANCE LayerBase<ConcatenateImpl<float>, float, ConcatenateOptions>;
STRATA_INSTANCE ConcatenateImpl<float>;
STRATA_INSTANCE LayerBase<Conv2DImpl<float>, float, Conv2DOptions>;
STRATA_INSTANCE Conv2DImpl<float>;
STRATA_INSTANCE LayerBase<DenseImpl<float>, float, DenseOptions>;
STRATA_INSTANCE DenseImpl<float>;
STRATA_INSTANCE LayerBase<DropoutImpl<float>, float, DropoutOptions>;
STRATA_INSTANCE DropoutImpl<float>;
STRATA_INSTANCE LayerBase<FlattenImpl<float>, float, FlattenOptions>;
STRATA_INSTANCE FlattenImpl<float>;
STRATA_INSTANCE LayerBase<GlobalAveragePooling2DImpl<float>, float, GlobalPooling2DOptions>;
STRATA_INSTANCE GlobalAveragePooling2DImpl<float>;
STRATA_INSTANCE LayerBase<InputImpl<float>, float, InputOptions>;
STRATA_INSTANCE InputImpl<float>;
STRATA_INSTANCE LayerBase<Pooling2DImpl<float, PoolKind::average>, float, Pooling2DOptions>;
STRATA_INSTANCE Pooling2DImpl<float, PoolKind::average>;
STRATA_INSTANCE LayerBase<Pooling2DImpl<float, PoolKind::max>, float, Pooling2DOptions>;
STRATA_INSTANCE Pooling2DImpl<float, PoolKind::max>;
STRATA_INSTANCE LayerBase<RescalingImpl<float>, float, RescalingOptions>;
STRATA_INSTANCE RescalingImpl<float>;
STRATA_INSTANCE LayerBase<ZeroPadding2DImpl<float>, float, ZeroPadding2DOptions>;
STRATA_INSTANCE ZeroPadding2DImpl<float>;

}}  // namespace strata::STRATA_ABI

#undef STRATA_INSTANCE
#endif
