#include "engine/models/mixture/row_evidence.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace doppel {

RowEvidence::RowEvidence(const MixtureView& view, double floor, int64_t most_bytes)
    : view_(view),
      most_bytes_(most_bytes),
      states_(view, floor),
      latents_(make_latent_evidence(view)),
      part_(view.columns.size()),
      is_made_(view.columns.size()),
      score_(static_cast<size_t>(view.latents)),
      is_known_(static_cast<size_t>(view.latents)),
      parts_of_variable_(view.variables.size()),
      evidence_(view.variables.size()),
      nothing_(view.variables.size()) {}

void RowEvidence::forget() {
  states_.forget();
  latents_->clear();
  std::fill(nothing_.begin(), nothing_.end(), nullptr);
}

void RowEvidence::observe(const Table& table, int64_t row, std::span<const Knowledge> knowledge) {
  std::fill(is_known_.begin(), is_known_.end(), 0);
  strange_gaps_ = 0;
  for (size_t c = 0; c < view_.columns.size(); ++c) {
    const MixtureColumn& column = view_.columns[c];
    const auto at = static_cast<size_t>(view_.recipe.sampled[c]);
    part_[c] = knowledge[at] == Knowledge::kPresent ? kAnyValue : kUnknownPart;
    is_made_[c] = 1;
    if (knowledge[at] != Knowledge::kGiven) continue;
    const SampledValue value = value_of(view_.recipe.schema.columns[at], table.columns[at], row);
    part_[c] = column.part_of(value);
    is_made_[c] = part_[c] != MixtureColumn::kNeverSeen;
    strange_gaps_ += is_strange_gap(c);
    const bool is_latent = column.variable() < 0 || part_[c] == column.latent_part();
    if (value.is_missing || column.latent() < 0 || !is_latent || part_[c] == MixtureColumn::kNeverSeen) continue;
    is_known_[static_cast<size_t>(column.latent())] = 1;
    score_[static_cast<size_t>(column.latent())] = column.score_of(value);
    is_made_[c] = std::isfinite(column.interval_of(value).low) || std::isfinite(column.interval_of(value).high);
  }
  known_.clear();
  for (size_t j = 0; j < is_known_.size(); ++j)
    if (is_known_[j] != 0) known_.push_back(static_cast<int32_t>(j));
  latents_->observe(known_, score_);
  for (size_t v = 0; v < view_.variables.size(); ++v) {
    parts_of_variable_[v].clear();
    for (const int32_t c : view_.columns_of_variable[v]) parts_of_variable_[v].push_back(part_[static_cast<size_t>(c)]);
    evidence_[v] = &states_.find(v, parts_of_variable_[v]);
  }
}

void RowEvidence::relax_impossible() {
  for (size_t v = 0; v < evidence_.size(); ++v) {
    std::vector<int32_t>& parts = parts_of_variable_[v];
    for (int32_t& part : parts)
      if (!evidence_[v]->is_possible && part == MixtureColumn::kNeverSeen) part = kUnknownPart;
    evidence_[v] = &states_.find(v, parts);
    for (int32_t& part : parts)
      if (!evidence_[v]->is_possible && part >= 0) part = kUnknownPart;
    evidence_[v] = &states_.find(v, parts);
  }
}

const StateEvidence& RowEvidence::of_column_alone(size_t c) {
  const auto v = static_cast<size_t>(view_.columns[c].variable());
  const std::vector<int32_t>& columns = view_.columns_of_variable[v];
  if (columns.size() == 1) return *evidence_[v];
  others_.assign(columns.size(), kUnknownPart);
  for (size_t i = 0; i < columns.size(); ++i)
    if (static_cast<size_t>(columns[i]) == c) others_[i] = part_[c];
  return states_.find(v, others_);
}

const StateEvidence& RowEvidence::without_column(size_t c) {
  const auto v = static_cast<size_t>(view_.columns[c].variable());
  const std::vector<int32_t>& columns = view_.columns_of_variable[v];
  if (columns.size() == 1) {
    if (nothing_[v] == nullptr) nothing_[v] = &states_.find(v, std::array{kUnknownPart});
    return *nothing_[v];
  }
  others_ = parts_of_variable_[v];
  for (size_t i = 0; i < columns.size(); ++i)
    if (static_cast<size_t>(columns[i]) == c) others_[i] = kUnknownPart;
  return states_.find(v, others_);
}

}  // namespace doppel
