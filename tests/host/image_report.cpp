// Reports of evaluations of made images; tests/oracle/test_report.py draws the charts of the one written ForTheOracle.
#include "host/report/image_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/host/image_cases.h"

namespace doppel {
namespace {

constexpr const char* kNasty = "</script><script>alert(1)</script> {{name}} \" & é";

std::vector<float> made_probabilities(int64_t images, size_t classes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> probabilities;
  for (int64_t i = 0; i < images; ++i)
    for (size_t c = 0; c < classes; ++c)
      probabilities.push_back(c == static_cast<size_t>(i) % classes ? 0.5f : 0.01f * static_cast<float>(random() % 70));
  return probabilities;
}

// Of as many classes, one of them with a name that HTML gives a meaning to.
struct MadeEvaluation {
  Images real, synthetic;
  ImageEvaluation evaluation;

  explicit MadeEvaluation(int32_t classes = 3, bool has_labels = true, bool has_holdout = true)
      : real(numbered_images(90, {1, 6, 5}, classes)), synthetic(numbered_images(60, {1, 6, 5}, classes)) {
    if (!has_labels) synthetic.labels.clear();
    evaluation.classes = real.label_names;
    evaluation.classes[1] = kNasty;
    evaluation.real_images = 90;
    evaluation.synthetic_images = 60;
    evaluation.has_holdout = has_holdout;
    const auto width = static_cast<size_t>(classes);
    evaluation.synthetic = summarise_readings(made_probabilities(60, width, 1), synthetic.labels, classes);
    evaluation.real = summarise_readings(made_probabilities(90, width, 2), real.labels, classes);
    evaluation.coverage = count_covered(evaluation.real, evaluation.synthetic);
    evaluation.features = {60, 90, 12.5, 50, {0.75, 0.5}};
    if (has_holdout) evaluation.holdout_features = {60, 90, 1.25, 50, {0.875, 0.9}};
    evaluation.privacy = evaluate_image_privacy(real, synthetic, has_holdout ? &real : nullptr, 1, {});
    if (has_labels && has_holdout) evaluation.utility = ImageUtility{60, 90, 90, 4, 0.8125, 0.9375};
    evaluation.notes = {kNasty};
    evaluation.classifier_history = {{0.5, 0.25}, {0.4, 0.3}, {}, {}, {}, {}, {0.75, 0.875}};
  }
  // Synthetic images and a way of each kind, of a VAE.
  void add_generator(bool has_labels = true) {
    GeneratorEvaluation& generator = evaluation.generator.emplace();
    generator.history = {{90, 80}, {95, 85}, {72, 58}, {18, 22}, {75, 60}, {20, 25}, {}};
    CodeScatter& scatter = generator.codes.scatter;
    scatter.explained_share_x = 0.625;
    scatter.explained_share_y = 0.375;
    for (int i = 0; i < 90; ++i) scatter.real_x.push_back(std::cos(i)), scatter.real_y.push_back(std::sin(i));
    for (int i = 0; i < 60; ++i) scatter.synthetic_x.push_back(i), scatter.synthetic_y.push_back(i % 7);
    if (has_labels) scatter.real_labels = real.labels, scatter.synthetic_labels = synthetic.labels;
    generator.codes.width = 17;
    Interpolation way;
    way.second = 3;
    way.steps = numbered_images(kInterpolationSteps, real.shape, 0);
    if (has_labels) way.first_label = way.second_label = 0;
    generator.codes.within = {way};
    if (!has_labels) return;
    way.second_label = 2;
    generator.codes.between = {way, way};
  }
  std::string report() const {
    return make_image_report(evaluation, {real, synthetic, evaluation.has_holdout ? &real : nullptr},
                             {"models/cnn.doppel", evaluation.generator ? "models/vae.doppel" : ""},
                             {"train", "out/double/", evaluation.has_holdout ? "test" : "", "doppel evaluate", 7});
  }
};

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++found;
  return found;
}

TEST(ImageReport, HasItsSectionsFiguresAndPictures) {
  const std::string report = MadeEvaluation().report();
  for (const char* id :
       {"summary", "images", "classes", "confidence", "codes", "training", "privacy", "notes", "reading"})
    EXPECT_EQ(count(report, std::string("<section id=\"") + id + "\""), 1) << id;
  for (const char* id : {"confusion-synthetic", "confusion-real", "classes", "confidence", "training-classifier-loss",
                         "training-classifier-accuracy"})
    EXPECT_EQ(count(report, std::string("data-chart=\"") + id + "\""), 1) << id;
  for (const char* figure : {"12.5", "1.25", "0.7500", "0.8750", "81.25 %", "93.75 %"})
    EXPECT_GE(count(report, figure), 1) << figure;
  EXPECT_EQ(count(report, "src=\"data:image/png;base64,iVBOR"), 3 * 2 + kMostRepeated);
  EXPECT_EQ(count(report, "<h1><bdi>double</bdi>"), 1);
}

TEST(ImageReport, ShowsTheGeneratorsCodesWaysAndTraining) {
  MadeEvaluation made;
  made.add_generator();
  const std::string report = made.report();
  for (const char* id : {"codes-real", "codes-synthetic", "codes-both", "training-generator-loss",
                         "training-generator-reconstruction", "training-generator-divergence"})
    EXPECT_EQ(count(report, std::string("data-chart=\"") + id + "\""), 1) << id;
  EXPECT_EQ(count(report, "a code of 17 numbers"), 1);
  EXPECT_EQ(count(report, "62.5 % and 37.5 %"), 1);
  EXPECT_EQ(count(report, "alt=\"from one image to another 0\""), 1);
  EXPECT_EQ(count(report, "alt=\"from one class to another 0 → 2\""), 2);
  EXPECT_EQ(count(report, "vae.doppel</bdi>: 2 epochs"), 1);
  EXPECT_EQ(count(report, "<code>--generator</code> names"), 0);
}

TEST(ImageReport, CodesWithoutClassesHaveNoLegend) {
  MadeEvaluation made(3, false);
  made.add_generator(false);
  const std::string report = made.report();
  EXPECT_EQ(count(report, "\"spec\":\"codes\""), 0);
  EXPECT_EQ(count(report, "data-chart=\"codes-synthetic\""), 1);
  EXPECT_EQ(count(report, "From class to class"), 0);
  EXPECT_EQ(count(report, "Between classes"), 0);
}

TEST(ImageReport, EscapesNames) {
  const std::string report = MadeEvaluation().report();
  EXPECT_EQ(count(report, "<script>alert"), 0);
  EXPECT_GE(count(report, "&lt;/script&gt;&lt;script&gt;alert(1)"), 2);
  EXPECT_GE(count(report, "\\u003c/script>\\u003cscript>alert(1)"), 2);
}

TEST(ImageReport, LeavesOutWhatIsNotKnown) {
  const std::string unlabelled = MadeEvaluation(3, false).report();
  EXPECT_EQ(count(unlabelled, "data-chart=\"confusion"), 0);
  EXPECT_EQ(count(unlabelled, "data-chart=\"confidence\""), 1);
  EXPECT_EQ(count(unlabelled, "have no labels beside them"), 1);
  const std::string alone = MadeEvaluation(3, true, false).report();
  EXPECT_EQ(count(alone, "held-out real"), 0);
  EXPECT_EQ(count(alone, "names real images that were not used"), 1);
  EXPECT_EQ(count(alone, "<code>--generator</code> names"), 1);
  MadeEvaluation imported;
  imported.add_generator();
  imported.evaluation.generator->history = {};
  imported.evaluation.generator->codes.scatter.synthetic_x.clear();
  const std::string of_imported = imported.report();
  EXPECT_EQ(count(of_imported, "data-chart=\"training-generator"), 0);
  EXPECT_EQ(count(of_imported, "Its file does not tell of a training."), 1);
  EXPECT_EQ(count(of_imported, "data-chart=\"codes-real\""), 1);
  EXPECT_EQ(count(of_imported, "data-chart=\"codes-both\""), 0);
}

TEST(ImageReport, ManyClassesAreCutDown) {
  const std::string report = MadeEvaluation(85).report();
  EXPECT_EQ(count(report, "Shown are 40 of 85 classes."), 1);
  EXPECT_EQ(count(report, "Shown are 80 of 85 classes, those that are misread most."), 1);
}

TEST(ImageReport, IsTheSameForTheSame) {
  EXPECT_EQ(MadeEvaluation().report(), MadeEvaluation().report());
}

TEST(ReportForTheOracle, WritesAnImageReport) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_report.py runs this";
  MadeEvaluation made;
  made.add_generator();
  write_text(std::string(folder) + "/image_report.html", made.report());
}

}  // namespace
}  // namespace doppel
