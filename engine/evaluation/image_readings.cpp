#include <algorithm>
#include <cmath>

#include "engine/evaluation/image_evaluation.h"

namespace doppel {
namespace {

constexpr double kCoveredShare = 0.1;  // of how often real images are read as a class

double share_of(int64_t part, int64_t all) {
  return all == 0 ? kUndefined : static_cast<double>(part) / static_cast<double>(all);
}

double balance_of(const std::vector<int64_t>& counts, int64_t all) {
  double entropy = 0;
  for (const int64_t count : counts)
    if (count > 0) entropy -= share_of(count, all) * std::log(share_of(count, all));
  return entropy / std::log(static_cast<double>(counts.size()));
}

void count_confusion(const std::vector<int32_t>& labels, const std::vector<int32_t>& found, size_t classes,
                     ImageReadings& readings) {
  readings.confusion.assign(classes * classes, 0);
  for (size_t i = 0; i < labels.size(); ++i)
    ++readings.confusion[static_cast<size_t>(labels[i]) * classes + static_cast<size_t>(found[i])];
  int64_t right = 0;
  for (size_t label = 0; label < classes; ++label) {
    const auto row = readings.confusion.begin() + static_cast<int64_t>(label * classes);
    int64_t asked = 0;
    for (size_t read = 0; read < classes; ++read) asked += row[static_cast<int64_t>(read)];
    readings.class_accuracy.push_back(share_of(row[static_cast<int64_t>(label)], asked));
    right += row[static_cast<int64_t>(label)];
  }
  readings.accuracy = share_of(right, readings.images);
}

}  // namespace

ImageReadings summarise_readings(const std::vector<float>& probabilities, const std::vector<int32_t>& labels,
                                 int32_t classes) {
  const auto width = static_cast<size_t>(classes);
  ImageReadings readings;
  readings.images = static_cast<int64_t>(probabilities.size() / width);
  readings.read.assign(width, 0);
  readings.confidence.assign(kConfidenceBins, 0);
  std::vector<int32_t> found;
  double sum = 0;
  for (auto row = probabilities.begin(); row != probabilities.end(); row += classes) {
    const auto most = std::max_element(row, row + classes);
    found.push_back(static_cast<int32_t>(most - row));
    ++readings.read[static_cast<size_t>(found.back())];
    const auto bin = static_cast<size_t>(*most * static_cast<float>(kConfidenceBins));
    ++readings.confidence[std::min(bin, kConfidenceBins - 1)];
    sum += *most;
  }
  if (readings.images == 0) return readings;
  readings.mean_confidence = sum / static_cast<double>(readings.images);
  readings.balance = balance_of(readings.read, readings.images);
  if (!labels.empty()) count_confusion(labels, found, width, readings);
  return readings;
}

Coverage count_covered(const ImageReadings& real, const ImageReadings& other) {
  Coverage coverage;
  for (size_t c = 0; c < real.read.size(); ++c) {
    if (real.read[c] == 0) continue;
    ++coverage.of;
    coverage.covered += share_of(other.read[c], other.images) >= kCoveredShare * share_of(real.read[c], real.images);
  }
  return coverage;
}

}  // namespace doppel
