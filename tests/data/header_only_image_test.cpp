// Included header-only, the library decodes JPEGs by stb, not by the libjpeg-turbo of strata::compiled.
#include "data/golden_jpeg_test.cpp"
#include "data/image_test.cpp"
