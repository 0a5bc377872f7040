// Rows that a backend scores (kernels/row_scores.h), gathered one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/models/mixture/member_evidence.h"
#include "engine/models/mixture/row_evidence.h"
#include "kernels/row_scores.h"

namespace doppel {

// Cells are the view's columns.
class GatheredScores {
 public:
  GatheredScores(std::unique_ptr<PreparedScores> backend, size_t cells, int32_t latents);

  // A row; then the cells of it that are asked about: what is known of the variable without the cell and of the cell
  // alone, null where there is nothing to know.
  void add_row(RowEvidence& row);
  void ask(size_t cell, const StateEvidence* without, const StateEvidence* alone, bool is_asked_alone);
  size_t rows() const { return pattern_.size(); }

  // Finds the scores of all rows that were added. Of a row, and of the cells that were asked about:
  void find();
  double log_density(size_t row) const { return log_density_[row]; }
  std::optional<double> without(size_t row, size_t cell) const {
    const size_t at = row * cells_ + cell;
    return asked_[at].is_asked ? std::optional(found_without_[at]) : std::nullopt;
  }
  std::optional<double> alone(size_t row, size_t cell) const {
    const size_t at = row * cells_ + cell;
    return asked_[at].is_asked_alone ? std::optional(found_alone_[at]) : std::nullopt;
  }
  void clear_rows();
  // What rows have in common, as that is no more. There are no rows.
  void forget();

 private:
  struct Asked {
    bool is_asked = false, is_asked_alone = false;
  };
  int32_t number_of(const StateEvidence& evidence);
  int32_t number_of(const LatentPattern& pattern);

  std::unique_ptr<PreparedScores> backend_;
  size_t cells_, latents_;
  int32_t states_known_ = 0, patterns_known_ = 0;  // in the backend's tables, and those that will be there
  std::vector<StatesKnown> new_states_;
  std::vector<LatentsKnown> new_latents_;
  std::vector<double> z_;                  // [rows, latents]
  std::vector<int32_t> pattern_, states_;  // [rows] (of low rank: 0), [rows, variables]
  std::vector<int32_t> without_, alone_;   // [rows, cells]
  std::vector<Asked> asked_;               // likewise
  std::vector<double> log_density_, found_without_, found_alone_;
};

}  // namespace doppel
