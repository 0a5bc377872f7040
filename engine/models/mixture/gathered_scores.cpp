#include "engine/models/mixture/gathered_scores.h"

#include <limits>
#include <utility>

namespace doppel {

GatheredScores::GatheredScores(std::unique_ptr<PreparedScores> backend, size_t cells, int32_t latents)
    : backend_(std::move(backend)), cells_(cells), latents_(static_cast<size_t>(latents)) {}

void GatheredScores::add_row(RowEvidence& row) {
  const LatentPattern* pattern = row.latents().pattern();
  pattern_.push_back(pattern == nullptr ? 0 : number_of(*pattern));
  z_.resize(z_.size() + latents_, std::numeric_limits<double>::quiet_NaN());
  double* z = z_.data() + z_.size() - latents_;
  for (const int32_t latent : row.known_latents())
    (pattern == nullptr ? z[latent] : *z++) = row.scores()[static_cast<size_t>(latent)];
  for (const StateEvidence* evidence : row.of_variables()) states_.push_back(number_of(*evidence));
  without_.resize(without_.size() + cells_, kNotScored);
  alone_.resize(alone_.size() + cells_, kNotScored);
  asked_.resize(asked_.size() + cells_);
}

void GatheredScores::ask(size_t cell, const StateEvidence* without, const StateEvidence* alone, bool is_asked_alone) {
  const size_t at = (rows() - 1) * cells_ + cell;
  asked_[at] = {true, is_asked_alone};
  if (without != nullptr) without_[at] = number_of(*without);
  if (alone != nullptr) alone_[at] = number_of(*alone);
}

int32_t GatheredScores::number_of(const LatentPattern& pattern) {
  if (pattern.number < 0) {
    pattern.number = patterns_known_++;
    new_latents_.push_back({pattern.known, pattern.constant, pattern.offset, pattern.precision,
                            pattern.conditional_constant, pattern.whitening});
  }
  return pattern.number;
}

int32_t GatheredScores::number_of(const StateEvidence& evidence) {
  if (evidence.number < 0) {
    evidence.number = states_known_++;
    new_states_.push_back({evidence.log_probability, evidence.probability, evidence.inverse_probability});
  }
  return evidence.number;
}

void GatheredScores::find() {
  backend_->add(new_states_, new_latents_);
  new_states_.clear();
  new_latents_.clear();
  log_density_.resize(rows());
  found_without_.resize(rows() * cells_);
  found_alone_.resize(rows() * cells_);
  backend_->find(
      {static_cast<int64_t>(rows()), z_.data(), pattern_.data(), states_.data(), without_.data(), alone_.data()},
      {log_density_.data(), found_without_.data(), found_alone_.data()});
}

void GatheredScores::clear_rows() {
  z_.clear(), pattern_.clear(), states_.clear(), without_.clear(), alone_.clear(), asked_.clear();
}

void GatheredScores::forget() {
  backend_->forget();
  states_known_ = patterns_known_ = 0;
}

}  // namespace doppel
