#pragma once

#include <strata/training/backup.ipp>
#include <strata/training/saving.ipp>
