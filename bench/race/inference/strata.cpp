#include "../../ops/measure.hpp"
#include "../network.hpp"

using namespace strata_bench;

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string_view("--peaks")) {
    std::cout << "{\"flops\": " << peak_flops() << ", \"bytes\": " << memory_bandwidth() << "}\n";
    return 0;
  }
  return contend(argc, argv, [](const std::string& folder, const std::string& output, int threads) {
    const NetworkCase network = load_network(folder, threads);
    const std::int64_t batch = network.input.shape()[0];
    write_floats(output, network.model.predict(network.input, batch).values());
    serve(STRATA_VERSION, [&] { benchmark::DoNotOptimize(network.model.predict(network.input, batch)); });
  });
}
