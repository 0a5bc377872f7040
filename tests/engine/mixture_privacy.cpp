// How near a mixture's rows are to those it was fitted to: against what `evaluate` says of its double, and what follows
// for the number of members.
#include "engine/models/mixture/mixture_privacy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "engine/evaluation/evaluation.h"
#include "engine/models/mixture/mixture_recipe.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

std::vector<MemoryColumn> slice(std::vector<MemoryColumn> columns, int64_t first, int64_t rows) {
  const auto cut = [&](auto& values) {
    if (values.empty()) return;
    values.erase(values.begin() + first + rows, values.end());
    values.erase(values.begin(), values.begin() + first);
  };
  for (MemoryColumn& column : columns) cut(column.texts), cut(column.reals), cut(column.present);
  return columns;
}

// curved_table's columns: the first half of the rows fitted to, the second held out.
struct Case {
  explicit Case(int rows, uint64_t seed = 7) : columns(curved_table(2 * rows, seed)) {
    MemoryTable all(columns);
    profile = profile_table(all, {});
    RowBlocks blocks(all, profile, 1 << 10, 1 << 20, cpu(), {});
    space = make_mixture_space(profile, blocks);
    const auto half = [&](int64_t first, RowsByPattern& collected) {
      MemoryTable source(slice(columns, first, rows));
      RowBlocks some(source, profile, 1 << 10, 1 << 20, cpu(), {});
      RowCollector collector(space, static_cast<uint64_t>(first));
      some.for_each([&](const EncodedRows& block) {
        for (int64_t row = 0; row < block.rows; ++row) collector.add(block, row);
      });
      collected = collector.take();
      return read_table(source, profile.schema);
    };
    training = half(0, sample.training);
    held_out = half(rows, sample.held_out);
  }

  NearerEstimate measure(const MixtureParameters& parameters, uint64_t seed = 1) const {
    return MixturePrivacy(profile, space, sample, seed, cpu()).measure(parameters);
  }

  // As a fit finds them.
  std::shared_ptr<const MixtureParameters> fitted(int64_t members) const {
    return MixtureFitter(space, sample.training, {}, cpu()).fit(members, kTrialIterations, {});
  }

  // Every row a member, and hardly anything beside it.
  MixtureParameters remembered() const {
    MixturePriors priors;
    priors.emission = priors.group_emission = 0.02;
    priors.covariance = priors.mean = 1e-3;
    std::vector<std::vector<double>> shares;
    for (const MixtureVariable& variable : space.variables) shares.emplace_back(variable.states, 1.0 / variable.states);
    const size_t axes = space.axes.size();
    std::vector<double> pooled(axes * axes);
    for (size_t a = 0; a < axes; ++a) pooled[a * axes + a] = 1;
    const MixtureLearner learner(space, cpu(), priors, shares, pooled);
    std::vector<int32_t> member(count_rows(sample.training));
    for (size_t i = 0; i < member.size(); ++i) member[i] = static_cast<int32_t>(i);
    const auto members = static_cast<int64_t>(member.size());
    return learner.maximise(learner.count(learner.prepare(sample.training), member, members),
                            std::vector<int32_t>(member.size()), 1);
  }

  // Rows of the mixture's recipe, as `generate` makes them.
  Table double_of(const MixtureParameters& parameters, int64_t rows) const {
    auto recipe = std::make_shared<const TableRecipe>(make_mixture_recipe(profile, space, parameters));
    const Sampled sampled = doppel::sample(*make_table_generator(recipe, 5, cpu()), rows);
    Table table{rows, {}};
    for (size_t c = 0; c < profile.schema.columns.size(); ++c) {
      Column& column = table.columns.emplace_back();
      for (const double value : sampled.columns[c]) {
        column.missing.push_back(std::isnan(value));
        const double known = std::isnan(value) ? 0 : value;
        is_discrete(profile.schema.columns[c].kind) ? column.codes.push_back(static_cast<int32_t>(known))
                                                    : column.reals.push_back(known);
      }
    }
    return table;
  }

  std::vector<MemoryColumn> columns;
  TableProfile profile;
  MixtureSpace space;
  RowSample sample;
  Table training, held_out;
};

void expect_as_evaluated(const Case& made, const MixtureParameters& parameters, double least, double most) {
  const NearerEstimate estimate = made.measure(parameters);
  constexpr int64_t kRows = 4000;
  const Privacy privacy =
      evaluate_privacy(made.profile.schema, made.training, made.double_of(parameters, kRows), &made.held_out, cpu(), 0);
  ASSERT_EQ(privacy.columns, 7);
  // Both know the same rows; those drawn are others. 4.5 sigma.
  const double drawn = static_cast<double>(std::min(4 * made.training.rows, kMostCompared));
  EXPECT_NEAR(estimate.share, privacy.nearer_share, 4.5 * std::sqrt(0.25 / drawn + 0.25 / kRows));
  EXPECT_GT(estimate.share, least);
  EXPECT_LT(estimate.share, most);
}

TEST(MixturePrivacy, IsWhatEvaluateSaysOfTheDouble) {
  const Case few(300), many(3000);
  expect_as_evaluated(few, few.remembered(), 0.85, 1);
  expect_as_evaluated(few, *few.fitted(18), 0.45, 0.65);
  expect_as_evaluated(many, *many.fitted(64), 0.45, 0.55);
}

TEST(MixturePrivacy, RowsOfOneLawAreAHalfWithinTheErrorStated) {
  // One member remembers nothing. Over tables the shares spread as their standard errors say (40 tables: the spread is
  // known within 11 %).
  constexpr int kTables = 40;
  double sum = 0, squares = 0, variance = 0;
  for (int table = 0; table < kTables; ++table) {
    const Case made(240, 100 + static_cast<uint64_t>(table));
    const NearerEstimate estimate = made.measure(*made.fitted(1));
    sum += estimate.share - 0.5;
    squares += (estimate.share - 0.5) * (estimate.share - 0.5);
    variance += estimate.standard_error * estimate.standard_error;
  }
  EXPECT_LT(std::abs(sum), 4.5 * std::sqrt(variance));
  EXPECT_GT(squares / variance, 0.36);
  EXPECT_LT(squares / variance, 2);
}

TEST(MixturePrivacy, TheSameForTheSameSeed) {
  const Case made(300);
  const auto parameters = made.fitted(18);
  const NearerEstimate once = made.measure(*parameters, 3), again = made.measure(*parameters, 3);
  EXPECT_EQ(once.share, again.share);
  EXPECT_EQ(once.standard_error, again.standard_error);
  EXPECT_NE(once.share, made.measure(*parameters, 4).share);
}

TEST(MixturePrivacy, NothingToCompareIsAHalf) {
  Case made(24);
  const auto parameters = made.fitted(1);
  made.sample.held_out.clear();
  EXPECT_EQ(made.measure(*parameters).share, 0.5);
}

TEST(MixturePrivacy, MembersAreFewerWhereRowsAreTooNear) {
  const Case made(3000);
  const auto choose = [&](const std::function<NearerEstimate(int64_t)>& nearer) {
    return choose_members(
        made.space, made.sample, 7, 1e12, [&](const MixtureParameters& p) { return nearer(p.members); }, {}, cpu());
  };
  const auto far = [](int64_t) { return NearerEstimate{0.5, 0.01}; };
  ASSERT_GT(choose(far).members, 16);
  const MembersChoice fewer = choose([](int64_t members) { return NearerEstimate{members > 16 ? 0.6 : 0.58, 0.01}; });
  EXPECT_EQ(fewer.members, 16);
  EXPECT_EQ(fewer.trials.back().members, 32);
  EXPECT_EQ(fewer.trials.back().nearer->share, 0.6);
  const MembersChoice fewest = choose([](int64_t) { return NearerEstimate{0.7, 0.01}; });
  EXPECT_EQ(fewest.trials.size(), 1);
  EXPECT_EQ(fewest.members, fewest.trials[0].members);
}

TEST(MixturePrivacy, ModelsTellOfTheirTrials) {
  const nlohmann::json about = fit(curved_table(1500), options_of("mixture"))->describe();
  const nlohmann::json& first = about.at("trials").at(0);
  EXPECT_NEAR(first.at("nearer_to_training_share").get<double>(), 0.5,
              0.07 + 4.5 * first.at("nearer_to_training_standard_error").get<double>());
}

}  // namespace
}  // namespace doppel
