#include "engine/models/mixture/latent_evidence.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/common/elementary.h"

namespace doppel {
namespace {

class FullEvidence : public LatentEvidence {
 public:
  explicit FullEvidence(const MixtureView& view)
      : view_(view), patterns_(view), members_(static_cast<size_t>(view.members)) {}
  int64_t bytes() const override { return patterns_.bytes(); }
  void clear() override { patterns_.forget(); }

  void observe(const std::vector<int32_t>& known, std::span<const double> score) override {
    pattern_ = &patterns_.find(known);
    score_ = score;
  }
  const LatentPattern* pattern() const override { return pattern_; }

  void add_constants(std::span<double> logs) override {
    for (size_t m = 0; m < members_; ++m) logs[m] += pattern_->constant[m];
  }

  void add_squares(std::span<double> logs) override {
    const size_t k = pattern_->known.size(), n = members_;
    whitened_.resize(k * n);
    const double* w = pattern_->whitening.data();
    for (size_t i = 0; i < k; ++i) {
      double* y = &whitened_[i * n];
      const double* offset = &pattern_->offset[i * n];
      for (size_t m = 0; m < n; ++m) y[m] = -offset[m];
      for (size_t j = 0; j <= i; ++j, w += n) {
        const double z = score_[static_cast<size_t>(pattern_->known[j])];
        for (size_t m = 0; m < n; ++m) y[m] += w[m] * z;
      }
      for (size_t m = 0; m < n; ++m) logs[m] -= 0.5 * y[m] * y[m];
    }
  }

  void forget(int32_t latent, std::span<double> logs) override {
    const size_t k = pattern_->known.size(), n = members_;
    const auto j = static_cast<size_t>(std::lower_bound(pattern_->known.begin(), pattern_->known.end(), latent) -
                                       pattern_->known.begin());
    projected_.assign(n, 0);
    for (size_t i = j; i < k; ++i) {
      const double *w = &pattern_->whitening[(i * (i + 1) / 2 + j) * n], *y = &whitened_[i * n];
      for (size_t m = 0; m < n; ++m) projected_[m] += w[m] * y[m];
    }
    const double *precision = &pattern_->precision[j * n], *constant = &pattern_->conditional_constant[j * n];
    for (size_t m = 0; m < n; ++m) logs[m] += 0.5 * projected_[m] * projected_[m] / precision[m] - constant[m];
  }

  ScoreNormal conditional(int32_t member, int32_t latent) override {
    const std::vector<int32_t>& unknown = pattern_->unknown;
    const LatentConditional& conditional = patterns_.conditional(*pattern_, member);
    const auto i = static_cast<size_t>(std::lower_bound(unknown.begin(), unknown.end(), latent) - unknown.begin());
    double variance = 0;
    for (size_t j = 0; j <= i; ++j) {
      const double weight = conditional.factor[i * unknown.size() + j];
      variance += weight * weight;
    }
    return {conditional_mean(conditional, member, i), std::sqrt(variance)};
  }

  size_t normals() const override { return pattern_->unknown.size(); }

  void draw(int32_t member, std::span<const double> normals, std::span<double> score) override {
    const std::vector<int32_t>& unknown = pattern_->unknown;
    if (unknown.empty()) return;
    const LatentConditional& conditional = patterns_.conditional(*pattern_, member);
    for (size_t i = 0; i < unknown.size(); ++i) {
      double z = conditional_mean(conditional, member, i);
      for (size_t j = 0; j <= i; ++j) z += conditional.factor[i * unknown.size() + j] * normals[j];
      score[static_cast<size_t>(unknown[i])] = z;
    }
  }

 private:
  // Of the i-th unknown latent.
  double conditional_mean(const LatentConditional& conditional, int32_t member, size_t i) const {
    const size_t k = pattern_->known.size();
    const double* mean = &view_.mean[static_cast<size_t>(member) * static_cast<size_t>(view_.latents)];
    double z = mean[pattern_->unknown[i]];
    for (size_t j = 0; j < k; ++j) {
      const int32_t known = pattern_->known[j];
      z += conditional.gain[i * k + j] * (score_[static_cast<size_t>(known)] - mean[known]);
    }
    return z;
  }

  const MixtureView& view_;
  LatentPatterns patterns_;
  size_t members_;
  const LatentPattern* pattern_ = nullptr;
  std::span<const double> score_;
  std::vector<double> whitened_, projected_;  // [known, members], [members]
};

// Of low rank. What known latents make of M is kept for the next row, which often knows the same.
class FactorEvidence : public LatentEvidence {
 public:
  explicit FactorEvidence(const MixtureView& view)
      : view_(view),
        members_(static_cast<size_t>(view.members)),
        latents_(static_cast<size_t>(view.latents)),
        rank_(static_cast<size_t>(view.recipe.sampler.components)),
        log_two_pi_(log_of_positive(2 * std::numbers::pi)),
        is_known_(latents_),
        root_(members_ * rank_ * rank_),
        inverse_(members_ * rank_ * rank_),
        constant_(members_),
        expected_(members_ * rank_) {
    for (size_t i = 0; i < members_ * latents_; ++i) {
      log_residual_.push_back(log_of_positive(view.residual[i]));
      variance_.push_back(view.residual[i]);
      for (size_t k = 0; k < rank_; ++k) {
        const double weight = view.factor[i * rank_ + k];
        loading_.push_back(weight / view.residual[i]);
        variance_.back() += weight * weight;
      }
    }
    moment_of_all_.resize(members_ * rank_ * rank_);
    log_residuals_of_all_.resize(members_);
    for (size_t m = 0; m < members_; ++m) {
      double* moment = moment_of_all_.data() + m * rank_ * rank_;
      for (size_t k = 0; k < rank_; ++k) moment[k * rank_ + k] = 1;
      for (size_t j = 0; j < latents_; ++j) add_term(m, j, 1, moment, log_residuals_of_all_[m]);
    }
  }

  int64_t bytes() const override { return 0; }  // the last row's alone is kept, whatever rows there were
  void clear() override { is_prepared_ = false; }

  void observe(const std::vector<int32_t>& known, std::span<const double> score) override {
    score_ = score;
    if (known == known_) return;
    known_ = known;
    is_prepared_ = false;
  }
  const LatentPattern* pattern() const override { return nullptr; }

  // Only here is it worked out what known latents say of members: a backend's rows need no more than which they are.
  void add_constants(std::span<double> logs) override {
    if (!is_prepared_) {
      std::fill(is_known_.begin(), is_known_.end(), 0);
      for (const int32_t j : known_) is_known_[static_cast<size_t>(j)] = 1;
      for (size_t m = 0; m < members_; ++m) prepare(m);
      is_prepared_ = true;
    }
    for (size_t m = 0; m < members_; ++m) logs[m] += constant_[m];
  }

  void add_squares(std::span<double> logs) override {
    std::vector<double>& b = work_;
    for (size_t m = 0; m < members_; ++m) {
      b.assign(rank_, 0);
      double square = 0;
      for (const int32_t latent : known_) {
        const size_t at = m * latents_ + static_cast<size_t>(latent);
        const double offset = score_[static_cast<size_t>(latent)] - view_.mean[at];
        square += offset * offset / view_.residual[at];
        for (size_t k = 0; k < rank_; ++k) b[k] += loading_[at * rank_ + k] * offset;
      }
      for (size_t k = 0; k < rank_; ++k) {
        double sum = 0;
        for (size_t l = 0; l < rank_; ++l) sum += inverse_[(m * rank_ + k) * rank_ + l] * b[l];
        expected_[m * rank_ + k] = sum;
        square -= sum * b[k];
      }
      logs[m] -= 0.5 * square;
    }
  }

  // Given the others a latent's variance 1 / Q_jj is at most the one that it has alone. So (Q d)_j, which costs little,
  // bounds what a member gains; only where that may matter beside the likeliest member Q_jj is computed.
  void forget(int32_t latent, std::span<double> logs) override {
    constexpr double kTooImprobable = 60;  // nats
    const auto likeliest = static_cast<size_t>(std::max_element(logs.begin(), logs.end()) - logs.begin());
    forget_in(likeliest, latent, projection(likeliest, latent), logs[likeliest]);
    for (size_t m = 0; m < members_; ++m) {
      if (m == likeliest) continue;
      const double projected = projection(m, latent), variance = variance_[m * latents_ + static_cast<size_t>(latent)];
      const double most = logs[m] + 0.5 * (projected * projected * variance + log_two_pi_ + log_of_positive(variance));
      if (most > logs[likeliest] - kTooImprobable) forget_in(m, latent, projected, logs[m]);
    }
  }

  ScoreNormal conditional(int32_t member, int32_t latent) override {
    const auto m = static_cast<size_t>(member);
    const size_t at = m * latents_ + static_cast<size_t>(latent);
    ScoreNormal normal{view_.mean[at], 0};
    for (size_t k = 0; k < rank_; ++k) normal.mean += view_.factor[at * rank_ + k] * expected_[m * rank_ + k];
    normal.deviation = std::sqrt(view_.residual[at] + spread(m, view_.factor.data() + at * rank_));
    return normal;
  }

  size_t normals() const override { return rank_ + latents_ - known_.size(); }

  void draw(int32_t member, std::span<const double> normals, std::span<double> score) override {
    const auto m = static_cast<size_t>(member);
    // x + C^-T e with M = C C^T.
    const double* root = root_.data() + m * rank_ * rank_;
    std::vector<double>& x = work_;
    x.assign(normals.begin(), normals.begin() + static_cast<std::ptrdiff_t>(rank_));
    for (size_t k = rank_; k-- > 0;) {
      for (size_t l = k + 1; l < rank_; ++l) x[k] -= root[l * rank_ + k] * x[l];
      x[k] /= root[k * rank_ + k];
    }
    for (size_t k = 0; k < rank_; ++k) x[k] += expected_[m * rank_ + k];
    size_t next = rank_;
    for (size_t j = 0; j < latents_; ++j) {
      if (is_known_[j] != 0) continue;
      const size_t at = m * latents_ + j;
      double z = view_.mean[at];
      for (size_t k = 0; k < rank_; ++k) z += view_.factor[at * rank_ + k] * x[k];
      score[j] = z + std::sqrt(view_.residual[at]) * normals[next++];
    }
  }

 private:
  // Adds sign x a latent's term to M and to the sum of log r.
  void add_term(size_t m, size_t latent, double sign, double* moment, double& log_residuals) const {
    const size_t at = m * latents_ + latent;
    const double *a = loading_.data() + at * rank_, *weight = view_.factor.data() + at * rank_;
    log_residuals += sign * log_residual_[at];
    for (size_t k = 0; k < rank_; ++k) {
      const double scaled = sign * a[k];
      for (size_t l = 0; l <= k; ++l) moment[k * rank_ + l] += scaled * weight[l];
    }
  }

  // M of the known latents, its Cholesky factor and its inverse. From that of all where that is nearer.
  void prepare(size_t m) {
    double *root = root_.data() + m * rank_ * rank_, *inverse = inverse_.data() + m * rank_ * rank_;
    const bool is_of_all = 2 * known_.size() > latents_;
    double log_residuals = is_of_all ? log_residuals_of_all_[m] : 0;
    if (is_of_all) {
      std::copy_n(moment_of_all_.data() + m * rank_ * rank_, rank_ * rank_, root);
    } else {
      std::fill(root, root + rank_ * rank_, 0);
      for (size_t k = 0; k < rank_; ++k) root[k * rank_ + k] = 1;
    }
    for (size_t j = 0; j < latents_; ++j)
      if ((is_known_[j] != 0) != is_of_all) add_term(m, j, is_of_all ? -1 : 1, root, log_residuals);
    constant_[m] = -0.5 * (log_two_pi_ * static_cast<double>(known_.size()) + log_residuals);
    factorise_by_hand({root, rank_ * rank_}, rank_);
    for (size_t k = 0; k < rank_; ++k) constant_[m] -= log_of_positive(root[k * rank_ + k]);
    const std::vector<double> half = invert_lower({root, rank_ * rank_}, rank_);
    for (size_t k = 0; k < rank_; ++k)
      for (size_t l = 0; l <= k; ++l) {
        double sum = 0;
        for (size_t i = k; i < rank_; ++i) sum += half[i * rank_ + k] * half[i * rank_ + l];
        inverse[k * rank_ + l] = inverse[l * rank_ + k] = sum;
      }
  }

  // v^T M^-1 v
  double spread(size_t m, const double* v) const {
    double sum = 0;
    for (size_t k = 0; k < rank_; ++k) {
      double of_row = 0;
      for (size_t l = 0; l < rank_; ++l) of_row += inverse_[(m * rank_ + k) * rank_ + l] * v[l];
      sum += of_row * v[k];
    }
    return sum;
  }
  // (Q d)_j
  double projection(size_t m, int32_t latent) const {
    const size_t at = m * latents_ + static_cast<size_t>(latent);
    double sum = (score_[static_cast<size_t>(latent)] - view_.mean[at]) / view_.residual[at];
    for (size_t k = 0; k < rank_; ++k) sum -= loading_[at * rank_ + k] * expected_[m * rank_ + k];
    return sum;
  }
  void forget_in(size_t m, int32_t latent, double projected, double& log) const {
    const size_t at = m * latents_ + static_cast<size_t>(latent);
    const double precision = 1 / view_.residual[at] - spread(m, loading_.data() + at * rank_);
    log += 0.5 * (projected * projected / precision + log_two_pi_ - log_of_positive(precision));
  }

  const MixtureView& view_;
  size_t members_, latents_, rank_;
  double log_two_pi_;
  std::vector<double> log_residual_, variance_;               // [members, latents]
  std::vector<double> loading_;                               // [members, latents, rank] A
  std::vector<double> moment_of_all_, log_residuals_of_all_;  // M [members, rank, rank] and sum log r of all latents
  std::vector<int32_t> known_;
  std::vector<uint8_t> is_known_;  // [latents]
  bool is_prepared_ = false;
  std::span<const double> score_;
  std::vector<double> root_, inverse_;  // [members, rank, rank] of M, by the latents known
  std::vector<double> constant_;        // [members]
  std::vector<double> expected_;        // [members, rank] of the row: x
  std::vector<double> work_;
};

}  // namespace

std::unique_ptr<LatentEvidence> make_latent_evidence(const MixtureView& view) {
  if (view.is_low_rank()) return std::make_unique<FactorEvidence>(view);
  return std::make_unique<FullEvidence>(view);
}

}  // namespace doppel
