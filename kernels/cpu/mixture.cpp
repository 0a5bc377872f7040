// Responsibilities of a mixture's members, compiled for each instruction set.
//
// Rows go through in tiles of kTileRows whose log densities [row, member] stay in the L2 cache. In a tile, for each
// vector of members, the parameters are loaded once for kRows rows.
#include "kernels/cpu/mixture.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/sample_table.h"

#define DOPPEL_SIMD
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/mixture.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/common/math.h"
#include "kernels/common/mixture.h"
#include "kernels/cpu/highway_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Log densities of kRows rows, each to out + row * padded.
template <int kRows>
void log_densities_of_rows(const MixtureDensity& density, const int32_t* states, const float* latents, float* out) {
  const hn::CappedTag<float, kMemberLanes> tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t padded = padded_members(density.members);
  const int32_t variables = density.variables, dimensions = density.latents;
  const auto minus_half = hn::Set(tag, -0.5f);
  for (int64_t member = 0; member < padded; member += lanes) {
    hn::Vec<decltype(tag)> sum[kRows];
    for (int row = 0; row < kRows; ++row) sum[row] = hn::LoadU(tag, density.base.data() + member);
    for (int32_t variable = 0; variable < variables; ++variable) {
      const float* table = density.log_emission[variable] + member;
      const int32_t states_of_variable = density.states[variable];
      for (int row = 0; row < kRows; ++row) {
        const int32_t state = states[row * variables + variable];
        if (state >= 0 && state < states_of_variable)
          sum[row] = hn::Add(sum[row], hn::LoadU(tag, table + state * padded));
      }
    }
    const float* weight = density.whitening.data() + member;
    for (int32_t i = 0; i < dimensions; ++i) {
      hn::Vec<decltype(tag)> y[kRows];
      for (int row = 0; row < kRows; ++row) y[row] = hn::LoadU(tag, weight);
      weight += padded;
      for (int32_t j = 0; j <= i; ++j, weight += padded) {
        const auto w = hn::LoadU(tag, weight);
        for (int row = 0; row < kRows; ++row)
          y[row] = hn::MulAdd(w, hn::Set(tag, latents[row * dimensions + j]), y[row]);
      }
      for (int row = 0; row < kRows; ++row) sum[row] = hn::MulAdd(hn::Mul(y[row], y[row]), minus_half, sum[row]);
    }
    for (int row = 0; row < kRows; ++row) hn::StoreU(sum[row], tag, out + row * padded + member);
  }
}

void log_densities(const MixtureDensity& density, const MixtureRows& rows, int64_t first, int64_t count, float* out) {
  const int64_t padded = padded_members(density.members);
  const int32_t* states = rows.states + first * density.variables;
  const float* latents = rows.latents + first * density.latents;
  constexpr int kRows = 8;
  int64_t row = 0;
  for (; row + kRows <= count; row += kRows)
    log_densities_of_rows<kRows>(density, states + row * density.variables, latents + row * density.latents,
                                 out + row * padded);
  for (; row < count; ++row)
    log_densities_of_rows<1>(density, states + row * density.variables, latents + row * density.latents,
                             out + row * padded);
}

// Writes what is above the threshold and returns how much that is; both outputs have room for `count` and a vector.
int64_t choose_near(const float* values, int64_t count, float threshold, int32_t* index, float* value) {
  const hn::CappedTag<float, kMemberLanes> tag;
  const hn::RebindToSigned<decltype(tag)> index_tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  const auto bound = hn::Set(tag, threshold);
  int64_t chosen = 0;
  for (int64_t i = 0; i < count; i += lanes) {
    const auto candidates = hn::LoadU(tag, values + i);
    const auto above = hn::Ge(candidates, bound);
    if (hn::AllFalse(tag, above)) continue;
    hn::CompressStore(hn::Iota(index_tag, static_cast<int32_t>(i)), hn::RebindMask(index_tag, above), index_tag,
                      index + chosen);
    chosen += static_cast<int64_t>(hn::CompressStore(candidates, above, tag, value + chosen));
  }
  return chosen;
}

// Log densities to densities by the greatest of them, in place; there is room for a vector more.
void exponentiate(float* values, int64_t count, float most) {
#if DOPPEL_HAS_LANES
  using L = HighwayLanes;
  for (int64_t i = 0; i < count; i += L::kLanes)
    L::store(exp_below_zero<L>(L::subtract(L::load(values + i), L::set(most))), values + i);
#else
  for (int64_t i = 0; i < count; ++i) values[i] = exp_below_zero<PlainLanes>(values[i] - most);
#endif
}

float greatest(const float* values, int64_t count) {
  const hn::CappedTag<float, kMemberLanes> tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  auto most = hn::LoadU(tag, values);
  for (int64_t i = lanes; i < count; i += lanes) most = hn::Max(most, hn::LoadU(tag, values + i));
  return hn::GetLane(hn::MaxOfLanes(tag, most));
}

}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {
namespace {

HWY_EXPORT(log_densities);
HWY_EXPORT(choose_near);
HWY_EXPORT(exponentiate);
HWY_EXPORT(greatest);

constexpr int64_t kTileRows = 32;

}  // namespace

void find_log_densities(const MixtureDensity& density, const MixtureRows& rows, int64_t first, int64_t count,
                        float* out) {
  HWY_DYNAMIC_DISPATCH(log_densities)(density, rows, first, count, out);
}

void append_responsibilities(const float* log_densities, int64_t count, int64_t padded, Responsibilities& out) {
  std::vector<float> near(static_cast<size_t>(padded + kMemberLanes));
  std::vector<int32_t> index(near.size());
  for (int64_t row = 0; row < count; ++row) {
    const float* values = log_densities + row * padded;
    const float most = HWY_DYNAMIC_DISPATCH(greatest)(values, padded);
    int64_t chosen = 0;
    if (most > 0.5f * kNoDensity) {
      chosen = HWY_DYNAMIC_DISPATCH(choose_near)(values, padded, most - kNegligible, index.data(), near.data());
      HWY_DYNAMIC_DISPATCH(exponentiate)(near.data(), chosen, most);
    }
    double sum = 0;
    for (int64_t i = 0; i < chosen; ++i) sum += static_cast<double>(near[i]);
    for (int64_t i = 0; i < chosen; ++i) near[i] = static_cast<float>(static_cast<double>(near[i]) / sum);
    out.share.insert(out.share.end(), near.data(), near.data() + chosen);
    out.member.insert(out.member.end(), index.data(), index.data() + chosen);
    out.log_density.push_back(log_density_of(most, sum));
    out.first.push_back(static_cast<int64_t>(out.share.size()));
  }
}

void find_responsibilities_on_cpu(const MixtureDensity& density, const MixtureRows& rows, Responsibilities& out) {
  const int64_t padded = padded_members(density.members);
  std::vector<float> tile(static_cast<size_t>(kTileRows * padded));
  out.clear();
  for (int64_t first = 0; first < rows.rows; first += kTileRows) {
    const int64_t count = std::min(kTileRows, rows.rows - first);
    find_log_densities(density, rows, first, count, tile.data());
    append_responsibilities(tile.data(), count, padded, out);
  }
}

}  // namespace doppel
#endif
