// What all that makes or takes responsibilities shares.
#pragma once

#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "kernels/mixture.h"

namespace doppel {

// A row's log density, of the sum of its members' densities by the greatest of them; 0 where it has none.
inline double log_density_of(float greatest, double sum) {
  if (sum == 0) return -std::numeric_limits<double>::infinity();
  return static_cast<double>(greatest) + std::log(sum);
}

// Those of more rows behind those of others.
inline void append(const Responsibilities& more, Responsibilities& out) {
  const int64_t before = out.first.back();
  for (size_t row = 1; row < more.first.size(); ++row) out.first.push_back(before + more.first[row]);
  out.member.insert(out.member.end(), more.member.begin(), more.member.end());
  out.share.insert(out.share.end(), more.share.begin(), more.share.end());
  out.log_density.insert(out.log_density.end(), more.log_density.begin(), more.log_density.end());
}

// A row's part in a member.
struct MemberPart {
  int32_t row;
  float share;
};

// Rows' parts by member, those of a member in the order of rows.
class PartsByMember {
 public:
  PartsByMember(const Responsibilities& shares, int64_t members)
      : first_(static_cast<size_t>(members) + 1), part_(shares.member.size()) {
    for (const int32_t member : shares.member) ++first_[static_cast<size_t>(member) + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    std::vector<size_t> next = first_;
    for (size_t row = 0; row + 1 < shares.first.size(); ++row)
      for (auto e = static_cast<size_t>(shares.first[row]); e < static_cast<size_t>(shares.first[row + 1]); ++e)
        part_[next[static_cast<size_t>(shares.member[e])]++] = {static_cast<int32_t>(row), shares.share[e]};
  }
  std::span<const MemberPart> of(int64_t member) const {
    const auto m = static_cast<size_t>(member);
    return std::span(part_).subspan(first_[m], first_[m + 1] - first_[m]);
  }

 private:
  std::vector<size_t> first_;  // [members + 1]
  std::vector<MemberPart> part_;
};

}  // namespace doppel
