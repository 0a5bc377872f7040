#include "host/report/image_charts.h"

#include <cmath>

#include "host/report/chart_parts.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kClassHeight = 24;  // pixels

Json confidence_chart(const ImageEvaluation& evaluation) {
  const auto shares = [](const ImageReadings& readings) {
    std::vector<double> of_bins;
    for (const int64_t count : readings.confidence)
      of_bins.push_back(static_cast<double>(count) / static_cast<double>(readings.images));
    of_bins.push_back(of_bins.back());  // the step of the last bin needs an end
    return shortened(of_bins);
  };
  Json values{{"first", 0},
              {"width", 1.0 / kConfidenceBins},
              {"bins", kConfidenceBins},
              {"real", shares(evaluation.real)},
              {"synthetic", shares(evaluation.synthetic)}};
  return make_chart("density", "Shares of images by the classifier's confidence, real as an area, synthetic as a line",
                    Json::array({std::move(values)}));
}

// Shares of the images asked for; 0 where none was.
std::vector<double> confusion_shares(const ImageReadings& readings, size_t classes) {
  std::vector<double> shares(readings.confusion.begin(), readings.confusion.end());
  for (size_t row = 0; row < classes; ++row) {
    double asked = 0;
    for (size_t column = 0; column < classes; ++column) asked += shares[row * classes + column];
    for (size_t column = 0; column < classes && asked > 0; ++column) shares[row * classes + column] /= asked;
  }
  return shares;
}

// The more a class is misread.
std::vector<double> weights_of(const ImageReadings& readings) {
  std::vector<double> weights;
  for (const double accuracy : readings.class_accuracy) weights.push_back(std::isnan(accuracy) ? 0 : 1 - accuracy);
  return weights;
}

Json class_chart(const ImageEvaluation& evaluation) {
  std::vector<std::string> names;
  std::vector<double> real, synthetic;
  for (const size_t c : heaviest(weights_of(evaluation.synthetic), kMostAccuracyClasses)) {
    names.push_back(evaluation.classes[c]);
    synthetic.push_back(evaluation.synthetic.class_accuracy[c]);
    real.push_back(evaluation.real.class_accuracy.empty() ? kUndefined : evaluation.real.class_accuracy[c]);
  }
  Json values{{"class", names}, {"real", shortened(real)}, {"synthetic", shortened(synthetic)}};
  Json chart = make_chart("classes", "Accuracy of each class, real and synthetic", Json::array({std::move(values)}));
  chart["with"]["height"] = names.size() * kClassHeight;
  return chart;
}

}  // namespace

Json make_image_charts(const ImageEvaluation& evaluation) {
  Json charts = Json::object();
  const size_t classes = evaluation.classes.size();
  charts["confidence"] = confidence_chart(evaluation);
  if (!evaluation.synthetic.confusion.empty()) {
    const std::vector<size_t> chosen = heaviest(weights_of(evaluation.synthetic), kMostConfusionClasses);
    const auto add = [&](const std::string& name, const ImageReadings& readings) {
      charts["confusion-" + name] =
          matrix_chart("confusion", "Shares of " + name + " images of each class by what they are read as",
                       evaluation.classes, confusion_shares(readings, classes), chosen);
    };
    add("synthetic", evaluation.synthetic);
    if (!evaluation.real.confusion.empty()) add("real", evaluation.real);
    charts["classes"] = class_chart(evaluation);
  }
  return Json{{"specs", read_specs()}, {"charts", std::move(charts)}};
}

}  // namespace doppel
