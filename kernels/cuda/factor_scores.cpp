// What scores need to know of members with covariances of low rank, whatever rows there are: found once, by plain
// loops.
#include "kernels/cuda/factor_scores.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/common/elementary.h"

namespace doppel::cuda {
namespace {

size_t order_of(int32_t rank) {
  return rank <= 8 ? 8 : rank <= 16 ? 16 : 32;
}

// M of a member, [order, order].
class Moment {
 public:
  // u [latents, rank]
  Moment(const double* u, size_t latents, size_t rank) : rank_(rank), order_(order_of(static_cast<int32_t>(rank))) {
    values_.resize(order_ * order_);
    for (size_t k = 0; k < order_; ++k) values_[k * order_ + k] = 1;
    for (size_t j = 0; j < latents; ++j, u += rank)
      for (size_t k = 0; k < rank; ++k)
        for (size_t l = 0; l < rank; ++l) values_[k * order_ + l] += u[k] * u[l];
    factorise();
    inverse_.resize(order_ * order_);
    std::vector<double> column(order_);
    for (size_t c = 0; c < order_; ++c) {
      column.assign(order_, 0);
      column[c] = 1;
      solve(column);
      for (size_t k = order_; k-- > 0;) {
        for (size_t l = k + 1; l < order_; ++l) column[k] -= root_[l * order_ + k] * column[l];
        column[k] /= root_[k * order_ + k];
        inverse_[k * order_ + c] = column[k];
      }
    }
  }
  const std::vector<double>& values() const { return values_; }
  const std::vector<double>& inverse() const { return inverse_; }
  double half_log() const {
    double sum = 0;
    for (size_t k = 0; k < rank_; ++k) sum += log_of_positive(root_[k * order_ + k]);
    return sum;
  }
  // u^T M^-1 u
  double square(const double* u) const {
    std::vector<double> y(order_);
    std::copy_n(u, rank_, y.begin());
    solve(y);
    double sum = 0;
    for (const double of_factor : y) sum += of_factor * of_factor;
    return sum;
  }

 private:
  void factorise() {
    root_ = values_;
    for (size_t k = 0; k < order_; ++k)
      for (size_t l = 0; l <= k; ++l) {
        double& element = root_[k * order_ + l];
        for (size_t i = 0; i < l; ++i) element -= root_[k * order_ + i] * root_[l * order_ + i];
        element = k == l ? std::sqrt(std::max(element, 1.0)) : element / root_[l * order_ + l];
      }
  }
  void solve(std::vector<double>& y) const {
    for (size_t k = 0; k < order_; ++k) {
      for (size_t l = 0; l < k; ++l) y[k] -= root_[k * order_ + l] * y[l];
      y[k] /= root_[k * order_ + k];
    }
  }

  size_t rank_, order_;
  std::vector<double> values_, root_, inverse_;
};

// FactorParameters' arrays.
struct HostFactors {
  size_t members, stride, latents, rank, width, order;
  std::vector<double> mean, scale, constant, loading, moment, inverse, half_log;
  std::vector<double> mean_of, scale_of, constant_of, loading_of, precision_of, gain_of, spread_of, most_of;

  explicit HostFactors(const MixtureScores& mixture)
      : members(static_cast<size_t>(mixture.members)),
        stride(static_cast<size_t>(score_stride(mixture.members))),
        latents(static_cast<size_t>(mixture.latents)),
        rank(static_cast<size_t>(mixture.low_rank.rank)),
        width((rank + kFactorsOfThread - 1) / kFactorsOfThread * kFactorsOfThread),
        order(order_of(mixture.low_rank.rank)) {
    for (auto* of_latents : {&mean, &scale, &constant}) of_latents->resize(latents * stride);
    for (auto* of_members : {&loading, &loading_of}) of_members->resize(members * latents * width);
    for (auto* of_members : {&mean_of, &scale_of, &constant_of, &precision_of, &gain_of, &spread_of, &most_of})
      of_members->resize(members * latents);
    for (size_t m = 0; m < members; ++m) add_member(mixture.low_rank, m);
  }

 private:
  void add_member(const LowRankCovariances& covariances, size_t m) {
    std::vector<double> u(latents * rank);
    for (size_t j = 0; j < latents; ++j) {
      const size_t at = m * latents + j, of_latent = j * stride + m;
      const double residual = covariances.residual[at];
      mean[of_latent] = mean_of[at] = covariances.mean[at];
      scale[of_latent] = scale_of[at] = 1 / std::sqrt(residual);
      constant[of_latent] = constant_of[at] = log_of_positive(2 * std::numbers::pi * residual);
      for (size_t k = 0; k < rank; ++k) {
        const double of_factor = u[j * rank + k] = covariances.factor[at * rank + k] * scale_of[at];
        loading[(j * members + m) * width + k] = loading_of[(m * width + k) * latents + j] = of_factor;
      }
    }
    const Moment of_all(u.data(), latents, rank);
    moment.insert(moment.end(), of_all.values().begin(), of_all.values().end());
    inverse.insert(inverse.end(), of_all.inverse().begin(), of_all.inverse().end());
    half_log.push_back(of_all.half_log());
    for (size_t j = 0; j < latents; ++j) {
      const size_t at = m * latents + j;
      const double left = std::max(1 - of_all.square(u.data() + j * rank), 1e-15);
      precision_of[at] = 1 / left;
      gain_of[at] = 0.5 * (constant_of[at] - log_of_positive(left));
      double spread = 1;
      for (size_t k = 0; k < rank; ++k) spread += u[j * rank + k] * u[j * rank + k];
      spread_of[at] = spread;
      most_of[at] = 0.5 * (constant_of[at] + log_of_positive(spread));
    }
  }
};

}  // namespace

ScoredFactors::ScoredFactors(const MixtureScores& mixture, cudaStream_t stream) : members_(mixture.members) {
  const HostFactors host(mixture);
  parameters_.rank = mixture.low_rank.rank;
  parameters_.width = static_cast<int32_t>(host.width);
  parameters_.order = static_cast<int32_t>(host.order);
  const auto put = [&](const std::vector<double>& values) {
    return on_device_.emplace_back(upload(values, stream)).data();
  };
  parameters_.mean = put(host.mean);
  parameters_.scale = put(host.scale);
  parameters_.constant = put(host.constant);
  parameters_.loading = put(host.loading);
  parameters_.moment = put(host.moment);
  parameters_.inverse = put(host.inverse);
  parameters_.half_log = put(host.half_log);
  parameters_.mean_of = put(host.mean_of);
  parameters_.scale_of = put(host.scale_of);
  parameters_.constant_of = put(host.constant_of);
  parameters_.loading_of = put(host.loading_of);
  parameters_.precision_of = put(host.precision_of);
  parameters_.gain_of = put(host.gain_of);
  parameters_.spread_of = put(host.spread_of);
  parameters_.most_of = put(host.most_of);
  CUDA_CHECK(cudaStreamSynchronize(stream));  // `host` goes out of scope
}

int64_t ScoredFactors::doubles(bool has_gaps) const {
  return members_ * (parameters_.width + (has_gaps ? row_of_root(parameters_.order) : 0));
}

FactorPiece ScoredFactors::piece(int64_t rows, bool has_gaps, double* memory) const {
  return {memory, has_gaps ? memory + rows * members_ * parameters_.width : nullptr};
}

}  // namespace doppel::cuda
