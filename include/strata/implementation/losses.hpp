#pragma once

#include <strata/training/losses.ipp>
#include <strata/training/metrics.ipp>
#include <strata/training/optimizers.ipp>
#include <strata/training/schedules.ipp>
