// Steps of expectation maximisation for tests: rows, a density and what sums are taken about; and a step's results
// against their definition (kernels/mixture.h).
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/kernels/density_cases.h"
#include "tests/kernels/moment_cases.h"

namespace doppel {

struct ExpectationShape {
  int64_t rows = 100, members = 20;
  int32_t variables = 3, latents = 4, absent = 0;
};

// What a step finds and adds to.
struct Expectation {
  std::vector<double> log_density, weight;
  std::vector<std::vector<double>> counts;  // [variables] [states, members]
  Moments moments;
  Responsibilities shares;
};

struct ExpectationCase {
  DensityCase of_density;
  MomentCase of_moments;  // without shares
  Expectation before;

  std::unique_ptr<PreparedMixtureRows> prepared_on_cpu() const {
    return prepare_mixture_rows_on_cpu(of_density.rows, of_density.density.variables, of_density.density.latents);
  }
  Expectation expect_by(const PreparedMixtureRows& rows) const {
    Expectation found = before;
    found.log_density.resize(static_cast<size_t>(of_density.rows.rows));
    found.shares.member = {7};  // is replaced
    MixtureSums sums{{of_density.density.members, of_density.density.states, {}, found.weight.data()},
                     of_moments.latents,
                     {found.moments.sum.data(), found.moments.product.data()}};
    for (std::vector<double>& of_states : found.counts) sums.counts.of_state.push_back(of_states.data());
    rows.expect(of_density.density, found.log_density, &sums, &found.shares);
    return found;
  }
};

inline ExpectationCase random_expectation(const ExpectationShape& shape, uint64_t seed) {
  ExpectationCase made;
  made.of_density = random_density({shape.rows, shape.members, shape.variables, shape.latents}, seed);
  made.of_moments = random_moments(
      {.rows = shape.rows, .members = shape.members, .present = shape.latents, .absent = shape.absent, .used = 0},
      seed);
  made.of_moments.latent = made.of_density.latent;
  made.of_moments.latents.latents = made.of_moments.latent.data();
  std::mt19937_64 random(seed);
  const auto numbers = [&](int64_t size) {
    std::vector<double> values;
    for (int64_t i = 0; i < size; ++i) values.push_back(std::uniform_real_distribution<double>(0, 9)(random));
    return values;
  };
  made.before.weight = numbers(shape.members);
  for (const int32_t states : made.of_density.density.states)
    made.before.counts.push_back(numbers(states * shape.members));
  made.before.moments = made.of_moments.before;
  return made;
}

inline void expect_same(const Expectation& found, const Expectation& wanted) {
  EXPECT_EQ(found.log_density, wanted.log_density);
  EXPECT_EQ(found.weight, wanted.weight);
  EXPECT_EQ(found.counts, wanted.counts);
  EXPECT_EQ(found.moments.sum, wanted.moments.sum);
  EXPECT_EQ(found.moments.product, wanted.moments.product);
  expect_same(found.shares, wanted.shares);
}

// Log densities are of tens to hundreds of terms, of which each is rounded to a float.
inline void expect_responsibilities(const DensityCase& made, const Responsibilities& found) {
  ASSERT_EQ(found.first.size(), size_t(made.rows.rows) + 1);
  ASSERT_EQ(found.log_density.size(), size_t(made.rows.rows));
  for (int64_t row = 0; row < made.rows.rows; ++row) {
    const NaiveResponsibilities naive = naive_responsibilities(made, row);
    const double tolerance = 1e-4 + (std::isinf(naive.log_density) ? 0 : 1e-6 * std::abs(naive.log_density));
    if (std::isinf(naive.log_density)) {
      EXPECT_EQ(found.log_density[size_t(row)], naive.log_density);
    } else {
      EXPECT_NEAR(found.log_density[size_t(row)], naive.log_density, tolerance);
    }
    std::vector<double> share(size_t(made.density.members));
    for (int64_t i = found.first[size_t(row)]; i < found.first[size_t(row) + 1]; ++i)
      share[size_t(found.member[size_t(i)])] = double(found.share[size_t(i)]);
    for (size_t m = 0; m < share.size(); ++m) EXPECT_NEAR(share[m], naive.share[m], tolerance) << "row " << row;
  }
}

// Sums of at most some hundred shares, in double.
inline void expect_counts(const ExpectationCase& made, const Expectation& found) {
  constexpr double kTolerance = 1e-12;
  const MixtureDensity& density = made.of_density.density;
  std::vector<double> weight = made.before.weight;
  std::vector<std::vector<double>> counts = made.before.counts;
  for (size_t row = 0; row < size_t(made.of_density.rows.rows); ++row)
    for (size_t e = size_t(found.shares.first[row]); e < size_t(found.shares.first[row + 1]); ++e) {
      const auto m = size_t(found.shares.member[e]);
      weight[m] += double(found.shares.share[e]);
      for (size_t v = 0; v < counts.size(); ++v) {
        const int32_t state = made.of_density.state[row * counts.size() + v];
        if (state >= 0 && state < density.states[v])
          counts[v][size_t(state * density.members) + m] += double(found.shares.share[e]);
      }
    }
  for (size_t m = 0; m < weight.size(); ++m) ASSERT_NEAR(found.weight[m], weight[m], kTolerance * (1 + weight[m]));
  for (size_t v = 0; v < counts.size(); ++v)
    for (size_t i = 0; i < counts[v].size(); ++i)
      ASSERT_NEAR(found.counts[v][i], counts[v][i], kTolerance * (1 + counts[v][i])) << "variable " << v;
}

inline void expect_definition(const ExpectationCase& made, const Expectation& found) {
  EXPECT_EQ(found.shares.log_density, found.log_density);
  expect_responsibilities(made.of_density, found.shares);
  expect_counts(made, found);
  MomentCase moments = made.of_moments;
  moments.shares = found.shares;
  expect_definition(moments, found.moments);
}

}  // namespace doppel
