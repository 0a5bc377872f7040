#include "host/report/charts.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/report/chart_parts.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLevelsAtFirst = 7;                                          // more are shown at the reader's wish
constexpr size_t kLevelHeight = 16, kLearnerHeight = 52;                      // of a pair of bars, in pixels
constexpr double kLeastColourRange = 0.05;                                    // small differences do not look large
constexpr double kMillisecondsPerUnit[] = {86'400'000, 1000, 1, 1e-3, 1e-6};  // by TimeUnit

Json density_chart(const ColumnEvaluation& column) {
  const DensityChart& density = column.density;
  const size_t bins = density.real.size();
  double first = density.edges.front(), width = (density.edges.back() - first) / static_cast<double>(bins);
  // The step of the last bin needs an end.
  std::vector<double> real = density.real, synthetic = density.synthetic;
  real.push_back(real.back());
  synthetic.push_back(synthetic.back());
  const bool is_date = column.kind == ColumnKind::kDatetime;
  Json values = Json::object();
  if (is_date) {
    const double scale = kMillisecondsPerUnit[static_cast<size_t>(column.unit)];
    first *= scale;
    width *= scale;
    values["format"] = width < 86'400'000 ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%d";
  }
  values["first"] = first;
  values["width"] = width;
  values["bins"] = bins;
  values["real"] = shortened(real);
  values["synthetic"] = shortened(synthetic);
  return make_chart(is_date ? "dates" : "density",
                    "Distribution of '" + column.name + "': shares of the present values in " + std::to_string(bins) +
                        " bins, real as an area, synthetic as a line",
                    Json::array({std::move(values)}));
}

// `name`, made different from every level.
std::string own_name(std::string name, const std::vector<std::string>& levels) {
  while (std::find(levels.begin(), levels.end(), name) != levels.end()) name = "(" + name + ")";
  return name;
}

Json level_chart(const ColumnEvaluation& column) {
  LevelChart shares = column.level_shares;
  const std::string other = own_name("(other)", shares.levels), missing = own_name("(missing)", shares.levels);
  const auto append = [&](const std::string& name, double real, double synthetic) {
    if (real <= 0 && synthetic <= 0) return false;
    shares.levels.push_back(name);
    shares.real.push_back(real);
    shares.synthetic.push_back(synthetic);
    return true;
  };
  append(other, shares.other_real, shares.other_synthetic);
  const bool has_missing = append(missing, shares.missing_real, shares.missing_synthetic);
  const size_t levels = shares.levels.size();
  Json values = Json::object();
  values["level"] = shares.levels;
  values["real"] = shortened(shares.real);
  values["synthetic"] = shortened(shares.synthetic);
  values["other_name"] = other;
  values["missing_rank"] = has_missing ? levels : 0;
  Json chart = make_chart("levels", "Shares of rows of the levels of '" + column.name + "', real and synthetic",
                          Json::array({std::move(values)}));
  size_t shown = levels;
  if (levels > kLevelsAtFirst + 2) {
    set_parameter(chart, "most", kLevelsAtFirst);
    chart["levels"] = levels;
    shown = kLevelsAtFirst + (has_missing ? 2 : 1);  // and the other ones
  }
  chart["with"]["height"] = shown * kLevelHeight;
  return chart;
}

Json utility_chart(const Utility& utility) {
  Json values = Json::array();
  for (const LearnerEvaluation& learner : utility.learners) {
    const auto add = [&](const char* table, const LearnerScores& scores) {
      values.push_back(
          Json{{"learner", learner.learner}, {"table", table}, {"score", shortened(headline_score(utility, scores))}});
    };
    add("real", learner.trained_on_real);
    add("synthetic", learner.trained_on_synthetic);
  }
  Json chart =
      make_chart("utility", "Scores of learners of '" + utility.target + "' trained on real and on synthetic rows",
                 std::move(values));
  chart["with"]["height"] = utility.learners.size() * kLearnerHeight;
  return chart;
}

void add_component_charts(const PrincipalComponentsChart& components, Json& charts) {
  const Json real{{"table", "real"}, {"x", shortened(components.real_x)}, {"y", shortened(components.real_y)}};
  const Json synthetic{
      {"table", "synthetic"}, {"x", shortened(components.synthetic_x)}, {"y", shortened(components.synthetic_y)}};
  const Interval x = common_interval(components.real_x, components.synthetic_x);
  const Interval y = common_interval(components.real_y, components.synthetic_y);
  const auto add = [&](const std::string& name, Json values) {
    Json chart = make_chart("components", "First two principal components of " + name + " rows", std::move(values));
    set_window(chart, x, y);
    charts["components-" + name] = std::move(chart);
  };
  add("real", Json::array({real}));
  add("synthetic", Json::array({synthetic}));
  add("both", Json::array({real, synthetic}));
}

void add_correlation_charts(const Evaluation& evaluation, Json& charts) {
  const size_t size = evaluation.continuous.size();
  if (size < 2) return;
  std::vector<std::string> names;
  for (const size_t index : evaluation.continuous) names.push_back(evaluation.columns[index].name);
  std::vector<double> difference(size * size), weights(size);
  double largest = kLeastColourRange;
  for (size_t cell = 0; cell < size * size; ++cell) {
    difference[cell] = std::abs(evaluation.correlation_synthetic[cell] - evaluation.correlation_real[cell]);
    if (std::isnan(difference[cell])) continue;
    largest = std::max(largest, difference[cell]);
    weights[cell / size] += difference[cell];
  }
  const std::vector<size_t> chosen = heaviest(weights, kMostHeatmapColumns);
  charts["correlation-real"] =
      matrix_chart("correlation", "Correlations of the real columns", names, evaluation.correlation_real, chosen);
  charts["correlation-synthetic"] = matrix_chart("correlation", "Correlations of the synthetic columns", names,
                                                 evaluation.correlation_synthetic, chosen);
  Json chart = matrix_chart("difference", "Absolute difference of the correlations", names, difference, chosen);
  set_parameter(chart, "largest", std::ceil(largest * 20) / 20);
  charts["correlation-difference"] = std::move(chart);
}

void add_trend_chart(const Evaluation& evaluation, Json& charts) {
  if (evaluation.pairs.empty()) return;
  std::vector<std::string> names;
  std::vector<size_t> position(evaluation.columns.size());
  for (size_t index = 0; index < evaluation.columns.size(); ++index) {
    if (evaluation.columns[index].shape == ColumnShape::kSkipped) continue;
    position[index] = names.size();
    names.push_back(evaluation.columns[index].name);
  }
  std::vector<double> scores(names.size() * names.size(), kUndefined), weights(names.size());
  double lowest = 1 - kLeastColourRange;
  for (const PairEvaluation& pair : evaluation.pairs) {
    const size_t first = position[pair.first], second = position[pair.second];
    scores[first * names.size() + second] = scores[second * names.size() + first] = pair.trend_score;
    if (std::isnan(pair.trend_score)) continue;
    lowest = std::min(lowest, pair.trend_score);
    weights[first] += 1 - pair.trend_score;
    weights[second] += 1 - pair.trend_score;
  }
  Json chart = matrix_chart("trends", "Trend score of every pair of columns", names, scores,
                            heaviest(weights, kMostHeatmapColumns));
  set_parameter(chart, "lowest", std::floor(lowest * 20) / 20);
  charts["trends"] = std::move(chart);
}

void add_dependence_chart(const Evaluation& evaluation, Json& charts) {
  Json values{{"first", Json::array()}, {"second", Json::array()}, {"measure", Json::array()}};
  std::vector<double> real, synthetic;
  for (const PairEvaluation* pair : worst_pairs(evaluation, kMostPairs)) {
    const Dependence dependence = dependence_of(*pair);
    if (std::isnan(dependence.real) || std::isnan(dependence.synthetic)) continue;
    values["first"].push_back(evaluation.columns[pair->first].name);
    values["second"].push_back(evaluation.columns[pair->second].name);
    values["measure"].push_back(dependence.measure);
    real.push_back(std::abs(dependence.real));
    synthetic.push_back(std::abs(dependence.synthetic));
  }
  if (real.empty()) return;
  values["real"] = shortened(real);
  values["synthetic"] = shortened(synthetic);
  charts["dependences"] =
      make_chart("dependences", "Dependence of every pair of columns in the real and the synthetic table",
                 Json::array({std::move(values)}));
}

bool has_distribution(const ColumnEvaluation& column) {
  return column.shape == ColumnShape::kDiscrete || !column.density.real.empty();
}

}  // namespace

std::vector<size_t> charted_columns(const Evaluation& evaluation) {
  std::vector<size_t> charted;
  std::vector<double> weights;
  for (size_t index = 0; index < evaluation.columns.size(); ++index) {
    const ColumnEvaluation& column = evaluation.columns[index];
    if (!has_distribution(column)) continue;
    charted.push_back(index);
    weights.push_back(std::isnan(column.shape_score) ? 0 : 1 - column.shape_score);
  }
  std::vector<size_t> chosen = heaviest(weights, kMostColumnCharts);
  for (size_t& position : chosen) position = charted[position];
  return chosen;
}

Json make_charts(const Evaluation& evaluation) {
  Json charts = Json::object();
  if (evaluation.utility) charts["utility"] = utility_chart(*evaluation.utility);
  for (const size_t index : charted_columns(evaluation)) {
    const ColumnEvaluation& column = evaluation.columns[index];
    charts["column-" + std::to_string(index)] =
        column.shape == ColumnShape::kContinuous ? density_chart(column) : level_chart(column);
  }
  add_trend_chart(evaluation, charts);
  add_dependence_chart(evaluation, charts);
  add_correlation_charts(evaluation, charts);
  if (!evaluation.components.real_x.empty()) add_component_charts(evaluation.components, charts);
  return Json{{"specs", read_specs()}, {"charts", std::move(charts)}};
}

}  // namespace doppel
