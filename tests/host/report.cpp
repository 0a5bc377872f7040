// Reports of evaluations of made tables; tests/oracle/test_report.py draws the charts of the one called ForTheOracle.
#include "host/report/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "host/report/assets.h"
#include "host/report/charts.h"
#include "kernels/backend.h"
#include "tests/engine/evaluation_tables.h"
#include "tests/host/test_folder.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

// Everything that HTML, JSON, JavaScript and Mustache give a meaning to.
constexpr const char* kNasty = "</script><script>alert(1)</script><!-- \" ' & \\ {{name}} {{{name}}} \u2028 é";

std::string number_name(size_t i) {
  return "number " + std::to_string(i);
}

// Numbers (with gaps), dates, categories of a few and of many levels, a key and an empty column; `shift` makes tables
// differ.
TableMaker make_table(int64_t rows, uint64_t seed, double shift, size_t numbers = 4) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<std::vector<std::optional<double>>> reals(numbers);
  std::vector<std::optional<int64_t>> integers, dates, nothing;
  std::vector<std::optional<int>> few, many;
  std::vector<std::optional<int>> key;
  for (int64_t row = 0; row < rows; ++row) {
    const double common = normal(random);
    for (size_t j = 0; j < numbers; ++j) {
      const double value = 1000 * (common + static_cast<double>(j) * normal(random) + shift);
      reals[j].push_back(random() % 10 == 0 ? std::nullopt : std::optional(value));
    }
    integers.push_back(static_cast<int64_t>(30 + 10 * common));
    dates.push_back(static_cast<int64_t>(86400 * (18000 + 300 * normal(random))));
    few.push_back(common + shift > 0.3 ? 1 : 0);
    many.push_back(random() % 8 == 0 ? std::nullopt
                                     : std::optional(static_cast<int>(std::abs(12 * normal(random) + shift)) % 30));
    nothing.push_back(std::nullopt);
  }
  std::vector<std::string> levels;
  for (int level = 0; level < 30; ++level) levels.push_back("level " + std::to_string(level));
  levels[0] = kNasty;
  levels[1] = "(missing)";
  TableMaker table;
  for (size_t j = 0; j < numbers; ++j) table.reals(reals[j]);
  table.integers(integers).add(ColumnKind::kDatetime, dates);
  table.categories(few, {"low", "high"}).categories(many, levels);
  table.add(ColumnKind::kEmpty, nothing).add(ColumnKind::kKey, nothing);
  for (size_t j = 0; j < numbers; ++j) table.schema.columns[j].name = number_name(j);
  const char* names[] = {"age", "when", "class", kNasty, "empty", "id"};
  for (size_t j = 0; j < std::size(names); ++j) table.schema.columns[numbers + j].name = names[j];
  return table;
}

Evaluation make_evaluation(bool learned = true, size_t numbers = 4, int64_t rows = 600) {
  const TableMaker real = make_table(rows, 1, 0, numbers), synthetic = make_table(rows - 10, 2, 0.2, numbers);
  Evaluation evaluation = evaluate_quality(real.schema, real.table, synthetic.table, *make_backend("cpu"));
  if (!learned) return evaluation;
  EvaluateOptions options;
  options.target = numbers + 2;
  evaluate_learning(real.schema, real.table, synthetic.table, nullptr, options, evaluation);
  return evaluation;
}

// As the command makes it, with or without held-out rows.
Evaluation make_private_evaluation(bool has_holdout) {
  const TableMaker real = make_table(600, 1, 0), synthetic = make_table(590, 2, 0.2), holdout = make_table(300, 3, 0);
  Evaluation evaluation = evaluate_quality(real.schema, real.table, synthetic.table, *make_backend("cpu"));
  evaluate_beside_holdout(real.schema, real.table, synthetic.table, has_holdout ? &holdout.table : nullptr,
                          *make_backend("cpu"), {}, evaluation);
  return evaluation;
}

const ReportContext kContext{"real.csv", "double.csv", "", "doppel evaluate --real real.csv --synthetic double.csv", 7};

// What stands between two texts, the first of which occurs once.
std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t start = text.find(begin);
  EXPECT_NE(start, std::string::npos) << begin;
  if (start == std::string::npos) return "";
  EXPECT_EQ(text.find(begin, start + 1), std::string::npos) << begin << " occurs twice";
  return text.substr(start + begin.size(), text.find(end, start) - start - begin.size());
}

Json charts_of(const std::string& report) {
  return Json::parse(between(report, "<script type=\"application/json\" id=\"charts\">", "</script>"));
}

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++found;
  return found;
}

TEST(Report, HasEverySectionAndEveryChart) {
  const std::string report = make_report(make_evaluation(), kContext);
  for (const char* id : {"summary", "utility", "privacy", "distributions", "dependence", "components", "columns",
                         "pairs", "notes", "reading"})
    EXPECT_EQ(count(report, std::string("<section id=\"") + id + "\""), 1) << id;
  const Json charts = charts_of(report);
  for (const char* id : {"utility", "trends", "correlation-real", "correlation-synthetic", "correlation-difference",
                         "components-real", "components-synthetic", "components-both", "column-0", "column-7"}) {
    ASSERT_TRUE(charts["charts"].contains(id)) << id;
    EXPECT_TRUE(charts["specs"].contains(charts["charts"][id]["spec"])) << id;
    EXPECT_EQ(count(report, std::string("data-chart=\"") + id + "\""), 1) << id;
  }
  EXPECT_FALSE(charts["charts"].contains("column-8")) << "an empty column";
  EXPECT_FALSE(charts["charts"].contains("column-9")) << "a key";
  EXPECT_EQ(count(report, "data-chart="), charts["charts"].size());
  EXPECT_NE(report.find(kContext.command), std::string::npos);
  EXPECT_NE(report.find("--holdout with rows"), std::string::npos) << "the note of the evaluation";
  EXPECT_NE(report.find("Seed 7."), std::string::npos);
}

TEST(Report, SaysWhatWasNotMeasured) {
  const std::string report = make_report(make_evaluation(false), kContext);
  EXPECT_NE(report.find("Not measured in this run."), std::string::npos);
  EXPECT_NE(report.find("<code>--target COLUMN</code>"), std::string::npos);
  const Json charts = charts_of(report)["charts"];
  EXPECT_FALSE(charts.contains("utility"));
  EXPECT_FALSE(charts.contains("components-both"));
  EXPECT_EQ(count(report, "data-chart="), charts.size());
}

TEST(Report, ShowsPrivacyBesideHeldOutRows) {
  const Evaluation evaluation = make_private_evaluation(true);
  const std::string report = make_report(evaluation, kContext);
  const Privacy& privacy = *evaluation.privacy;
  char nearer[32], median[32];
  std::snprintf(nearer, sizeof nearer, "%.1f %%", 100 * privacy.nearer_share);
  std::snprintf(median, sizeof median, "%.4f", privacy.holdout_distance.median);
  EXPECT_EQ(between(report, "<h3>Privacy</h3>\n      <p class=\"figure\">", "</p>"), nearer);
  EXPECT_EQ(count(report, "Copies of the training rows would be at 75.0 %."), 1);
  EXPECT_EQ(count(report, "300 of each"), 1);
  EXPECT_EQ(count(report, "<th scope=\"row\">held-out real</th><td class=\"number\">0</td>"), 1);
  EXPECT_EQ(count(report, std::string("<td class=\"number\">") + median + "</td>"), 1);
  EXPECT_EQ(count(report, "300 held-out real rows in the synthetic table’s place"), 2);
}

TEST(Report, PrivacyWithoutHeldOutRowsIsNotCompared) {
  const std::string report = make_report(make_private_evaluation(false), kContext);
  EXPECT_EQ(count(report, "<p class=\"figure quiet\">–</p>\n      <p>Not measured: <code>--holdout FILE</code>"), 1);
  EXPECT_EQ(count(report, "<th scope=\"row\">synthetic</th><td class=\"number\">0</td>"), 1);
  EXPECT_EQ(count(report, "<th scope=\"row\">held-out real</th>"), 0);
  EXPECT_EQ(count(report, "held-out real rows in the"), 0);
}

TEST(Report, IsTheSameBytesForTheSameEvaluation) {
  Evaluation evaluation = make_evaluation(false);
  const std::string report = make_report(evaluation, kContext);
  evaluation.quality_seconds = 12.75;
  EXPECT_EQ(make_report(evaluation, kContext), report);
}

TEST(Report, EscapesNamesOfColumnsLevelsAndFiles) {
  const std::string nasty = kNasty;
  ReportContext context = kContext;
  context.real = context.synthetic = context.holdout = context.command = nasty;
  const std::string plain = make_report(make_evaluation(), kContext);
  const std::string report = make_report(make_evaluation(), context);
  for (const std::string& page : {plain, report}) {
    EXPECT_EQ(count(page, "alert(1)</script>"), 0);
    EXPECT_EQ(count(page, "<script"), 3);
    EXPECT_EQ(count(page, "</script"), 3);
    EXPECT_EQ(count(page, "<!--"), count(std::string(page_head()), "<!--"));
    EXPECT_EQ(count(page, "title=\"</"), 0);
  }
  // The text itself arrives.
  const Json charts = charts_of(report)["charts"];
  const Json levels = charts["column-7"]["with"]["data"]["values"][0]["level"];
  EXPECT_NE(std::find(levels.begin(), levels.end(), nasty), levels.end());
  const Json names = charts["trends"]["with"]["data"]["values"][0]["names"];
  EXPECT_NE(std::find(names.begin(), names.end(), nasty), names.end());
  EXPECT_NE(report.find("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!-- &quot; &apos; &amp; \\ {{name}}"),
            std::string::npos);
}

TEST(Report, ReplacesWhatIsNotUtf8InItsJson) {
  Evaluation evaluation = make_evaluation(false);
  evaluation.columns[0].name = "bad \xff name";
  evaluation.columns[6].level_shares.levels[0] = "\xc3";
  EXPECT_EQ(charts_of(make_report(evaluation, kContext))["charts"]["trends"]["with"]["data"]["values"][0]["names"][0],
            "bad \ufffd name");
}

TEST(Report, ItsOwnFilesDoNotEndTheirElements) {
  for (const std::string_view script : {report_script(), chart_library()}) {
    EXPECT_EQ(script.find("</script"), std::string_view::npos);
    EXPECT_EQ(script.find("<!--"), std::string_view::npos);
  }
  EXPECT_EQ(report_style().find("</"), std::string_view::npos);
  EXPECT_TRUE(chart_library().starts_with("/* Vega "));
  EXPECT_GT(chart_library().size(), 500'000);
}

TEST(Report, UndefinedScoresAreNullInChartsAndDashesInTables) {
  Evaluation evaluation = make_evaluation();
  evaluation.correlation_real[1] = kUndefined;
  evaluation.columns[0].shape_score = kUndefined;
  evaluation.detection_auc = kUndefined;
  evaluation.classic.overall = kUndefined;
  for (LearnerEvaluation& learner : evaluation.utility->learners) learner.share_of_real = kUndefined;
  evaluation.utility->learners[0].trained_on_synthetic = {};
  const std::string report = make_report(evaluation, kContext);
  const Json charts = charts_of(report)["charts"];
  EXPECT_TRUE(charts["correlation-real"]["with"]["data"]["values"][0]["values"][1].is_null());
  EXPECT_TRUE(charts["trends"]["with"]["data"]["values"][0]["values"][0].is_null()) << "a column with itself";
  EXPECT_TRUE(charts["utility"]["with"]["data"]["values"][1]["score"].is_null());
  EXPECT_EQ(between(report, "<h3>Quality</h3>\n      <p class=\"figure\">", "</p>"), "–");
  EXPECT_EQ(count(report, ">nan<") + count(report, "nan %") + count(report, "-nan"), 0);
}

TEST(Report, ChartsHoldTheSharesOfTheEvaluation) {
  const Evaluation evaluation = make_evaluation(false);
  const Json charts = make_charts(evaluation)["charts"];
  const Json density = charts["column-0"]["with"]["data"]["values"][0];
  const DensityChart& shares = evaluation.columns[0].density;
  ASSERT_EQ(density["bins"], shares.real.size());
  ASSERT_EQ(density["real"].size(), shares.real.size() + 1);
  for (size_t bin = 0; bin < shares.real.size(); ++bin) {
    EXPECT_NEAR(density["real"][bin].get<double>(), shares.real[bin], 1e-5);
    EXPECT_NEAR(density["synthetic"][bin].get<double>(), shares.synthetic[bin], 1e-5);
  }
  EXPECT_NEAR(density["first"].get<double>() + density["bins"].get<double>() * density["width"].get<double>(),
              shares.edges.back(), 1e-9 * std::abs(shares.edges.back()));
  const Json date = charts["column-5"]["with"]["data"]["values"][0];
  EXPECT_DOUBLE_EQ(date["first"].get<double>(), 1000 * evaluation.columns[5].density.edges[0]) << "in milliseconds";
  const Json levels = charts["column-7"]["with"]["data"]["values"][0];
  EXPECT_EQ(levels["level"].size(), 22) << "20 levels, other and missing";
  EXPECT_EQ(levels["level"].back(), "((missing))") << "a level is called (missing)";
  EXPECT_EQ(levels["missing_rank"], 22);
  double real = 0, synthetic = 0;
  for (size_t level = 0; level < 22; ++level) {
    real += levels["real"][level].get<double>();
    synthetic += levels["synthetic"][level].get<double>();
  }
  EXPECT_NEAR(real, 1, 1e-4);
  EXPECT_NEAR(synthetic, 1, 1e-4);
}

TEST(Report, CapsChartsOfWideTablesWithANoteAndStaysSmall) {
  const Evaluation evaluation =
      make_evaluation(false, kMostColumnCharts, 60);  // and four more columns with a distribution
  const std::string report = make_report(evaluation, kContext);
  const Json charts = charts_of(report)["charts"];
  EXPECT_EQ(count(report, "<figure class=\"multiple\""), kMostColumnCharts);
  EXPECT_EQ(count(report, "Drawn are the 400 columns of 404 whose shapes differ most"), 1);
  EXPECT_EQ(count(report, "Drawn are the 80 columns of 404 whose pairs differ most"), 1);
  EXPECT_EQ(charts["trends"]["with"]["data"]["values"][0]["names"].size(), kMostHeatmapColumns);
  EXPECT_EQ(count(report, "<tr><th scope=\"row\">"), 2 + 406) << "quality's two rows, and every column";
  EXPECT_LT(report.size(), chart_library().size() + 1'500'000);
  EXPECT_LT(make_report(make_evaluation(), kContext).size(), chart_library().size() + 250'000);
}

TEST(Report, TablesWithoutPairsOrDistributions) {
  TableMaker one;
  one.integers({1, 2, 3});
  const std::string report =
      make_report(evaluate_quality(one.schema, one.table, one.table, *make_backend("cpu")), kContext);
  EXPECT_EQ(count(report, "There are no pairs with a score."), 1);
  EXPECT_EQ(count(report, "data-chart=\"trends\""), 0);
  TableMaker empty;
  empty.add<int>(ColumnKind::kEmpty, {std::nullopt, std::nullopt});
  EXPECT_EQ(charts_of(make_report(evaluate_quality(empty.schema, empty.table, empty.table, *make_backend("cpu")),
                                  kContext))["charts"]
                .size(),
            0);
}

TEST(ReportForTheOracle, WritesAReport) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_report.py runs this";
  write_text(std::string(folder) + "/report.html", make_report(make_evaluation(), kContext));
}

}  // namespace
}  // namespace doppel
