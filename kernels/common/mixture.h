// What every backend's responsibilities share: a row's part in a member, and its log density, of what its members'
// densities are by the greatest of them.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/mixture.h"

namespace doppel {

// The row's log density; `sum` is 0 where it has no member.
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

}  // namespace doppel
