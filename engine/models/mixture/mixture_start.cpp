#include "engine/models/mixture/mixture_start.h"

#include <cblas.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/models/leading_directions.h"
#include "kernels/statistics.h"

namespace doppel {
namespace {

constexpr int64_t kBasisRows = 20000;     // that the components are made from
constexpr int64_t kMostIndicators = 600;  // the most frequent states
constexpr int64_t kRowsPerCentre = 64;    // looked at by k-means, at least
constexpr int64_t kRowsAtOnce = 512;
constexpr uint32_t kUseCentres = 0x40000000u, kUseGroups = 0x40000001u;  // of fit_uniform

// A row's indicators and latents.
class Features {
 public:
  Features(const MixtureSpace& space, const RowsByPattern& rows)
      : variables_(space.variables.size()), axes_(space.axes.size()) {
    struct Indicator {
      int64_t count;
      size_t variable, state;
    };
    std::vector<Indicator> indicators;
    for (size_t v = 0; v < variables_; ++v) {
      const std::vector<int64_t> counts = count_states(space, rows, v);
      feature_.emplace_back(counts.size(), -1);
      for (size_t s = 0; s < counts.size(); ++s)
        if (counts[s] > 0) indicators.push_back({counts[s], v, s});
    }
    std::stable_sort(indicators.begin(), indicators.end(),
                     [](const Indicator& a, const Indicator& b) { return a.count > b.count; });
    if (static_cast<int64_t>(indicators.size()) > kMostIndicators) indicators.resize(kMostIndicators);
    const auto all = static_cast<double>(count_rows(rows));
    for (const Indicator& indicator : indicators) {
      feature_[indicator.variable][indicator.state] = static_cast<int32_t>(scale_.size());
      const double share = static_cast<double>(indicator.count) / all;
      constexpr double kLeastVariance = 1e-9;
      scale_.push_back(1 / std::sqrt(std::max(share * (1 - share), kLeastVariance)));
      mean_.push_back(share * scale_.back());
    }
  }

  int64_t width() const { return static_cast<int64_t>(scale_.size() + axes_); }
  // [width] Subtracted from what a row has.
  std::vector<double> centre() const {
    std::vector<double> centre = mean_;
    centre.resize(static_cast<size_t>(width()));
    return centre;
  }

  // What a row has, before it is centred: all other features are 0 there.
  struct Value {
    int32_t feature;
    double value;
  };
  void find(const RowsOfPattern& pattern, int64_t row, std::vector<Value>& values) const {
    values.clear();
    for (size_t v = 0; v < variables_; ++v) {
      const int32_t state = pattern.states[row * variables_ + v];
      const int32_t feature = state < 0 ? -1 : feature_[v][state];
      if (feature >= 0) values.push_back({feature, scale_[feature]});
    }
    const size_t here = pattern.present.size();
    for (size_t i = 0; i < here; ++i) {
      const float z = pattern.latents[row * here + i];
      if (!std::isnan(z)) values.push_back({static_cast<int32_t>(scale_.size()) + pattern.present[i], z});
    }
  }

 private:
  size_t variables_, axes_;
  std::vector<std::vector<int32_t>> feature_;  // [variables] [states], -1: none
  std::vector<double> scale_, mean_;           // of indicators
};

// Calls consume(what a row has) for kBasisRows rows or a few more, evenly spread, or all.
template <class Consume>
void for_basis_rows(const Features& features, const RowsByPattern& rows, Consume consume) {
  const int64_t stride = std::max<int64_t>(1, count_rows(rows) / kBasisRows);
  std::vector<Features::Value> values;
  int64_t number = 0;
  for (const RowsOfPattern& pattern : rows)
    for (int64_t row = 0; row < pattern.rows; ++row) {
      if (number++ % stride != 0) continue;
      features.find(pattern, row, values);
      consume(values);
    }
}

// Leading eigenvectors [features, kept] of the covariance. Rows have few of the features, so that its sums are taken
// over pairs of these.
std::vector<double> find_components(const Features& features, const RowsByPattern& rows, int64_t kept) {
  const int64_t width = features.width();
  std::vector<double> sum(width), covariance(width * width);
  double taken = 0;
  for_basis_rows(features, rows, [&](const std::vector<Features::Value>& values) {
    taken += 1;
    for (size_t a = 0; a < values.size(); ++a) {
      sum[values[a].feature] += values[a].value;
      for (size_t b = 0; b <= a; ++b)  // features ascend only within a variable's and the latents'
        covariance[values[a].feature * width + values[b].feature] += values[a].value * values[b].value;
    }
  });
  for (int64_t i = 0; i < width; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      const double product = i == j ? covariance[i * width + i] : covariance[i * width + j] + covariance[j * width + i];
      covariance[i * width + j] = covariance[j * width + i] = (product - sum[i] * sum[j] / taken) / taken;
    }
  const SymmetricEigen eigen = symmetric_eigen_on_cpu(covariance, width);
  std::vector<double> components(width * kept);
  for (int64_t i = 0; i < width; ++i)
    for (int64_t k = 0; k < kept; ++k) components[i * kept + k] = eigen.vectors[i * width + k];
  return components;
}

// The same without the covariance, where there are many axes.
std::vector<double> find_leading_components(const Features& features, const RowsByPattern& rows, int64_t kept) {
  const int64_t width = features.width();
  const std::vector<double> centre = features.centre();
  std::vector<float> block(width * kRowsAtOnce);
  const auto for_blocks = [&](const RowConsumer& consume) {
    int64_t filled = 0;
    for_basis_rows(features, rows, [&](const std::vector<Features::Value>& values) {
      float* row = block.data() + filled * width;
      for (int64_t j = 0; j < width; ++j) row[j] = static_cast<float>(-centre[j]);
      for (const auto& [feature, value] : values) row[feature] = static_cast<float>(value - centre[feature]);
      if (++filled == kRowsAtOnce) consume(block.data(), std::exchange(filled, 0));
    });
    if (filled > 0) consume(block.data(), filled);
  };
  return leading_directions(width, kept, for_blocks).vectors;
}

// In four strands, which processors take side by side.
float squared_distance(const float* a, const float* b, int64_t width) {
  constexpr int kStrands = 4;
  float sum[kStrands] = {};
  int64_t k = 0;
  for (; k + kStrands <= width; k += kStrands)
    for (int s = 0; s < kStrands; ++s) sum[s] += (a[k + s] - b[k + s]) * (a[k + s] - b[k + s]);
  for (; k < width; ++k) sum[0] += (a[k] - b[k]) * (a[k] - b[k]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Weighted points [points, width].
struct Cloud {
  int64_t points = 0, width = 0;
  const float* places = nullptr;
  std::vector<double> weight;
};

std::vector<float> choose_centres(const Cloud& cloud, int64_t clusters, uint64_t seed, uint32_t use) {
  std::vector<float> centres;
  std::vector<double> potential = cloud.weight;  // weight x squared distance to the nearest centre so far
  std::vector<float> nearest(cloud.points, std::numeric_limits<float>::infinity());
  for (int64_t c = 0; c < clusters; ++c) {
    double total = 0;
    for (const double value : potential) total += value;
    double goal = fit_uniform(seed, static_cast<uint64_t>(c), use) * total;
    int64_t chosen = 0;
    while (chosen < cloud.points - 1 && (goal -= potential[chosen]) > 0) ++chosen;
    const float* place = cloud.places + chosen * cloud.width;
    centres.insert(centres.end(), place, place + cloud.width);
    for (int64_t i = 0; i < cloud.points; ++i) {
      nearest[i] = std::min(nearest[i], squared_distance(cloud.places + i * cloud.width, place, cloud.width));
      potential[i] = cloud.weight[i] * static_cast<double>(nearest[i]);
    }
  }
  return centres;
}

// The first of the greatest. In strands, which processors take side by side.
int32_t place_of_greatest(const float* values, int64_t count) {
  constexpr int kStrands = 16;
  std::array<float, kStrands> most;
  most.fill(values[0]);
  int64_t i = 0;
  for (; i + kStrands <= count; i += kStrands)
    for (int s = 0; s < kStrands; ++s) most[s] = values[i + s] > most[s] ? values[i + s] : most[s];
  for (; i < count; ++i) most[0] = std::max(most[0], values[i]);
  return static_cast<int32_t>(std::find(values, values + count, *std::max_element(most.begin(), most.end())) - values);
}

// The nearest centre of each point: the greatest of x . c - |c|^2 / 2.
std::vector<int32_t> nearest_centres(const float* places, int64_t points, int64_t width,
                                     const std::vector<float>& centres) {
  const int64_t clusters = static_cast<int64_t>(centres.size()) / width;
  std::vector<float> half(clusters), products(kRowsAtOnce * clusters);
  for (int64_t c = 0; c < clusters; ++c)
    for (int64_t k = 0; k < width; ++k) half[c] += 0.5f * centres[c * width + k] * centres[c * width + k];
  std::vector<int32_t> label;
  for (int64_t first = 0; first < points; first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, points - first);
    for (int64_t i = 0; i < count; ++i) std::copy(half.begin(), half.end(), products.begin() + i * clusters);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(count), static_cast<int>(clusters),
                static_cast<int>(width), 1, places + first * width, static_cast<int>(width), centres.data(),
                static_cast<int>(width), -1, products.data(), static_cast<int>(clusters));
    for (int64_t i = 0; i < count; ++i) label.push_back(place_of_greatest(products.data() + i * clusters, clusters));
  }
  return label;
}

std::vector<float> find_centres(const Cloud& cloud, int64_t clusters, uint64_t seed, uint32_t use) {
  std::vector<float> centres = choose_centres(cloud, clusters, seed, use);
  for (int round = 0; round < kStartRounds; ++round) {
    const std::vector<int32_t> label = nearest_centres(cloud.places, cloud.points, cloud.width, centres);
    std::vector<double> sum(clusters * cloud.width), weight(clusters);
    for (int64_t i = 0; i < cloud.points; ++i) {
      weight[label[i]] += cloud.weight[i];
      for (int64_t k = 0; k < cloud.width; ++k)
        sum[label[i] * cloud.width + k] += cloud.weight[i] * static_cast<double>(cloud.places[i * cloud.width + k]);
    }
    for (int64_t c = 0; c < clusters; ++c)
      for (int64_t k = 0; k < cloud.width && weight[c] > 0; ++k)
        centres[c * cloud.width + k] = static_cast<float>(sum[c * cloud.width + k] / weight[c]);
  }
  return centres;
}

}  // namespace

MixtureStarter::MixtureStarter(const MixtureSpace& space, const RowsByPattern& rows) {
  const Features features(space, rows);
  rows_ = count_rows(rows);
  width_ = std::min(kStartAxes, features.width());
  if (width_ == 0) return;
  const std::vector<double> components =
      space.is_low_rank ? find_leading_components(features, rows, width_) : find_components(features, rows, width_);
  const std::vector<double> centre = features.centre();
  std::vector<double> origin(width_), place;  // origin: where a row lies that has nothing
  for (size_t j = 0; j < centre.size(); ++j)
    for (int64_t k = 0; k < width_; ++k) origin[k] -= centre[j] * components[j * width_ + k];
  std::vector<Features::Value> values;
  places_.reserve(rows_ * width_);
  for (const RowsOfPattern& pattern : rows)
    for (int64_t row = 0; row < pattern.rows; ++row) {
      features.find(pattern, row, values);
      place = origin;
      for (const auto& [feature, value] : values)
        for (int64_t k = 0; k < width_; ++k) place[k] += value * components[feature * width_ + k];
      places_.insert(places_.end(), place.begin(), place.end());
    }
}

MixtureStart MixtureStarter::start(int64_t members, int64_t groups, uint64_t seed) const {
  MixtureStart start;
  if (width_ == 0 || members == 1) {
    start.member.assign(rows_, 0);
    start.group.assign(members, 0);
    return start;
  }
  Cloud cloud;
  cloud.width = width_;
  const int64_t stride = std::max<int64_t>(1, rows_ / (kRowsPerCentre * members));
  std::vector<float> chosen;
  for (int64_t row = 0; row < rows_; row += stride)
    chosen.insert(chosen.end(), places_.begin() + row * width_, places_.begin() + (row + 1) * width_);
  cloud.points = static_cast<int64_t>(chosen.size()) / width_;
  cloud.places = chosen.data();
  cloud.weight.assign(cloud.points, 1);
  const std::vector<float> centres = find_centres(cloud, members, seed, kUseCentres);
  start.member = nearest_centres(places_.data(), rows_, width_, centres);

  Cloud of_centres;
  of_centres.points = members;
  of_centres.width = width_;
  of_centres.places = centres.data();
  of_centres.weight.assign(members, 0);
  for (const int32_t member : start.member) of_centres.weight[member] += 1;
  start.group = nearest_centres(centres.data(), members, width_, find_centres(of_centres, groups, seed, kUseGroups));
  return start;
}

}  // namespace doppel
