// A step of expectation maximisation of factor analysers on the CPU: rows in chunks, of which first the
// responsibilities are found and then the sums, member by member, of up to kMostShares of its rows at once. Of these
// offsets from the mean, [rows, latents], go through matrix products: A^T (z - mean), cross products with the factors
// and products of factors, 2 latents (2 rank + 1) flops a row and member. A row with gaps has a posterior covariance of
// its own: rank^2 flops a gap, or rank^3 once there are many, and its absent latents are what is expected of them.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/common/mixture.h"
#include "kernels/cpu/mixture_chunks.h"
#include "kernels/factor_mixture.h"

namespace doppel {
namespace {

constexpr size_t kMostShares = 512;  // rows of a member that go through products at once

int as_int(int64_t value) {
  return static_cast<int>(value);
}

// c [m, n] = a b, a [m, k] (or [k, m] transposed), b [k, n]; row-major.
void multiply(CBLAS_TRANSPOSE of_a, int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c) {
  if (m == 0 || n == 0 || k == 0) return;
  cblas_sgemm(CblasRowMajor, of_a, CblasNoTrans, as_int(m), as_int(n), as_int(k), 1, a,
              as_int(of_a == CblasTrans ? m : k), b, as_int(n), 0, c, as_int(n));
}

// A symmetric positive definite matrix [n, n] to its inverse, in place, pivot by pivot (Goodnight, "A tutorial on the
// sweep operator", 1979): for small matrices by the thousand.
void sweep(std::vector<double>& matrix, int64_t n) {
  for (int64_t k = 0; k < n; ++k) {
    double* pivot_row = matrix.data() + k * n;
    const double inverse = 1 / pivot_row[k];
    for (int64_t i = 0; i < n; ++i) {
      if (i == k) continue;
      double* row = matrix.data() + i * n;
      const double scale = row[k] * inverse;
      for (int64_t j = 0; j < n; ++j) row[j] -= scale * pivot_row[j];
      row[k] = -scale;
    }
    for (int64_t j = 0; j < n; ++j) pivot_row[j] *= inverse;
    pivot_row[k] = inverse;
  }
}

// Sums of a chunk's rows.
class FactorSumming {
 public:
  FactorSumming(const MixtureRows& rows, const FactorSums& sums)
      : rows_(rows), sums_(sums), of_(sums.of), axes_(of_.latents), rank_(of_.rank) {}
  void add_member(int64_t m, std::span<const MemberPart> shares);

 private:
  void invert_moment(int64_t m);
  void complete_row(int64_t m, const float* latents, double share, float* offset, float* factors);

  const MixtureRows& rows_;
  const FactorSums& sums_;
  const FactorMembers& of_;
  const int64_t axes_, rank_;
  std::vector<float> offset_, projected_, factors_, weighted_, products_, square_, inverse_;
  std::vector<double> inverse_of_row_, b_, x_, v_;
  std::vector<int32_t> present_, absent_;
};

void FactorSumming::add_member(int64_t m, std::span<const MemberPart> shares) {
  const int64_t axes = axes_, rank = rank_, wide = rank + 1;
  const auto count = static_cast<int64_t>(shares.size());
  const double* mean = of_.mean + m * axes;
  offset_.resize(count * axes);  // z - mean, and what is expected of it where z is absent
  std::vector<bool> has_gaps(count);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < axes; ++j) {
      const float z = rows_.latents[shares[i].row * axes + j];
      has_gaps[i] = has_gaps[i] || std::isnan(z);
      offset_[i * axes + j] = std::isnan(z) ? 0 : static_cast<float>(static_cast<double>(z) - mean[j]);
    }
  // Posterior means of the factors, and a 1 beside them.
  projected_.resize(count * rank);
  factors_.resize(count * wide);
  inverse_.assign(of_.inverse + m * rank * rank, of_.inverse + (m + 1) * rank * rank);
  multiply(CblasNoTrans, count, rank, axes, offset_.data(), of_.loading + m * axes * rank, projected_.data());
  double full_rows = 0;
  for (int64_t i = 0; i < count; ++i) {
    float *factors = factors_.data() + i * wide, *b = projected_.data() + i * rank;
    factors[rank] = 1;
    if (has_gaps[i]) {
      b_.assign(b, b + rank);
      complete_row(m, rows_.latents + shares[i].row * axes, shares[i].share, offset_.data() + i * axes, factors);
      continue;
    }
    full_rows += shares[i].share;
    for (int64_t k = 0; k < rank; ++k) {
      const float* row = inverse_.data() + k * rank;
      factors[k] = 0;
      for (int64_t l = 0; l < rank; ++l) factors[k] += row[l] * b[l];
    }
  }
  // Their sums, in single precision over these rows: cross products, sums and squares.
  weighted_ = factors_;
  square_.assign(axes, 0);
  for (int64_t i = 0; i < count; ++i) {
    const float share = shares[i].share, *offset = offset_.data() + i * axes;
    for (int64_t k = 0; k < wide; ++k) weighted_[i * wide + k] *= share;
    for (int64_t j = 0; j < axes; ++j) square_[j] += share * offset[j] * offset[j];
  }
  products_.resize((axes + wide) * wide);
  float* moments = products_.data() + axes * wide;
  multiply(CblasTrans, axes, wide, count, offset_.data(), weighted_.data(), products_.data());
  multiply(CblasTrans, wide, wide, count, factors_.data(), weighted_.data(), moments);

  const double* centre = sums_.centre + m * axes;
  const double weight = moments[rank * wide + rank];
  double* factor_sum = sums_.factor_sum + m * rank;
  double* factor_product = sums_.factor_product + m * rank * rank;
  for (int64_t k = 0; k < rank; ++k) {
    factor_sum[k] += moments[k * wide + rank];
    for (int64_t l = 0; l < rank; ++l)
      factor_product[k * rank + l] += moments[k * wide + l] + full_rows * of_.inverse[(m * rank + k) * rank + l];
  }
  for (int64_t j = 0; j < axes; ++j) {
    const double shift = mean[j] - centre[j], sum = products_[j * wide + rank];
    sums_.sum[m * axes + j] += sum + weight * shift;
    sums_.square[m * axes + j] += square_[j] + 2 * shift * sum + weight * shift * shift;
    double* cross = sums_.cross + (m * axes + j) * rank;
    for (int64_t k = 0; k < rank; ++k) cross[k] += products_[j * wide + k] + shift * moments[k * wide + rank];
  }
}

// M^-1 of the latents that are present, to inverse_of_row_.
void FactorSumming::invert_moment(int64_t m) {
  const int64_t axes = axes_, rank = rank_;
  const double* factor = of_.factor + m * axes * rank;
  const double* residual = of_.residual + m * axes;
  const auto gaps = static_cast<int64_t>(absent_.size());
  std::vector<double>& inverse = inverse_of_row_;
  if (2 * gaps <= rank) {  // one gap after another (Sherman and Morrison, 1950)
    inverse.assign(of_.inverse + m * rank * rank, of_.inverse + (m + 1) * rank * rank);
    for (const int32_t j : absent_) {
      const double* row = factor + j * rank;
      double left = residual[j];
      for (int64_t k = 0; k < rank; ++k) {
        v_[k] = 0;
        for (int64_t l = 0; l < rank; ++l) v_[k] += inverse[l * rank + k] * row[l];
        left -= row[k] * v_[k];
      }
      for (int64_t k = 0; k < rank; ++k)
        for (int64_t l = 0; l < rank; ++l) inverse[k * rank + l] += v_[k] * v_[l] / left;
    }
    return;
  }
  const bool few_gaps = absent_.size() <= present_.size();
  if (few_gaps) {
    inverse.assign(of_.moment + m * rank * rank, of_.moment + (m + 1) * rank * rank);
  } else {
    inverse.assign(rank * rank, 0);
    for (int64_t k = 0; k < rank; ++k) inverse[k * rank + k] = 1;
  }
  for (const int32_t j : few_gaps ? absent_ : present_) {
    const double *row = factor + j * rank, scale = (few_gaps ? -1 : 1) / residual[j];
    for (int64_t k = 0; k < rank; ++k)
      for (int64_t l = 0; l < rank; ++l) inverse[k * rank + l] += scale * row[k] * row[l];
  }
  sweep(inverse, rank);
}

// A row with gaps, whose factors have a covariance of their own; b is in b_.
void FactorSumming::complete_row(int64_t m, const float* latents, double share, float* offset, float* factors) {
  const int64_t axes = axes_, rank = rank_;
  const double* factor = of_.factor + m * axes * rank;
  const double* residual = of_.residual + m * axes;
  present_.clear();
  absent_.clear();
  for (int64_t j = 0; j < axes; ++j) (std::isnan(latents[j]) ? absent_ : present_).push_back(as_int(j));
  x_.assign(rank, 0);
  v_.resize(rank);
  invert_moment(m);
  const double* inverse = inverse_of_row_.data();
  double* product = sums_.factor_product + m * rank * rank;
  for (int64_t k = 0; k < rank; ++k) {
    for (int64_t l = 0; l < rank; ++l) {
      x_[k] += inverse[k * rank + l] * b_[l];
      product[k * rank + l] += share * inverse[k * rank + l];
    }
    factors[k] = static_cast<float>(x_[k]);
  }
  for (const int32_t j : absent_) {
    const double* row = factor + j * rank;
    double expected = 0, spread = residual[j];
    for (int64_t k = 0; k < rank; ++k) {
      v_[k] = 0;
      for (int64_t l = 0; l < rank; ++l) v_[k] += inverse[k * rank + l] * row[l];
      expected += row[k] * x_[k];
      spread += row[k] * v_[k];
    }
    offset[j] = static_cast<float>(expected);
    sums_.square[m * axes + j] += share * spread;
    for (int64_t k = 0; k < rank; ++k) sums_.cross[(m * axes + j) * rank + k] += share * v_[k];
  }
}

}  // namespace

void add_factor_sums_on_cpu(const MixtureRows& rows, const Responsibilities& shares, const FactorSums& sums) {
  const PartsByMember parts(shares, sums.of.members);
  FactorSumming summing(rows, sums);
  for (int64_t m = 0; m < sums.of.members; ++m) {
    const std::span<const MemberPart> all = parts.of(m);
    for (size_t first = 0; first < all.size(); first += kMostShares)
      summing.add_member(m, all.subspan(first, std::min(kMostShares, all.size() - first)));
  }
}

namespace {

class FactorRowsOnCpu : public PreparedFactorRows {
 public:
  FactorRowsOnCpu(const MixtureRows& rows, int32_t variables, int32_t latents)
      : rows_(rows), variables_(variables), latents_(latents) {}

  void expect(const FactorDensity& density, std::span<double> log_density, const FactorSums* sums,
              Responsibilities* shares) const override {
    expect_in_chunks(rows_, variables_, latents_, density, log_density, shares,
                     [&](const MixtureRows& chunk, const Responsibilities& found) {
                       if (sums == nullptr) return;
                       add_counts_on_cpu(chunk, found, sums->counts);
                       add_factor_sums_on_cpu(chunk, found, *sums);
                     });
  }

 private:
  MixtureRows rows_;
  int32_t variables_, latents_;
};

}  // namespace

std::unique_ptr<PreparedFactorRows> prepare_factor_rows_on_cpu(const MixtureRows& rows, int32_t variables,
                                                               int32_t latents) {
  return std::make_unique<FactorRowsOnCpu>(rows, variables, latents);
}

}  // namespace doppel
