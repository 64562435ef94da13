#pragma once

// Everything that runs on the CPU.

#if __cplusplus <= 201703L
#error "Strata is written in C++20: compile with -std=c++20 or later"
#else  // the one error says enough

#include <strata/applications/book.hpp>
#include <strata/applications/classifier.hpp>
#include <strata/applications/grad_cam.hpp>
#include <strata/applications/imagenet.hpp>
#include <strata/applications/tiny_darknet.hpp>
#include <strata/applications/verify.hpp>
#include <strata/applications/vgg.hpp>
#include <strata/cpu/device.hpp>
#include <strata/data/affine_transform.hpp>
#include <strata/data/directory.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/data/image_grid.hpp>
#include <strata/data/mnist.hpp>
#include <strata/data/prefetch.hpp>
#include <strata/io/npy.hpp>
#include <strata/layers/registry.hpp>
#include <strata/model/compare_devices.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/check_gradients.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/gradients.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/monitoring.hpp>
#include <strata/training/most_wrong.hpp>
#include <strata/training/phase_logger.hpp>
#include <strata/training/saving.hpp>
#include <strata/training/tensorboard.hpp>

#endif
