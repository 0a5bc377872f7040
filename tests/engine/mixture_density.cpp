// Scores, contributions and conditionals of mixtures against references that share no code with them: sums over states
// and Gaussians by elimination in long double, rows drawn by the sampler, the textbook's formulas of two Gaussians.
#include "engine/models/mixture/mixture_density.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>
#include <string>

#include "engine/models/mixture/mixture_view.h"
#include "kernels/common/error.h"
#include "tests/engine/mixture_cases.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

constexpr int64_t kRowsLearned = 999;  // the floor is 1 / 1000
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

// Numbers whose values are their scores, of `latents` correlated latents, and a category. With fewer components than
// latents each latent has a noise of its own: covariances are of low rank.
TableRecipe identity_recipe(int32_t members, int32_t latents, uint64_t seed, int32_t components) {
  TableRecipe recipe;
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  TableSampler& sampler = recipe.sampler;
  sampler.members = members, sampler.latents = latents, sampler.components = components;
  for (int32_t member = 0; member < members; ++member) {
    add_entry(sampler.member, 0.25 + 0.5 * member / members, member, (member + 1) % members);
    for (int32_t i = 0; i < latents; ++i) {
      sampler.mean.push_back(normal(random));
      sampler.residual.push_back(i % 2 == 0 || components < latents ? 0.25f : 0);
      for (int32_t k = 0; k < components; ++k)
        sampler.factor.push_back(k > i ? 0.0f : k == i ? 0.5f : 0.3f * normal(random));
    }
  }
  sampler.emissions = {two_of(members, 5)};
  recipe.schema.columns.resize(static_cast<size_t>(latents) + 1);
  recipe.texts.resize(recipe.schema.columns.size());
  for (int32_t c = 0; c <= latents; ++c) {
    ColumnSchema& schema = recipe.schema.columns[static_cast<size_t>(c)];
    schema.name = std::to_string(c);
    recipe.sampled.push_back(c);
    ColumnSampler& column = sampler.columns.emplace_back();
    if (c == latents) {
      schema.levels = {"a", "b", "c", "d", "e"};
      column.emission = 0;
      column.state_role.assign(5, StateRole::kValue);
      column.state_integer = {0, 1, 2, 3, 4};
      continue;
    }
    schema.kind = ColumnKind::kReal;
    column.storage = Storage::kFloat64;
    column.latent = c;
    column.lower = {-kScoreLimit};
    column.real_base = {-kScoreLimit}, column.real_top = {kScoreLimit}, column.real_slope = {1};
  }
  return recipe;
}

TableRecipe identity_recipe(int32_t members, int32_t latents, uint64_t seed) {
  return identity_recipe(members, latents, seed, latents);
}

// ---- the reference

long double node_probability(const Emission& emission, size_t state, int32_t node) {
  const auto first = static_cast<size_t>(emission.first[static_cast<size_t>(node)]);
  const auto end = static_cast<size_t>(emission.first[static_cast<size_t>(node) + 1]);
  long double sum = 0;
  const auto add = [&](int32_t outcome, long double share) {
    if (outcome == Emission::kAbove)
      sum += share * node_probability(emission, state, emission.above[static_cast<size_t>(node)]);
    else if (outcome == static_cast<int32_t>(state))
      sum += share;
  };
  for (size_t i = first; i < end; ++i) {
    const long double below = emission.table.threshold[i] / 4294967296.0L;
    add(emission.table.below[i], below);
    add(emission.table.above[i], 1 - below);
  }
  return sum / static_cast<long double>(end - first);
}

// log N(z; mean, covariance) of the latents listed, by Gaussian elimination.
long double log_normal(const TableSampler& sampler, int32_t member, const std::vector<int32_t>& known,
                       const std::vector<double>& z) {
  const size_t n = known.size();
  const auto at = [&](int32_t latent) { return static_cast<size_t>(member * sampler.latents + latent); };
  std::vector<std::vector<long double>> a(n, std::vector<long double>(n + 1));
  std::vector<long double> d(n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (int32_t k = 0; k < sampler.components; ++k)
        a[i][j] +=
            static_cast<long double>(
                sampler.factor[at(known[i]) * static_cast<size_t>(sampler.components) + static_cast<size_t>(k)]) *
            static_cast<long double>(
                sampler.factor[at(known[j]) * static_cast<size_t>(sampler.components) + static_cast<size_t>(k)]);
      if (i == j) a[i][i] += static_cast<long double>(sampler.residual[at(known[i])]) * sampler.residual[at(known[i])];
    }
    a[i][n] = d[i] = z[static_cast<size_t>(known[i])] - static_cast<long double>(sampler.mean[at(known[i])]);
  }
  long double log_determinant = 0;
  for (size_t i = 0; i < n; ++i) {
    log_determinant += std::log(a[i][i]);
    for (size_t row = i + 1; row < n; ++row) {
      const long double ratio = a[row][i] / a[i][i];
      for (size_t j = i; j <= n; ++j) a[row][j] -= ratio * a[i][j];
    }
  }
  long double square = 0;
  std::vector<long double> x(n);
  for (size_t i = n; i-- > 0;) {
    x[i] = a[i][n];
    for (size_t j = i + 1; j < n; ++j) x[i] -= a[i][j] * x[j];
    x[i] /= a[i][i];
    square += x[i] * d[i];
  }
  return -0.5L *
         (square + log_determinant + static_cast<long double>(n) * std::log(2 * std::numbers::pi_v<long double>));
}

bool state_fits(const ColumnSampler& column, size_t state, double value) {
  const StateRole role = column.state_role[state];
  if (std::isnan(value)) return role == StateRole::kMissing;
  const auto value_of_state = [&](size_t s) {
    return is_integer(column.storage) ? static_cast<double>(column.state_integer[s]) : column.state_real[s];
  };
  bool is_special = false;
  for (size_t s = 0; s < column.state_role.size(); ++s)
    is_special |= column.state_role[s] == StateRole::kValue && value_of_state(s) == value;
  if (is_special) return role == StateRole::kValue && value_of_state(state) == value;
  return role == StateRole::kLatent;
}

// -log p of what is given of a row.
double reference_score(const TableRecipe& recipe, const std::vector<double>& row,
                       const std::vector<Knowledge>& knowledge) {
  const TableSampler& sampler = recipe.sampler;
  const size_t columns = sampler.columns.size();
  std::vector<int32_t> known;
  std::vector<double> z(static_cast<size_t>(sampler.latents));
  long double floors = 0;
  for (size_t c = 0; c < columns; ++c) {
    const ColumnSampler& column = sampler.columns[c];
    if (knowledge[c] != Knowledge::kGiven) continue;
    if (column.emission < 0 && std::isnan(row[c])) floors += std::log(kRowsLearned + 1.0L);
    bool counts = column.emission < 0 && !std::isnan(row[c]);
    for (size_t s = 0; s < column.state_role.size(); ++s)
      counts |= column.state_role[s] == StateRole::kLatent && state_fits(column, s, row[c]);
    if (!counts) continue;
    known.push_back(column.latent);
    z[static_cast<size_t>(column.latent)] =
        MixtureColumn(column).score_of({false, static_cast<int64_t>(row[c]), row[c]});  // tested with the view
  }
  std::sort(known.begin(), known.end());
  std::vector<std::vector<long double>> probability(sampler.emissions.size());
  for (size_t v = 0; v < sampler.emissions.size(); ++v) {
    long double most = 0;
    for (int32_t m = 0; m < sampler.members; ++m) {
      long double sum = 0;
      for (size_t s = 0; s < static_cast<size_t>(sampler.emissions[v].states); ++s) {
        bool fits = true;
        for (size_t c = 0; c < columns; ++c)
          if (sampler.columns[c].emission == static_cast<int32_t>(v) && knowledge[c] != Knowledge::kNone)
            fits =
                fits && (knowledge[c] == Knowledge::kGiven ? state_fits(sampler.columns[c], s, row[c])
                                                           : sampler.columns[c].state_role[s] != StateRole::kMissing);
        if (fits) sum += node_probability(sampler.emissions[v], s, m);
      }
      probability[v].push_back(sum);
      most = std::max(most, sum);
    }
    if (most == 0) probability[v].assign(static_cast<size_t>(sampler.members), 1 / (kRowsLearned + 1.0L));
  }
  long double density = 0;
  for (int32_t m = 0; m < sampler.members; ++m) {
    long double weight = 0;
    for (size_t i = 0; i < sampler.member.threshold.size(); ++i) {
      const long double below = sampler.member.threshold[i] / 4294967296.0L;
      if (sampler.member.below[i] == m) weight += below;
      if (sampler.member.above[i] == m) weight += 1 - below;
    }
    weight /= static_cast<long double>(sampler.member.threshold.size());
    for (const auto& of_members : probability) weight *= of_members[static_cast<size_t>(m)];
    density += weight * std::exp(log_normal(sampler, m, known, z));
  }
  return static_cast<double>(floors - std::log(density));
}

// Whether the model can make a value: by its states, or within the range of its transform.
bool is_made(const TableRecipe& recipe, size_t c, double value, Knowledge knowledge) {
  const ColumnSampler& column = recipe.sampler.columns[c];
  if (knowledge != Knowledge::kGiven) return true;
  if (column.emission < 0 && std::isnan(value)) return false;
  for (size_t s = 0; s < column.state_role.size(); ++s)
    if (state_fits(column, s, value) && column.state_role[s] != StateRole::kLatent) return true;
  if (!column.has_latent()) return false;
  if (std::isnan(value)) return false;
  return is_integer(column.storage) ? value >= static_cast<double>(column.base.front()) &&
                                          value < static_cast<double>(column.base.back() + column.width.back())
                                    : value >= column.real_base.front() && value <= column.real_top.back();
}

struct Scored {
  std::vector<double> score, contribution, usual;
};
Scored scores_of(const TableRecipe& recipe, const std::vector<std::vector<double>>& rows,
                 const std::vector<Knowledge>& knowledge) {
  const auto density = make_mixture_density(std::make_shared<TableRecipe>(recipe), kRowsLearned);
  const Table table = table_of(recipe.schema, rows);
  Scored scored{std::vector<double>(rows.size()), std::vector<double>(rows.size() * knowledge.size()), {}};
  scored.usual = scored.contribution;
  density->make_worker()->score(table, 0, table.rows, knowledge, scored.score, scored.contribution, scored.usual);
  return scored;
}

void expect_scores_of_reference(const TableRecipe& recipe, const std::vector<std::vector<double>>& rows,
                                const std::vector<Knowledge>& knowledge) {
  const Scored scored = scores_of(recipe, rows, knowledge);
  for (size_t row = 0; row < rows.size(); ++row) {
    const double score = reference_score(recipe, rows[row], knowledge);
    EXPECT_NEAR(scored.score[row], score, 1e-9 * std::max(1.0, std::abs(score))) << row;
    for (size_t c = 0; c < knowledge.size(); ++c) {
      std::vector<Knowledge> alone(knowledge.size(), Knowledge::kNone);
      alone[c] = knowledge[c];
      EXPECT_NEAR(scored.usual[row * knowledge.size() + c],
                  is_made(recipe, c, rows[row][c], knowledge[c])
                      ? std::min(reference_score(recipe, rows[row], alone), std::log(kRowsLearned + 1))
                      : 0,
                  1e-9)
          << "row " << row << " column " << c;
      std::vector<Knowledge> without = knowledge;
      without[c] = Knowledge::kNone;
      const double contribution =
          knowledge[c] == Knowledge::kNone ? 0 : score - reference_score(recipe, rows[row], without);
      EXPECT_NEAR(scored.contribution[row * knowledge.size() + c], contribution, 1e-9 * std::max(1.0, std::abs(score)))
          << "row " << row << " column " << c;
    }
  }
}

// Rows of the recipe's own, and some with gaps, levels and numbers that it never makes.
std::vector<std::vector<double>> strange_rows(const TableRecipe& recipe) {
  const Sampled sampled = sample(*make_table_generator(std::make_shared<TableRecipe>(recipe), 4, cpu()), 60);
  std::vector<std::vector<double>> rows(60);
  for (size_t row = 0; row < rows.size(); ++row)
    for (const auto& column : sampled.columns) rows[row].push_back(column[row]);
  for (size_t c = 0; c < recipe.schema.columns.size(); ++c) {
    rows[c][c] = kNothing;
    rows[20 + c][c] = is_discrete(recipe.schema.columns[c].kind) ? kUnseenCode : 1e6;
    rows[40 + c][c] = is_discrete(recipe.schema.columns[c].kind) ? 0 : -2.25;
  }
  return rows;
}

TEST(MixtureDensity, ScoresAndContributionsAreThoseOfTheReference) {
  for (const TableRecipe& recipe :
       {mixture_recipe(1), mixture_recipe(5), low_rank_recipe(5), identity_recipe(1, 1, 8), identity_recipe(4, 6, 9),
        identity_recipe(4, 6, 9, 3), identity_recipe(3, 5, 10, 0)}) {
    const std::vector<std::vector<double>> rows = strange_rows(recipe);
    const size_t columns = recipe.schema.columns.size();
    expect_scores_of_reference(recipe, rows, std::vector(columns, Knowledge::kGiven));
    expect_scores_of_reference(recipe, rows, std::vector(columns, Knowledge::kNone));
    for (size_t c = 0; c < columns; ++c) {
      std::vector<Knowledge> knowledge(columns, Knowledge::kGiven);
      knowledge[c] = Knowledge::kNone;
      expect_scores_of_reference(recipe, rows, knowledge);
      knowledge[c] = Knowledge::kPresent;
      expect_scores_of_reference(recipe, rows, knowledge);
    }
  }
}

TEST(MixtureDensity, ProbabilitiesOfAllStatesSumToOne) {
  const TableRecipe recipe = mixture_recipe(3);
  std::vector<std::vector<double>> rows;
  for (const double category : {0.0, 1.0, 2.0, kNothing})
    for (const double truth : {0.0, 1.0}) rows.push_back({0, category, truth, 0});
  const Scored scored =
      scores_of(recipe, rows, {Knowledge::kNone, Knowledge::kGiven, Knowledge::kGiven, Knowledge::kNone});
  double sum = 0;
  int never_seen = 0;
  for (const double score : scored.score) {
    const bool is_floor = std::abs(score - std::log(kRowsLearned + 1)) < 1e-9;
    never_seen += is_floor;
    if (!is_floor) sum += std::exp(-score);
  }
  EXPECT_EQ(never_seen, 4);
  EXPECT_NEAR(sum, 1, 1e-9);
}

// ---- conditionals

using Rows = std::vector<std::vector<double>>;

Rows completed(const TableRecipe& recipe, const std::vector<double>& given, const std::vector<Knowledge>& knowledge,
               Completion how, int64_t rows, uint64_t seed = 1, uint64_t first_row = 0) {
  const auto density = make_mixture_density(std::make_shared<TableRecipe>(recipe), kRowsLearned);
  const auto worker = density->make_worker();
  const Table table = table_of(recipe.schema, {given});
  std::vector<SampledValue> values(knowledge.size());
  Rows completed;
  for (int64_t row = 0; row < rows; ++row) {
    worker->complete(table, 0, knowledge, how, seed, first_row + static_cast<uint64_t>(row), values);
    std::vector<double>& out = completed.emplace_back();
    for (size_t c = 0; c < values.size(); ++c)
      out.push_back(values[c].is_missing                                 ? kNothing
                    : recipe.schema.columns[c].kind == ColumnKind::kReal ? values[c].real
                                                                         : static_cast<double>(values[c].integer));
  }
  return completed;
}

struct Gaussians {
  double weight[2], mean_x[2], mean_y[2], deviation_x[2], slope[2], deviation_y[2];  // y given x
};
// Two members of x and y, from the sampler's own numbers.
Gaussians read_gaussians(const TableSampler& sampler) {
  Gaussians g{};
  for (size_t m = 0; m < 2; ++m) {
    const auto components = static_cast<size_t>(sampler.components);
    const auto f = [&](size_t i, size_t k) {
      return k < components ? static_cast<double>(sampler.factor[(m * 2 + i) * components + k]) : 0;
    };
    const auto r = [&](size_t i) { return static_cast<double>(sampler.residual[m * 2 + i]); };
    const double xx = f(0, 0) * f(0, 0) + f(0, 1) * f(0, 1) + r(0) * r(0);
    const double xy = f(0, 0) * f(1, 0) + f(0, 1) * f(1, 1);
    const double yy = f(1, 0) * f(1, 0) + f(1, 1) * f(1, 1) + r(1) * r(1);
    g.mean_x[m] = static_cast<double>(sampler.mean[m * 2]), g.mean_y[m] = static_cast<double>(sampler.mean[m * 2 + 1]);
    g.deviation_x[m] = std::sqrt(xx), g.slope[m] = xy / xx, g.deviation_y[m] = std::sqrt(yy - xy * xy / xx);
    const double own = sampler.member.threshold[m] * 0x1p-32, other = 1 - sampler.member.threshold[1 - m] * 0x1p-32;
    g.weight[m] = (own + other) / 2;
  }
  return g;
}

void expect_textbook_conditionals(const TableRecipe& recipe) {
  const Gaussians g = read_gaussians(recipe.sampler);
  const std::vector<Knowledge> knowledge = {Knowledge::kGiven, Knowledge::kNone, Knowledge::kNone};
  for (const double x : {-2.0, -0.5, 0.0, 0.3, 1.75}) {
    double joint[2], mean[2];
    for (int m = 0; m < 2; ++m) {
      const double t = (x - g.mean_x[m]) / g.deviation_x[m];
      joint[m] = g.weight[m] * std::exp(-t * t / 2) / (g.deviation_x[m] * std::sqrt(2 * std::numbers::pi));
      mean[m] = g.mean_y[m] + g.slope[m] * (x - g.mean_x[m]);
    }
    const double density = joint[0] + joint[1], share = joint[0] / density;
    EXPECT_NEAR(scores_of(recipe, {{x, 0, 0}}, knowledge).score[0], -std::log(density), 1e-9);
    const double expected = share * mean[0] + (1 - share) * mean[1];
    EXPECT_NEAR(completed(recipe, {x, 0, 0}, knowledge, Completion::kMean, 1)[0][1], expected, 1e-6);

    constexpr int64_t kDraws = 20'000;
    const double within =
        share * g.deviation_y[0] * g.deviation_y[0] + (1 - share) * g.deviation_y[1] * g.deviation_y[1];
    const double variance = within + share * (1 - share) * (mean[0] - mean[1]) * (mean[0] - mean[1]);
    double sum = 0, squares = 0, fourth = 0;
    for (const std::vector<double>& row : completed(recipe, {x, 0, 0}, knowledge, Completion::kDraw, kDraws)) {
      EXPECT_EQ(row[0], x);
      const double d = row[1] - expected;
      sum += d, squares += d * d, fourth += d * d * d * d;
    }
    EXPECT_NEAR(sum / kDraws, 0, 5 * std::sqrt(variance / kDraws)) << x;
    EXPECT_NEAR(squares / kDraws, variance, 5 * std::sqrt(fourth / kDraws / kDraws)) << x;
  }
}

TEST(MixtureDensity, TwoGaussiansConditionAsTheTextbookSays) {
  expect_textbook_conditionals(identity_recipe(2, 2, 77));
  expect_textbook_conditionals(identity_recipe(2, 2, 77, 1));
}

// Means and second moments of what is not given: draws of the conditional against the rows of the sampler that fit.
void expect_same_moments(const Rows& rejected, const Rows& drawn, const std::string& what) {
  ASSERT_GT(rejected.size(), 2000u) << what;
  const size_t columns = drawn[0].size();
  // NaN, a missing value, is a number of its own.
  const auto feature = [&](const std::vector<double>& row, size_t f) {
    const double value = row[f % columns];
    if (f < columns) return std::isnan(value) ? 1.0 : 0.0;
    if (f < 2 * columns) return std::isnan(value) ? 0.0 : value;
    const double other = row[(f + 1) % columns];
    return std::isnan(value) || std::isnan(other) ? 0.0 : value * other;
  };
  for (size_t f = 0; f < 3 * columns; ++f) {
    double mean[2] = {}, error = 0;
    for (const Rows* rows : {&rejected, &drawn}) {
      const auto n = static_cast<double>(rows->size());
      double sum = 0, squares = 0;
      for (const auto& row : *rows) sum += feature(row, f), squares += feature(row, f) * feature(row, f);
      mean[rows == &drawn] = sum / n;
      error += std::max(0.0, squares / n - sum / n * sum / n) / n;
    }
    EXPECT_NEAR(mean[0], mean[1], 4.5 * std::sqrt(error) + 1e-9) << what << ", feature " << f;
  }
}

Rows rows_that_fit(const TableRecipe& recipe, int64_t rows,
                   const std::function<bool(const std::vector<double>&)>& fits) {
  const Sampled sampled = sample(*make_table_generator(std::make_shared<TableRecipe>(recipe), 12, cpu()), rows);
  Rows kept;
  std::vector<double> row(sampled.columns.size());
  for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
    for (size_t c = 0; c < row.size(); ++c) row[c] = sampled.columns[c][i];
    if (fits(row)) kept.push_back(row);
  }
  return kept;
}

void expect_draws_of_rejection(const TableRecipe& recipe) {
  using enum Knowledge;
  constexpr int64_t kRows = 200'000, kDraws = 20'000;
  const auto check = [&](const std::string& what, const std::vector<double>& given,
                         const std::vector<Knowledge>& knowledge, const auto& fits) {
    expect_same_moments(rows_that_fit(recipe, kRows, fits),
                        completed(recipe, given, knowledge, Completion::kDraw, kDraws), what);
  };
  check("nothing given", {0, 0, 0, 0}, {kNone, kNone, kNone, kNone}, [](const auto&) { return true; });
  check("a level", {0, 1, 0, 0}, {kNone, kGiven, kNone, kNone}, [](const auto& row) { return row[1] == 1; });
  check("a truth value, which leaves two states", {0, 0, 1, 0}, {kNone, kNone, kGiven, kNone},
        [](const auto& row) { return row[2] == 1; });
  check("an atom", {-7.5, 0, 0, 0}, {kGiven, kNone, kNone, kNone}, [](const auto& row) { return row[0] == -7.5; });
  check("a gap", {kNothing, 0, 0, 0}, {kGiven, kNone, kNone, kNone},
        [](const auto& row) { return std::isnan(row[0]); });
  check("there is a number", {0, 0, 0, 0}, {kPresent, kNone, kNone, kNone},
        [](const auto& row) { return !std::isnan(row[0]); });
  check("a level and an atom", {-7.5, 2, 0, 0}, {kGiven, kGiven, kNone, kNone},
        [](const auto& row) { return row[0] == -7.5 && row[1] == 2; });
}

TEST(MixtureDensity, DrawsAgreeWithRejectionSampling) {
  expect_draws_of_rejection(mixture_recipe(3));
  expect_draws_of_rejection(low_rank_recipe(3));
}

TEST(MixtureDensity, DrawsGivenANumberAgreeWithRejectionSampling) {
  using enum Knowledge;
  constexpr double kWidth = 0.02;  // a bias of its square, below the tests' errors
  for (const TableRecipe& recipe : {identity_recipe(3, 3, 5), identity_recipe(3, 3, 5, 1)})
    expect_same_moments(
        rows_that_fit(recipe, 400'000, [](const auto& row) { return std::abs(row[1] - 0.25) < kWidth; }),
        completed(recipe, {0, 0.25, 0, 0}, {kNone, kGiven, kNone, kNone}, Completion::kDraw, 20'000), "a number");
}

TEST(MixtureDensity, DrawsDependOnSeedAndRowAlone) {
  using enum Knowledge;
  const TableRecipe recipe = mixture_recipe(5);
  const std::vector<Knowledge> knowledge = {kNone, kGiven, kNone, kPresent};
  const Rows rows = completed(recipe, {0, 1, 0, 0}, knowledge, Completion::kDraw, 50, 3, 0);
  const Rows later = completed(recipe, {0, 1, 0, 0}, knowledge, Completion::kDraw, 20, 3, 30);
  const auto same = [](double a, double b) { return std::isnan(a) ? std::isnan(b) : a == b; };
  size_t differ = 0;
  const Rows others = completed(recipe, {0, 1, 0, 0}, knowledge, Completion::kDraw, 50, 4, 0);
  for (size_t row = 0; row < 50; ++row)
    for (size_t c = 0; c < 4; ++c) {
      EXPECT_TRUE(row < 30 || same(rows[row][c], later[row - 30][c]));
      differ += !same(rows[row][c], others[row][c]);
    }
  EXPECT_GT(differ, 50u);
}

TEST(MixtureDensity, RowsGivenWhatWasNeverSeenAreCompletedFromTheRest) {
  using enum Knowledge;
  const TableRecipe recipe = mixture_recipe(3);
  for (const std::vector<double>& given :
       {std::vector<double>{1, kUnseenCode, 1, 3}, {1, 0, 1, 3}, {1, kNothing, 0, 1e9}})
    for (const Completion how : {Completion::kDraw, Completion::kMean})
      for (const auto& row : completed(recipe, given, {kPresent, kGiven, kGiven, kNone}, how, 20)) {
        EXPECT_FALSE(std::isnan(row[0]));
        EXPECT_TRUE(row[1] == given[1] || std::isnan(given[1]));
        EXPECT_GE(row[3], 0);
        EXPECT_LE(row[3], 8);
      }
}

// The likeliest level, and of a number with an atom the mean of both parts.
TEST(MixtureDensity, MeansAreThoseOfManyDraws) {
  using enum Knowledge;
  const TableRecipe recipe = mixture_recipe(3);
  const std::vector<Knowledge> knowledge = {kPresent, kPresent, kGiven, kPresent};
  const Rows drawn = completed(recipe, {0, 0, 1, 0}, knowledge, Completion::kDraw, 40'000);
  const std::vector<double> mean = completed(recipe, {0, 0, 1, 0}, knowledge, Completion::kMean, 1)[0];
  double number = 0, squares = 0, whole = 0, count[3] = {};
  for (const auto& row : drawn) number += row[0], squares += row[0] * row[0], whole += row[3], count[int(row[1])] += 1;
  const auto n = static_cast<double>(drawn.size());
  // 16 slices of the normal stand for it: their error on these steps is below 0.02.
  EXPECT_NEAR(mean[0], number / n, 4.5 * std::sqrt((squares / n - number / n * number / n) / n) + 0.02);
  EXPECT_NEAR(mean[3], whole / n, 0.5 + 0.1);
  EXPECT_EQ(mean[1], std::max_element(count, count + 3) - count);
  EXPECT_EQ(mean[2], 1);
}

}  // namespace
}  // namespace doppel
