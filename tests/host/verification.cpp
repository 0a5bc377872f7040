#include "host/verification.h"

#include <gtest/gtest.h>

#include <fstream>

#include "host/output_folder.h"
#include "kernels/common/error.h"
#include "tests/host/fake_format.h"
#include "tests/host/fake_generator.h"
#include "tests/host/test_folder.h"

namespace doppel {
namespace {

class Verification : public testing::Test {
 protected:
  void SetUp() override {
    for (head_.part = 1; head_.part <= 2; ++head_.part) {
      JobOptions options = job();
      options.rows = head_.rows = 2'050;
      options.rows_per_file = head_.rows_per_file = 500;
      options.parts = head_.parts = 2;
      options.part = head_.part;
      const FakeGenerator generator;
      const JobPlan plan = plan_job(generator, options);
      prepare_output_folder(out_, head_, plan.layout, plan.files, IfExists::kRefuse, false);
      ManifestWriter manifest(out_, head_, {});
      FolderSink sink(out_, manifest);
      Progress progress(0, Progress::Style::kNone);
      run_job(generator, plan, sink, progress);
    }
  }
  static JobOptions job() {
    JobOptions options;
    options.threads = 2;
    options.resident_bytes = 0;
    options.format = &fake_format();
    return options;
  }
  std::string file(const std::string& name) const { return out_ + "/" + name; }
  Recomputation recompute(uint64_t seed) {
    const FolderCheck check = check_folder(out_, 2);
    Progress progress(0, Progress::Style::kNone);
    return recompute_files(out_, check.head, check.whole, FakeGenerator(seed), job(), progress);
  }

  TestFolder folder_;
  std::string out_ = folder_.path("out");
  ManifestHead head_;
};

TEST_F(Verification, WholeFolderIsGood) {
  const FolderCheck check = check_folder(out_, 2);
  EXPECT_TRUE(check.is_good());
  EXPECT_EQ(check.whole.size(), 5u);
  EXPECT_EQ(check.whole_rows, 2'050);
}

TEST_F(Verification, FlippedBitAnywhereInAFileIsFound) {
  const std::string name = "part-00004.txt", good = read_text(file(name));
  for (size_t bit = 0; bit < good.size() * 8; bit += 23) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    write_text(file(name), bad);
    const FolderCheck check = check_folder(out_, 1);
    ASSERT_EQ(check.corrupt.size(), 1u) << "bit " << bit;
    EXPECT_EQ(check.corrupt[0].substr(0, name.size()), name);
  }
}

TEST_F(Verification, NamesMissingShortAndUnlistedFiles) {
  std::filesystem::remove(file("part-00001.txt"));
  std::filesystem::resize_file(file("part-00003.txt"), 12);
  write_text(file("part-00009.txt"), "more");
  write_text(file("notes.md"), "mine");
  const FolderCheck check = check_folder(out_, 2);
  EXPECT_EQ(check.missing, std::vector<std::string>{"part-00001.txt"});
  ASSERT_EQ(check.corrupt.size(), 1u);
  EXPECT_EQ(check.corrupt[0].substr(0, 41), "part-00003.txt: its size is 12 bytes, not");
  EXPECT_EQ(check.extra, std::vector<std::string>{"part-00009.txt"});
  EXPECT_EQ(check.whole.size(), 3u);
}

TEST_F(Verification, ListingLooksAtSizesOnly) {
  std::filesystem::remove(file("part-00001.txt"));
  std::filesystem::resize_file(file("part-00003.txt"), 12);
  std::string changed = read_text(file("part-00000.txt"));
  changed[5] ^= 1;
  write_text(file("part-00000.txt"), changed);
  const FolderCheck check = list_folder(out_);
  EXPECT_EQ(check.missing, std::vector<std::string>{"part-00001.txt"});
  EXPECT_EQ(check.corrupt.size(), 1u);
  EXPECT_EQ(check.whole.size(), 3u);
}

TEST_F(Verification, PartThatWasNotStartedIsMissing) {
  std::filesystem::remove(file("manifest-2-of-2.jsonl"));
  const FolderCheck check = check_folder(out_, 2);
  ASSERT_EQ(check.missing.size(), 4u);  // the manifest, and the three files that no manifest lists
  EXPECT_EQ(check.missing[0], "manifest-2-of-2.jsonl: this part was not started");
  EXPECT_EQ(check.extra.size(), 3u);
}

TEST_F(Verification, RecomputedRowsAreTheSameBytes) {
  const Recomputation same = recompute(1);
  EXPECT_EQ(same.files, 5);
  EXPECT_EQ(same.rows, 2'050);
  EXPECT_TRUE(same.different.empty());
}

TEST_F(Verification, ConditionsAreKeptAndTellJobsApart) {
  ManifestHead asked = read_manifest(file("manifest-1-of-2.jsonl"))->head;
  EXPECT_EQ(asked.where, "");
  asked.where = "age>=60 and city='\"S\xc3\xa3o Paulo\"'";
  { ManifestWriter manifest(out_, asked, {}); }
  const ManifestHead kept = read_manifest(file("manifest-1-of-2.jsonl"))->head;
  EXPECT_EQ(kept.where, asked.where);
  EXPECT_EQ(first_difference(kept, asked, true), "");
  EXPECT_EQ(first_difference(kept, head_, false).substr(0, 6), "where ");
  EXPECT_NE(provenance_json(kept), provenance_json(head_));
}

TEST_F(Verification, RowsGivenAreKeptAndTellJobsApart) {
  ManifestHead asked = read_manifest(file("manifest-1-of-2.jsonl"))->head;
  EXPECT_EQ(asked.given_checksum, "");
  asked.given = "rows/part.csv", asked.given_checksum = "abc";
  { ManifestWriter manifest(out_, asked, {}); }
  ManifestHead kept = read_manifest(file("manifest-1-of-2.jsonl"))->head;
  EXPECT_EQ(kept.given, asked.given);
  EXPECT_EQ(first_difference(kept, asked, true), "");
  EXPECT_EQ(first_difference(kept, head_, false), "the checksum of the rows given (\"abc\", now \"\")");
  EXPECT_NE(provenance_json(kept), provenance_json(head_));
  kept.given = "elsewhere.csv";
  EXPECT_EQ(first_difference(kept, asked, true), "");
}

TEST_F(Verification, FileChecksumIsOfAllBytes) {
  const std::string whole = file_checksum(file("part-00000.txt"));
  EXPECT_EQ(whole, check_folder(out_, 1).whole[0].xxh3_128);
  std::ofstream(file("part-00000.txt"), std::ios::app) << 'x';
  EXPECT_NE(file_checksum(file("part-00000.txt")), whole);
  EXPECT_THROW(file_checksum(file("none")), Error);
}

TEST_F(Verification, RowsOfAnotherGeneratorDiffer) {
  const Recomputation other = recompute(2);
  ASSERT_EQ(other.different.size(), 5u);
  EXPECT_EQ(other.different[0], "part-00000.txt: differs from byte 8");  // after "<500>\n0 ", in the first mix
}

TEST_F(Verification, FileLongerThanRecomputedDiffers) {
  const FolderCheck check = check_folder(out_, 2);
  write_text(file("part-00000.txt"), read_text(file("part-00000.txt")) + "x");
  Progress progress(0, Progress::Style::kNone);
  const Recomputation longer = recompute_files(out_, check.head, {check.whole[0]}, FakeGenerator(1), job(), progress);
  EXPECT_EQ(longer.different.size(), 1u);
}

TEST_F(Verification, FolderWithoutManifestIsBadInput) {
  const TestFolder other;
  EXPECT_THROW(check_folder(other.path(), 1), InputError);
  EXPECT_THROW(check_folder(other.path("nothing"), 1), InputError);
}

TEST_F(Verification, ManifestsOfDifferentJobsAreBadInput) {
  const std::string name = file("manifest-2-of-2.jsonl");
  std::string text = read_text(name);
  text.replace(text.find("\"rows\":2050"), 11, "\"rows\":2051");
  write_text(name, text);
  EXPECT_THROW(check_folder(out_, 1), InputError);
}

}  // namespace
}  // namespace doppel
