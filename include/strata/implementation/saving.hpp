#pragma once

#include <strata/training/backup.ipp>
#include <strata/training/check_gradients.ipp>
#include <strata/training/gradients.ipp>
#include <strata/training/saving.ipp>
