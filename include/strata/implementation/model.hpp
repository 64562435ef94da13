#pragma once

#include <strata/model/compare_devices.ipp>
#include <strata/model/model.ipp>
#include <strata/model/model_plan.ipp>
#include <strata/model/summary.ipp>
