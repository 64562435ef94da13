#include "../network.hpp"

using namespace strata_bench;

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string_view("--peaks")) {
    std::cout << "{\"flops\": " << peak_flops() << ", \"bytes\": " << memory_bandwidth() << "}\n";
    return 0;
  }
  return contend(argc, argv, [](const std::string& folder, const std::string& output, int threads) {
    const Case race = load_case(folder, threads);
    const std::int64_t batch = race.input.shape()[0];
    write_floats(output, race.model.predict(race.input, batch).values());
    serve([&] { benchmark::DoNotOptimize(race.model.predict(race.input, batch)); });
  });
}
