#include "engine/evaluation/value_summary.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace doppel {
namespace {

constexpr double kGreatest = 0x1p40;
constexpr int kDropped = 52 - 18;  // bits of a double's fraction that a bucket's numbers do not share

// Buckets ascend with the number: the leading bits of 1 + its size, which is at least 1, so that they are of even width
// near 0 and of even relative width far from it.
int64_t bucket_of(double value) {
  const auto bits =
      static_cast<int64_t>((std::bit_cast<uint64_t>(1 + std::abs(value)) - std::bit_cast<uint64_t>(1.0)) >> kDropped);
  return value < 0 ? -1 - bits : bits;
}

double middle_of(int64_t bucket) {
  const auto bits = static_cast<uint64_t>(bucket < 0 ? -1 - bucket : bucket);
  const double size =
      std::bit_cast<double>((bits << kDropped | uint64_t{1} << (kDropped - 1)) + std::bit_cast<uint64_t>(1.0)) - 1;
  return bucket < 0 ? -size : size;
}

}  // namespace

void ValueSummary::add(std::span<const double> values) {
  for (const double given : values) {
    const double value = std::clamp(given, -kGreatest, kGreatest);
    greatest_ = count_ == 0 ? value : std::max(greatest_, value);
    ++count_;
    sum_ += static_cast<__int128>(std::nearbyint(value * 0x1p60));
    kept_.push_back(value);
  }
  if (count_ > kExact) count_kept();
}

void ValueSummary::count_kept() {
  for (const double value : kept_) {
    const int64_t bucket = bucket_of(value);
    std::vector<int64_t>& page = counts_[bucket >> std::countr_zero(static_cast<uint64_t>(kPageBuckets))];
    page.resize(kPageBuckets);
    ++page[static_cast<size_t>(bucket & (kPageBuckets - 1))];
  }
  kept_.clear();
}

double ValueSummary::mean() const {
  return count_ == 0 ? 0 : static_cast<double>(sum_) * 0x1p-60 / static_cast<double>(count_);
}

double ValueSummary::quantile(double share) {
  if (count_ == 0) return 0;
  const auto rank = static_cast<int64_t>(share * static_cast<double>(count_ - 1) + 0.5);
  if (rank == count_ - 1) return greatest_;
  if (count_ <= kExact) {
    std::nth_element(kept_.begin(), kept_.begin() + rank, kept_.end());
    return kept_[static_cast<size_t>(rank)];
  }
  int64_t before = 0;
  for (const auto& [page, counts] : counts_)
    for (int64_t at = 0; at < kPageBuckets; ++at)
      if ((before += counts[static_cast<size_t>(at)]) > rank) return middle_of(page * kPageBuckets + at);
  return greatest_;
}

}  // namespace doppel
