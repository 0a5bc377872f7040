#include "engine/models/pca/latent_correlation.h"

#include <algorithm>
#include <cmath>

namespace doppel {
namespace {

// Pearson's correlation over the rows where both are present; n gets their number.
double observed_correlation(const CoMoments& moments, size_t i, size_t j, double& n) {
  const size_t ij = i * moments.columns + j, ji = j * moments.columns + i;
  n = moments.count[ij];
  if (n < 3) return 0;
  const double covariance = moments.product[ij] - moments.sum[ij] * moments.sum[ji] / n;
  const double square_i = moments.square[ij] - moments.sum[ij] * moments.sum[ij] / n;
  const double square_j = moments.square[ji] - moments.sum[ji] * moments.sum[ji] / n;
  constexpr double kRounding = 1e-12;
  if (!(square_i > kRounding * moments.square[ij]) || !(square_j > kRounding * moments.square[ji])) return 0;
  return std::clamp(covariance / std::sqrt(square_i * square_j), -1.0, 1.0);
}

// The covariance of f and g as a function of the latent correlation.
class CovarianceSeries {
 public:
  CovarianceSeries(const CellFunction& f, const CellFunction& g) {
    double sum = 0, alternating = 0;
    for (int k = 1; k <= kHermiteTerms; ++k) {
      terms_[k] = f.series[k] * g.series[k];
      sum += terms_[k];
      alternating += k % 2 == 0 ? terms_[k] : -terms_[k];
    }
    // What the cut series lacks at the ends, where it is known: f and g rise, or one falls, together.
    tail_ = std::max(0.0, extreme(f, g, false) - sum);
    opposite_tail_ = std::min(0.0, extreme(f, g, true) - alternating);
  }

  double at(double r) const {
    double value = 0;
    for (int k = kHermiteTerms; k >= 1; --k) value = (value + terms_[k]) * r;
    return value + (r > 0 ? tail_ : opposite_tail_) * std::pow(r * r, kHermiteTerms);
  }

  // The correlation at which the covariance is `target`; -1 or 1 where it is out of reach. The covariance rises with r.
  double solve(double target) const {
    double low = -1, high = 1;
    if (at(high) <= target) return high;
    if (at(low) >= target) return low;
    double guess = terms_[1] > 0 ? std::clamp(target / terms_[1], -0.95, 0.95) : 0, value = at(guess) - target;
    for (int step = 0; step < 60 && high - low > 1e-12; ++step) {
      (value > 0 ? high : low) = guess;
      const double next = guess - value / slope(guess);
      const double last = guess;
      guess = next > low && next < high ? next : 0.5 * (low + high);
      if (std::abs(guess - last) < 1e-13) break;
      value = at(guess) - target;
    }
    return guess;
  }

 private:
  double slope(double r) const {
    double value = 0;
    for (int k = kHermiteTerms; k >= 1; --k) value = value * r + k * terms_[k];
    const double tail = (r > 0 ? tail_ : -opposite_tail_) * 2 * kHermiteTerms;
    return value + tail * std::pow(std::abs(r), 2 * kHermiteTerms - 1);
  }

  // Covariance of f and g when one latent is the other, or its negative.
  static double extreme(const CellFunction& f, const CellFunction& g, bool opposite) {
    const size_t cells = g.level.size();
    const auto level = [&](size_t c) { return g.level[opposite ? cells - 1 - c : c]; };
    const auto end = [&](size_t c) {
      return opposite ? (c + 1 == cells ? 1.0 : 1 - g.cumulative[cells - 2 - c]) : g.cumulative[c];
    };
    double sum = 0, start = 0;
    for (size_t i = 0, j = 0; i < f.level.size() && j < cells;) {
      const double stop = std::min(f.cumulative[i], end(j));
      sum += (stop - start) * f.level[i] * level(j);
      start = stop;
      if (f.cumulative[i] <= stop) ++i;
      if (j < cells && end(j) <= stop) ++j;
    }
    return sum;
  }

  double terms_[kHermiteTerms + 1] = {};
  double tail_ = 0, opposite_tail_ = 0;
};

// Correlations that may be chance are drawn towards 0 (James and Stein's factor for one number, its variance being
// (1 - r^2)^2 / n): a pair of rare gaps that never meet would otherwise claim a correlation of -1.
double shrink(double correlation, double n) {
  const double square = correlation * correlation, variance = (1 - square) * (1 - square) / n;
  return correlation * std::max(0.0, 1 - variance / square);
}

double corrected(const CellFunction& f, const CellFunction& g, double correlation) {
  return CovarianceSeries(f, g).solve(correlation * std::sqrt(f.variance * g.variance));
}

// The latent correlation of two numbers, given what their scores say.
double refine_by_values(const Latent& a, const Latent& b, double from_scores, double correlation, double n) {
  const CovarianceSeries series(a.value_function, b.value_function);
  const double target = correlation * std::sqrt(a.value_function.variance * b.value_function.variance);
  // Variance of the mean of x y: E[x^2 y^2] - E[x y]^2, with the scores' correlation.
  const double squares = a.square_function.series[0] * b.square_function.series[0] +
                         CovarianceSeries(a.square_function, b.square_function).at(from_scores);
  const double variance = std::max(0.0, squares - target * target) / n;
  const double difference = series.at(from_scores) - target;
  return difference * difference > variance ? series.solve(target) : from_scores;
}

bool is_own_gap(const Latent& a, const Latent& b) {
  return a.column == b.column;
}

// Two latents that are functions of one another (a code and its number) correlate alike with all others: where the
// pairs, each measured in its own way, disagree, both take the mean. Left to the nearest correlation matrix, the
// disagreement would be paid for by their own correlation, and codes would come with wrong numbers.
void unite_equal_latents(std::vector<double>& matrix, size_t n) {
  constexpr double kEqual = 0.9999;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (std::abs(matrix[i * n + j]) < kEqual) continue;
      const double sign = matrix[i * n + j] > 0 ? 1 : -1;
      matrix[i * n + j] = matrix[j * n + i] = sign;
      for (size_t k = 0; k < n; ++k) {
        if (k == i || k == j) continue;
        const double mean = 0.5 * (matrix[i * n + k] + sign * matrix[j * n + k]);
        matrix[i * n + k] = matrix[k * n + i] = mean;
        matrix[j * n + k] = matrix[k * n + j] = sign * mean;
      }
    }
  }
}

// One projection onto the positive semidefinite matrices.
std::vector<double> clip_eigenvalues(const std::vector<double>& matrix, int64_t order, const Backend& backend,
                                     double& least) {
  const SymmetricEigen eigen = backend.symmetric_eigen(matrix, order);
  least = eigen.values.back();
  const auto n = static_cast<size_t>(order);
  std::vector<double> result = matrix;
  // Few are negative: they are taken away.
  for (size_t k = n; k-- > 0 && eigen.values[k] < 0;)
    for (size_t i = 0; i < n; ++i) {
      const double weight = eigen.values[k] * eigen.vectors[i * n + k];
      for (size_t j = 0; j < n; ++j) result[i * n + j] -= weight * eigen.vectors[j * n + k];
    }
  return result;
}

}  // namespace

LatentMoments measure(const std::vector<Latent>& latents, RowBlocks& blocks, const Backend& backend) {
  LatentMoments moments;
  for (size_t i = 0; i < latents.size(); ++i)
    if (latents[i].is_number) moments.numbers.push_back(i);
  moments.scores = CoMoments(static_cast<int64_t>(latents.size()));
  moments.values = CoMoments(static_cast<int64_t>(moments.numbers.size()));
  std::vector<double> values, present;
  blocks.for_each([&](const EncodedRows& block) {
    const auto rows = static_cast<size_t>(block.rows);
    values.resize(latents.size() * rows);
    present.resize(latents.size() * rows);
    for (size_t i = 0; i < latents.size(); ++i)
      look_up(latents[i], latents[i].score, block, &values[i * rows], &present[i * rows]);
    backend.accumulate_co_moments({block.rows, moments.scores.columns, values, present}, moments.scores);
    const size_t numbers = moments.numbers.size();
    for (size_t i = 0; i < numbers; ++i)
      look_up(latents[moments.numbers[i]], latents[moments.numbers[i]].value, block, &values[i * rows],
              &present[i * rows]);
    const std::span<const double> number_values(values.data(), numbers * rows),
        number_present(present.data(), numbers * rows);
    if (numbers > 0)
      backend.accumulate_co_moments({block.rows, moments.values.columns, number_values, number_present},
                                    moments.values);
  });
  return moments;
}

std::vector<double> pairwise_correlation(const std::vector<Latent>& latents, const LatentMoments& moments,
                                         Space space) {
  const size_t n = latents.size();
  std::vector<size_t> number_of(n);
  for (size_t i = 0; i < moments.numbers.size(); ++i) number_of[moments.numbers[i]] = i;
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < n; ++i) {
    matrix[i * n + i] = 1;
    for (size_t j = 0; j < i; ++j) {
      const Latent &a = latents[i], &b = latents[j];
      if (is_own_gap(a, b)) continue;
      double rows = 0, value = 0;
      if (a.is_number && b.is_number && space == Space::kStandardised) {
        value = observed_correlation(moments.values, number_of[i], number_of[j], rows);
      } else if (const double scores = observed_correlation(moments.scores, i, j, rows); scores != 0) {
        value = corrected(a.score_function, b.score_function, shrink(scores, rows));
        if (a.is_number && b.is_number) {
          const double values = observed_correlation(moments.values, number_of[i], number_of[j], rows);
          value = refine_by_values(a, b, value, values, rows);
        }
      }
      matrix[i * n + j] = matrix[j * n + i] = value;
    }
  }
  if (space == Space::kScores) unite_equal_latents(matrix, n);
  return matrix;
}

std::vector<double> nearest_correlation(std::vector<double> matrix, const std::vector<Latent>& latents,
                                        const Backend& backend) {
  const size_t n = latents.size();
  const int rounds = n <= 128 ? 60 : n <= 512 ? 15 : 3;
  constexpr double kSettled = 1e-5;  // change of an entry
  std::vector<double> correction(n * n), shifted(n * n);
  double least = 0;
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < n * n; ++i) shifted[i] = matrix[i] - correction[i];
    std::vector<double> projected = clip_eigenvalues(shifted, static_cast<int64_t>(n), backend, least);
    for (size_t i = 0; i < n * n; ++i) correction[i] = projected[i] - shifted[i];
    if (round == 0 && least >= 0) return matrix;
    double change = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        if (is_own_gap(latents[i], latents[j])) projected[i * n + j] = i == j;
        change = std::max(change, std::abs(projected[i * n + j] - matrix[i * n + j]));
      }
    }
    matrix = std::move(projected);
    if (change < kSettled) break;
  }
  matrix = clip_eigenvalues(matrix, static_cast<int64_t>(n), backend, least);
  std::vector<double> scale(n);
  for (size_t i = 0; i < n; ++i) scale[i] = 1 / std::sqrt(matrix[i * n + i]);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) matrix[i * n + j] = i == j ? 1 : matrix[i * n + j] * scale[i] * scale[j];
  return matrix;
}

}  // namespace doppel
