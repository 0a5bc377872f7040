#include "tests/kernels/pair_cases.h"

namespace doppel {
namespace {

TEST(PairCounts, AreThoseOfTheRows) {
  expect_pair_counts_of_every_size(*make_backend("cpu"));
}

TEST(PairCounts, RefuseCodesThatAreNone) {
  expect_refused_codes(*make_backend("cpu"));
}

TEST(Sort, AscendsByTheBackend) {
  expect_sorted_of_every_size(*make_backend("cpu"));
}

}  // namespace
}  // namespace doppel
