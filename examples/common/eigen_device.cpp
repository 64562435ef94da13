#include <strata/eigen/device.hpp>

namespace examples {

// Apart from the programs: Eigen takes a minute to compile, once is enough.
strata::DevicePtr eigen_device(int threads) {
  return strata::eigen::device({.threads = threads});
}

}  // namespace examples
