// Mixtures of factor analysers and rows for tests, their responsibilities by the definition (kernels/mixture.h) in
// double, and one test body for every backend.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "kernels/backend.h"
#include "tests/kernels/density_cases.h"

namespace doppel {

enum class Gaps : uint8_t { kNone, kFew, kMany, kOfEveryKind };  // of rows' latents: none, a tenth, most, all of these

struct FactorShape {
  int64_t rows = 20, members = 20;
  int32_t latents = 9, rank = 3;
  Gaps gaps = Gaps::kOfEveryKind;
};

struct FactorCase {
  FactorShape shape;
  DensityCase states;                           // of no latents
  std::vector<double> mean, residual, loading;  // [members, latents (, rank)]
  FactorDensity density;
  std::vector<float> latent;  // [rows, latents]
  MixtureRows rows;
};

// In place; returns 1/2 log of the determinant.
inline double naive_cholesky(std::vector<double>& matrix, int64_t n) {
  double half_log = 0;
  const auto at = [&](int64_t i, int64_t j) -> double& { return matrix[size_t(i * n + j)]; };
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = at(i, j);
      for (int64_t k = 0; k < j; ++k) sum -= at(i, k) * at(j, k);
      at(i, j) = i == j ? std::sqrt(sum) : sum / at(j, j);
      if (i == j) half_log += std::log(at(i, i));
    }
  return half_log;
}

// The member's parameters to where the operation reads them.
inline void set_member(FactorCase& made, int64_t m) {
  FactorDensity& to = made.density;
  const int64_t latents = to.latents, rank = to.rank, padded = padded_members(made.shape.members);
  const int64_t block = m / kMemberLanes, lane = m % kMemberLanes, triangle = rank * (rank + 1) / 2;
  std::vector<double> moment(size_t(rank * rank)), offset(size_t(rank), 0.0);
  for (int64_t k = 0; k < rank; ++k) moment[size_t(k * rank + k)] = 1;
  for (int64_t j = 0; j < latents; ++j) {
    const double mean = made.mean[size_t(m * latents + j)], residual = made.residual[size_t(m * latents + j)];
    const double half_log = 0.5 * std::log(2 * std::numbers::pi * residual);
    to.states.base[size_t(m)] -= float(half_log);
    to.mean[size_t(j * padded + m)] = float(mean);
    to.precision[size_t(j * padded + m)] = float(1 / residual);
    to.absent[size_t(j * padded + m)] = float(half_log + 0.5 * mean * mean / residual);
    const double* factor = made.loading.data() + (m * latents + j) * rank;
    for (int64_t k = 0; k < rank; ++k) {
      to.loading[size_t(((j * padded / kMemberLanes + block) * rank + k) * kMemberLanes + lane)] =
          float(factor[k] / residual);
      offset[size_t(k)] += factor[k] / residual * mean;
      for (int64_t l = 0; l < rank; ++l) moment[size_t(k * rank + l)] += factor[k] * factor[l] / residual;
    }
  }
  std::vector<double> root = moment;
  to.half_log[size_t(m)] = float(naive_cholesky(root, rank));
  for (int64_t k = 0; k < rank; ++k) {
    to.offset[size_t((block * rank + k) * kMemberLanes + lane)] = float(offset[size_t(k)]);
    for (int64_t l = 0; l <= k; ++l) {
      const auto place = size_t((block * triangle + k * (k + 1) / 2 + l) * kMemberLanes + lane);
      to.moment[place] = float(moment[size_t(k * rank + l)]);
      to.root[place] = float(k == l ? 1 / root[size_t(k * rank + k)] : root[size_t(k * rank + l)]);
    }
  }
}

inline FactorCase random_factors(const FactorShape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  FactorCase made;
  made.shape = shape;
  made.states = random_density({shape.rows, shape.members, 2, 0}, seed);
  const int64_t padded = padded_members(shape.members), rank = shape.rank;
  const auto latents = int64_t{shape.latents};
  for (int64_t i = 0; i < shape.members * latents; ++i) {
    made.mean.push_back(0.7 * normal(random));
    made.residual.push_back(0.3 + uniform(random));
    for (int64_t k = 0; k < rank; ++k) made.loading.push_back(0.5 * normal(random));
  }
  FactorDensity& density = made.density;
  density.states = made.states.density;
  density.latents = shape.latents;
  density.rank = shape.rank;
  for (auto* values : {&density.mean, &density.precision, &density.absent}) values->assign(size_t(latents * padded), 0);
  density.loading.assign(size_t(latents * padded * rank), 0);
  density.offset.assign(size_t(padded * rank), 0);
  for (auto* values : {&density.moment, &density.root}) values->assign(size_t(padded * rank * (rank + 1) / 2), 0);
  density.half_log.assign(size_t(padded), 0);
  for (int64_t m = 0; m < shape.members; ++m) set_member(made, m);

  constexpr double kShares[] = {0, 0.1, 0.8, 1};  // of latents absent
  for (int64_t row = 0; row < shape.rows; ++row) {
    const double share = kShares[shape.gaps == Gaps::kOfEveryKind ? row % 4 : int64_t(shape.gaps)];
    for (int64_t j = 0; j < latents; ++j)
      made.latent.push_back(uniform(random) < share ? std::numeric_limits<float>::quiet_NaN() : float(normal(random)));
  }
  made.rows = {shape.rows, made.states.rows.states, made.latent.data()};
  return made;
}

// By the covariance of the latents that the row has, factor factor^T + diag(residual).
inline double naive_log_density(const FactorCase& made, int64_t row, int64_t m) {
  const int64_t latents = made.shape.latents, rank = made.shape.rank;
  const MixtureDensity& states = made.states.density;
  double value = states.base[size_t(m)];
  for (int32_t v = 0; v < states.variables; ++v)
    if (const int32_t state = made.rows.states[row * states.variables + v]; state >= 0 && state < states.states[size_t(v)])
      value += made.states.emission[size_t(v)][size_t(state * padded_members(states.members) + m)];
  std::vector<int64_t> here;
  for (int64_t j = 0; j < latents; ++j)
    if (!std::isnan(made.latent[size_t(row * latents + j)])) here.push_back(m * latents + j);
  const auto n = int64_t(here.size());
  std::vector<double> covariance(size_t(n * n)), y;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double& sum = covariance[size_t(i * n + j)];
      sum = i == j ? made.residual[size_t(here[size_t(i)])] : 0;
      for (int64_t k = 0; k < rank; ++k)
        sum += made.loading[size_t(here[size_t(i)] * rank + k)] * made.loading[size_t(here[size_t(j)] * rank + k)];
    }
  value -= naive_cholesky(covariance, n) + 0.5 * double(n) * std::log(2 * std::numbers::pi);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t place = here[size_t(i)];
    y.push_back(double(made.latent[size_t(row * latents + place - m * latents)]) - made.mean[size_t(place)]);
    for (int64_t j = 0; j < i; ++j) y[size_t(i)] -= covariance[size_t(i * n + j)] * y[size_t(j)];
    y[size_t(i)] /= covariance[size_t(i * n + i)];
    value -= 0.5 * y[size_t(i)] * y[size_t(i)];
  }
  return value;
}

// Log densities are in single precision, of terms whose sizes add up to some hundred to some thousand.
inline void expect_definition(const Backend& backend, const FactorShape& shape, uint64_t seed) {
  const FactorCase made = random_factors(shape, seed);
  const double tolerance = 1e-4 + 1e-6 * shape.latents * (1 + shape.rank);
  Responsibilities found;
  found.member = {7};  // is replaced
  backend.find_responsibilities(made.density, made.rows, found);
  ASSERT_EQ(found.first.size(), size_t(shape.rows) + 1);
  ASSERT_EQ(found.log_density.size(), size_t(shape.rows));
  for (int64_t row = 0; row < shape.rows; ++row) {
    const std::string place = "row " + std::to_string(row) + " of " + std::to_string(shape.rows) + ", " +
                              std::to_string(shape.members) + " members, " + std::to_string(shape.latents) +
                              " latents of rank " + std::to_string(shape.rank);
    std::vector<double> logs;
    for (int64_t m = 0; m < shape.members; ++m) logs.push_back(naive_log_density(made, row, m));
    const NaiveResponsibilities naive = naive_responsibilities(logs);
    if (std::isinf(naive.log_density)) {
      EXPECT_EQ(found.log_density[size_t(row)], naive.log_density) << place;
    } else {
      EXPECT_NEAR(found.log_density[size_t(row)], naive.log_density, tolerance) << place;
    }
    std::vector<double> share(size_t(shape.members));
    for (int64_t i = found.first[size_t(row)]; i < found.first[size_t(row) + 1]; ++i)
      share[size_t(found.member[size_t(i)])] = double(found.share[size_t(i)]);
    for (size_t m = 0; m < share.size(); ++m) EXPECT_NEAR(share[m], naive.share[m], tolerance) << place << ' ' << m;
  }
}

}  // namespace doppel
