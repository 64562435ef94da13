#include "../network.hpp"

using namespace strata;
using namespace strata_bench;

int main(int argc, char** argv) {
  return contend(argc, argv, [](const std::string& folder, const std::string& output, int threads) {
    NetworkCase network = load_network(folder, threads);
    // So small an epsilon that it does not matter which side of the square root a library adds it on.
    network.model.compile(
        {.optimizer = RMSprop({.learning_rate = 1e-5, .epsilon = 1e-14}), .loss = BinaryCrossentropy()});
    Tensor<float> labels({network.input.shape()[0], 1});
    for (std::int64_t i = 0; i < labels.size(); i += 2) labels(i, 0) = 1;
    const auto step = [&] {
      return static_cast<float>(network.model.train_on_batch(network.input, labels)["loss"]);
    };
    write_floats(output, std::vector<float>{step(), step(), step()});
    serve(STRATA_VERSION, step);
  });
}
