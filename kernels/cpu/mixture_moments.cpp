// Moments of a mixture's members, in plain loops: of 2 to 20 axes, vectors of doubles are slower (measured with AVX-512: a
// product's rows are as short, and begin anywhere).
#include <cstddef>
#include <numeric>
#include <vector>

#include "kernels/mixture.h"

namespace doppel {
namespace {

// offset [axes]; sum, product: of a member.
void add_offsets(const double* offset, size_t axes, double share, double* sum, double* product) {
  for (size_t i = 0; i < axes; ++i, product += axes) {
    const double weighted = share * offset[i];
    sum[i] += weighted;
    for (size_t j = 0; j <= i; ++j) product[j] += weighted * offset[j];
  }
}

// A row's offsets from a member's centre, of all axes in their order.
class Offsets {
 public:
  explicit Offsets(const MixtureLatents& of)
      : of_(of),
        here_(of.present.size()),
        axes_(here_ + of.absent.size()),
        offset_(axes_),
        white_(of.absent.empty() ? 0 : here_) {}

  const double* find(const float* latents, size_t member) {
    const double* centre = of_.centre + member * axes_;
    for (size_t i = 0; i < here_; ++i) offset_[of_.present[i]] = latents[i] - centre[of_.present[i]];
    if (!of_.absent.empty()) find_absent(latents, member, centre);
    return offset_.data();
  }

 private:
  void find_absent(const float* latents, size_t member, const double* centre) {
    const double* mean = of_.mean + member * axes_;
    const double* inverse = of_.inverse + member * here_ * here_;
    for (size_t i = 0; i < here_; ++i, inverse += here_) {
      white_[i] = 0;
      for (size_t j = 0; j <= i; ++j) white_[i] += inverse[j] * (latents[j] - mean[of_.present[j]]);
    }
    const double* regression = of_.regression + member * of_.absent.size() * here_;
    for (const int32_t a : of_.absent) {
      offset_[a] = std::inner_product(white_.begin(), white_.end(), regression, mean[a]) - centre[a];
      regression += here_;
    }
  }

  const MixtureLatents& of_;
  size_t here_, axes_;
  std::vector<double> offset_, white_;
};

}  // namespace

void add_moments_on_cpu(const MixtureLatents& latents, const Responsibilities& shares, const MixtureMoments& moments) {
  const size_t here = latents.present.size(), axes = here + latents.absent.size();
  Offsets offsets(latents);
  for (size_t row = 0; row < static_cast<size_t>(latents.rows); ++row) {
    const float* of_row = latents.latents + row * here;
    for (auto e = static_cast<size_t>(shares.first[row]); e < static_cast<size_t>(shares.first[row + 1]); ++e) {
      const auto member = static_cast<size_t>(shares.member[e]);
      add_offsets(offsets.find(of_row, member), axes, shares.share[e], moments.sum + member * axes,
                  moments.product + member * axes * axes);
    }
  }
}

}  // namespace doppel
