// Are synthetic images nearer to the images that they were made from than to images never seen?
#include <algorithm>
#include <cmath>
#include <iterator>

#include "engine/evaluation/choose_rows.h"
#include "engine/evaluation/image_evaluation.h"
#include "engine/evaluation/nearest_images.h"
#include "engine/table/row_points.h"

namespace doppel {
namespace {

constexpr int64_t kMostQueries = 10'000, kLeastQueries = 500, kMostSearched = 100'000;
constexpr double kProducts = 1e12;  // multiply-adds that searching for synthetic images may take

using Nearest = std::vector<NearestImage>;

// Searches, which tell their share of all pairs.
class Search {
 public:
  Search(size_t pairs, const std::function<void(double)>& progress)
      : pairs_(static_cast<double>(pairs)), progress_(progress) {}

  Nearest nearest(const Images& of, const std::vector<int64_t>& queries, const Images& among,
                  const std::vector<int64_t>& references) {
    const double share = static_cast<double>(queries.size() * references.size()) / pairs_;
    Nearest found = find_nearest_images(of, queries, among, references, [&](double done) {
      if (progress_) progress_(std::min(done_ + done * share, 1.0));
    });
    done_ += share;
    return found;
  }

 private:
  double pairs_, done_ = 0;
  const std::function<void(double)>& progress_;
};

Nearest nearer_of(Nearest nearest, const Nearest& others) {
  for (size_t i = 0; i < nearest.size(); ++i)
    if (others[i].squared < nearest[i].squared) nearest[i] = others[i];
  return nearest;
}

double distance_of(const NearestImage& nearest) {
  return std::sqrt(static_cast<double>(nearest.squared)) / 255;
}

DistanceSummary summarise(const Nearest& nearest) {
  std::vector<double> distances;
  for (const NearestImage& image : nearest) distances.push_back(distance_of(image));
  return summarise_distances(std::move(distances));
}

int64_t count_identical(const Nearest& nearest) {
  return std::count_if(nearest.begin(), nearest.end(), [](const NearestImage& image) { return image.squared == 0; });
}

// Ties count half.
NearerShare compare(const Nearest& to_training, const Nearest& to_held_out) {
  if (to_training.empty()) return {kUndefined, kUndefined};
  double nearer = 0, tied = 0;
  for (size_t i = 0; i < to_training.size(); ++i) {
    nearer += to_training[i].squared < to_held_out[i].squared;
    tied += to_training[i].squared == to_held_out[i].squared;
  }
  const auto count = static_cast<double>(to_training.size());
  return {(nearer + tied / 2) / count, tied / count};
}

// `to_held_out` is empty without a holdout.
std::vector<RepeatedImage> most_repeated(const std::vector<int64_t>& queries, const Nearest& nearest,
                                         const Nearest& to_held_out) {
  std::vector<RepeatedImage> all;
  for (size_t i = 0; i < queries.size(); ++i)
    all.push_back({queries[i], nearest[i].number, distance_of(nearest[i]),
                   to_held_out.empty() ? kUndefined : distance_of(to_held_out[i])});
  const auto rank = [&](const RepeatedImage& image) {
    return to_held_out.empty() ? image.distance : image.distance / std::max(image.to_held_out, 1e-9);
  };
  std::stable_sort(all.begin(), all.end(),
                   [&](const RepeatedImage& a, const RepeatedImage& b) { return rank(a) < rank(b); });
  all.resize(std::min(all.size(), kMostRepeated));
  return all;
}

std::vector<int64_t> difference(const std::vector<int64_t>& all, const std::vector<int64_t>& without) {
  std::vector<int64_t> rest;
  std::set_difference(all.begin(), all.end(), without.begin(), without.end(), std::back_inserter(rest));
  return rest;
}

// Which images are looked at.
struct ChosenImages {
  std::vector<int64_t> training, compared, rest;  // the compared training images and the rest
  std::vector<int64_t> queries, held_out_queries;
  std::vector<int64_t> held_out;            // as many as compared training images
  std::vector<int64_t> askers, other_half;  // of the held-out images, for the floor
  std::vector<int64_t> compared_with_half;  // training images, as many as in the other half
};

ChosenImages choose_images(const Images& real, const Images& synthetic, int64_t held_out, uint64_t seed) {
  ChosenImages chosen;
  chosen.training = choose_rows(real.count(), kMostSearched, seed);
  const int64_t compared = std::min(static_cast<int64_t>(chosen.training.size()), held_out);
  chosen.compared = choose_rows(real.count(), compared, seed);
  chosen.rest = difference(chosen.training, chosen.compared);
  const double of_query = static_cast<double>(real.shape.size()) *
                          static_cast<double>(static_cast<int64_t>(chosen.training.size()) + compared);
  const int64_t queries = std::clamp(static_cast<int64_t>(kProducts / of_query), kLeastQueries, kMostQueries);
  chosen.queries = choose_rows(synthetic.count(), queries, seed + 1);
  chosen.held_out_queries = choose_rows(held_out, queries, seed + 2);
  chosen.held_out = choose_rows(held_out, compared, seed + 2);
  chosen.other_half = choose_rows(held_out, compared / 2, seed + 3);
  chosen.compared_with_half = choose_rows(real.count(), compared / 2, seed + 3);
  const std::vector<int64_t> half = difference(choose_rows(held_out, held_out, seed), chosen.other_half);
  for (const int64_t place : choose_rows(static_cast<int64_t>(half.size()), queries, seed + 4))
    chosen.askers.push_back(half[static_cast<size_t>(place)]);
  return chosen;
}

}  // namespace

ImagePrivacy evaluate_image_privacy(const Images& real, const Images& synthetic, const Images* holdout, uint64_t seed,
                                    const std::function<void(double)>& progress) {
  const ChosenImages chosen = choose_images(real, synthetic, holdout == nullptr ? 0 : holdout->count(), seed);
  ImagePrivacy privacy;
  privacy.training_images = static_cast<int64_t>(chosen.training.size());
  privacy.compared_images = static_cast<int64_t>(chosen.compared.size());
  Search search(chosen.queries.size() * (chosen.training.size() + chosen.held_out.size()) +
                    chosen.held_out_queries.size() * chosen.training.size() +
                    2 * chosen.askers.size() * chosen.other_half.size(),
                progress);

  const Nearest to_compared = search.nearest(synthetic, chosen.queries, real, chosen.compared);
  const Nearest nearest = nearer_of(to_compared, search.nearest(synthetic, chosen.queries, real, chosen.rest));
  privacy.synthetic_distance = summarise(nearest);
  privacy.identical_synthetic = count_identical(nearest);
  Nearest to_held_out;
  if (holdout != nullptr) {
    to_held_out = search.nearest(synthetic, chosen.queries, *holdout, chosen.held_out);
    const NearerShare share = compare(to_compared, to_held_out);
    privacy.nearer_share = share.nearer;
    privacy.tied_share = share.tied;
    privacy.copies_share = 0.5 + 0.5 * static_cast<double>(privacy.compared_images) / static_cast<double>(real.count());

    const Nearest of_holdout = search.nearest(*holdout, chosen.held_out_queries, real, chosen.training);
    privacy.holdout_distance = summarise(of_holdout);
    privacy.identical_holdout = count_identical(of_holdout);
    privacy.holdout_nearer_share = compare(search.nearest(*holdout, chosen.askers, real, chosen.compared_with_half),
                                           search.nearest(*holdout, chosen.askers, *holdout, chosen.other_half))
                                       .nearer;
  }
  privacy.repeated = most_repeated(chosen.queries, nearest, to_held_out);
  return privacy;
}

}  // namespace doppel
