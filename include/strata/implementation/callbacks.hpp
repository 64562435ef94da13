#pragma once

#include <strata/training/logging.ipp>
#include <strata/training/monitoring.ipp>
#include <strata/training/phase_logger.ipp>
#include <strata/training/tensorboard.ipp>
