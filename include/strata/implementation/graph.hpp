#pragma once

#include <strata/model/graph.ipp>
#include <strata/model/plan.ipp>
#include <strata/model/weights.ipp>
