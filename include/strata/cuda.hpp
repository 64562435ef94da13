#pragma once

// NVIDIA cards as devices: `model.to(strata::cuda::device())`. Opt-in: nothing else in Strata needs CUDA.
// Link strata::cuda (cuDNN, cuBLAS, NVRTC and the CUDA runtime; nvcc is not needed).

#include <strata/cuda/device.hpp>
#include <strata/tensor/backend.hpp>
