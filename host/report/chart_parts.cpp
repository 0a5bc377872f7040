#include "host/report/chart_parts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "engine/evaluation/evaluation.h"
#include "host/report/assets.h"

namespace doppel {

using Json = nlohmann::ordered_json;

double shortened(double value) {
  if (!std::isfinite(value)) return kUndefined;
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return std::strtod(text, nullptr);
}

Json shortened(std::vector<double> values) {
  for (double& value : values) value = shortened(value);
  return values;
}

Json read_specs() {
  Json specs = Json::parse(chart_specs());
  for (auto& [name, spec] : specs.items()) {
    if (!spec.contains("based_on")) continue;
    Json whole = specs[spec["based_on"].get<std::string>()];
    spec.erase("based_on");
    whole.merge_patch(spec);
    spec = std::move(whole);
  }
  return specs;
}

Json make_chart(const std::string& spec, const std::string& description, Json values) {
  Json with = Json::object();
  with["description"] = description;
  with["data"]["values"] = std::move(values);
  return Json{{"spec", spec}, {"with", std::move(with)}};
}

void set_parameter(Json& chart, const std::string& name, double value) {
  chart["with"]["params"].push_back(Json{{"name", name}, {"value", value}});
}

Interval common_interval(const std::vector<double>& first, const std::vector<double>& second) {
  Interval interval{kUndefined, kUndefined};
  for (const std::vector<double>* values : {&first, &second}) {
    for (const double value : *values) {
      if (!(value >= interval.low)) interval.low = value;
      if (!(value <= interval.high)) interval.high = value;
    }
  }
  const double margin = 0.03 * (interval.high - interval.low);
  return {shortened(interval.low - margin), shortened(interval.high + margin)};
}

void set_window(Json& chart, const Interval& x, const Interval& y) {
  set_parameter(chart, "left", x.low);
  set_parameter(chart, "right", x.high);
  set_parameter(chart, "bottom", y.low);
  set_parameter(chart, "top", y.high);
}

std::vector<size_t> heaviest(const std::vector<double>& weights, size_t most) {
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  order.resize(std::min(order.size(), most));
  std::sort(order.begin(), order.end());
  return order;
}

Json matrix_chart(const std::string& spec, const std::string& description, const std::vector<std::string>& names,
                  const std::vector<double>& matrix, const std::vector<size_t>& chosen) {
  Json values{{"names", Json::array()}, {"values", Json::array()}};
  for (const size_t row : chosen) {
    values["names"].push_back(names[row]);
    for (const size_t column : chosen) values["values"].push_back(shortened(matrix[row * names.size() + column]));
  }
  Json chart = make_chart(spec, description, Json::array({std::move(values)}));
  chart["cells"] = chosen.size() * chosen.size();
  return chart;
}

}  // namespace doppel
