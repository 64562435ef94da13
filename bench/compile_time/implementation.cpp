// The one heavy file of a program that is split.
#include <strata/implementation.hpp>
