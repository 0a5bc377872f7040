// A table recipe whose sampler is a mixture, made by hand: a number with gaps and an atom, a category, a truth value
// that a gap of the category decides, and a whole number without a variable.
#pragma once

#include "engine/table_generator.h"

namespace doppel {

inline void add_entry(AliasTable& table, double share, int32_t below, int32_t above) {
  table.threshold.push_back(static_cast<uint32_t>(share * 0x1p32));
  table.below.push_back(below);
  table.above.push_back(above);
}

// One node above the members, each of which sees but two of the states.
inline Emission two_of(int32_t members, int32_t states) {
  Emission emission;
  emission.states = states;
  emission.first = {0};
  const auto finish_node = [&](int32_t above) {
    emission.above.push_back(above);
    emission.first.push_back(static_cast<int64_t>(emission.table.threshold.size()));
  };
  for (int32_t member = 0; member < members; ++member) {
    add_entry(emission.table, 0.7, member % states, (member + 1) % states);
    add_entry(emission.table, 0.8, member % states, Emission::kAbove);
    finish_node(members);
  }
  for (int32_t state = 0; state < states; ++state) add_entry(emission.table, 0.5, state, 0);
  finish_node(-1);
  return emission;
}

inline ColumnSampler segments_of(Storage storage, int segments) {
  ColumnSampler column;
  column.storage = storage;
  for (int s = 0; s < segments; ++s) {
    column.lower.push_back(s == 0 ? -kScoreLimit : static_cast<float>(s) * 0.25f - 1);
    if (is_integer(storage)) {
      column.base.push_back(s);
      column.width.push_back(1);
      column.scale.push_back(1);
    } else {
      column.real_base.push_back(s * 1.5);
      column.real_top.push_back(s * 1.5 + 1);
      column.real_slope.push_back(2);
    }
  }
  return column;
}

inline TableRecipe mixture_recipe(int32_t members = 3) {
  TableRecipe recipe;
  recipe.schema.columns.resize(4);
  recipe.texts.resize(4);
  recipe.sampled = {0, 1, 2, 3};
  const auto column = [&](size_t c) -> ColumnSchema& { return recipe.schema.columns[c]; };
  column(0).name = "number", column(0).kind = ColumnKind::kReal, column(0).has_missing = true;
  column(1).name = "category", column(1).levels = {"a", "b", "c"}, column(1).has_missing = true;
  column(2).name = "truth", column(2).kind = ColumnKind::kBoolean, column(2).levels = {"no", "yes"};
  column(3).name = "whole", column(3).kind = ColumnKind::kInteger;

  TableSampler& sampler = recipe.sampler;
  sampler.members = members;
  sampler.latents = 2;
  sampler.components = 2;
  for (int32_t member = 0; member < members; ++member) {
    const auto place = static_cast<float>(member) * 0.3f;
    sampler.mean.insert(sampler.mean.end(), {place - 1, 1 - place});
    sampler.factor.insert(sampler.factor.end(), {0.5f, 0, place, 0.25f});
    sampler.residual.insert(sampler.residual.end(), {0, 0.125f});
    add_entry(sampler.member, 0.6, member, (member + 1) % members);
  }
  sampler.emissions = {two_of(members, 3), two_of(members, 4)};

  constexpr auto kValue = StateRole::kValue, kMissing = StateRole::kMissing, kLatent = StateRole::kLatent;
  ColumnSampler number = segments_of(Storage::kFloat64, 4), category, truth, whole = segments_of(Storage::kInt64, 9);
  number.emission = 0;
  number.state_role = {kLatent, kMissing, kValue};
  number.state_real = {0, 0, -7.5};
  category.emission = truth.emission = 1;
  category.state_role = {kValue, kValue, kValue, kMissing};
  category.state_integer = {0, 1, 2, 0};
  truth.state_role = {kValue, kValue, kValue, kValue};
  truth.state_integer = {0, 1, 0, 1};
  whole.latent = 1;
  sampler.columns = {number, category, truth, whole};
  return recipe;
}

// The same with covariances of low rank: one component, and a noise of its own for each latent.
inline TableRecipe low_rank_recipe(int32_t members = 3) {
  TableRecipe recipe = mixture_recipe(members);
  TableSampler& sampler = recipe.sampler;
  sampler.components = 1;
  sampler.factor.clear(), sampler.residual.clear();
  for (int32_t member = 0; member < members; ++member) {
    sampler.factor.insert(sampler.factor.end(), {0.5f, static_cast<float>(member) * 0.3f - 0.2f});
    sampler.residual.insert(sampler.residual.end(), {0.2f, 0.25f});
  }
  return recipe;
}

}  // namespace doppel
