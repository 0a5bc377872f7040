#include "host/report/image_charts.h"

#include <algorithm>
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

// Points by class, or of images without labels by what they are.
Json code_chart(const std::string& name, const std::vector<std::string>& classes, const std::vector<double>& x,
                const std::vector<double>& y, const std::vector<int32_t>& labels) {
  const std::string description = "Codes of " + name + " images in the plane in which those of real ones spread most";
  if (labels.empty())
    return make_chart("components", description,
                      Json::array({Json{{"table", name}, {"x", shortened(x)}, {"y", shortened(y)}}}));
  Json values = Json::array();
  for (size_t c = 0; c < std::min(classes.size(), kMostCodeClasses); ++c) {
    std::vector<double> of_class_x, of_class_y;
    for (size_t i = 0; i < labels.size(); ++i)
      if (labels[i] == static_cast<int32_t>(c)) of_class_x.push_back(x[i]), of_class_y.push_back(y[i]);
    values.push_back(
        Json{{"class", classes[c]}, {"rank", c}, {"x", shortened(of_class_x)}, {"y", shortened(of_class_y)}});
  }
  Json chart = make_chart("codes", description, std::move(values));
  const Json selection{{"type", "point"}, {"fields", {"class"}}};
  chart["with"]["params"].push_back(Json{{"name", "chosen"}, {"select", selection}, {"bind", "legend"}});
  return chart;
}

void add_code_charts(const CodeScatter& scatter, const std::vector<std::string>& classes, Json& charts) {
  const Interval x = common_interval(scatter.real_x, scatter.synthetic_x);
  const Interval y = common_interval(scatter.real_y, scatter.synthetic_y);
  const auto add = [&](const std::string& name, Json chart) {
    set_window(chart, x, y);
    charts["codes-" + name] = std::move(chart);
  };
  add("real", code_chart("real", classes, scatter.real_x, scatter.real_y, scatter.real_labels));
  if (scatter.synthetic_x.empty()) return;
  add("synthetic",
      code_chart("synthetic", classes, scatter.synthetic_x, scatter.synthetic_y, scatter.synthetic_labels));
  Json both = code_chart("real", classes, scatter.real_x, scatter.real_y, {});
  const Json synthetic = code_chart("synthetic", classes, scatter.synthetic_x, scatter.synthetic_y, {});
  both["with"]["data"]["values"].push_back(synthetic["with"]["data"]["values"][0]);
  both["with"]["description"] = "Codes of real and synthetic images";
  add("both", std::move(both));
}

// One line a series. Only what is above 0 has a place on a logarithmic scale.
struct Series {
  std::string name;
  const std::vector<double>& values;
};
Json history_chart(const std::string& spec, const std::string& caption, const std::vector<Series>& lines) {
  Json values = Json::array();
  for (const Series& line : lines) {
    if (line.values.empty()) continue;
    std::vector<double> drawn = line.values;
    if (spec == "losses")
      for (double& value : drawn) value = value > 0 ? value : kUndefined;
    values.push_back(Json{{"series", line.name}, {"value", shortened(drawn)}});
  }
  return make_chart(spec, caption + ", by epochs of training", std::move(values));
}

void add_training_charts(const std::string& model, const TrainingHistory& history, Json& charts) {
  for (const auto& [name, caption] : training_charts(model, history)) {
    const std::string what = name.substr(name.rfind('-') + 1);
    const auto chart_of = [&](const char* kind, const std::vector<double>& training,
                              const std::vector<double>& held_out) {
      charts[name] = history_chart(kind, caption, {{"images learned from", training}, {"held out", held_out}});
    };
    if (what == "loss")
      chart_of(history.held_out_accuracy.empty() ? "history" : "losses", history.training, history.held_out);
    else if (what == "accuracy")
      charts[name] = history_chart("accuracies", caption, {{"held out", history.held_out_accuracy}});
    else if (what == "reconstruction")
      chart_of("history", history.training_reconstruction, history.held_out_reconstruction);
    else
      chart_of("history", history.training_divergence, history.held_out_divergence);
  }
}

}  // namespace

std::vector<TrainingChart> training_charts(const std::string& model, const TrainingHistory& history) {
  std::vector<TrainingChart> charts;
  const auto add = [&](const char* what, const char* caption, const std::vector<double>& series) {
    if (!series.empty()) charts.push_back({"training-" + model + "-" + what, caption});
  };
  const bool is_vae = !history.training_divergence.empty();
  add("loss", is_vae ? "Minus the evidence lower bound, nats an image" : "Cross-entropy, nats an image",
      history.training);
  add("reconstruction", "Of it the reconstruction", history.training_reconstruction);
  add("divergence", "Of it the divergence of codes from N(0, 1)", history.training_divergence);
  add("accuracy", "Share told right", history.held_out_accuracy);
  return charts;
}

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
  if (evaluation.generator) {
    add_code_charts(evaluation.generator->codes.scatter, evaluation.classes, charts);
    add_training_charts("generator", evaluation.generator->history, charts);
  }
  add_training_charts("classifier", evaluation.classifier_history, charts);
  return Json{{"specs", read_specs()}, {"charts", std::move(charts)}};
}

}  // namespace doppel
