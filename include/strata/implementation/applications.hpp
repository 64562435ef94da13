#pragma once

#include <strata/applications/application.ipp>
#include <strata/applications/book.ipp>
#include <strata/applications/classifier.ipp>
#include <strata/applications/grad_cam.ipp>
#include <strata/applications/tiny_darknet.ipp>
#include <strata/applications/verify.ipp>
#include <strata/applications/vgg.ipp>
