// Moments of a mixture's members, compiled for each instruction set.
//
// A member's entries, in their order, go through in tiles: offsets from its centre [entries, 1 + axes], of which the
// first is 1, and the same weighted by shares. Products are summed in registers, of kBlockRows axes with one or two
// vectors of others: each sum adds one entry after the other, as the definition does. What latents lack is found for a
// vector of entries at a time.
#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "kernels/common/mixture.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/mixture_moments.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// Included once for all instruction sets.
#ifndef DOPPEL_MIXTURE_MOMENTS_ONCE
#define DOPPEL_MIXTURE_MOMENTS_ONCE
namespace doppel {
namespace {

constexpr size_t kTileEntries = 64;
constexpr size_t kBlockRows = 4;
constexpr size_t kMostLanes = 8;  // doubles of a vector

constexpr size_t rounded_up(size_t size, size_t to) {
  return (size + to - 1) / to * to;
}

// Memory of a call, of so many latents present and absent.
struct MomentTiles {
  size_t here, axes, width;              // width: of an entry's offsets, padded
  std::vector<double> from_mean, white;  // [here, kTileEntries]
  std::vector<double> absent;            // [kTileEntries]
  std::vector<double> offset, weighted;  // [kTileEntries, width]
  std::vector<double> sums;              // [axes padded to kBlockRows, width] sum and products of each axis

  MomentTiles(size_t present, size_t absent_ones)
      : here(present),
        axes(present + absent_ones),
        width(rounded_up(1 + rounded_up(axes, kBlockRows), 2 * kMostLanes)),
        from_mean(absent_ones > 0 ? here * kTileEntries : 0),
        white(from_mean.size()),
        absent(kTileEntries),
        offset(kTileEntries * width),
        weighted(kTileEntries * width),
        sums(rounded_up(axes, kBlockRows) * width) {}
};

}  // namespace
}  // namespace doppel
#endif

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Doubles = hn::CappedTag<double, kMostLanes>;

// to[e] += weight x[e] of a tile's entries.
void add_scaled(double weight, const double* x, double* to) {
  const Doubles tag;
  const auto factor = hn::Set(tag, weight);
  for (size_t e = 0; e < kTileEntries; e += hn::Lanes(tag))
    hn::StoreU(hn::Add(hn::LoadU(tag, to + e), hn::Mul(factor, hn::LoadU(tag, x + e))), tag, to + e);
}

// Adds the products of kBlockRows axes with kVectors vectors of offsets.
template <size_t kVectors>
void add_block(const MomentTiles& tiles, size_t entries, size_t axis, size_t column, double* sums) {
  const Doubles tag;
  const size_t lanes = hn::Lanes(tag), width = tiles.width;
  hn::Vec<Doubles> sum[kBlockRows][kVectors];
  for (size_t i = 0; i < kBlockRows; ++i)
    for (size_t k = 0; k < kVectors; ++k) sum[i][k] = hn::LoadU(tag, sums + i * width + column + k * lanes);
  const double* offset = tiles.offset.data() + column;
  const double* weighted = tiles.weighted.data() + 1 + axis;
  for (size_t e = 0; e < entries; ++e, offset += width, weighted += width)
    for (size_t k = 0; k < kVectors; ++k) {
      const auto others = hn::LoadU(tag, offset + k * lanes);
      for (size_t i = 0; i < kBlockRows; ++i)
        sum[i][k] = hn::Add(sum[i][k], hn::Mul(hn::Set(tag, weighted[i]), others));
    }
  for (size_t i = 0; i < kBlockRows; ++i)
    for (size_t k = 0; k < kVectors; ++k) hn::StoreU(sum[i][k], tag, sums + i * width + column + k * lanes);
}

// Of axis i the sums from 1 and offsets 0 .. i, and some more, which are dropped.
void add_products(MomentTiles& tiles, size_t entries) {
  const size_t lanes = hn::Lanes(Doubles());
  for (size_t axis = 0; axis < tiles.axes; axis += kBlockRows) {
    double* sums = tiles.sums.data() + axis * tiles.width;
    const size_t columns = 1 + axis + kBlockRows;
    size_t column = 0;
    for (; column + lanes < columns; column += 2 * lanes) add_block<2>(tiles, entries, axis, column, sums);
    if (column < columns) add_block<1>(tiles, entries, axis, column, sums);
  }
}

// A tile's offsets of latents that its rows lack.
void find_absent(const MixtureLatents& of, size_t member, std::span<const MemberPart> parts, MomentTiles& tiles) {
  const size_t here = tiles.here;
  const double *mean = of.mean + member * tiles.axes, *centre = of.centre + member * tiles.axes;
  for (size_t i = 0; i < here; ++i)
    for (size_t e = 0; e < parts.size(); ++e)
      tiles.from_mean[i * kTileEntries + e] =
          static_cast<double>(of.latents[static_cast<size_t>(parts[e].row) * here + i]) - mean[of.present[i]];
  const double* inverse = of.inverse + member * here * here;
  std::fill(tiles.white.begin(), tiles.white.end(), 0);
  for (size_t i = 0; i < here; ++i)
    for (size_t j = 0; j <= i; ++j)
      add_scaled(inverse[i * here + j], tiles.from_mean.data() + j * kTileEntries,
                 tiles.white.data() + i * kTileEntries);
  const double* regression = of.regression + member * of.absent.size() * here;
  for (const int32_t a : of.absent) {
    std::fill(tiles.absent.begin(), tiles.absent.end(), mean[a]);
    for (size_t i = 0; i < here; ++i)
      add_scaled(*regression++, tiles.white.data() + i * kTileEntries, tiles.absent.data());
    for (size_t e = 0; e < parts.size(); ++e) tiles.offset[e * tiles.width + 1 + a] = tiles.absent[e] - centre[a];
  }
}

void add_tile(const MixtureLatents& of, size_t member, std::span<const MemberPart> parts, MomentTiles& tiles) {
  const size_t here = tiles.here, width = tiles.width;
  const double* centre = of.centre + member * tiles.axes;
  for (size_t e = 0; e < parts.size(); ++e) {
    const float* latents = of.latents + static_cast<size_t>(parts[e].row) * here;
    double* offset = tiles.offset.data() + e * width;
    offset[0] = 1;
    for (size_t i = 0; i < here; ++i)
      offset[1 + of.present[i]] = static_cast<double>(latents[i]) - centre[of.present[i]];
  }
  if (!of.absent.empty()) find_absent(of, member, parts, tiles);
  for (size_t e = 0; e < parts.size(); ++e) {
    const double weight = parts[e].share, *offset = tiles.offset.data() + e * width;
    double* weighted = tiles.weighted.data() + e * width;
    for (size_t i = 1; i <= tiles.axes; ++i) weighted[i] = weight * offset[i];
  }
  add_products(tiles, parts.size());
}

void add_member(const MixtureLatents& of, size_t member, std::span<const MemberPart> parts, MomentTiles& tiles,
                double* sum, double* product) {
  const size_t axes = tiles.axes, width = tiles.width;
  for (size_t i = 0; i < axes; ++i) {
    tiles.sums[i * width] = sum[i];
    std::copy_n(product + i * axes, i + 1, tiles.sums.data() + i * width + 1);
  }
  for (size_t first = 0; first < parts.size(); first += kTileEntries)
    add_tile(of, member, parts.subspan(first, std::min(kTileEntries, parts.size() - first)), tiles);
  for (size_t i = 0; i < axes; ++i) {
    sum[i] = tiles.sums[i * width];
    std::copy_n(tiles.sums.data() + i * width + 1, i + 1, product + i * axes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {
namespace {

HWY_EXPORT(add_member);

}  // namespace

void add_moments_on_cpu(const MixtureLatents& latents, const Responsibilities& shares, const MixtureMoments& moments) {
  MomentTiles tiles(latents.present.size(), latents.absent.size());
  const size_t axes = tiles.axes;
  if (axes == 0) return;
  const PartsByMember parts(shares, latents.members);
  for (size_t m = 0; m < static_cast<size_t>(latents.members); ++m) {
    const std::span<const MemberPart> of_member = parts.of(static_cast<int64_t>(m));
    if (of_member.empty()) continue;
    HWY_DYNAMIC_DISPATCH(add_member)
    (latents, m, of_member, tiles, moments.sum + m * axes, moments.product + m * axes * axes);
  }
}

}  // namespace doppel
#endif
