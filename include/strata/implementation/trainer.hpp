#pragma once

#include <strata/training/trainer.ipp>
