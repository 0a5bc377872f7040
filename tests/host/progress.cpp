#include "host/progress.h"

#include <gtest/gtest.h>

namespace doppel {
namespace {

TEST(StageProgress, ACommaEndsAStagesName) {
  StageProgress progress(Progress::Style::kNone);
  for (const char* stage :
       {"reading rows", "training, 75.1 nats a row held out", "training, 73.5 nats a row held out", "tables"})
    progress.update(stage, 0.5, "80 MB/s");
  progress.finish();
  std::vector<std::string> names;
  for (const StageProgress::Stage& stage : progress.stages()) names.push_back(stage.name);
  EXPECT_EQ(names, (std::vector<std::string>{"reading rows", "training", "tables"}));
  EXPECT_GE(progress.stages()[1].seconds, 0);
}

}  // namespace
}  // namespace doppel
