// Moments from and to host memory: of each piece of rows, the entries sorted by member, and the parameters and sums of
// the members that have any. 8 bytes an entry and moment, 4 a latent; the matrices of absent latents, 8 bytes for each
// pair of a latent present and another, go with each piece.
#include <algorithm>
#include <bit>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/mixture_moments.h"

namespace doppel::cuda {
namespace {

constexpr size_t kMostLanes = 32;  // of an entry: a warp

// Rows first .. first + count - 1, counted from there.
struct Entries {
  std::vector<int32_t> used;      // members, ascending
  std::vector<int64_t> first{0};  // [used + 1]
  std::vector<int32_t> row, place;
  std::vector<float> share;

  Entries(const Responsibilities& shares, int64_t members, int64_t first_row, int64_t count) {
    const auto begin = static_cast<size_t>(shares.first[first_row]);
    const auto end = static_cast<size_t>(shares.first[first_row + count]);
    row.resize(end - begin), place.resize(end - begin), share.resize(end - begin);
    std::vector<int64_t> size(static_cast<size_t>(members));
    for (size_t e = begin; e < end; ++e) ++size[shares.member[e]];
    std::vector<int64_t> next(size.size());
    std::vector<int32_t> place_of_member(size.size());
    for (size_t m = 0; m < size.size(); ++m) {
      if (size[m] == 0) continue;
      next[m] = first.back();
      place_of_member[m] = static_cast<int32_t>(used.size());
      used.push_back(static_cast<int32_t>(m));
      first.push_back(first.back() + size[m]);
    }
    for (int64_t r = 0; r < count; ++r)
      for (auto e = static_cast<size_t>(shares.first[first_row + r]);
           e < static_cast<size_t>(shares.first[first_row + r + 1]); ++e) {
        const int32_t member = shares.member[e];
        const auto to = static_cast<size_t>(next[member]++);
        row[to] = static_cast<int32_t>(r);
        place[to] = place_of_member[member];
        share[to] = shares.share[e];
      }
  }
};

// [used, axes in the order given]
std::vector<double> gather(const double* from, const std::vector<int32_t>& used, const std::vector<int32_t>& axis) {
  std::vector<double> to;
  to.reserve(used.size() * axis.size());
  for (const int32_t member : used)
    for (const int32_t a : axis) to.push_back(from[static_cast<size_t>(member) * axis.size() + a]);
  return to;
}

// [used, columns, rows] of [members, rows, columns]
std::vector<double> gather_transposed(const double* from, const std::vector<int32_t>& used, size_t rows,
                                      size_t columns) {
  std::vector<double> to(used.size() * rows * columns);
  double* next = to.data();
  for (const int32_t member : used) {
    const double* matrix = from + static_cast<size_t>(member) * rows * columns;
    for (size_t column = 0; column < columns; ++column)
      for (size_t row = 0; row < rows; ++row) *next++ = matrix[row * columns + column];
  }
  return to;
}

// Calls move(packed moment, sum) for all moments of the members used, in the order of mixture_moments.h.
template <class Packed, class Move>
void for_moments(const std::vector<int32_t>& used, size_t axes, const MixtureMoments& moments, Packed* packed,
                 Move move) {
  for (const size_t member : used)
    for (size_t i = 0; i < axes; ++i) {
      move(*packed++, moments.sum[member * axes + i]);
      double* row = moments.product + (member * axes + i) * axes;
      for (size_t j = 0; j <= i; ++j) move(*packed++, row[j]);
    }
}

void add_piece(const MixtureLatents& latents, const Responsibilities& shares, int64_t first, int64_t count,
               const MixtureMoments& moments, cudaStream_t stream) {
  const Entries entries(shares, latents.members, first, count);
  if (entries.used.empty()) return;
  const size_t here = latents.present.size(), gone = latents.absent.size(), axes = here + gone;
  const std::span of_rows(latents.latents + static_cast<size_t>(first) * here, static_cast<size_t>(count) * here);
  std::vector<int32_t> axis(latents.present.begin(), latents.present.end());
  axis.insert(axis.end(), latents.absent.begin(), latents.absent.end());
  const std::vector<double> centre = gather(latents.centre, entries.used, axis);
  std::vector<double> mean, inverse, regression;
  if (gone > 0) {
    mean = gather(latents.mean, entries.used, axis);
    inverse = gather_transposed(latents.inverse, entries.used, here, here);
    regression = gather_transposed(latents.regression, entries.used, gone, here);
  }
  const int64_t moments_of_member = packed_moments(static_cast<int64_t>(axes));
  std::vector<double> packed(entries.used.size() * static_cast<size_t>(moments_of_member));
  for_moments(entries.used, axes, moments, packed.data(), [](double& to, const double& from) { to = from; });

  const auto stride = static_cast<int32_t>((axes + 2) / 2 * 2);
  const auto row = upload(entries.row, stream), place = upload(entries.place, stream), axes_of = upload(axis, stream);
  const auto z = upload(of_rows, stream), share = upload(entries.share, stream);
  const auto centres = upload(centre, stream), means = upload(mean, stream), inverses = upload(inverse, stream),
             regressions = upload(regression, stream);
  const auto firsts = upload(entries.first, stream);
  const DeviceBuffer<double> offset(entries.row.size() * static_cast<size_t>(stride), stream);
  const DeviceBuffer<double> sums = upload(packed, stream);
  const auto lanes = static_cast<int32_t>(std::min<size_t>(kMostLanes, std::bit_ceil(std::max(here, gone))));
  find_offsets({static_cast<int64_t>(entries.row.size()), static_cast<int32_t>(here), static_cast<int32_t>(gone),
                stride, lanes, row.data(), place.data(), z.data(), axes_of.data(), centres.data(), means.data(),
                inverses.data(), regressions.data(), offset.data()},
               stream);
  sum_moments({static_cast<int64_t>(entries.used.size()), moments_of_member, stride, firsts.data(), share.data(),
               offset.data(), sums.data()},
              stream);
  const std::vector<double> found = download(sums, stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for_moments(entries.used, axes, moments, found.data(), [](const double& from, double& to) { to = from; });
}

}  // namespace

void add_moments(Libraries& libraries, const MixtureLatents& latents, const Responsibilities& shares,
                 const MixtureMoments& moments, size_t offset_bytes) {
  const size_t axes = latents.present.size() + latents.absent.size();
  if (axes == 0 || shares.share.empty()) return;
  if (axes > kMostMomentAxes) throw Error("moments: members of more than " + std::to_string(kMostMomentAxes) + " axes");
  const size_t row_bytes = shares.share.size() * (axes + 2) * sizeof(double) / static_cast<size_t>(latents.rows) + 1;
  const auto most = std::clamp<int64_t>(static_cast<int64_t>(offset_bytes / row_bytes), 1, latents.rows);
  for_pieces_that_fit(latents.rows, most, [&](int64_t first, int64_t count) {
    add_piece(latents, shares, first, count, moments, libraries.stream());
  });
}

}  // namespace doppel::cuda
