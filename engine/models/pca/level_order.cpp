#include "engine/models/pca/level_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

constexpr int kSharpeningSteps = 20;
constexpr size_t kMaximumPartners = 128;  // of one category: evenly spread ones where there are more
constexpr double kMaximumLookUps = 4e8;   // per round; fewer rows are read where a table is very wide
constexpr int64_t kLeastRows = 1 << 10;

// Rows of a sample, row by row: position [row * columns + column].
struct Sample {
  size_t columns = 0;
  int64_t rows = 0;
  std::vector<int32_t> positions;
};

Sample draw_sample(RowBlocks& blocks, const TableProfile& profile, int64_t wanted, uint64_t seed) {
  Sample sample;
  sample.columns = profile.columns.size();
  const int64_t total = profile.rows, strata = std::min(wanted, total);
  // Stratum s is rows [s total / strata, (s + 1) total / strata); in 128 bits, as both may be large.
  const auto start = [&](int64_t s) { return static_cast<int64_t>(static_cast<__int128>(s) * total / strata); };
  const auto chosen = [&](int64_t s) {
    const uint64_t length = static_cast<uint64_t>(start(s + 1) - start(s)), stratum = static_cast<uint64_t>(s);
    const auto words = philox_words(seed, stratum, 0, Stream::kFit);
    return start(s) + static_cast<int64_t>((uint64_t{words[0]} << 32 | words[1]) % length);
  };
  int64_t next = strata > 0 ? chosen(0) : total;
  blocks.for_each([&](const EncodedRows& block) {
    while (sample.rows < strata && next < block.first_row + block.rows) {
      for (size_t c = 0; c < sample.columns; ++c) sample.positions.push_back(block.column(c)[next - block.first_row]);
      if (++sample.rows < strata) next = chosen(sample.rows);
    }
  });
  return sample;
}

// A latent seen as a partner: scores of unit variance by position, and what a gap counts.
struct Partner {
  size_t column;
  std::vector<double> score;
  double missing = 0;
};

Partner make_partner(const Latent& latent, const std::vector<double>& by_position, const TableProfile& profile) {
  Partner partner{latent.column, by_position, 0};
  const std::vector<int64_t> counts = position_counts(latent, profile);
  double weight = 0, mean = 0, square = 0;
  for (size_t p = 0; p < counts.size(); ++p) {
    const auto count = static_cast<double>(counts[p]);
    weight += count, mean += count * partner.score[p], square += count * partner.score[p] * partner.score[p];
  }
  mean /= weight;
  const double deviation = std::sqrt(std::max(square / weight - mean * mean, 0.0));
  for (double& score : partner.score) score = deviation > 0 ? (score - mean) / deviation : 0;
  if (latent.is_missingness) partner = {latent.column, {partner.score[1]}, partner.score[0]};
  return partner;
}

double partner_score(const Partner& partner, int32_t position, bool is_gap_only) {
  if (position == kMissingPosition) return partner.missing;
  return partner.score[is_gap_only ? 0 : position];
}

// Mean partner scores of each level, centred: [levels, partners], and the levels' shares of rows.
struct LevelMeans {
  std::vector<double> means, shares;
};

LevelMeans mean_by_level(const Sample& sample, size_t column, size_t levels, const std::vector<Partner>& partners,
                         const std::vector<bool>& is_gap_only) {
  const size_t width = partners.size();
  LevelMeans result{std::vector<double>(levels * width), std::vector<double>(levels)};
  for (int64_t row = 0; row < sample.rows; ++row) {
    const int32_t* positions = &sample.positions[static_cast<size_t>(row) * sample.columns];
    const int32_t level = positions[column];
    if (level == kMissingPosition) continue;
    ++result.shares[level];
    double* sums = &result.means[static_cast<size_t>(level) * width];
    for (size_t j = 0; j < width; ++j)
      sums[j] += partner_score(partners[j], positions[partners[j].column], is_gap_only[j]);
  }
  const double rows = std::max(1.0, std::accumulate(result.shares.begin(), result.shares.end(), 0.0));
  std::vector<double> centre(width);
  for (size_t level = 0; level < levels; ++level)
    for (size_t j = 0; j < width; ++j) centre[j] += result.means[level * width + j] / rows;
  for (size_t level = 0; level < levels; ++level) {
    for (size_t j = 0; j < width; ++j) {
      double& mean = result.means[level * width + j];
      mean = result.shares[level] > 0 ? mean / result.shares[level] - centre[j] : 0;
    }
    result.shares[level] /= rows;
  }
  return result;
}

// Places of the levels on the leading axis of their weighted means. The axis lies in the space of partners.
std::vector<double> leading_places(const LevelMeans& levels, size_t width, const Backend& backend) {
  std::vector<double> scatter(width * width);
  for (size_t level = 0; level < levels.shares.size(); ++level) {
    const double* mean = &levels.means[level * width];
    if (levels.shares[level] == 0) continue;
    for (size_t i = 0; i < width; ++i)
      for (size_t j = 0; j < width; ++j) scatter[i * width + j] += levels.shares[level] * mean[i] * mean[j];
  }
  const SymmetricEigen eigen = backend.symmetric_eigen(scatter, static_cast<int64_t>(width));
  std::vector<double> places(levels.shares.size());
  for (size_t level = 0; level < places.size(); ++level)
    for (size_t j = 0; j < width; ++j) places[level] += levels.means[level * width + j] * eigen.vectors[j * width];
  return places;
}

// Moves places to where the sum of the cubes of their correlations with the partners is largest: partners that say much
// about the category count for more than many that say little. Each step is one of the power method, whose fixed point
// for squares in place of cubes is the leading axis.
void sharpen_places(const LevelMeans& levels, size_t width, std::vector<double>& places) {
  std::vector<double> correlation(width);
  for (int step = 0; step < kSharpeningSteps; ++step) {
    double variance = 0;
    for (size_t level = 0; level < places.size(); ++level)
      variance += levels.shares[level] * places[level] * places[level];
    if (!(variance > 0)) return;
    const double scale = 1 / std::sqrt(variance);
    std::fill(correlation.begin(), correlation.end(), 0.0);
    for (size_t level = 0; level < places.size(); ++level)
      for (size_t j = 0; j < width; ++j)
        correlation[j] += levels.shares[level] * places[level] * scale * levels.means[level * width + j];
    for (size_t level = 0; level < places.size(); ++level) {
      places[level] = 0;
      for (size_t j = 0; j < width; ++j)
        places[level] += correlation[j] * std::abs(correlation[j]) * levels.means[level * width + j];
    }
  }
}

class LevelOrderer {
 public:
  LevelOrderer(std::vector<Latent>& latents, const TableProfile& profile, const Sample& sample, const Backend& backend)
      : latents_(latents),
        profile_(profile),
        sample_(sample),
        backend_(backend),
        is_ordered_(latents.size(), true),
        places_(latents.size()) {}

  void run(const std::vector<size_t>& categories) {
    for (const size_t i : categories) is_ordered_[i] = false;
    for (const Latent& latent : latents_) partners_.push_back(make_partner(latent, latent.score, profile_));
    for (int round = 0; round < kScalingRounds; ++round)
      for (const size_t i : categories) order(i, true);
    for (int round = 0; round < kOrderRounds; ++round) {
      bool changed = false;
      for (const size_t i : categories) changed |= order(i, false);
      if (!changed) break;
    }
  }

 private:
  // Partners of this category then see it by its places, or by the scores that its order gives.
  bool order(size_t index, bool by_places) {
    Latent& latent = latents_[index];
    const std::vector<int64_t>& counts = profile_.columns[latent.column].level_counts;
    std::vector<size_t> chosen;
    for (size_t i = 0; i < latents_.size(); ++i)
      if (is_ordered_[i] && latents_[i].column != latent.column) chosen.push_back(i);
    const size_t stride = (chosen.size() + kMaximumPartners - 1) / kMaximumPartners;
    std::vector<Partner> partners;
    std::vector<bool> is_gap_only;
    for (size_t k = 0; k < chosen.size(); k += stride) {
      partners.push_back(partners_[chosen[k]]);
      is_gap_only.push_back(latents_[chosen[k]].is_missingness);
    }
    std::vector<double>& places = places_[index];
    if (partners.empty()) {  // nothing to go by yet: frequent ones first
      for (const int64_t count : counts) places.push_back(-static_cast<double>(count));
    } else {
      const LevelMeans levels = mean_by_level(sample_, latent.column, counts.size(), partners, is_gap_only);
      if (places.empty()) places = leading_places(levels, partners.size(), backend_);
      sharpen_places(levels, partners.size(), places);
    }
    std::vector<int32_t> order(counts.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return places[a] < places[b]; });
    const bool changed = order != latent.order;
    set_order(latent, counts, std::move(order));
    partners_[index] = make_partner(latent, by_places ? places : latent.score, profile_);
    is_ordered_[index] = true;
    return changed;
  }

  std::vector<Latent>& latents_;
  const TableProfile& profile_;
  const Sample& sample_;
  const Backend& backend_;
  std::vector<bool> is_ordered_;
  std::vector<std::vector<double>> places_;  // [latents] of each level of a category, on its axis
  std::vector<Partner> partners_;
};

}  // namespace

void order_levels(std::vector<Latent>& latents, const TableProfile& profile, RowBlocks& blocks, uint64_t seed,
                  const Backend& backend) {
  std::vector<size_t> categories;
  for (size_t i = 0; i < latents.size(); ++i)
    if (latents[i].order.size() > 2) categories.push_back(i);
  if (categories.empty()) return;
  std::stable_sort(categories.begin(), categories.end(),
                   [&](size_t a, size_t b) { return latents[a].order.size() < latents[b].order.size(); });
  const double look_ups =
      static_cast<double>(categories.size()) * static_cast<double>(std::min(latents.size(), kMaximumPartners));
  const int64_t rows = std::clamp(static_cast<int64_t>(kMaximumLookUps / look_ups), kLeastRows, kOrderRows);
  const Sample sample = draw_sample(blocks, profile, rows, seed);
  LevelOrderer(latents, profile, sample, backend).run(categories);
}

}  // namespace doppel
