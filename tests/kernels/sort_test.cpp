#include "kernels/sort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace doppel {
namespace {

template <class Value>
void expect_sorted(std::vector<Value> values) {
  std::vector<Value> wanted = values;
  std::stable_sort(wanted.begin(), wanted.end());
  sort_ascending(std::span(values));
  EXPECT_EQ(values, wanted) << values.size() << " values";
}

TEST(Sort, AnyNumberOfValues) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (const size_t size : {0, 1, 2, 3, 15, 16, 17, 64, 257, 1000, 32768}) {
    std::vector<double> reals;
    std::vector<int64_t> integers;
    for (size_t i = 0; i < size; ++i) {
      reals.push_back(std::exp(20 * normal(random)) * (i % 2 == 0 ? 1 : -1));
      integers.push_back(i % 3 == 0 ? static_cast<int64_t>(random()) : static_cast<int64_t>(random() % 5) - 2);
    }
    expect_sorted(reals);
    expect_sorted(integers);
  }
}

TEST(Sort, ExtremesAndZeros) {
  using Double = std::numeric_limits<double>;
  using Integer = std::numeric_limits<int64_t>;
  expect_sorted<int64_t>({Integer::max(), 0, Integer::min(), -1, 1, Integer::min(), Integer::max()});
  expect_sorted<double>({Double::infinity(), Double::max(), -Double::infinity(), Double::denorm_min(), Double::lowest(),
                         -Double::denorm_min(), 1, -1});
  std::vector<double> zeros{0.0, -0.0, 0.0, -0.0};
  sort_ascending(std::span(zeros));
  for (const double zero : zeros) EXPECT_FALSE(std::signbit(zero));
}

}  // namespace
}  // namespace doppel
