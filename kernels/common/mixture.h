// What every backend's responsibilities share: how a row's log densities become them.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/mixture.h"

namespace doppel {

// Members of one row whose log densities are within kNegligible of the greatest, ascending. None: the row cannot be.
inline void append_row(const int32_t* member, const float* log_density, int64_t count, Responsibilities& out) {
  if (count == 0) {
    out.log_density.push_back(-std::numeric_limits<double>::infinity());
  } else {
    const auto begin = static_cast<int64_t>(out.share.size());
    const float most = *std::max_element(log_density, log_density + count);
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      out.share.push_back(std::exp(log_density[i] - most));
      sum += static_cast<double>(out.share.back());
    }
    for (auto share = out.share.begin() + begin; share != out.share.end(); ++share)
      *share = static_cast<float>(static_cast<double>(*share) / sum);
    out.member.insert(out.member.end(), member, member + count);
    out.log_density.push_back(static_cast<double>(most) + std::log(sum));
  }
  out.first.push_back(static_cast<int64_t>(out.share.size()));
}

}  // namespace doppel
