#include "../network.hpp"

using namespace strata;
using namespace strata_bench;

int main(int argc, char** argv) {
  return contend(argc, argv, [](const std::string& folder, const std::string& output, int threads) {
    Case race = load_case(folder, threads);
    // So small an epsilon that it does not matter which side of the square root a library adds it on.
    race.model.compile(
        {.optimizer = RMSprop({.learning_rate = 1e-5, .epsilon = 1e-14}), .loss = BinaryCrossentropy()});
    Tensor<float> labels({race.input.shape()[0], 1});
    for (std::int64_t i = 0; i < labels.size(); i += 2) labels(i, 0) = 1;
    const auto step = [&] {
      return static_cast<float>(race.model.train_on_batch(race.input, labels)["loss"]);
    };
    write_floats(output, std::vector<float>{step(), step(), step()});
    serve(step);
  });
}
