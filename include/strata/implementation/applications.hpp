#pragma once

#include <strata/applications/application.ipp>
#include <strata/applications/book.ipp>
#include <strata/applications/tiny_darknet.ipp>
#include <strata/applications/vgg.ipp>
