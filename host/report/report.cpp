#include "host/report/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "host/report/assets.h"
#include "host/report/charts.h"
#include "host/report/page.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownPairs = 40;

// A section of the template that is there where the score is defined.
Json optional_score(double score) {
  return std::isnan(score) ? Json(false) : Json(score_text(score));
}

// Sections

Json quality_json(const QualityScore& score) {
  return {{"shapes", score_text(score.shapes)},
          {"trends", score_text(score.trends)},
          {"overall", score_text(score.overall)}};
}

std::string headline_name(const Utility& utility) {
  return utility.headline == "r2" ? "R²" : utility.headline == "auc" ? "AUC" : "macro F1";
}

Json learner_scores(const Utility& utility, const LearnerScores& scores) {
  if (utility.is_classification)
    return {score_text(scores.auc), score_text(scores.accuracy), score_text(scores.macro_f1)};
  return {score_text(scores.r2), format_number("%#.4g", scores.root_mean_square_error),
          format_number("%#.4g", scores.mean_absolute_error)};
}

// "98.1 to 99.7 %": over the learners whose share is defined.
std::string share_range(const Utility& utility) {
  double low = kUndefined, high = kUndefined;
  for (const LearnerEvaluation& learner : utility.learners) {
    if (!(learner.share_of_real >= low)) low = std::isnan(learner.share_of_real) ? low : learner.share_of_real;
    if (!(learner.share_of_real <= high)) high = std::isnan(learner.share_of_real) ? high : learner.share_of_real;
  }
  const std::string least = format_number("%.1f", 100 * low), most = percent_text(high);
  return least + " %" == most || std::isnan(low) ? most : least + "–" + most;
}

Json utility_json(const Utility& utility) {
  Json learners = Json::array();
  for (const LearnerEvaluation& learner : utility.learners)
    learners.push_back(Json{{"learner", learner.learner},
                            {"real", learner_scores(utility, learner.trained_on_real)},
                            {"synthetic", learner_scores(utility, learner.trained_on_synthetic)},
                            {"share", percent_text(learner.share_of_real)}});
  const Json names = utility.is_classification ? Json{"AUC", "Accuracy", "Macro F1"} : Json{"R²", "RMSE", "MAE"};
  return {{"target", utility.target},
          {"headline", headline_name(utility)},
          {"share", share_range(utility)},
          {"learner_count", std::to_string(utility.learners.size())},
          {"real_rows", count_text(utility.real_rows)},
          {"synthetic_rows", count_text(utility.synthetic_rows)},
          {"test_rows", count_text(utility.test_rows)},
          {"held_out", utility.has_holdout},
          {"score_names", names},
          {"learners", std::move(learners)}};
}

Json floor_json(const HoldoutScores& scores) {
  return {{"rows", count_text(scores.rows)},
          {"classic", quality_json(scores.classic)},
          {"with_thresholds", quality_json(scores.with_thresholds)}};
}

Json privacy_row(const std::string& name, int64_t identical, double share, const DistanceSummary& distance) {
  return {{"name", name},
          {"identical", count_text(identical)},
          {"share", format_number("%.2f %%", 100 * share)},
          {"rows", count_text(distance.rows)},
          {"percentile_5", score_text(distance.percentile_5)},
          {"median", score_text(distance.median)}};
}

Json privacy_json(const Privacy& privacy) {
  Json tables{privacy_row("synthetic", privacy.identical_synthetic_rows, privacy.identical_synthetic_share,
                          privacy.synthetic_distance)};
  if (privacy.has_holdout)
    tables.push_back(privacy_row("held-out real", privacy.identical_holdout_rows, privacy.identical_holdout_share,
                                 privacy.holdout_distance));
  return {{"columns", std::to_string(privacy.columns)},
          {"training_rows", count_text(privacy.training_rows)},
          {"tables", std::move(tables)}};
}

// Nothing without a holdout.
Json comparison_json(const Privacy& privacy) {
  if (std::isnan(privacy.nearer_share)) return false;
  return {{"nearer", percent_text(privacy.nearer_share)},
          {"tied", percent_text(privacy.tied_share)},
          {"copies", percent_text(privacy.copies_share)},
          {"compared_rows", count_text(privacy.compared_rows)}};
}

std::string chart_id(size_t column) {
  return "column-" + std::to_string(column);
}

// "missing 4.2 % / 4.0 %", real and synthetic, or nothing where none is. The bars of levels show it themselves.
Json missing_text(const ColumnEvaluation& column) {
  if (column.shape == ColumnShape::kDiscrete) return false;
  if (column.missing_share_real <= 0 && column.missing_share_synthetic <= 0) return false;
  return "missing " + percent_text(column.missing_share_real) + " / " + percent_text(column.missing_share_synthetic);
}

// The small multiples, those of the worst shapes first.
Json multiples_json(const Evaluation& evaluation, const std::vector<size_t>& charted, const Json& charts) {
  std::vector<size_t> order = charted;
  const auto score_of = [&](size_t index) {
    const double score = evaluation.columns[index].shape_score;
    return std::isnan(score) ? 2 : score;  // undefined ones last
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return score_of(a) < score_of(b); });
  Json multiples = Json::array();
  for (const size_t index : order) {
    const ColumnEvaluation& column = evaluation.columns[index];
    const Json& chart = charts.at(chart_id(index));
    multiples.push_back(Json{{"id", chart_id(index)},
                             {"position", std::to_string(index)},
                             {"name", column.name},
                             {"kind", to_string(column.kind)},
                             {"score", score_text(column.shape_score)},
                             {"missing", missing_text(column)},
                             {"levels", chart.contains("levels")}});
  }
  return multiples;
}

Json skipped_json(const Evaluation& evaluation) {
  Json skipped = Json::array();
  for (const ColumnEvaluation& column : evaluation.columns)
    if (column.shape == ColumnShape::kSkipped)
      skipped.push_back(Json{{"name", column.name}, {"kind", to_string(column.kind)}, {"separator", ", "}});
  if (!skipped.empty()) skipped.back()["separator"] = ".";
  return skipped;
}

Json columns_json(const Evaluation& evaluation, const Json& charts) {
  Json rows = Json::array();
  for (size_t index = 0; index < evaluation.columns.size(); ++index) {
    const ColumnEvaluation& column = evaluation.columns[index];
    const bool discrete = column.shape == ColumnShape::kDiscrete;
    rows.push_back(Json{{"name", column.name},
                        {"kind", to_string(column.kind)},
                        {"chart", charts.contains(chart_id(index)) ? Json(chart_id(index)) : Json(false)},
                        {"shape", score_text(column.shape_score)},
                        {"coverage", score_text(discrete ? column.category_coverage : column.range_coverage)},
                        {"adherence", score_text(discrete ? column.category_adherence : column.boundary_adherence)},
                        {"missing_real", percent_text(column.missing_share_real)},
                        {"missing_synthetic", percent_text(column.missing_share_synthetic)},
                        {"missing_similarity", score_text(column.missing_value_similarity)},
                        {"unseen", discrete ? count_text(column.unseen_rows) : kDash}});
  }
  return rows;
}

Json worst_pairs_json(const Evaluation& evaluation) {
  Json rows = Json::array();
  for (const PairEvaluation* pair : worst_pairs(evaluation, kShownPairs)) {
    const Dependence dependence = dependence_of(*pair);
    rows.push_back(Json{{"first", evaluation.columns[pair->first].name},
                        {"second", evaluation.columns[pair->second].name},
                        {"trend", score_text(pair->trend_score)},
                        {"dependence", dependence.measure},
                        {"real", score_text(dependence.real)},
                        {"synthetic", score_text(dependence.synthetic)},
                        {"strong", pair->meets_threshold ? "yes" : "no"}});
  }
  return rows;
}

// What the charts leave out of wide tables, or nothing.
Json limit_text(size_t have, size_t most, const std::string& what) {
  if (have <= most) return false;
  return "Drawn are the " + std::to_string(most) + " columns of " + std::to_string(have) + " " + what +
         "; the tables below hold the rest.";
}

Json pair_limit_text(size_t pairs) {
  if (pairs <= kMostPairs) return false;
  return "; the " + std::to_string(kMostPairs) + " worst pairs";
}

Json page_json(const Evaluation& evaluation, const Json& charts, const ReportContext& context) {
  const Json& drawn = charts.at("charts");
  const Json skipped = skipped_json(evaluation), pairs = worst_pairs_json(evaluation);
  const std::vector<size_t> charted = charted_columns(evaluation);
  const auto strong_pairs =
      std::count_if(evaluation.pairs.begin(), evaluation.pairs.end(),
                    [](const PairEvaluation& pair) { return pair.meets_threshold && !std::isnan(pair.trend_score); });
  const size_t scored = evaluation.columns.size() - skipped.size();
  const PrincipalComponentsChart& components = evaluation.components;
  Json page{
      {"real", {{"name", file_name(context.real)}, {"path", context.real}, {"rows", count_text(evaluation.real_rows)}}},
      {"synthetic",
       {{"name", file_name(context.synthetic)},
        {"path", context.synthetic},
        {"rows", count_text(evaluation.synthetic_rows)}}},
      {"column_count", count_text(static_cast<int64_t>(evaluation.columns.size()))},
      {"classic", quality_json(evaluation.classic)},
      {"with_thresholds", quality_json(evaluation.with_thresholds)},
      {"correlation_threshold", format_number("%.1f", kRealCorrelationThreshold)},
      {"association_threshold", format_number("%.1f", kRealAssociationThreshold)},
      {"pair_count", count_text(static_cast<int64_t>(evaluation.pairs.size()))},
      {"strong_pair_count", count_text(strong_pairs)},
      {"detection", optional_score(evaluation.detection_auc)},
      {"floor", evaluation.holdout ? floor_json(*evaluation.holdout) : Json(false)},
      {"floor_detection", evaluation.holdout ? optional_score(evaluation.holdout->detection_auc) : Json(false)},
      {"privacy",
       evaluation.privacy && evaluation.privacy->columns > 0 ? privacy_json(*evaluation.privacy) : Json(false)},
      {"comparison", evaluation.privacy ? comparison_json(*evaluation.privacy) : Json(false)},
      {"utility", evaluation.utility ? utility_json(*evaluation.utility) : Json(false)},
      {"target", evaluation.utility ? Json(evaluation.utility->target) : Json(false)},
      {"holdout", context.holdout.empty() ? Json(false) : Json(context.holdout)},
      {"multiples", multiples_json(evaluation, charted, drawn)},
      {"multiples_note", limit_text(scored, kMostColumnCharts, "whose shapes differ most")},
      {"skipped", !skipped.empty()},
      {"skipped_columns", skipped},
      {"heatmap_note", limit_text(scored, kMostHeatmapColumns, "whose pairs differ most")},
      {"has_trends", drawn.contains("trends")},
      {"has_dependences", drawn.contains("dependences")},
      {"pairs_note", pair_limit_text(evaluation.pairs.size())},
      {"has_correlations", drawn.contains("correlation-real")},
      {"components", drawn.contains("components-both") ? Json{{"x", percent_text(components.explained_share_x)},
                                                              {"y", percent_text(components.explained_share_y)}}
                                                       : Json(false)},
      {"columns", columns_json(evaluation, drawn)},
      {"has_pairs", !pairs.empty()},
      {"shown_pair_count", std::to_string(pairs.size())},
      {"pairs", pairs},
      {"notes", evaluation.notes}};
  return page;
}

}  // namespace

std::string make_report(const Evaluation& evaluation, const ReportContext& context) {
  const Json charts = make_charts(evaluation);
  return render_page(report_template(), page_json(evaluation, charts, context), charts, context);
}

}  // namespace doppel
