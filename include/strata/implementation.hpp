#pragma once

// Everything that headers declare, compiled into one file of a program whose files all define STRATA_SPLIT.
// A program that uses strata/eigen.hpp or strata/cuda.hpp adds strata/eigen/device.ipp or
// strata/cuda/device.ipp.
#if !defined(STRATA_SPLIT)
#error "strata/implementation.hpp belongs to programs whose files define STRATA_SPLIT (-DSTRATA_SPLIT)"
#else

#include <strata/applications/application.ipp>
#include <strata/applications/book.ipp>
#include <strata/applications/classifier.ipp>
#include <strata/applications/grad_cam.ipp>
#include <strata/applications/tiny_darknet.ipp>
#include <strata/applications/verify.ipp>
#include <strata/applications/vgg.ipp>
#include <strata/core/error.ipp>
#include <strata/core/parallel.ipp>
#include <strata/cpu/convolution.ipp>
#include <strata/cpu/device.ipp>
#include <strata/cpu/dispatch.ipp>
#include <strata/cpu/elementwise.ipp>
#include <strata/cpu/few_channels.ipp>
#include <strata/cpu/few_rows.ipp>
#include <strata/cpu/grouped_convolution.ipp>
#include <strata/cpu/implicit_product.ipp>
#include <strata/cpu/normalization.ipp>
#include <strata/cpu/pixels.ipp>
#include <strata/cpu/planner.ipp>
#include <strata/cpu/pooling.ipp>
#include <strata/cpu/training.ipp>
#include <strata/cpu/winograd.ipp>
#include <strata/cpu/workspace.ipp>
#include <strata/data/affine_transform.ipp>
#include <strata/data/augmentation.ipp>
#include <strata/data/dataset.ipp>
#include <strata/data/directory.ipp>
#include <strata/data/image.ipp>
#include <strata/data/image_data_generator.ipp>
#include <strata/data/image_grid.ipp>
#include <strata/data/mnist.ipp>
#include <strata/data/prefetch.ipp>
#include <strata/data/resize.ipp>
#include <strata/data/stages.ipp>
#include <strata/data/stb.ipp>
#include <strata/io/csv.ipp>
#include <strata/io/dtype.ipp>
#include <strata/io/event_file.ipp>
#include <strata/io/file.ipp>
#include <strata/io/json.ipp>
#include <strata/io/npy.ipp>
#include <strata/io/progress.ipp>
#include <strata/io/row_store.ipp>
#include <strata/io/safetensors.ipp>
#include <strata/io/svg.ipp>
#include <strata/layers/config.ipp>
#include <strata/layers/instances.ipp>
#include <strata/model/compare_devices.ipp>
#include <strata/model/graph.ipp>
#include <strata/model/model.ipp>
#include <strata/model/model_plan.ipp>
#include <strata/model/plan.ipp>
#include <strata/model/summary.ipp>
#include <strata/model/weights.ipp>
#include <strata/tensor/activation.ipp>
#include <strata/training/backup.ipp>
#include <strata/training/check_gradients.ipp>
#include <strata/training/fit.ipp>
#include <strata/training/frozen_prefix.ipp>
#include <strata/training/gradients.ipp>
#include <strata/training/history.ipp>
#include <strata/training/logging.ipp>
#include <strata/training/losses.ipp>
#include <strata/training/metrics.ipp>
#include <strata/training/monitoring.ipp>
#include <strata/training/most_wrong.ipp>
#include <strata/training/optimizers.ipp>
#include <strata/training/saving.ipp>
#include <strata/training/schedules.ipp>
#include <strata/training/tensorboard.ipp>
#include <strata/training/trainer.ipp>

#endif
