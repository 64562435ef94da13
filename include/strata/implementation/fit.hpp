#pragma once

#include <strata/training/batch_loader.ipp>
#include <strata/training/fit.ipp>
#include <strata/training/frozen_prefix.ipp>
#include <strata/training/history.ipp>
#include <strata/training/most_wrong.ipp>
