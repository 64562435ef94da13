// Gives libFuzzer, whose options all hold, the seeds of a target.
#include <vector>

#include "fuzz/fuzz.hpp"
#include "support/temporary_directory.hpp"

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  static const TemporaryDirectory corpus;
  static std::string path = corpus.path();
  static std::vector<char*> extended(*arguments, *arguments + *count);
  int number = 0;
  for (const std::string& seed : strata_fuzz::seeds()) corpus.write(std::to_string(number++), seed);
  extended.push_back(path.data());
  *count = static_cast<int>(extended.size());
  extended.push_back(nullptr);
  *arguments = extended.data();
  return 0;
}
