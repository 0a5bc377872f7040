// What a row's cells say of a mixture: the part that each column is, the latents that it knows, and what these say of
// the members (member_evidence.h, latent_evidence.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/density.h"
#include "engine/models/mixture/latent_evidence.h"
#include "engine/models/mixture/member_evidence.h"
#include "engine/models/mixture/mixture_view.h"

namespace doppel {

// Columns c are the view's, variables v too.
class RowEvidence {
 public:
  // floor: the probability of what no member can be. The view must outlive it.
  RowEvidence(const MixtureView& view, double floor, int64_t most_bytes);

  // Whether what rows have in common takes more than most_bytes: time to forget it, and the row at hand.
  bool is_full() const { return states_.bytes() + latents_->bytes() > most_bytes_; }
  void forget();
  void observe(const Table& table, int64_t row, std::span<const Knowledge> knowledge);
  // Where no member has the states known, the columns never seen say nothing, and where that does not do, none does.
  void relax_impossible();

  // Of the row at hand.
  int32_t part(size_t c) const { return part_[c]; }          // kUnknownPart, kAnyValue, or a MixtureColumn's
  bool is_made(size_t c) const { return is_made_[c] != 0; }  // the model makes its value
  bool has_known_latent(size_t c) const {
    const int32_t latent = view_.columns[c].latent();
    return latent >= 0 && is_known_[static_cast<size_t>(latent)] != 0;
  }
  // A gap in a column that has no variable, as it never had one.
  bool is_strange_gap(size_t c) const {
    return view_.columns[c].variable() < 0 && part_[c] == MixtureColumn::kNeverSeen;
  }
  int64_t strange_gaps() const { return strange_gaps_; }
  std::span<double> scores() { return score_; }  // [latents] of those known
  std::span<const double> scores() const { return score_; }
  std::span<const int32_t> known_latents() const { return known_; }  // ascending
  LatentEvidence& latents() { return *latents_; }
  const StateEvidence& of_variable(size_t v) const { return *evidence_[v]; }
  std::span<const StateEvidence* const> of_variables() const { return evidence_; }
  // Of the column's variable, which it has: with nothing but the column known, and without the column.
  const StateEvidence& of_column_alone(size_t c);
  const StateEvidence& without_column(size_t c);
  // Whether what is known of a variable leaves a state.
  bool leaves(size_t v, int32_t state) const { return states_.leaves(v, parts_of_variable_[v], state); }

 private:
  const MixtureView& view_;
  int64_t most_bytes_;
  StateEvidences states_;
  std::unique_ptr<LatentEvidence> latents_;

  std::vector<int32_t> part_;      // [columns]
  std::vector<uint8_t> is_made_;   // [columns]
  std::vector<double> score_;      // [latents]
  std::vector<uint8_t> is_known_;  // [latents]
  std::vector<int32_t> known_;
  int64_t strange_gaps_ = 0;
  std::vector<std::vector<int32_t>> parts_of_variable_;
  std::vector<const StateEvidence*> evidence_;  // [variables]
  std::vector<const StateEvidence*> nothing_;   // [variables] of no column known; null: not found yet
  std::vector<int32_t> others_;
};

}  // namespace doppel
