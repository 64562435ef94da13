#include "answer.hpp"

double second() {
  return answer();
}
