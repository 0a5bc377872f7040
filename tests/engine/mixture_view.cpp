// Parameters read back off a mixture's sampler, and the inverse of its columns' transforms.
#include "engine/models/mixture/mixture_view.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/models/score_axis.h"
#include "kernels/common/error.h"
#include "tests/engine/mixture_cases.h"

namespace doppel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// P(state | node), straight from the entries.
double probability_of(const Emission& emission, int32_t state, int32_t node) {
  const auto first = static_cast<size_t>(emission.first[static_cast<size_t>(node)]);
  const auto end = static_cast<size_t>(emission.first[static_cast<size_t>(node) + 1]);
  double sum = 0;
  for (size_t i = first; i < end; ++i) {
    const double below = emission.table.threshold[i] / 4294967296.0;
    for (const auto& [outcome, share] :
         {std::pair{emission.table.below[i], below}, {emission.table.above[i], 1 - below}})
      sum += share * (outcome == state ? 1
                      : outcome == Emission::kAbove
                          ? probability_of(emission, state, emission.above[static_cast<size_t>(node)])
                          : 0);
  }
  return sum / static_cast<double>(end - first);
}

TEST(MixtureView, ReadsWeightsMeansAndCovariancesOffTheSampler) {
  const TableRecipe recipe = mixture_recipe(3);
  const MixtureView view(recipe);
  ASSERT_EQ(view.members, 3);
  for (int m = 0; m < 3; ++m) EXPECT_NEAR(view.weight[m], 1.0 / 3, 1e-9);  // 0.6 of its own entry, 0.4 of the next
  const double place = static_cast<double>(0.3f);                          // of member 1
  EXPECT_DOUBLE_EQ(view.mean[2], place - 1);
  EXPECT_DOUBLE_EQ(view.covariance[4 + 0], 0.25);
  EXPECT_DOUBLE_EQ(view.covariance[4 + 1], 0.5 * place);
  EXPECT_DOUBLE_EQ(view.covariance[4 + 2], 0.5 * place);
  EXPECT_DOUBLE_EQ(view.covariance[4 + 3], place * place + 0.0625 + 0.015625);
}

TEST(MixtureView, GivesTheProbabilitiesOfStatesThroughTheTree) {
  const TableRecipe recipe = mixture_recipe(3);
  const MixtureView view(recipe);
  for (size_t v = 0; v < view.variables.size(); ++v) {
    const StateTree& tree = view.variables[v];
    const Emission& emission = recipe.sampler.emissions[v];
    std::vector<double> of_nodes(tree.nodes()), of_states(static_cast<size_t>(tree.states())), several(tree.nodes());
    for (int32_t state = 0; state < tree.states(); ++state) {
      tree.find_probabilities(std::span(&state, 1), of_nodes);
      for (int32_t node = 0; node < 4; ++node)
        EXPECT_NEAR(of_nodes[static_cast<size_t>(node)], probability_of(emission, state, node), 1e-12);
    }
    const int32_t two[] = {0, 2};
    tree.find_probabilities(two, several);
    for (int32_t member = 0; member < 3; ++member) {
      tree.find_states(member, of_states);
      double sum = 0;
      for (int32_t state = 0; state < tree.states(); ++state) {
        EXPECT_NEAR(of_states[static_cast<size_t>(state)], probability_of(emission, state, member), 1e-12);
        sum += of_states[static_cast<size_t>(state)];
      }
      EXPECT_NEAR(sum, 1, 1e-12);
      EXPECT_NEAR(several[static_cast<size_t>(member)], of_states[0] + of_states[2], 1e-12);
    }
  }
}

TEST(MixtureView, TellsTheStatesThatAValueComesFrom) {
  const TableRecipe recipe = mixture_recipe(3);
  const MixtureView view(recipe);
  const MixtureColumn &number = view.columns[0], &category = view.columns[1], &truth = view.columns[2];
  EXPECT_EQ(number.part_of({false, 0, 2.5}), number.latent_part());
  EXPECT_EQ(number.part_of({true, 0, 0}), number.missing_part());
  EXPECT_EQ(number.part_of_state(2), number.part_of({false, 0, -7.5}));
  EXPECT_EQ(number.parts()[static_cast<size_t>(number.part_of({false, 0, -7.5}))].value.real, -7.5);
  EXPECT_EQ(category.part_of({false, 3, 0}), MixtureColumn::kNeverSeen);
  EXPECT_EQ(category.part_of({false, kUnseenCode, 0}), MixtureColumn::kNeverSeen);
  EXPECT_EQ(truth.part_of({true, 0, 0}), MixtureColumn::kNeverSeen);
  EXPECT_EQ(truth.parts().size(), 2u);  // of four states
  EXPECT_EQ(truth.part_of_state(1), truth.part_of_state(3));
  EXPECT_EQ(category.latent(), -1);
  EXPECT_EQ(view.columns[3].variable(), -1);
  EXPECT_EQ(view.columns_of_variable[1], (std::vector<int32_t>{1, 2}));
}

// Every value that the transform gives on a fine grid has an interval that holds the score it came from.
TEST(MixtureView, InvertsTheTransformOfEveryStorage) {
  std::mt19937_64 random(3);
  for (const Storage storage : {Storage::kInt32, Storage::kInt64, Storage::kFloat32, Storage::kFloat64}) {
    ColumnSampler sampler;
    sampler.storage = storage;
    sampler.lower = {-kScoreLimit, -1.5f, -0.25f, 0.5f, 2.0f};
    sampler.base = {-40, -10, 3, 4, 100};
    sampler.width = {30, 1, 1, 17, 50};
    sampler.real_base = {-40, -10, 3, 3.5, 100};
    sampler.real_top = {-10, -10, 3, 60, 120};
    for (size_t s = 0; s < 5; ++s) {
      const double length = (s < 4 ? sampler.lower[s + 1] : 3.0f) - sampler.lower[s];
      sampler.scale.push_back(static_cast<double>(sampler.width[s]) / length);
      sampler.real_slope.push_back((sampler.real_top[s] - sampler.real_base[s]) / length);
    }
    const MixtureColumn column(sampler);
    for (float z = -6.5f; z < 6.5f; z += 0.0173f) {
      const SampledValue value = column.value_at(z);
      const ScoreInterval interval = column.interval_of(value);
      constexpr double kRounding = 3e-6;  // of a float value
      EXPECT_GE(static_cast<double>(std::max(z, -kScoreLimit)), interval.low - kRounding) << z;
      EXPECT_LE(static_cast<double>(std::max(z, -kScoreLimit)), interval.high + kRounding) << z;
      EXPECT_GE(column.score_of(value), interval.low);
      EXPECT_LE(column.score_of(value), interval.high);
    }
  }
}

TEST(MixtureView, PlacesValuesThatTheTransformNeverGives) {
  ColumnSampler sampler;
  sampler.lower = {-kScoreLimit, 0.0f, 1.0f};
  sampler.base = {0, 10, 20};
  sampler.width = {1, 1, 1};
  sampler.scale = {1, 1, 1};
  const MixtureColumn column(sampler);
  EXPECT_EQ(column.interval_of({false, 5, 0}).low, 0);  // between two values: the point between their segments
  EXPECT_EQ(column.interval_of({false, 5, 0}).high, 0);
  EXPECT_EQ(column.interval_of({false, 25, 0}).low, kInfinity);
  EXPECT_EQ(column.interval_of({false, -1, 0}).high, -kInfinity);
  const double least = column.score_of({false, 0, 0}), greatest = column.score_of({false, 20, 0});
  EXPECT_NEAR(least, -normal_density(0) / 0.5, 1e-9);
  EXPECT_NEAR(greatest, normal_density(1) / normal_cdf(-1), 1e-9);
  EXPECT_NEAR(column.score_of({false, 25, 0}), greatest + (greatest - least) / 4, 1e-9);
  EXPECT_EQ(column.score_of({false, 1'000'000, 0}), double{kScoreLimit});
  EXPECT_EQ(column.score_of({false, -1'000'000, 0}), -double{kScoreLimit});
}

TEST(MixtureView, RefusesWhatIsNoMixture) {
  TableRecipe single = mixture_recipe(1);
  single.sampler.member = {};
  EXPECT_THROW(MixtureView{single}, InputError);
  TableRecipe shared = mixture_recipe(3);
  shared.sampler.columns[3].latent = 0;
  EXPECT_THROW(MixtureView{shared}, InputError);
}

}  // namespace
}  // namespace doppel
