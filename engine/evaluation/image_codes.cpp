#include "engine/evaluation/image_codes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "engine/evaluation/choose_rows.h"
#include "engine/evaluation/image_evaluation.h"
#include "engine/transcoded_rows.h"

namespace doppel {
namespace {

// [images, width]
std::vector<double> encode(const Coder& coder, const Images& images) {
  std::vector<double> codes(static_cast<size_t>(images.count() * coder.width()));
  coder.make_worker()->encode(images, 0, images.count(), codes.data());
  return codes;
}

CodeScatter make_scatter(const Coder& coder, const Images& real, const Images& synthetic, const Backend& backend,
                         uint64_t seed) {
  const auto codes_of = [&](const Images& chosen, const char* name) {
    const std::vector<double> codes = encode(coder, labelled_for(coder, chosen, name));
    return std::vector<float>(codes.begin(), codes.end());
  };
  const Images some_real = choose_images(real, choose_rows(real.count(), kMostCodes, seed));
  const std::vector<float> real_codes = codes_of(some_real, "real images");
  if (has_labels(coder) && synthetic.labels.empty()) {
    CodeScatter scatter = scatter_codes(real_codes, {}, coder.width(), backend);
    scatter.real_labels = some_real.labels;
    return scatter;
  }
  const Images some_synthetic = choose_images(synthetic, choose_rows(synthetic.count(), kMostCodes, seed + 1));
  CodeScatter scatter = scatter_codes(real_codes, codes_of(some_synthetic, "synthetic images"), coder.width(), backend);
  scatter.real_labels = some_real.labels;
  scatter.synthetic_labels = some_synthetic.labels;
  return scatter;
}

// Images between which to interpolate: their numbers, and pairs of positions among them.
struct Ends {
  using Pairs = std::vector<std::pair<size_t, size_t>>;
  std::vector<int64_t> numbers;
  Pairs within, between;
};

Ends choose_unlabelled_ends(const std::vector<int64_t>& shuffled) {
  Ends ends;
  const size_t pairs = std::min(shuffled.size() / 2, static_cast<size_t>(kMostInterpolations));
  ends.numbers.assign(shuffled.begin(), shuffled.begin() + static_cast<int64_t>(2 * pairs));
  for (size_t pair = 0; pair < pairs; ++pair) ends.within.emplace_back(2 * pair, 2 * pair + 1);
  return ends;
}

Ends choose_ends(const Images& images, uint64_t seed) {
  const std::vector<int64_t> shuffled = shuffle_rows(images.count(), images.count(), seed);
  if (images.labels.empty()) return choose_unlabelled_ends(shuffled);
  std::vector<std::vector<int64_t>> of_class(images.label_names.size());
  for (const int64_t number : shuffled) {
    std::vector<int64_t>& chosen = of_class[static_cast<size_t>(images.labels[static_cast<size_t>(number)])];
    if (chosen.size() < 2) chosen.push_back(number);
  }
  Ends ends;
  std::vector<size_t> starts;  // the first image of each class
  for (const std::vector<int64_t>& chosen : of_class) {
    if (chosen.empty() || starts.size() == static_cast<size_t>(kMostInterpolations)) continue;
    starts.push_back(ends.numbers.size());
    if (chosen.size() == 2) ends.within.emplace_back(starts.back(), starts.back() + 1);
    ends.numbers.insert(ends.numbers.end(), chosen.begin(), chosen.end());
  }
  for (size_t c = 0; c + 1 < starts.size(); ++c) ends.between.emplace_back(starts[c], starts[c + 1]);
  if (starts.size() > 2) ends.between.emplace_back(starts.back(), starts.front());
  return ends;
}

class Interpolator {
 public:
  Interpolator(const Coder& coder, const Images& images, const Ends& ends)
      : coder_(coder),
        ends_(ends),
        images_(choose_images(images, ends.numbers)),
        labelled_(labelled_for(coder, images_, "real images")),
        codes_(encode(coder, labelled_)),
        worker_(coder.make_worker()),
        batch_(coder.rows(), kInterpolationSteps) {}

  std::vector<Interpolation> interpolate(const Ends::Pairs& pairs) {
    std::vector<Interpolation> interpolations;
    for (const auto& [first, second] : pairs) interpolations.push_back(interpolate(first, second));
    return interpolations;
  }

 private:
  Interpolation interpolate(size_t first, size_t second) {
    const auto width = static_cast<size_t>(coder_.width());
    const double *a = codes_.data() + first * width, *b = codes_.data() + second * width;
    std::vector<double> codes;
    std::vector<int32_t> labels;  // the coder's
    for (int64_t step = 0; step < kInterpolationSteps; ++step) {
      const double share = static_cast<double>(step) / (kInterpolationSteps - 1);
      for (size_t k = 0; k < width; ++k) codes.push_back((1 - share) * a[k] + share * b[k]);
      labels.push_back(label_of(labelled_, share <= 0.5 ? first : second));
    }
    worker_->decode(codes.data(), labels.data(), kInterpolationSteps, batch_);
    Interpolation way;
    way.first = ends_.numbers[first];
    way.second = ends_.numbers[second];
    way.first_label = label_of(images_, first);
    way.second_label = label_of(images_, second);
    double square = 0;
    for (size_t k = 0; k < width; ++k) square += (a[k] - b[k]) * (a[k] - b[k]);
    way.distance = std::sqrt(square);
    way.steps.shape = images_.shape;
    way.steps.pixels.assign(batch_.images(), batch_.images() + kInterpolationSteps * images_.shape.size());
    return way;
  }

  static int32_t label_of(const Images& images, size_t image) {
    return images.labels.empty() ? -1 : images.labels[image];
  }

  const Coder& coder_;
  const Ends& ends_;
  Images images_, labelled_;  // the ends, with labels as given and with the coder's
  std::vector<double> codes_;
  std::unique_ptr<CoderWorker> worker_;
  Batch batch_;
};

}  // namespace

CodeScatter scatter_codes(const std::vector<float>& real, const std::vector<float>& synthetic, int64_t width,
                          const Backend& backend) {
  const FeatureMoments moments = moments_of(real, width);
  const SymmetricEigen eigen = backend.symmetric_eigen(moments.covariance, width);
  const int64_t directions = std::min<int64_t>(width, 2);
  double total = 0;
  for (const double value : eigen.values) total += value;
  const auto project = [&](const std::vector<float>& codes, std::vector<double>& x, std::vector<double>& y) {
    for (size_t first = 0; first < codes.size(); first += static_cast<size_t>(width)) {
      std::array<double, 2> along{};
      for (int64_t j = 0; j < width; ++j) {
        const auto at = static_cast<size_t>(j);
        const double from_mean = static_cast<double>(codes[first + at]) - moments.mean[at];
        for (int64_t k = 0; k < directions; ++k)
          along[static_cast<size_t>(k)] += from_mean * eigen.vectors[static_cast<size_t>(j * width + k)];
      }
      x.push_back(along[0]);
      y.push_back(along[1]);
    }
  };
  CodeScatter scatter;
  if (total > 0) {
    scatter.explained_share_x = eigen.values[0] / total;
    scatter.explained_share_y = directions > 1 ? eigen.values[1] / total : 0;
  }
  project(real, scatter.real_x, scatter.real_y);
  project(synthetic, scatter.synthetic_x, scatter.synthetic_y);
  return scatter;
}

ImageCodes evaluate_image_codes(const Coder& coder, const Images& real, const Images& synthetic, const Backend& backend,
                                uint64_t seed) {
  ImageCodes codes;
  codes.width = coder.width();
  codes.scatter = make_scatter(coder, real, synthetic, backend, seed);
  const Ends ends = choose_ends(real, seed);
  if (ends.numbers.empty()) return codes;
  Interpolator interpolator(coder, real, ends);
  codes.within = interpolator.interpolate(ends.within);
  codes.between = interpolator.interpolate(ends.between);
  return codes;
}

}  // namespace doppel
