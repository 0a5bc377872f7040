// Rows scored under a mixture for tests: random ones, and scores by their definition (kernels/row_scores.h): in double,
// in the order that it states, and in long double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/common/elementary.h"
#include "kernels/row_scores.h"

namespace doppel {

// What was added, copied.
struct ScoreTables {
  struct States {
    std::vector<double> log_probability, probability, inverse;
  };
  struct Pattern {
    std::vector<int32_t> latents;
    std::vector<double> constant, offset, precision, conditional_constant, whitening;
  };
  std::vector<States> states;
  std::vector<Pattern> patterns;

  void add(std::span<const StatesKnown> more_states, std::span<const LatentsKnown> more_patterns) {
    const auto copy = [](auto values) { return std::vector(values.begin(), values.end()); };
    for (const StatesKnown& known : more_states)
      states.push_back({copy(known.log_probability), copy(known.probability), copy(known.inverse_probability)});
    for (const LatentsKnown& known : more_patterns)
      patterns.push_back({copy(known.latents), copy(known.constant), copy(known.offset), copy(known.precision),
                          copy(known.conditional_constant), copy(known.whitening)});
  }
  void add_to(PreparedScores& scores, size_t first_state, size_t first_pattern) const {
    std::vector<StatesKnown> some_states;
    for (const States& known : std::span(states).subspan(first_state))
      some_states.push_back({known.log_probability, known.probability, known.inverse});
    std::vector<LatentsKnown> some_patterns;
    for (const Pattern& known : std::span(patterns).subspan(first_pattern))
      some_patterns.push_back(
          {known.latents, known.constant, known.offset, known.precision, known.conditional_constant, known.whitening});
    scores.add(some_states, some_patterns);
  }
};

// The definition in numbers of type Real. Of doubles in the stated order, with the project's exp and log. Of low rank,
// covariances of what a row knows are made in full and factorised.
template <class Real>
class NaiveScores {
 public:
  NaiveScores(const MixtureScores& mixture, const ScoreTables& tables) : mixture_(mixture), tables_(tables) {}

  void find(const RowsToScore& rows, const FoundScores& found) const {
    const size_t cells = mixture_.cells.size();
    for (int64_t row = 0; row < rows.rows; ++row) {
      std::vector<double> z(rows.z + row * mixture_.latents, rows.z + (row + 1) * mixture_.latents);
      const auto of_low_rank = mixture_.is_low_rank() ? pattern_of(z) : ScoreTables::Pattern{};
      const auto& pattern =
          mixture_.is_low_rank() ? of_low_rank : tables_.patterns[static_cast<size_t>(rows.pattern[row])];
      const Row of = of_row(pattern, z.data(), rows.states + row * mixture_.variables);
      found.log_density[row] = static_cast<double>(log_sum_exp(of.joint));
      for (size_t c = 0; c < cells; ++c) {
        const size_t at = static_cast<size_t>(row) * cells + c;
        found.without[at] = static_cast<double>(without(of, mixture_.cells[c], rows.without[at]));
        found.alone[at] = static_cast<double>(alone(of, mixture_.cells[c], rows.alone[at]));
      }
    }
  }

 private:
  struct Row {
    const ScoreTables::Pattern* pattern;
    const double* z;
    const int32_t* states;
    std::vector<Real> joint;
    std::vector<std::vector<Real>> y;  // [known] of each member
  };

  static Real exponential(Real x) {
    if constexpr (sizeof(Real) == sizeof(double)) return exp_below_zero(x);
    return std::exp(x);
  }
  static Real logarithm(Real x) {
    if constexpr (sizeof(Real) == sizeof(double)) return log_of_positive(x);
    return std::log(x);
  }
  static Real sum_of(const std::vector<Real>& terms) {
    Real sums[4] = {};
    for (size_t i = 0; i < terms.size(); ++i) sums[i % 4] += terms[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  static std::vector<Real> terms_of(std::vector<Real> logs) {
    const Real most = *std::max_element(logs.begin(), logs.end());
    for (Real& x : logs) x = exponential(x - most);
    return logs;
  }
  static Real log_sum_exp(const std::vector<Real>& logs) {
    return *std::max_element(logs.begin(), logs.end()) + logarithm(sum_of(terms_of(logs)));
  }
  size_t members() const { return static_cast<size_t>(mixture_.members); }

  // Of the latents that are there, which z becomes.
  ScoreTables::Pattern pattern_of(std::vector<double>& z) const {
    const LowRankCovariances& covariances = mixture_.low_rank;
    const auto n = static_cast<size_t>(mixture_.latents), rank = static_cast<size_t>(covariances.rank);
    ScoreTables::Pattern pattern;
    for (size_t j = 0; j < n; ++j)
      if (!std::isnan(z[j])) pattern.latents.push_back(static_cast<int32_t>(j));
    std::erase_if(z, [](double x) { return std::isnan(x); });
    const size_t k = pattern.latents.size();
    for (auto* arrays : {&pattern.offset, &pattern.precision, &pattern.conditional_constant})
      arrays->resize(k * members());
    pattern.whitening.resize(k * (k + 1) / 2 * members());
    for (size_t m = 0; m < members(); ++m) {
      const auto place = [&](size_t i) { return m * n + static_cast<size_t>(pattern.latents[i]); };
      std::vector<Real> root(k * k), w(k * k);
      Real constant = -static_cast<Real>(k) / 2 * std::log(2 * std::numbers::pi_v<Real>);
      for (size_t i = 0; i < k; ++i)
        for (size_t j = 0; j <= i; ++j) {
          Real& element = root[i * k + j] = i == j ? covariances.residual[place(i)] : 0;
          for (size_t f = 0; f < rank; ++f)
            element +=
                static_cast<Real>(covariances.factor[place(i) * rank + f]) * covariances.factor[place(j) * rank + f];
          for (size_t l = 0; l < j; ++l) element -= root[i * k + l] * root[j * k + l];
          element = i == j ? std::sqrt(element) : element / root[j * k + j];
        }
      for (size_t i = 0; i < k; ++i) {
        constant -= std::log(root[i * k + i]);
        Real offset = 0;
        for (size_t j = 0; j <= i; ++j) {
          Real element = i == j ? 1 : 0;
          for (size_t l = j; l < i; ++l) element -= root[i * k + l] * w[l * k + j];
          w[i * k + j] = element / root[i * k + i];
          offset += w[i * k + j] * covariances.mean[place(j)];
          pattern.whitening[(i * (i + 1) / 2 + j) * members() + m] = static_cast<double>(w[i * k + j]);
        }
        pattern.offset[i * members() + m] = static_cast<double>(offset);
      }
      pattern.constant.push_back(static_cast<double>(constant));
      for (size_t j = 0; j < k; ++j) {
        Real precision = 0;
        for (size_t i = j; i < k; ++i) precision += w[i * k + j] * w[i * k + j];
        pattern.precision[j * members() + m] = static_cast<double>(precision);
        pattern.conditional_constant[j * members() + m] =
            static_cast<double>(std::log(precision / (2 * std::numbers::pi_v<Real>)) / 2);
      }
    }
    return pattern;
  }

  Row of_row(const ScoreTables::Pattern& pattern, const double* z, const int32_t* states) const {
    const size_t n = members();
    Row of{&pattern, z, states, {}, {}};
    for (size_t m = 0; m < n; ++m)
      of.joint.push_back(static_cast<Real>(mixture_.log_weight[m]) + of.pattern->constant[m]);
    for (int32_t v = 0; v < mixture_.variables; ++v)
      for (size_t m = 0; m < n; ++m)
        of.joint[m] += tables_.states[static_cast<size_t>(of.states[v])].log_probability[m];
    const double* w = of.pattern->whitening.data();
    for (size_t i = 0; i < of.pattern->latents.size(); ++i) {
      std::vector<Real>& y = of.y.emplace_back();
      for (size_t m = 0; m < n; ++m) y.push_back(-of.pattern->offset[i * n + m]);
      for (size_t j = 0; j <= i; ++j, w += n)
        for (size_t m = 0; m < n; ++m) y[m] += static_cast<Real>(w[m]) * of.z[j];
      for (size_t m = 0; m < n; ++m) of.joint[m] -= Real{0.5} * y[m] * y[m];
    }
    return of;
  }

  static int64_t place_of(const Row& of, int32_t latent) {
    const std::vector<int32_t>& known = of.pattern->latents;
    const auto at = std::find(known.begin(), known.end(), latent);
    return at == known.end() ? -1 : at - known.begin();
  }

  Real without(const Row& of, const ScoredCell& cell, int32_t others) const {
    const int64_t place = place_of(of, cell.latent);
    const size_t n = members();
    const auto* left = others < 0 ? nullptr : &tables_.states[static_cast<size_t>(others)];
    const auto* with = others < 0 ? nullptr : &tables_.states[static_cast<size_t>(of.states[cell.variable])];
    if (place < 0 && others < 0) return 0;
    if (place < 0) {
      std::vector<Real> terms = terms_of(of.joint);
      for (size_t m = 0; m < n; ++m) terms[m] *= static_cast<Real>(left->probability[m]) * with->inverse[m];
      return *std::max_element(of.joint.begin(), of.joint.end()) + logarithm(sum_of(terms));
    }
    const auto j = static_cast<size_t>(place);
    std::vector<Real> logs = of.joint, projected(n);
    for (size_t i = j; i < of.y.size(); ++i)
      for (size_t m = 0; m < n; ++m)
        projected[m] += static_cast<Real>(of.pattern->whitening[(i * (i + 1) / 2 + j) * n + m]) * of.y[i][m];
    for (size_t m = 0; m < n; ++m) {
      if (others >= 0) logs[m] += static_cast<Real>(left->log_probability[m]) - with->log_probability[m];
      logs[m] += Real{0.5} * projected[m] * projected[m] / of.pattern->precision[j * n + m] -
                 of.pattern->conditional_constant[j * n + m];
    }
    return log_sum_exp(logs);
  }

  Real alone(const Row& of, const ScoredCell& cell, int32_t state) const {
    const int64_t place = place_of(of, cell.latent);
    if (place < 0) return 0;
    std::vector<Real> logs;
    for (size_t m = 0; m < members(); ++m) {
      const size_t at = static_cast<size_t>(cell.latent) * members() + m;
      const Real y = static_cast<Real>(mixture_.scale[at]) * of.z[place] - mixture_.centre[at];
      logs.push_back(mixture_.log_weight[m] + (mixture_.constant[at] - Real{0.5} * y * y));
      if (state >= 0) logs.back() += tables_.states[static_cast<size_t>(state)].log_probability[m];
    }
    return log_sum_exp(logs);
  }

  const MixtureScores& mixture_;
  const ScoreTables& tables_;
};

// The operation by its definition, in double.
class PlainScores : public PreparedScores {
 public:
  explicit PlainScores(MixtureScores mixture) : mixture_(std::move(mixture)) {}
  void add(std::span<const StatesKnown> states, std::span<const LatentsKnown> latents) override {
    tables_.add(states, latents);
  }
  void forget() override { tables_ = {}; }
  void find(const RowsToScore& rows, const FoundScores& found) override {
    NaiveScores<double>(mixture_, tables_).find(rows, found);
  }

 private:
  MixtureScores mixture_;
  ScoreTables tables_;
};

struct ScoreShape {
  int64_t rows = 20, members = 9;
  int32_t latents = 4, variables = 3, cells = 6, patterns = 4, states = 7;
  int32_t rank = 0;  // above it: covariances are of low rank
};

struct Scores {
  std::vector<double> log_density, without, alone;
  bool operator==(const Scores&) const = default;
};

struct ScoreCase {
  MixtureScores mixture;
  ScoreTables tables;
  std::vector<double> z;
  std::vector<int32_t> pattern, states, without, alone;

  int64_t rows() const { return static_cast<int64_t>(pattern.size()); }
  template <class Scorer>  // PreparedScores or NaiveScores
  Scores find_by(Scorer&& scorer, int64_t first, int64_t count) const {
    const int64_t cells = static_cast<int64_t>(mixture.cells.size());
    const auto size = static_cast<size_t>(count * cells);
    Scores found{std::vector<double>(size_t(count), 7), std::vector<double>(size, 7), std::vector<double>(size, 7)};
    scorer.find(
        {count, z.data() + first * mixture.latents, mixture.is_low_rank() ? nullptr : pattern.data() + first,
         states.data() + first * mixture.variables, without.data() + first * cells, alone.data() + first * cells},
        {found.log_density.data(), found.without.data(), found.alone.data()});
    return found;
  }
  Scores find_by(const Backend& backend) const {
    const auto scores = backend.prepare_scores(mixture);
    tables.add_to(*scores, 0, 0);
    return find_by(*scores, 0, rows());
  }
  Scores in_double() const { return find_by(NaiveScores<double>(mixture, tables), 0, rows()); }
  Scores in_long_double() const { return find_by(NaiveScores<long double>(mixture, tables), 0, rows()); }
};

// Of the patterns the first knows all latents, the second none; some members have not the states known. Of low rank
// rows know all latents (two of five), lack some, lack most or know none, and some of what they know is far away.
inline ScoreCase random_scores(const ScoreShape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto below = [&](int64_t count) { return static_cast<int32_t>(random() % static_cast<uint64_t>(count)); };
  const auto numbers = [&](int64_t size, double scale = 1) {
    std::vector<double> values;
    for (int64_t i = 0; i < size; ++i) values.push_back(scale * normal(random));
    return values;
  };
  const int64_t n = shape.members;
  ScoreCase made;
  made.mixture = {n,
                  shape.variables,
                  shape.latents,
                  numbers(n),
                  numbers(n * shape.latents),
                  numbers(n * shape.latents),
                  numbers(n * shape.latents),
                  {},
                  {}};
  if (shape.rank > 0) {
    made.mixture.low_rank = {
        shape.rank, numbers(n * shape.latents), {}, numbers(n * shape.latents * shape.rank, 1 / std::sqrt(shape.rank))};
    for (int64_t i = 0; i < n * shape.latents; ++i)
      made.mixture.low_rank.residual.push_back(std::uniform_real_distribution(0.02, 1.5)(random));
  }
  for (int32_t c = 0; c < shape.cells; ++c)
    made.mixture.cells.push_back({c % 3 == 2 || shape.variables == 0 ? -1 : below(shape.variables),
                                  c % 3 == 1 || shape.latents == 0 ? -1 : below(shape.latents)});
  for (int32_t s = 0; s < shape.states; ++s) {
    ScoreTables::States& known = made.tables.states.emplace_back();
    for (int64_t m = 0; m < n; ++m) {
      known.probability.push_back(below(6) == 0 ? 1e-30 : std::uniform_real_distribution(0.01, 1.0)(random));
      known.inverse.push_back(1 / known.probability.back());
      known.log_probability.push_back(std::log(known.probability.back()));
    }
  }
  for (int32_t p = 0; p < shape.patterns; ++p) {
    ScoreTables::Pattern& known = made.tables.patterns.emplace_back();
    for (int32_t j = 0; j < shape.latents; ++j)
      if (p == 0 || (p > 1 && below(3) > 0)) known.latents.push_back(j);
    const auto k = static_cast<int64_t>(known.latents.size());
    known.constant = numbers(n);
    known.offset = numbers(k * n);
    known.whitening = numbers(k * (k + 1) / 2 * n, 1 / std::sqrt(static_cast<double>(k + 1)));
    known.precision.resize(static_cast<size_t>(k * n));
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j <= i; ++j)
        for (int64_t m = 0; m < n; ++m) {
          const double w = known.whitening[size_t((i * (i + 1) / 2 + j) * n + m)];
          known.precision[size_t(j * n + m)] += w * w;
        }
    for (const double precision : known.precision)
      known.conditional_constant.push_back(0.5 * std::log(precision / (2 * std::numbers::pi)));
  }
  made.z = numbers(shape.rows * shape.latents);
  for (size_t i = 0; i < made.z.size() && shape.rank > 0; ++i) {
    if (below(20) == 0) made.z[i] *= 20;
    const size_t kind = i / static_cast<size_t>(shape.latents) % 5;
    if (kind > 1 && (kind == 4 || (below(8) == 0) == (kind == 2))) made.z[i] = std::nan("");
  }
  for (int64_t row = 0; row < shape.rows; ++row) {
    made.pattern.push_back(below(shape.patterns));
    for (int32_t v = 0; v < shape.variables; ++v) made.states.push_back(below(shape.states));
    for (const ScoredCell& cell : made.mixture.cells)
      for (auto* of_cell : {&made.without, &made.alone})
        of_cell->push_back(cell.variable < 0 || below(5) == 0 ? kNotScored : below(shape.states));
  }
  return made;
}

// Rounding of sums of some hundred terms of size 100 (the tolerance is relative above 1), and of the factors of 1e30
// that are multiplied and divided.
inline void expect_near(const Scores& found, const Scores& wanted, double tolerance = 1e-11) {
  const auto expect = [&](const std::vector<double>& a, const std::vector<double>& b, const char* what) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance * (1 + std::abs(b[i]))) << what << " " << i;
  };
  expect(found.log_density, wanted.log_density, "log density");
  expect(found.without, wanted.without, "without");
  expect(found.alone, wanted.alone, "alone");
}

}  // namespace doppel
