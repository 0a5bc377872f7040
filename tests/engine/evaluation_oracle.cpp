// Scores of tables that tests/oracle/test_metrics.py writes; it compares them with SDMetrics' and scikit-learn's.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/evaluation/evaluation.h"
#include "engine/evaluation/learners.h"
#include "kernels/backend.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

Column read_column(ColumnKind kind, const Json& cells) {
  Column column;
  for (const Json& cell : cells) {
    column.missing.push_back(cell.is_null());
    if (kind == ColumnKind::kReal)
      column.reals.push_back(cell.is_null() ? 0 : cell.get<double>());
    else if (kind == ColumnKind::kCategory || kind == ColumnKind::kBoolean)
      column.codes.push_back(cell.is_null() ? 0 : cell.get<int32_t>());
    else
      column.quanta.push_back(cell.is_null() ? 0 : cell.get<int64_t>());
  }
  return column;
}

ColumnKind kind_of(const std::string& name) {
  if (name == "real") return ColumnKind::kReal;
  if (name == "integer") return ColumnKind::kInteger;
  if (name == "decimal") return ColumnKind::kDecimal;
  if (name == "datetime") return ColumnKind::kDatetime;
  if (name == "boolean") return ColumnKind::kBoolean;
  return ColumnKind::kCategory;
}

struct OracleTables {
  TableSchema schema;
  Table real, synthetic, holdout;  // holdout: may have no columns
};

OracleTables read_tables(const Json& input) {
  OracleTables tables;
  auto& [schema, real, synthetic, holdout] = tables;
  for (const Json& given : input["columns"]) {
    ColumnSchema column;
    column.name = given["name"];
    column.kind = kind_of(given["kind"]);
    column.decimals = given["decimals"];
    column.levels = given["levels"].get<std::vector<std::string>>();
    real.columns.push_back(read_column(column.kind, given["real"]));
    synthetic.columns.push_back(read_column(column.kind, given["synthetic"]));
    real.rows = static_cast<int64_t>(given["real"].size());
    synthetic.rows = static_cast<int64_t>(given["synthetic"].size());
    if (given.contains("holdout")) {
      holdout.columns.push_back(read_column(column.kind, given["holdout"]));
      holdout.rows = static_cast<int64_t>(given["holdout"].size());
    }
    schema.columns.push_back(column);
  }
  return tables;
}

Json score_tables(const Json& input) {
  const auto& [schema, real, synthetic, holdout] = read_tables(input);
  const auto backend = make_backend("cpu");
  double seconds = 1e9;  // the best of as many turns as the script gives SDMetrics
  Evaluation result;
  for (int turn = 0; turn < 3; ++turn) {
    const auto start = std::chrono::steady_clock::now();
    result = evaluate_quality(schema, real, synthetic, *backend);
    seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  Json output{{"seconds", seconds}};
  for (const ColumnEvaluation& column : result.columns)
    output["columns"].push_back({{"shape", column.shape_score},
                                 {"missing", column.missing_value_similarity},
                                 {"range_coverage", column.range_coverage},
                                 {"boundary_adherence", column.boundary_adherence},
                                 {"category_coverage", column.category_coverage},
                                 {"category_adherence", column.category_adherence}});
  output["pairs"] = Json::array();
  for (const PairEvaluation& pair : result.pairs)
    output["pairs"].push_back({{"score", pair.trend_score},
                               {"meets", pair.meets_threshold},
                               {"real_correlation", pair.real_correlation},
                               {"real_association", pair.real_association}});
  for (const auto& [name, score] : {std::pair{"classic", result.classic}, {"thresholds", result.with_thresholds}})
    output[name] = {score.shapes, score.trends, score.overall};
  return output;
}

Json measure_privacy(const Json& input) {
  const auto& [schema, real, synthetic, holdout] = read_tables(input);
  const auto backend = make_backend("cpu");
  const Privacy privacy = evaluate_privacy(schema, real, synthetic, &holdout, *backend, 0);
  return {{"nearer", privacy.nearer_share},
          {"tied", privacy.tied_share},
          {"identical", privacy.identical_synthetic_rows},
          {"synthetic", {privacy.synthetic_distance.percentile_5, privacy.synthetic_distance.median}},
          {"holdout", {privacy.holdout_distance.percentile_5, privacy.holdout_distance.median}}};
}

Json fit_learners(const Json& input) {
  const auto features = input["features"].get<std::vector<double>>();
  const auto labels = input["labels"].get<std::vector<double>>();
  const auto numbers = input["numbers"].get<std::vector<double>>();
  const auto scores = input["scores"].get<std::vector<float>>();
  const int64_t columns = input["columns"];
  return {{"ridge", fit_ridge(features, columns, numbers)},
          {"logistic", fit_logistic(features, columns, labels)},
          {"auc", area_under_curve(scores, std::vector<uint8_t>(labels.begin(), labels.end()))}};
}

TEST(EvaluationForTheOracle, ScoresWhatTheScriptWrote) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_metrics.py runs this";
  const std::string path = folder;
  const Json input = Json::parse(std::ifstream(path + "/input.json"));
  Json output;
  for (const Json& tables : input["tables"]) output["tables"].push_back(score_tables(tables));
  for (const Json& tables : input["privacy"]) output["privacy"].push_back(measure_privacy(tables));
  output["learners"] = fit_learners(input["learners"]);
  std::ofstream(path + "/output.json") << output.dump();
}

}  // namespace
}  // namespace doppel
