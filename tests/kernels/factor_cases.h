// Mixtures of factor analysers and rows for tests, what a step finds by the definition (kernels/factor_mixture.h) in
// double, and one test body for every backend.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
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

// What a step finds and adds to.
struct FactorStep {
  std::vector<double> log_density, weight, sum, square, cross, factor_sum, factor_product;
  std::vector<std::vector<double>> counts;  // [variables] [states, members]
  Responsibilities shares;
};

struct FactorCase {
  FactorShape shape;
  DensityCase states;                          // of no latents
  std::vector<double> mean, residual, factor;  // [members, latents (, rank)]
  std::vector<double> moment, inverse;         // [members, rank, rank]
  std::vector<float> loading;                  // [members, latents, rank]
  std::vector<double> centre;                  // [members, latents]
  FactorStep before;
  FactorDensity density;
  std::vector<float> latent;  // [rows, latents]
  MixtureRows rows;

  FactorStep expect_by(const PreparedFactorRows& prepared) const {
    FactorStep found = before;
    found.log_density.resize(size_t(rows.rows));
    found.shares.member = {7};  // is replaced
    FactorSums sums{{shape.members, density.states.states, {}, found.weight.data()},
                    {shape.members, shape.latents, shape.rank, mean.data(), residual.data(), factor.data(),
                     loading.data(), moment.data(), inverse.data()},
                    centre.data(),
                    found.sum.data(),
                    found.square.data(),
                    found.cross.data(),
                    found.factor_sum.data(),
                    found.factor_product.data()};
    for (std::vector<double>& of_states : found.counts) sums.counts.of_state.push_back(of_states.data());
    prepared.expect(density, found.log_density, &sums, &found.shares);
    return found;
  }
  std::unique_ptr<PreparedFactorRows> prepared_by(const Backend& backend) const {
    return backend.prepare_factor_rows(rows, density.states.variables, shape.latents);
  }
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

// Of the matrix of which `root` [n, n] is the Cholesky factor.
inline std::vector<double> naive_solution(const std::vector<double>& root, std::vector<double> x) {
  const size_t n = x.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < i; ++j) x[i] -= root[i * n + j] * x[j];
    x[i] /= root[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t j = i + 1; j < n; ++j) x[i] -= root[j * n + i] * x[j];
    x[i] /= root[i * n + i];
  }
  return x;
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
    const double* factor = made.factor.data() + (m * latents + j) * rank;
    for (int64_t k = 0; k < rank; ++k) {
      to.loading[size_t(((j * padded / kMemberLanes + block) * rank + k) * kMemberLanes + lane)] =
          float(factor[k] / residual);
      made.loading.push_back(float(factor[k] / residual));
      offset[size_t(k)] += factor[k] / residual * mean;
      for (int64_t l = 0; l < rank; ++l) moment[size_t(k * rank + l)] += factor[k] * factor[l] / residual;
    }
  }
  std::vector<double> root = moment;
  to.half_log[size_t(m)] = float(naive_cholesky(root, rank));
  made.moment.insert(made.moment.end(), moment.begin(), moment.end());
  for (int64_t k = 0; k < rank; ++k) {
    std::vector<double> unit(size_t(rank), 0.0);
    unit[size_t(k)] = 1;
    const std::vector<double> row = naive_solution(root, unit);
    made.inverse.insert(made.inverse.end(), row.begin(), row.end());
  }
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
    for (int64_t k = 0; k < rank; ++k) made.factor.push_back(0.5 * normal(random));
    made.centre.push_back(0.7 * normal(random));
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
  const auto numbers = [&](int64_t size) {
    std::vector<double> values;
    for (int64_t i = 0; i < size; ++i) values.push_back(normal(random));
    return values;
  };
  FactorStep& before = made.before;
  before.weight = numbers(shape.members);
  for (const int32_t states : density.states.states) before.counts.push_back(numbers(states * shape.members));
  for (auto* values : {&before.sum, &before.square}) *values = numbers(shape.members * latents);
  before.cross = numbers(shape.members * latents * rank);
  before.factor_sum = numbers(shape.members * rank);
  before.factor_product = numbers(shape.members * rank * rank);
  return made;
}

// What a row says under a member, by the covariance of the latents that it has, factor factor^T + diag(residual).
struct NaivePosterior {
  double log_density;
  std::vector<double> mean, covariance;  // of the factors [rank (, rank)]
};

inline NaivePosterior naive_posterior(const FactorCase& made, int64_t row, int64_t m) {
  const auto latents = size_t(made.shape.latents), rank = size_t(made.shape.rank);
  const MixtureDensity& states = made.states.density;
  NaivePosterior found{states.base[size_t(m)], std::vector<double>(rank), std::vector<double>(rank * rank)};
  for (int32_t v = 0; v < states.variables; ++v)
    if (const int32_t state = made.rows.states[row * states.variables + v];
        state >= 0 && state < states.states[size_t(v)])
      found.log_density += made.states.emission[size_t(v)][size_t(state * padded_members(states.members) + m)];
  std::vector<size_t> here;  // places of the member's parameters
  std::vector<double> offset;
  for (size_t j = 0; j < latents; ++j)
    if (const float z = made.latent[size_t(row) * latents + j]; !std::isnan(z)) {
      here.push_back(size_t(m) * latents + j);
      offset.push_back(double(z) - made.mean[here.back()]);
    }
  const size_t n = here.size();
  const auto factor = [&](size_t i, size_t k) { return made.factor[here[i] * rank + k]; };
  std::vector<double> root(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      double& sum = root[i * n + j];
      sum = i == j ? made.residual[here[i]] : 0;
      for (size_t k = 0; k < rank; ++k) sum += factor(i, k) * factor(j, k);
    }
  found.log_density -= naive_cholesky(root, int64_t(n)) + 0.5 * double(n) * std::log(2 * std::numbers::pi);
  const std::vector<double> solved = naive_solution(root, offset);
  for (size_t i = 0; i < n; ++i) found.log_density -= 0.5 * offset[i] * solved[i];
  for (size_t k = 0; k < rank; ++k) {
    std::vector<double> of_factor(n);
    for (size_t i = 0; i < n; ++i) {
      of_factor[i] = factor(i, k);
      found.mean[k] += of_factor[i] * solved[i];
    }
    const std::vector<double> gain = naive_solution(root, of_factor);
    for (size_t l = 0; l < rank; ++l) {
      found.covariance[k * rank + l] = k == l ? 1 : 0;
      for (size_t i = 0; i < n; ++i) found.covariance[k * rank + l] -= gain[i] * factor(i, l);
    }
  }
  return found;
}

// Adds what the row says to sums of the member, by its share.
inline void add_naive(const FactorCase& made, int64_t row, int64_t m, double share, FactorStep& to) {
  const auto latents = size_t(made.shape.latents), rank = size_t(made.shape.rank);
  const NaivePosterior of = naive_posterior(made, row, m);
  to.weight[size_t(m)] += share;
  for (size_t v = 0; v < to.counts.size(); ++v) {
    const int32_t state = made.states.state[size_t(row) * to.counts.size() + v];
    if (state >= 0 && state < made.density.states.states[v])
      to.counts[v][size_t(state * made.shape.members + m)] += share;
  }
  for (size_t k = 0; k < rank; ++k) {
    to.factor_sum[size_t(m) * rank + k] += share * of.mean[k];
    for (size_t l = 0; l < rank; ++l)
      to.factor_product[(size_t(m) * rank + k) * rank + l] +=
          share * (of.covariance[k * rank + l] + of.mean[k] * of.mean[l]);
  }
  for (size_t j = 0; j < latents; ++j) {
    const size_t place = size_t(m) * latents + j;
    const double z = double(made.latent[size_t(row) * latents + j]);
    double expected = std::isnan(z) ? made.mean[place] : z, spread = std::isnan(z) ? made.residual[place] : 0;
    std::vector<double> with_factors(rank);  // covariances
    for (size_t k = 0; k < rank && std::isnan(z); ++k) {
      const double* factor = made.factor.data() + place * rank;
      for (size_t l = 0; l < rank; ++l) with_factors[k] += of.covariance[k * rank + l] * factor[l];
      expected += factor[k] * of.mean[k];
      spread += factor[k] * with_factors[k];
    }
    const double offset = expected - made.centre[place];
    to.sum[place] += share * offset;
    to.square[place] += share * (offset * offset + spread);
    for (size_t k = 0; k < rank; ++k) to.cross[place * rank + k] += share * (offset * of.mean[k] + with_factors[k]);
  }
}

inline std::string describe(const FactorShape& shape) {
  return std::to_string(shape.rows) + " rows, " + std::to_string(shape.members) + " members, " +
         std::to_string(shape.latents) + " latents of rank " + std::to_string(shape.rank);
}

// Log densities are in single precision, of terms whose sizes add up to some hundred to some thousand.
inline void expect_responsibilities(const FactorCase& made, const Responsibilities& found) {
  const FactorShape& shape = made.shape;
  const double tolerance = 1e-4 + 1e-6 * shape.latents * (1 + shape.rank);
  ASSERT_EQ(found.first.size(), size_t(shape.rows) + 1);
  ASSERT_EQ(found.log_density.size(), size_t(shape.rows));
  for (int64_t row = 0; row < shape.rows; ++row) {
    const std::string place = "row " + std::to_string(row) + " of " + describe(shape);
    std::vector<double> logs;
    for (int64_t m = 0; m < shape.members; ++m) logs.push_back(naive_posterior(made, row, m).log_density);
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

// Of whole arrays, by the greatest number in them: terms are in single precision.
inline void expect_sums(const std::vector<double>& found, const std::vector<double>& wanted, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  double most = 1;
  for (const double value : wanted) most = std::max(most, std::abs(value));
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], wanted[i], tolerance * most) << what << ' ' << i;
}

inline void expect_same_sums(const FactorStep& found, const FactorStep& wanted, double tolerance) {
  expect_sums(found.weight, wanted.weight, tolerance, "weight");
  expect_sums(found.sum, wanted.sum, tolerance, "sum");
  expect_sums(found.square, wanted.square, tolerance, "square");
  expect_sums(found.cross, wanted.cross, tolerance, "cross");
  expect_sums(found.factor_sum, wanted.factor_sum, tolerance, "factor_sum");
  expect_sums(found.factor_product, wanted.factor_product, tolerance, "factor_product");
  ASSERT_EQ(found.counts.size(), wanted.counts.size());
  for (size_t v = 0; v < wanted.counts.size(); ++v) expect_sums(found.counts[v], wanted.counts[v], tolerance, "counts");
}

constexpr double kSumTolerance = 1e-5;

inline void expect_definition(const FactorCase& made, const FactorStep& found) {
  SCOPED_TRACE(describe(made.shape));
  EXPECT_EQ(found.shares.log_density, found.log_density);
  expect_responsibilities(made, found.shares);
  FactorStep naive = made.before;
  for (size_t row = 0; row < size_t(made.shape.rows); ++row)
    for (auto e = size_t(found.shares.first[row]); e < size_t(found.shares.first[row + 1]); ++e)
      add_naive(made, int64_t(row), found.shares.member[e], double(found.shares.share[e]), naive);
  expect_same_sums(found, naive, kSumTolerance);
}

// A step with sums, and one without.
inline void expect_definition(const Backend& backend, const FactorShape& shape, uint64_t seed) {
  const FactorCase made = random_factors(shape, seed);
  const auto rows = made.prepared_by(backend);
  const FactorStep found = made.expect_by(*rows);
  expect_definition(made, found);
  std::vector<double> log_density(found.log_density.size());
  rows->expect(made.density, log_density, nullptr, nullptr);
  EXPECT_EQ(log_density, found.log_density);
}

}  // namespace doppel
