#include "engine/models/mixture/factor_analysers.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "engine/models/triangular.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

int as_int(int64_t value) {
  return static_cast<int>(value);
}

// c [m, n] = scale * c + a b, a [m, k] (or [k, m] transposed), b [k, n]; row-major.
void multiply(CBLAS_TRANSPOSE of_a, int64_t m, int64_t n, int64_t k, const double* a, const double* b, double scale,
              double* c) {
  if (m == 0 || n == 0 || k == 0) return;
  cblas_dgemm(CblasRowMajor, of_a, CblasNoTrans, as_int(m), as_int(n), as_int(k), 1, a,
              as_int(of_a == CblasTrans ? m : k), b, as_int(n), scale, c, as_int(n));
}

// A matrix [n, n] that is at least the identity, to its inverse, in place; 1/2 log of its determinant. `root`: its
// lower Cholesky factor.
double invert(std::vector<double>& matrix, std::vector<double>& root, int64_t n) {
  root = matrix;
  if (!factorise(root, static_cast<size_t>(n))) throw Error("mixture: a member's factors are not finite");
  double half_log = 0;
  for (int64_t k = 0; k < n; ++k) half_log += std::log(root[static_cast<size_t>(k * n + k)]);
  matrix = root;
  if (n > 0) LAPACKE_dpotri(LAPACK_ROW_MAJOR, 'L', as_int(n), matrix.data(), as_int(n));
  for (int64_t k = 0; k < n; ++k)
    for (int64_t l = 0; l < k; ++l) matrix[static_cast<size_t>(l * n + k)] = matrix[static_cast<size_t>(k * n + l)];
  return half_log;
}

}  // namespace

// ---- expectation

FactorAnalysers::FactorAnalysers(std::shared_ptr<const MixtureParameters> parameters,
                                 const std::vector<std::vector<float>>& log_emission)
    : parameters_(std::move(parameters)) {
  const int64_t members = parameters_->members, axes = parameters_->axes, rank = parameters_->rank;
  const int64_t padded = padded_members(members), triangle = rank * (rank + 1) / 2;
  density_.states.members = members;
  density_.states.variables = static_cast<int32_t>(log_emission.size());
  density_.states.base.assign(padded, kNoDensity);
  for (const std::vector<float>& table : log_emission) {
    density_.states.states.push_back(static_cast<int32_t>(static_cast<int64_t>(table.size()) / padded));
    density_.states.log_emission.push_back(table.data());
  }
  density_.latents = static_cast<int32_t>(axes);
  density_.rank = static_cast<int32_t>(rank);
  for (auto* values : {&density_.mean, &density_.precision, &density_.absent}) values->assign(axes * padded, 0);
  density_.loading.assign(axes * padded * rank, 0);
  density_.offset.assign(padded * rank, 0);
  density_.moment.assign(padded * triangle, 0);
  density_.root.assign(padded * triangle, 0);
  density_.half_log.assign(padded, 0);
  loading_.resize(members * axes * rank);
  moment_.resize(members * rank * rank);
  inverse_.resize(members * rank * rank);

  std::vector<double> a(axes * rank), moment(rank * rank), root;
  for (int64_t m = 0; m < members; ++m) {
    const double* factor = parameters_->factor.data() + m * axes * rank;
    const double* residual = parameters_->residual.data() + m * axes;
    const double* mean = parameters_->mean.data() + m * axes;
    const int64_t block = m / kMemberLanes, lane = m % kMemberLanes;
    std::vector<double> offset(rank);
    double base = std::log(parameters_->weight[m]);
    for (int64_t j = 0; j < axes; ++j) {
      const double half_log = 0.5 * std::log(2 * std::numbers::pi * residual[j]);
      base -= half_log;
      density_.mean[j * padded + m] = static_cast<float>(mean[j]);
      density_.precision[j * padded + m] = static_cast<float>(1 / residual[j]);
      density_.absent[j * padded + m] = static_cast<float>(half_log + 0.5 * mean[j] * mean[j] / residual[j]);
      for (int64_t k = 0; k < rank; ++k) {
        const double value = a[j * rank + k] = factor[j * rank + k] / residual[j];
        offset[k] += value * mean[j];
        loading_[(m * axes + j) * rank + k] = static_cast<float>(value);
        density_.loading[((j * padded + block * kMemberLanes) * rank) + k * kMemberLanes + lane] =
            static_cast<float>(value);
      }
    }
    density_.states.base[m] = static_cast<float>(base);
    std::fill(moment.begin(), moment.end(), 0);
    multiply(CblasTrans, rank, rank, axes, factor, a.data(), 0, moment.data());
    for (int64_t k = 0; k < rank; ++k) moment[k * rank + k] += 1;
    std::copy(moment.begin(), moment.end(), moment_.begin() + m * rank * rank);
    std::vector<double> inverse = moment;
    density_.half_log[m] = static_cast<float>(invert(inverse, root, rank));
    std::copy(inverse.begin(), inverse.end(), inverse_.begin() + m * rank * rank);
    int64_t place = block * triangle * kMemberLanes + lane;
    for (int64_t k = 0; k < rank; ++k) {
      density_.offset[(block * rank + k) * kMemberLanes + lane] = static_cast<float>(offset[k]);
      for (int64_t l = 0; l <= k; ++l, place += kMemberLanes) {
        density_.moment[place] = static_cast<float>(moment[k * rank + l]);
        density_.root[place] = static_cast<float>(k == l ? 1 / root[k * rank + k] : root[k * rank + l]);
      }
    }
  }
}

FactorSums FactorAnalysers::sums_of(MixtureStatistics& statistics, MixtureCounts counts) const {
  const MixtureParameters& of = *parameters_;
  return {.counts = std::move(counts),
          .of = {of.members, density_.latents, density_.rank, of.mean.data(), of.residual.data(), of.factor.data(),
                 loading_.data(), moment_.data(), inverse_.data()},
          .centre = statistics.centre.data(),
          .sum = statistics.sum.data(),
          .square = statistics.square.data(),
          .cross = statistics.cross.data(),
          .factor_sum = statistics.factor_sum.data(),
          .factor_product = statistics.factor_product.data()};
}

// ---- maximisation

namespace {

// The covariance that members of a group lean on, as the sum of a diagonal and of members' own factors.
struct Expected {
  std::vector<double> diagonal;                           // [axes]
  std::vector<std::pair<int64_t, double>> factor_weight;  // of members
};

Expected expected_of(int64_t group, const MixtureStatistics& statistics, const MixturePriors& priors,
                     const std::vector<double>& variance, const MixtureParameters& before) {
  const int64_t axes = before.axes;
  double rows = 1;  // of the table's own variances
  for (int64_t m = 0; m < before.members; ++m) rows += before.group[m] == group ? statistics.weight[m] : 0;
  Expected expected;
  expected.diagonal.resize(axes);
  for (int64_t j = 0; j < axes; ++j)
    expected.diagonal[j] =
        (priors.pooled_share * variance[j] + priors.floor) * (1 - priors.group_share + priors.group_share / rows);
  for (int64_t m = 0; m < before.members; ++m) {
    if (before.group[m] != group) continue;
    const double weight = priors.group_share * statistics.weight[m] / rows;
    expected.factor_weight.emplace_back(m, weight);
    for (int64_t j = 0; j < axes; ++j) expected.diagonal[j] += weight * before.residual[m * axes + j];
  }
  return expected;
}

// Second moments of a member's offsets and factors about their means: cross [axes, rank], square [axes], product
// [rank, rank], over `rows` rows.
struct Moments {
  double rows = 0;
  std::vector<double> cross, square, product;
};

// What the prior's rows, of the expected covariance, add: their factors are those that `before` would expect.
void add_expected(const Expected& expected, double rows, int64_t m, const MixtureParameters& before, Moments& to) {
  const int64_t axes = before.axes, rank = before.rank;
  const double* factor = before.factor.data() + m * axes * rank;
  std::vector<double> a(axes * rank), inverse(rank * rank), root, gain(axes * rank), seen(axes * rank);
  for (int64_t j = 0; j < axes; ++j)
    for (int64_t k = 0; k < rank; ++k) a[j * rank + k] = factor[j * rank + k] / before.residual[m * axes + j];
  multiply(CblasTrans, rank, rank, axes, factor, a.data(), 0, inverse.data());
  for (int64_t k = 0; k < rank; ++k) inverse[k * rank + k] += 1;
  invert(inverse, root, rank);
  multiply(CblasNoTrans, axes, rank, rank, a.data(), inverse.data(), 0, gain.data());
  // seen = expected covariance x gain
  for (int64_t j = 0; j < axes; ++j) {
    to.square[j] += rows * expected.diagonal[j];
    for (int64_t k = 0; k < rank; ++k) seen[j * rank + k] = expected.diagonal[j] * gain[j * rank + k];
  }
  std::vector<double> inner(rank * rank);
  for (const auto& [other, weight] : expected.factor_weight) {
    const double* of_other = before.factor.data() + other * axes * rank;
    multiply(CblasTrans, rank, rank, axes, of_other, gain.data(), 0, inner.data());
    for (double& value : inner) value *= weight;
    multiply(CblasNoTrans, axes, rank, rank, of_other, inner.data(), 1, seen.data());
    for (int64_t j = 0; j < axes; ++j)
      for (int64_t k = 0; k < rank; ++k)
        to.square[j] += rows * weight * of_other[j * rank + k] * of_other[j * rank + k];
  }
  multiply(CblasTrans, rank, rank, axes, gain.data(), seen.data(), 1, inverse.data());
  for (int64_t i = 0; i < rank * rank; ++i) to.product[i] += rows * inverse[i];
  for (int64_t i = 0; i < axes * rank; ++i) to.cross[i] += rows * seen[i];
  to.rows += rows;
}

Moments moments_of(const MixtureStatistics& statistics, int64_t m, const MixtureParameters& before,
                   const double* mean) {
  const int64_t axes = before.axes, rank = before.rank;
  constexpr double kNoRows = 1e-9;
  Moments moments;
  moments.rows = statistics.weight[m];
  const double* factor_sum = statistics.factor_sum.data() + m * rank;
  const double rows = std::max(moments.rows, kNoRows);
  moments.product.assign(statistics.factor_product.begin() + m * rank * rank,
                         statistics.factor_product.begin() + (m + 1) * rank * rank);
  for (int64_t k = 0; k < rank; ++k)
    for (int64_t l = 0; l < rank; ++l) moments.product[k * rank + l] -= factor_sum[k] * factor_sum[l] / rows;
  moments.cross.assign(statistics.cross.begin() + m * axes * rank, statistics.cross.begin() + (m + 1) * axes * rank);
  for (int64_t j = 0; j < axes; ++j) {
    const double sum = statistics.sum[m * axes + j], shift = mean[j] - statistics.centre[m * axes + j];
    for (int64_t k = 0; k < rank; ++k) moments.cross[j * rank + k] -= sum * factor_sum[k] / rows;
    moments.square.push_back(statistics.square[m * axes + j] - 2 * shift * sum + moments.rows * shift * shift);
  }
  return moments;
}

}  // namespace

void maximise_factors(const MixtureStatistics& statistics, const MixturePriors& priors,
                      const std::vector<double>& variance, const MixtureParameters& before, bool expanded,
                      MixtureParameters& result) {
  const int64_t members = before.members, axes = before.axes, rank = result.rank = before.rank;
  result.factor.assign(members * axes * rank, 0);
  result.residual.resize(members * axes);
  std::vector<Expected> expected;
  for (int64_t g = 0; g < before.groups; ++g) expected.push_back(expected_of(g, statistics, priors, variance, before));
  for (int64_t m = 0; m < members; ++m) {
    double* mean = result.mean.data() + m * axes;
    Moments moments = moments_of(statistics, m, before, mean);
    add_expected(expected[before.group[m]], priors.covariance, m, before, moments);
    if (!factorise(moments.product, static_cast<size_t>(rank))) throw Error("mixture: factors depend on one another");
    // cross R^-T with R R^T the factors' moments: its squares are what the factors explain.
    std::vector<double>& factor = moments.cross;
    if (rank > 0)
      cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, as_int(axes), as_int(rank), 1,
                  moments.product.data(), as_int(rank), factor.data(), as_int(rank));
    for (int64_t j = 0; j < axes; ++j) {
      double explained = 0;
      for (int64_t k = 0; k < rank; ++k) explained += factor[j * rank + k] * factor[j * rank + k];
      result.residual[m * axes + j] = std::max((moments.square[j] - explained) / moments.rows, kLeastResidual);
    }
    double* to = result.factor.data() + m * axes * rank;
    if (expanded) {
      const double scale = 1 / std::sqrt(moments.rows);
      for (int64_t i = 0; i < axes * rank; ++i) to[i] = scale * factor[i];
      continue;
    }
    if (rank > 0)
      cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, as_int(axes), as_int(rank), 1,
                  moments.product.data(), as_int(rank), factor.data(), as_int(rank));
    const double* factor_sum = statistics.factor_sum.data() + m * rank;
    const double rows = statistics.weight[m] + priors.covariance;
    for (int64_t j = 0; j < axes; ++j)
      for (int64_t k = 0; k < rank; ++k) {
        to[j * rank + k] = factor[j * rank + k];
        mean[j] -= factor[j * rank + k] * factor_sum[k] / rows;
      }
  }
}

bool pays(double ratio, double rows, double axes) {
  return ratio > 1 && rows * (ratio - 1 - std::log(ratio)) >= axes * std::log(rows);
}

MixtureParameters without_idle_factors(const MixtureParameters& parameters, std::span<const double> rows) {
  const int64_t axes = parameters.axes, rank = parameters.rank;
  MixtureParameters result = parameters;
  std::vector<double> scaled(axes * rank), inner(rank * rank), value(rank), rotated(axes * rank);
  for (int64_t m = 0; m < parameters.members && rank > 0; ++m) {
    const double* factor = parameters.factor.data() + m * axes * rank;
    for (int64_t j = 0; j < axes; ++j)
      for (int64_t k = 0; k < rank; ++k)
        scaled[j * rank + k] = factor[j * rank + k] / parameters.residual[m * axes + j];
    multiply(CblasTrans, rank, rank, axes, factor, scaled.data(), 0, inner.data());
    if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'L', as_int(rank), inner.data(), as_int(rank), value.data()) != 0)
      throw Error("mixture: the factors' eigenproblem did not converge");
    multiply(CblasNoTrans, axes, rank, rank, factor, inner.data(), 0, rotated.data());
    for (int64_t k = 0; k < rank; ++k) {
      const int64_t from = rank - 1 - k;  // the greatest first
      const bool is_kept = pays(1 + value[from], std::max(rows[m], 2.0), static_cast<double>(axes));
      for (int64_t j = 0; j < axes; ++j) {
        double& element = result.factor[(m * axes + j) * rank + k];
        element = is_kept ? rotated[j * rank + from] : 0;
        if (!is_kept) result.residual[m * axes + j] += rotated[j * rank + from] * rotated[j * rank + from];
      }
    }
  }
  const std::vector<int64_t> ranks = ranks_of(result);
  const int64_t most = ranks.empty() ? 0 : *std::max_element(ranks.begin(), ranks.end());
  for (int64_t row = 0; row < parameters.members * axes; ++row)
    std::copy_n(result.factor.begin() + row * rank, most, result.factor.begin() + row * most);
  result.factor.resize(parameters.members * axes * most);
  result.rank = most;
  return result;
}

std::vector<int64_t> ranks_of(const MixtureParameters& parameters) {
  const int64_t axes = parameters.axes, rank = parameters.rank;
  std::vector<int64_t> ranks;
  for (int64_t m = 0; m < parameters.members; ++m) {
    int64_t& most = ranks.emplace_back(0);
    for (int64_t j = 0; j < axes; ++j)
      for (int64_t k = most; k < rank; ++k)
        if (parameters.factor[(m * axes + j) * rank + k] != 0) most = k + 1;
  }
  return ranks;
}

}  // namespace doppel
