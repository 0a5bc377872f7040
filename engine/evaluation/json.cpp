#include <nlohmann/json.hpp>

#include "engine/evaluation/evaluation.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

Json scores_json(const LearnerScores& scores, bool is_classification) {
  if (is_classification) return {{"auc", scores.auc}, {"accuracy", scores.accuracy}, {"macro_f1", scores.macro_f1}};
  return {{"r2", scores.r2},
          {"root_mean_square_error", scores.root_mean_square_error},
          {"mean_absolute_error", scores.mean_absolute_error}};
}

Json utility_json(const Utility& utility) {
  Json learners = Json::array();
  for (const LearnerEvaluation& learner : utility.learners) {
    learners.push_back({{"learner", learner.learner},
                        {"trained_on_real", scores_json(learner.trained_on_real, utility.is_classification)},
                        {"trained_on_synthetic", scores_json(learner.trained_on_synthetic, utility.is_classification)},
                        {"share_of_real", learner.share_of_real}});
  }
  return {{"target", utility.target},
          {"task", utility.is_classification ? "classification" : "regression"},
          {"has_holdout", utility.has_holdout},
          {"real_rows", utility.real_rows},
          {"synthetic_rows", utility.synthetic_rows},
          {"test_rows", utility.test_rows},
          {"headline", utility.headline},
          {"learners", learners}};
}

Json column_json(const ColumnEvaluation& column) {
  Json json{{"name", column.name}, {"kind", to_string(column.kind)}, {"metric", column.metric}};
  if (column.metric.empty()) json["metric"] = nullptr;
  json["shape_score"] = column.shape_score;
  json["missing_share_real"] = column.missing_share_real;
  json["missing_share_synthetic"] = column.missing_share_synthetic;
  json["missing_value_similarity"] = column.missing_value_similarity;
  if (column.shape == ColumnShape::kContinuous) {
    json["range_coverage"] = column.range_coverage;
    json["boundary_adherence"] = column.boundary_adherence;
    json["density"] = {{"edges", column.density.edges},
                       {"share_real", column.density.real},
                       {"share_synthetic", column.density.synthetic}};
  } else if (column.shape == ColumnShape::kDiscrete) {
    const LevelChart& chart = column.level_shares;
    json["category_coverage"] = column.category_coverage;
    json["category_adherence"] = column.category_adherence;
    json["unseen_rows"] = column.unseen_rows;
    json["levels"] = {{"levels", chart.levels},
                      {"share_real", chart.real},
                      {"share_synthetic", chart.synthetic},
                      {"other_share_real", chart.other_real},
                      {"other_share_synthetic", chart.other_synthetic}};
  }
  return json;
}

Json total_json(const QualityScore& score) {
  return {{"shapes", score.shapes}, {"trends", score.trends}, {"overall", score.overall}};
}

Json distance_json(const DistanceSummary& summary) {
  return {{"rows", summary.rows}, {"percentile_5", summary.percentile_5}, {"median", summary.median}};
}

Json privacy_json(const Privacy& privacy) {
  Json json{{"columns", privacy.columns},
            {"identical_rows_synthetic", privacy.identical_synthetic_rows},
            {"identical_share_synthetic", privacy.identical_synthetic_share},
            {"training_rows", privacy.training_rows},
            {"distance_to_nearest_training_row", {{"synthetic", distance_json(privacy.synthetic_distance)}}}};
  if (!privacy.has_holdout) return json;
  json["distance_to_nearest_training_row"]["holdout"] = distance_json(privacy.holdout_distance);
  json["identical_rows_holdout"] = privacy.identical_holdout_rows;
  json["identical_share_holdout"] = privacy.identical_holdout_share;
  json["nearer_to_training_share"] = privacy.nearer_share;
  json["nearer_to_training_share_of_copies"] = privacy.copies_share;
  json["tied_share"] = privacy.tied_share;
  json["compared_rows_of_each"] = privacy.compared_rows;
  return json;
}

Json holdout_json(const HoldoutScores& scores) {
  return {{"rows", scores.rows},
          {"quality", total_json(scores.classic)},
          {"quality_with_thresholds", total_json(scores.with_thresholds)},
          {"detection_auc", scores.detection_auc}};
}

}  // namespace

Json to_json(const Evaluation& evaluation) {
  Json columns = Json::array(), pairs = Json::array(), continuous = Json::array();
  for (const ColumnEvaluation& column : evaluation.columns) columns.push_back(column_json(column));
  for (const PairEvaluation& pair : evaluation.pairs) {
    Json json{{"first", evaluation.columns[pair.first].name},
              {"second", evaluation.columns[pair.second].name},
              {"metric", pair.metric},
              {"trend_score", pair.trend_score},
              {"meets_threshold", pair.meets_threshold}};
    if (pair.metric == "CorrelationSimilarity") {
      json["correlation_real"] = pair.real_correlation;
      json["correlation_synthetic"] = pair.synthetic_correlation;
    } else {
      json["association_real"] = pair.real_association;
      json["association_synthetic"] = pair.synthetic_association;
    }
    pairs.push_back(json);
  }
  for (const size_t index : evaluation.continuous) continuous.push_back(evaluation.columns[index].name);
  const PrincipalComponentsChart& chart = evaluation.components;
  return {{"real_rows", evaluation.real_rows},
          {"synthetic_rows", evaluation.synthetic_rows},
          {"quality", total_json(evaluation.classic)},
          {"quality_with_thresholds", total_json(evaluation.with_thresholds)},
          {"quality_seconds", evaluation.quality_seconds},
          {"detection_auc", evaluation.detection_auc},
          {"holdout_scores", evaluation.holdout ? holdout_json(*evaluation.holdout) : Json(nullptr)},
          {"privacy", evaluation.privacy ? privacy_json(*evaluation.privacy) : Json(nullptr)},
          {"utility", evaluation.utility ? utility_json(*evaluation.utility) : Json(nullptr)},
          {"columns", columns},
          {"pairs", pairs},
          {"correlations",
           {{"columns", continuous},
            {"real", evaluation.correlation_real},
            {"synthetic", evaluation.correlation_synthetic}}},
          {"principal_components",
           {{"explained_share", {chart.explained_share_x, chart.explained_share_y}},
            {"real_x", chart.real_x},
            {"real_y", chart.real_y},
            {"synthetic_x", chart.synthetic_x},
            {"synthetic_y", chart.synthetic_y}}},
          {"notes", evaluation.notes}};
}

}  // namespace doppel
