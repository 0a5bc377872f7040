// What charts of reports are made of.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace doppel {

// To five digits: what a chart can show, in a fraction of the bytes.
double shortened(double value);
nlohmann::ordered_json shortened(std::vector<double> values);

// Vega-Lite's specifications by name; one that is "based_on" another is a merge patch of it (RFC 7396).
nlohmann::ordered_json read_specs();

// {"spec": name, "with": members to add}
nlohmann::ordered_json make_chart(const std::string& spec, const std::string& description,
                                  nlohmann::ordered_json values);
void set_parameter(nlohmann::ordered_json& chart, const std::string& name, double value);

// A side of a scatter plot: what both hold, with a margin.
struct Interval {
  double low = 0, high = 1;
};
Interval common_interval(const std::vector<double>& first, const std::vector<double>& second);
// The parameters left, right, bottom and top of a chart.
void set_window(nlohmann::ordered_json& chart, const Interval& x, const Interval& y);

// The positions of the `most` largest weights, ascending.
std::vector<size_t> heaviest(const std::vector<double>& weights, size_t most);

// Of a square matrix [names, names] the rows and columns chosen.
nlohmann::ordered_json matrix_chart(const std::string& spec, const std::string& description,
                                    const std::vector<std::string>& names, const std::vector<double>& matrix,
                                    const std::vector<size_t>& chosen);

}  // namespace doppel
