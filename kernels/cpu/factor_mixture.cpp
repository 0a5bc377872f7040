// Responsibilities of factor analysers, compiled for each instruction set.
//
// In: rows [rows, latents], NaN where absent; FactorDensity. Out: Responsibilities. Rows go through in tiles of
// kTileRows: one matrix product gives A^T z of all members (2 latents rank flops a row and member), and the rest is
// done for a vector of members at a time: squares for eight rows at once (3 latents flops), then rank^2 flops for b^T
// M^-1 b, and in rows with gaps rank^2 flops a gap and rank^3 / 3 for a factor of their own.
#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/mixture.h"
#include "kernels/factor_mixture.h"

#define DOPPEL_SIMD
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/factor_mixture.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Lanes = hn::CappedTag<float, kMemberLanes>;

// Subtracts half of sum (z - mean)^2 / residual over all latents from out [kRows, padded].
template <int kRows>
void subtract_squares(const FactorDensity& density, const float* z, float* out) {
  const Lanes tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t padded = padded_members(density.states.members);
  const auto minus_half = hn::Set(tag, -0.5f);
  for (int64_t member = 0; member < padded; member += lanes) {
    hn::Vec<Lanes> sum[kRows];
    for (int row = 0; row < kRows; ++row) sum[row] = hn::Zero(tag);
    for (int64_t j = 0; j < density.latents; ++j) {
      const auto mean = hn::LoadU(tag, density.mean.data() + j * padded + member);
      const auto precision = hn::LoadU(tag, density.precision.data() + j * padded + member);
      for (int row = 0; row < kRows; ++row) {
        const auto offset = hn::Sub(hn::Set(tag, z[row * density.latents + j]), mean);
        sum[row] = hn::MulAdd(hn::Mul(offset, offset), precision, sum[row]);
      }
    }
    for (int row = 0; row < kRows; ++row) {
      float* place = out + row * padded + member;
      hn::StoreU(hn::MulAdd(sum[row], minus_half, hn::LoadU(tag, place)), tag, place);
    }
  }
}

// Of one row and the members of one vector: A and M are [.., kMemberLanes] from the vector's first lane on.
class RowOfFactors {
 public:
  RowOfFactors(const FactorDensity& density, int64_t member)
      : density_(density),
        member_(member),
        padded_(padded_members(density.states.members)),
        block_(member / kMemberLanes),
        lane_(member % kMemberLanes) {}

  // b, of the product with z.
  void load(const float* product, float* b) const {
    for (int64_t k = 0; k < density_.rank; ++k) {
      const int64_t place = (block_ * density_.rank + k) * kMemberLanes + lane_;
      hn::StoreU(hn::Sub(hn::LoadU(tag_, product + place), hn::LoadU(tag_, density_.offset.data() + place)), tag_,
                 b + k * kMemberLanes);
    }
  }
  // Takes the means of latents out of b again: the row does not have them.
  void forget_means(const int32_t* absent, int64_t count, float* b) const {
    for (int64_t i = 0; i < count; ++i) {
      const auto mean = hn::LoadU(tag_, density_.mean.data() + absent[i] * padded_ + member_);
      const float* a = loading(absent[i]);
      for (int64_t k = 0; k < density_.rank; ++k) {
        float* place = b + k * kMemberLanes;
        hn::StoreU(hn::MulAdd(hn::LoadU(tag_, a + k * kMemberLanes), mean, hn::LoadU(tag_, place)), tag_, place);
      }
    }
  }
  hn::Vec<Lanes> absent_terms(const int32_t* absent, int64_t count) const {
    auto sum = hn::Zero(tag_);
    for (int64_t i = 0; i < count; ++i)
      sum = hn::Add(sum, hn::LoadU(tag_, density_.absent.data() + absent[i] * padded_ + member_));
    return sum;
  }

  // M of all latents, and of none.
  void load_moment(float* moment) const {
    const int64_t first = block_ * triangle() * kMemberLanes + lane_;
    for (int64_t t = 0; t < triangle(); ++t)
      hn::StoreU(hn::LoadU(tag_, density_.moment.data() + first + t * kMemberLanes), tag_, moment + t * kMemberLanes);
  }
  void load_identity(float* moment) const {
    for (int64_t k = 0; k < density_.rank; ++k)
      for (int64_t l = 0; l <= k; ++l, moment += kMemberLanes)
        hn::StoreU(hn::Set(tag_, k == l ? 1.0f : 0.0f), tag_, moment);
  }
  // Adds sign x the latents' terms A_j A_j^T residual_j to M, four at a time.
  void add_terms(const int32_t* latents, int64_t count, float sign, float* moment) const {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) add_some_terms<4>(latents + i, sign, moment);
    for (; i < count; ++i) add_some_terms<1>(latents + i, sign, moment);
  }
  // M's Cholesky factor in its place, with the inverses of diagonal elements. Returns 1/2 log |M|. M is at least the
  // identity, and so is each pivot at least 1.
  hn::Vec<Lanes> factorise(float* moment) const {
    auto half_log = hn::Zero(tag_);
    for (int64_t k = 0; k < density_.rank; ++k) {
      float* row = moment + k * (k + 1) / 2 * kMemberLanes;
      for (int64_t l = 0; l < k; ++l) {
        const float* above = moment + l * (l + 1) / 2 * kMemberLanes;
        auto sum = hn::LoadU(tag_, row + l * kMemberLanes);
        for (int64_t n = 0; n < l; ++n)
          sum = hn::NegMulAdd(hn::LoadU(tag_, row + n * kMemberLanes), hn::LoadU(tag_, above + n * kMemberLanes), sum);
        hn::StoreU(hn::Mul(sum, hn::LoadU(tag_, above + l * kMemberLanes)), tag_, row + l * kMemberLanes);
      }
      auto pivot = hn::LoadU(tag_, row + k * kMemberLanes);
      for (int64_t n = 0; n < k; ++n) {
        const auto element = hn::LoadU(tag_, row + n * kMemberLanes);
        pivot = hn::NegMulAdd(element, element, pivot);
      }
      pivot = hn::Max(pivot, hn::Set(tag_, 1.0f));
      half_log = hn::MulAdd(hn::Log(tag_, pivot), hn::Set(tag_, 0.5f), half_log);
      hn::StoreU(hn::Div(hn::Set(tag_, 1.0f), hn::Sqrt(pivot)), tag_, row + k * kMemberLanes);
    }
    return half_log;
  }
  const float* root() const {  // null without factors
    return triangle() > 0 ? density_.root.data() + block_ * triangle() * kMemberLanes + lane_ : nullptr;
  }
  // b^T M^-1 b, by M's factor; b becomes the factor's inverse times b.
  hn::Vec<Lanes> explained(const float* root, float* b) const {
    auto sum = hn::Zero(tag_);
    for (int64_t k = 0; k < density_.rank; ++k) {
      auto y = hn::LoadU(tag_, b + k * kMemberLanes);
      for (int64_t l = 0; l < k; ++l, root += kMemberLanes)
        y = hn::NegMulAdd(hn::LoadU(tag_, root), hn::LoadU(tag_, b + l * kMemberLanes), y);
      y = hn::Mul(y, hn::LoadU(tag_, root));
      root += kMemberLanes;
      hn::StoreU(y, tag_, b + k * kMemberLanes);
      sum = hn::MulAdd(y, y, sum);
    }
    return sum;
  }

 private:
  int64_t triangle() const { return int64_t{density_.rank} * (density_.rank + 1) / 2; }
  const float* loading(int64_t latent) const {
    return density_.loading.data() + (latent * padded_ + block_ * kMemberLanes) * density_.rank + lane_;
  }
  template <int kTerms>
  void add_some_terms(const int32_t* latents, float sign, float* moment) const {
    const float* a[kTerms];
    hn::Vec<Lanes> scale[kTerms], scaled[kTerms];
    for (int i = 0; i < kTerms; ++i) {
      a[i] = loading(latents[i]);
      const auto precision = hn::LoadU(tag_, density_.precision.data() + latents[i] * padded_ + member_);
      // Padding has no precision, and no loading.
      scale[i] = hn::Div(hn::Set(tag_, sign), hn::Max(precision, hn::Set(tag_, 1e-30f)));
    }
    for (int64_t k = 0; k < density_.rank; ++k) {
      for (int i = 0; i < kTerms; ++i) scaled[i] = hn::Mul(scale[i], hn::LoadU(tag_, a[i] + k * kMemberLanes));
      for (int64_t l = 0; l <= k; ++l, moment += kMemberLanes) {
        auto sum = hn::LoadU(tag_, moment);
        for (int i = 0; i < kTerms; ++i) sum = hn::MulAdd(scaled[i], hn::LoadU(tag_, a[i] + l * kMemberLanes), sum);
        hn::StoreU(sum, tag_, moment);
      }
    }
  }

  Lanes tag_;
  const FactorDensity& density_;
  int64_t member_, padded_, block_, lane_;
};

// Adds what the latents say to `count` rows of log densities. z has zeros where `absent` (by row, absent_first) says
// so; product is A^T z.
void add_factor_densities(const FactorDensity& density, int64_t count, const float* z, const int32_t* absent,
                          const int64_t* absent_first, const float* product, float* work, float* out) {
  const Lanes tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t padded = padded_members(density.states.members), latents = density.latents;
  constexpr int kRows = 8;
  int64_t row = 0;
  for (; row + kRows <= count; row += kRows) subtract_squares<kRows>(density, z + row * latents, out + row * padded);
  for (; row < count; ++row) subtract_squares<1>(density, z + row * latents, out + row * padded);

  float *b = work, *moment = work + density.rank * kMemberLanes;
  for (int64_t member = 0; member < padded; member += lanes) {
    const RowOfFactors of(density, member);
    const auto half_log_of_all = hn::LoadU(tag, density.half_log.data() + member);
    for (row = 0; row < count; ++row) {
      const int32_t* gone = absent + absent_first[row];
      const int64_t gaps = absent_first[row + 1] - absent_first[row];
      of.load(product + row * padded * density.rank, b);
      auto half_log = half_log_of_all;
      const float* root = of.root();
      auto value = hn::LoadU(tag, out + row * padded + member);
      if (gaps > 0) {
        value = hn::Add(value, of.absent_terms(gone, gaps));
        of.forget_means(gone, gaps, b);
        if (2 * gaps <= latents) {
          of.load_moment(moment);
          of.add_terms(gone, gaps, -1, moment);
        } else {
          of.load_identity(moment);
          int32_t next = 0;
          for (int64_t i = 0; i <= gaps; ++i) {
            const int32_t end = i < gaps ? gone[i] : static_cast<int32_t>(latents);
            for (; next < end; ++next) of.add_terms(&next, 1, 1, moment);
            ++next;
          }
        }
        half_log = of.factorise(moment);
        root = moment;
      }
      value = hn::Sub(value, half_log);
      value = hn::MulAdd(of.explained(root, b), hn::Set(tag, 0.5f), value);
      hn::StoreU(value, tag, out + row * padded + member);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {
namespace {

HWY_EXPORT(add_factor_densities);

constexpr int64_t kTileRows = 128;

}  // namespace

void find_responsibilities_on_cpu(const FactorDensity& density, const MixtureRows& rows, Responsibilities& out) {
  const int64_t padded = padded_members(density.states.members), latents = density.latents, rank = density.rank;
  std::vector<float> tile(static_cast<size_t>(kTileRows * padded)), z(static_cast<size_t>(kTileRows * latents)),
      product(static_cast<size_t>(kTileRows * padded * rank)),
      work(static_cast<size_t>(rank * (rank + 3) / 2 * kMemberLanes));
  std::vector<int32_t> absent;
  std::vector<int64_t> absent_first;
  const MixtureRows states{rows.rows, rows.states, nullptr};
  out.clear();
  for (int64_t first = 0; first < rows.rows; first += kTileRows) {
    const int64_t count = std::min(kTileRows, rows.rows - first);
    absent.clear();
    absent_first.assign(1, 0);
    for (int64_t row = 0; row < count; ++row) {
      for (int64_t j = 0; j < latents; ++j) {
        const float value = rows.latents[(first + row) * latents + j];
        z[static_cast<size_t>(row * latents + j)] = std::isnan(value) ? 0 : value;
        if (std::isnan(value)) absent.push_back(static_cast<int32_t>(j));
      }
      absent_first.push_back(static_cast<int64_t>(absent.size()));
    }
    if (rank > 0)
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(count), static_cast<int>(padded * rank),
                  static_cast<int>(latents), 1, z.data(), static_cast<int>(latents), density.loading.data(),
                  static_cast<int>(padded * rank), 0, product.data(), static_cast<int>(padded * rank));
    find_log_densities(density.states, states, first, count, tile.data());
    HWY_DYNAMIC_DISPATCH(add_factor_densities)
    (density, count, z.data(), absent.data(), absent_first.data(), product.data(), work.data(), tile.data());
    append_responsibilities(tile.data(), count, padded, out);
  }
}

}  // namespace doppel
#endif
