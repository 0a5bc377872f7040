// The charts of a report, as Vega-Lite takes them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "engine/evaluation/evaluation.h"

namespace doppel {

inline constexpr size_t kMostColumnCharts = 400;   // of the columns whose shapes are worst
inline constexpr size_t kMostHeatmapColumns = 80;  // of the columns whose trends are worst
inline constexpr size_t kMostPairs = 3000;         // of the pairs whose trends are worst

// The indexes of the columns that have a chart, in the table's order.
std::vector<size_t> charted_columns(const Evaluation& evaluation);

// {"specs": {name: Vega-Lite specification without data}, "charts": {id: {"spec": name, "with": members to add}}}: many
// charts share a specification, so that a report of hundreds of columns stays small. Ids: "column-I" (I indexes
// Evaluation::columns), "utility", "components-real|synthetic|both", "correlation-real|synthetic|difference", "trends";
// what was not measured has none. Numbers that are not defined are null.
nlohmann::ordered_json make_charts(const Evaluation& evaluation);

}  // namespace doppel
