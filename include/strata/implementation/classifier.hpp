#pragma once

#include <strata/applications/classifier.ipp>
#include <strata/applications/grad_cam.ipp>
#include <strata/applications/verify.ipp>
