// Mean, greatest and quantiles of numbers in bounded memory, whatever their order: what many threads add is the same as
// what one adds.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace doppel {

// Numbers beyond 2^40 count as 2^40, likewise below -2^40. Not thread-safe.
class ValueSummary {
 public:
  void add(std::span<const double> values);
  int64_t count() const { return count_; }
  // The sum is exact but for what of a number lies below 2^-60. 0 of no numbers, as are the others.
  double mean() const;
  double greatest() const { return greatest_; }
  // The number of rank share * (count - 1), rounded: exact up to kExact numbers, else within 2^-19 of 1 + its size.
  double quantile(double share);

  static constexpr int64_t kExact = 1 << 19;

 private:
  void count_kept();

  static constexpr int64_t kPageBuckets = 1 << 12;
  int64_t count_ = 0;
  __int128 sum_ = 0;  // in units of 2^-60
  double greatest_ = 0;
  std::vector<double> kept_;                        // while there are no more than kExact
  std::map<int64_t, std::vector<int64_t>> counts_;  // later: by page, of each of its buckets
};

}  // namespace doppel
