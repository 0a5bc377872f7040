#include "host/scheduler.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <thread>

#include "host/interrupt.h"
#include "host/output_folder.h"
#include "kernels/common/error.h"
#include "tests/host/fake_format.h"
#include "tests/host/fake_generator.h"
#include "tests/host/fake_images.h"
#include "tests/host/test_folder.h"

// Tests fork, and start threads in the child: the thread sanitizer wants to be told.
extern "C" const char* __tsan_default_options() {
  return "die_after_fork=0:atexit_sleep_ms=0";  // all threads are joined
}

namespace doppel {
namespace {

constexpr int64_t kEnoughMemory = int64_t{1} << 30;

JobOptions job(int64_t rows, int64_t rows_per_file, int threads = 2) {
  JobOptions options;
  options.rows = rows;
  options.rows_per_file = rows_per_file;
  options.threads = threads;
  options.resident_bytes = 0;
  options.memory_bytes = kEnoughMemory;
  options.format = &fake_format();
  return options;
}

ManifestHead head_of(const JobOptions& options) {
  ManifestHead head;
  head.model = "fake.doppel";
  head.model_checksum = "00";
  head.seed = 1;
  head.rows = options.rows;
  head.rows_per_file = options.rows_per_file;
  head.format = options.format->name;
  head.parts = options.parts;
  head.part = options.part;
  return head;
}

// What `doppel generate` does with a folder.
JobResult generate(const Generator& generator, const JobOptions& options, const std::string& folder,
                   IfExists if_exists = IfExists::kRefuse, FileSystem& files = real_file_system()) {
  JobPlan plan = plan_job(generator, options);
  const ManifestHead head = head_of(options);
  const auto kept = prepare_output_folder(folder, head, plan.layout, plan.files, if_exists, false);
  std::set<int64_t> done;
  for (const ManifestEntry& entry : kept) done.insert(plan.layout.index_of(entry.file));
  std::erase_if(plan.files, [&](int64_t index) { return done.count(index) > 0; });
  ManifestWriter manifest(folder, head, kept, files);
  FolderSink sink(folder, manifest, files);
  Progress progress(options.rows, Progress::Style::kNone);
  return run_job(generator, plan, sink, progress);
}

// The bytes that file `index` must have, from the formats' definition alone.
std::string expected_file(int64_t first_row, int64_t rows) {
  std::string text = "<" + std::to_string(rows) + ">\n";
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    text += std::to_string(row) + " " + std::to_string(FakeGenerator::mix(1, static_cast<uint64_t>(row))) + "\n";
  }
  return text + "<" + std::to_string((rows + 99) / 100) + " batches>\n";
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

TEST(Scheduler, FilesHoldTheirRowsInOrder) {
  const TestFolder folder;
  const JobResult result = generate(FakeGenerator(), job(1234, 500), folder.path("out"));
  const auto files = read_folder(folder.path("out"));
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(files.at("part-00000.txt"), expected_file(0, 500));
  EXPECT_EQ(files.at("part-00001.txt"), expected_file(500, 500));
  EXPECT_EQ(files.at("part-00002.txt"), expected_file(1000, 234));
  EXPECT_EQ(result.rows, 1234);
  EXPECT_EQ(result.files, 3);
  EXPECT_EQ(static_cast<size_t>(result.bytes),
            files.at("part-00000.txt").size() + files.at("part-00001.txt").size() + files.at("part-00002.txt").size());
}

TEST(Scheduler, SameBytesForAnyNumberOfThreads) {
  const TestFolder folder;
  JobOptions options = job(20'050, 3'000, 1);
  options.encoder.compression = "slow";  // batches end out of order
  generate(FakeGenerator(), options, folder.path("one"));
  const auto expected = read_folder(folder.path("one"));
  ASSERT_EQ(expected.size(), 7u);
  for (const int threads : {2, 3, 8}) {
    options.threads = threads;
    const std::string out = folder.path(std::to_string(threads));
    generate(FakeGenerator(), options, out);
    EXPECT_EQ(read_folder(out), expected) << threads << " threads";
  }
}

TEST(Scheduler, SameBytesForAnyMemoryThatIsEnough) {
  const TestFolder folder;
  generate(FakeGenerator(), job(20'050, 3'000), folder.path("much"));
  const auto expected = read_folder(folder.path("much"));
  std::set<int64_t> slots;
  for (const int64_t kilobytes : {800, 900, 1'200, 3'000}) {
    JobOptions options = job(20'050, 3'000, 4);
    options.memory_bytes = kilobytes << 10;
    const JobPlan plan = plan_job(FakeGenerator(), options);
    slots.insert(plan.slots);
    EXPECT_LE(plan.memory_bytes(), options.memory_bytes);
    const std::string out = folder.path(std::to_string(kilobytes));
    generate(FakeGenerator(), options, out);
    EXPECT_EQ(read_folder(out), expected) << kilobytes << " KiB";
  }
  EXPECT_GT(slots.size(), 2u) << "the budgets must differ in effect for this test to mean something";
}

TEST(Scheduler, TooLittleMemoryNamesTheLeastThatDoes) {
  JobOptions options = job(20'050, 3'000);
  options.memory_bytes = 1000;
  const std::string message = message_of([&] { plan_job(FakeGenerator(), options); });
  EXPECT_NE(message.find("--memory 1 kB is too little"), std::string::npos) << message;
  const size_t at = message.find("at least --memory ");
  ASSERT_NE(at, std::string::npos) << message;
  options.memory_bytes = std::stoll(message.substr(at + 18)) * 1'000'000;
  EXPECT_NO_THROW(plan_job(FakeGenerator(), options));
}

TEST(Scheduler, PartsTogetherAreTheWhole) {
  const TestFolder folder;
  generate(FakeGenerator(), job(20'050, 3'000), folder.path("whole"));
  const auto expected = read_folder(folder.path("whole"));
  for (const int64_t parts : {2, 3, 7, 9}) {  // 9: more parts than files
    const std::string out = folder.path("parts-" + std::to_string(parts));
    for (int64_t part = parts; part >= 1; --part) {
      JobOptions options = job(20'050, 3'000);
      options.parts = parts;
      options.part = part;
      generate(FakeGenerator(), options, out);
    }
    EXPECT_EQ(read_folder(out), expected) << parts << " parts";
    EXPECT_EQ(find_manifests(out).size(), static_cast<size_t>(parts));
  }
}

TEST(Scheduler, BoundarySizes) {
  for (const int64_t rows : {0, 1, 99, 100, 101, 199, 200, 201, 300, 301}) {
    const TestFolder folder;
    generate(FakeGenerator(), job(rows, 200), folder.path("out"));
    const auto files = read_folder(folder.path("out"));
    std::string all, expected;
    for (const auto& [name, text] : files) all += text;
    for (int64_t row = 0; row == 0 || row < rows; row += 200)
      expected += expected_file(row, std::min<int64_t>(200, rows - row));
    EXPECT_EQ(all, expected) << rows << " rows";
  }
}

TEST(Scheduler, FileSizeDoesNotDependOnThreadsMemoryOrParts) {
  JobOptions options = job(int64_t{1} << 40, 0, 1);
  const int64_t rows_per_file = plan_job(FakeGenerator(), options).layout.rows_per_file;
  EXPECT_EQ(rows_per_file % 100, 0);
  options.threads = 7;
  options.memory_bytes = 8 << 20;
  options.parts = 3;
  EXPECT_EQ(plan_job(FakeGenerator(), options).layout.rows_per_file, rows_per_file);
}

TEST(Scheduler, PlansThatCannotFitAreRefusedAtOnce) {
  EXPECT_EQ(message_of([] { plan_job(FakeGenerator(), job(int64_t{1} << 62, 1)); }),
            "that would be 4611686018427387904 files: give a larger --rows-per-file");
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_NE(message_of([&] { plan_job(FakeGenerator(), job(most, most)); }).find("is too little"), std::string::npos);
  JobOptions negative = job(-1, 1);
  EXPECT_THROW(plan_job(FakeGenerator(), negative), UsageError);
  JobOptions part = job(100, 1);
  part.parts = 3;
  part.part = 4;
  EXPECT_THROW(plan_job(FakeGenerator(), part), UsageError);
}

TEST(Scheduler, NamesSortInRowOrderPastAHundredThousandFiles) {
  const FileLayout layout{200'000, 1, ".csv"};
  EXPECT_EQ(layout.file(7).name, "part-000007.csv");
  EXPECT_LT(layout.file(99'999).name, layout.file(100'000).name);
  EXPECT_EQ(layout.index_of("part-000007.csv"), 7);
  EXPECT_EQ(layout.index_of("part-00007.csv"), -1);
  EXPECT_EQ(layout.index_of("part-200000.csv"), -1);
}

// Peak memory of a process that generates, from when it was forked.
int64_t peak_of_child(const std::function<void()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      action();
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  rusage usage = {};
  wait4(child, &status, 0, &usage);
  EXPECT_EQ(status, 0);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

TEST(Scheduler, PeakMemoryStaysUnderTheBudgetForAnyRowsAndFormat) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers multiply memory";
#endif
  const FakeGenerator table;
  const FakeImages images({1, 28, 28}, {"0", "1"});
  for (const Format& format : formats()) {
    const Generator& generator = format.is_of_images ? static_cast<const Generator&>(images) : table;
    const int64_t rows = format.name == "png" ? 30'000 : format.is_of_images ? 300'000 : 20'000'000;
    JobOptions options = job(rows, rows / 5);
    options.format = &format;
    options.resident_bytes = -1;
    const JobPlan plan = plan_job(generator, options);
    const int64_t least = plan.resident_bytes + plan.batch_bytes + plan.scratch_bytes + 2 * plan.slot_bytes;
    for (const int64_t budget : {least + (1 << 20), least + (100 << 20)}) {
      options.memory_bytes = budget;
      const auto encode = [&] {
        NullSink sink;
        Progress progress(0, Progress::Style::kNone);
        run_job(generator, plan_job(generator, options), sink, progress);
      };
      EXPECT_LE(peak_of_child(encode), budget) << format.name;
    }
  }
}

TEST(Scheduler, SamplingOnlyCoversEveryRow) {
  Progress progress(0, Progress::Style::kNone);
  EXPECT_EQ(run_sampling(FakeGenerator(), 0, 1'000'003, 2, progress).rows, 1'000'003);
  EXPECT_NE(progress.line().find("1 M of"), std::string::npos) << progress.line();
  EXPECT_EQ(message_of([&] { run_sampling(FakeGenerator(1, 999'999), 0, 1'000'003, 2, progress); }), "sampler fault");
}

// Notes the rows that samplers fetch. A fetch takes a while, so that two at a time would meet.
class FetchingGenerator : public FakeGenerator {
 public:
  std::unique_ptr<RowSampler> make_sampler() const override {
    return std::make_unique<Sampler>(*this, FakeGenerator::make_sampler());
  }
  int64_t sampler_bytes(int64_t rows) const override { return 5000 * rows; }
  mutable std::vector<std::pair<uint64_t, int64_t>> fetched;
  mutable std::atomic<int> sampled_without{0}, fetching{0}, met{0};

 private:
  class Sampler : public RowSampler {
   public:
    Sampler(const FetchingGenerator& all, std::unique_ptr<RowSampler> rows) : all_(all), rows_(std::move(rows)) {}
    void fetch(uint64_t first_row, int64_t rows) override {
      all_.met += all_.fetching++ > 0;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      all_.fetched.emplace_back(first_row, rows);
      last_ = {first_row, rows};
      --all_.fetching;
    }
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      all_.sampled_without += last_ != std::pair(first_row, rows);
      rows_->sample(first_row, rows, batch);
    }

   private:
    const FetchingGenerator& all_;
    std::unique_ptr<RowSampler> rows_;
    std::pair<uint64_t, int64_t> last_{};
  };
};

// Rows [first, first + rows), each once, in order.
void expect_fetched(const FetchingGenerator& generator, int64_t first, int64_t rows) {
  auto next = static_cast<uint64_t>(first);
  for (const auto& [row, count] : generator.fetched) {
    EXPECT_EQ(row, next);
    next = row + static_cast<uint64_t>(count);
  }
  EXPECT_EQ(next, static_cast<uint64_t>(first + rows));
  EXPECT_EQ(generator.met, 0);
}

TEST(Scheduler, BatchesAreFetchedOneByOneInTheOrderOfTheRows) {
  const TestFolder folder;
  for (const int threads : {1, 2, 8}) {
    FetchingGenerator whole, part, sampled;
    JobOptions options = job(20'050, 3'000, threads);
    options.encoder.compression = "slow";
    generate(whole, options, folder.path("whole" + std::to_string(threads)));
    expect_fetched(whole, 0, 20'050);
    EXPECT_EQ(whole.sampled_without, 1);  // by the plan
    options.parts = options.part = 3;
    generate(part, options, folder.path("part" + std::to_string(threads)));
    expect_fetched(part, 12'000, 8'050);
    Progress progress(0, Progress::Style::kNone);
    run_sampling(sampled, 100, 1'000'003, threads, progress);
    expect_fetched(sampled, 100, 1'000'003);
    EXPECT_EQ(sampled.sampled_without, 0);
  }
}

TEST(Scheduler, WhatSamplersHoldIsPlannedFor) {
  const JobPlan without = plan_job(FakeGenerator(), job(20'050, 3'000)),
                with = plan_job(FetchingGenerator(), job(20'050, 3'000));
  EXPECT_EQ(with.scratch_bytes, without.scratch_bytes + 5000 * with.rows_per_batch);
  JobOptions options = job(20'050, 3'000, 8);
  options.memory_bytes = with.resident_bytes + 3 * (with.batch_bytes + with.scratch_bytes) + 4 * with.slot_bytes;
  EXPECT_EQ(plan_job(FetchingGenerator(), options).workers, 3);
  EXPECT_EQ(plan_job(FakeGenerator(), options).workers, 8);
}

// (Rows below 8,192 are sampled while planning too.)
// A fault of every stage: nothing hangs, files finished before stay, no temporary or partial file, the manifest is
// valid.
void expect_fault(const Generator& generator, const JobOptions& options, const std::string& message,
                  FileSystem& files) {
  const TestFolder folder;
  const std::string out = folder.path("out");
  EXPECT_EQ(message_of([&] { generate(generator, options, out, IfExists::kRefuse, files); }).substr(0, message.size()),
            message);
  std::map<std::string, std::string> expected;
  const std::optional<Manifest> manifest = read_manifest(out + "/manifest.jsonl");
  ASSERT_TRUE(manifest.has_value());
  for (const ManifestEntry& entry : manifest->entries) {
    expected[entry.file] = expected_file(entry.first_row, entry.rows);
  }
  EXPECT_LT(expected.size(), 7u);
  EXPECT_EQ(read_folder(out), expected);
}

TEST(SchedulerFault, Sampler) {
  for (const int64_t row : {8'192, 10'000, 20'049}) {
    expect_fault(FakeGenerator(1, row), job(20'050, 3'000), "sampler fault", real_file_system());
  }
}

TEST(SchedulerFault, Encoder) {
  for (const char* where : {"fail:8192", "fail:10000", "fail:20049"}) {
    JobOptions options = job(20'050, 3'000);
    options.encoder.compression = where;
    expect_fault(FakeGenerator(), options, "encoder fault", real_file_system());
  }
}

TEST(SchedulerFault, Tail) {
  JobOptions options = job(20'050, 3'000);
  options.encoder.compression = "fail-tail";
  expect_fault(FakeGenerator(), options, "tail fault", real_file_system());
}

// Fails one kind of call, from its nth on a data file.
class FaultyFileSystem : public FileSystem {
 public:
  std::string call;
  int after = 0, error_number = EIO;
  int create(const std::string& path) override { return fails("create", path) ? -1 : FileSystem::create(path); }
  ssize_t write(int file, const void* data, size_t bytes) override {
    return fails("write", "part") ? -1 : FileSystem::write(file, data, std::min<size_t>(bytes, 1000));  // short writes
  }
  int sync(int file) override { return fails("sync", "part") ? -1 : FileSystem::sync(file); }
  int rename(const std::string& from, const std::string& to) override {
    return fails("rename", to) ? -1 : FileSystem::rename(from, to);
  }
  int sync_folder(const std::string& path) override {
    return fails("sync_folder", "part") ? -1 : FileSystem::sync_folder(path);
  }

 private:
  bool fails(const std::string& name, const std::string& path) {
    if (name != call || path.find("part") == std::string::npos || after-- > 0) return false;
    errno = error_number;
    return true;
  }
};

TEST(SchedulerFault, FileSystemCalls) {
  struct Case {
    const char *call, *message;
    int after, error_number;
  };
  for (const Case& fault : {Case{"create", "cannot create", 2, EACCES}, Case{"write", "cannot write", 9, ENOSPC},
                            Case{"sync", "cannot sync", 4, EIO}, Case{"rename", "cannot rename", 1, ENOENT}}) {
    FaultyFileSystem files;
    files.call = fault.call;
    files.after = fault.after;
    files.error_number = fault.error_number;
    SCOPED_TRACE(fault.call);
    expect_fault(FakeGenerator(), job(20'050, 3'000), fault.message, files);
  }
}

TEST(SchedulerFault, FileRenamedButFolderNotSyncedIsNotListed) {
  const TestFolder folder;
  FaultyFileSystem files;
  files.call = "sync_folder";
  files.after = 2;  // the manifest's own, and the first file's
  EXPECT_NE(message_of([&] {
              generate(FakeGenerator(), job(2'000, 1'000), folder.path("out"), IfExists::kRefuse, files);
            }).find("cannot sync folder"),
            std::string::npos);
  EXPECT_EQ(read_manifest(folder.path("out/manifest.jsonl"))->entries.size(), 1u);
}

TEST(SchedulerFault, SizeLimitIsAnErrorThatNamesTheLimit) {
  const TestFolder folder;
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  install_signal_handlers();  // ignores SIGXFSZ
  rlimit limit = before;
  limit.rlim_cur = 20'000;
  setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message = message_of([&] { generate(FakeGenerator(), job(20'050, 3'000), folder.path("out")); });
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(message.find("part-00000.txt.tmp': File too large: raise the limit"), std::string::npos) << message;
  EXPECT_TRUE(read_folder(folder.path("out")).empty());
}

TEST(SchedulerFault, FullDiskIsAnErrorThatNamesTheRemedy) {
  const FakeGenerator generator;
  const int full = ::open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  StreamSink sink(full, "standard output");
  Progress progress(0, Progress::Style::kNone);
  const std::string message =
      message_of([&] { run_job(generator, plan_job(generator, job(1'000, 1'000)), sink, progress); });
  ::close(full);
  EXPECT_EQ(message,
            "cannot write 'standard output': No space left on device: free some space or choose another folder");
}

TEST(SchedulerFault, ClosedPipeIsAnError) {
  install_signal_handlers();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ::close(ends[0]);
  const FakeGenerator generator;
  StreamSink sink(ends[1], "standard output");
  Progress progress(0, Progress::Style::kNone);
  const std::string message =
      message_of([&] { run_job(generator, plan_job(generator, job(1'000, 1'000)), sink, progress); });
  ::close(ends[1]);
  EXPECT_NE(message.find("Broken pipe"), std::string::npos) << message;
}

TEST(SchedulerFault, FolderRemovedMeanwhile) {
  const TestFolder folder;
  class Removing : public FileSystem {
   public:
    std::string folder;
    int rename(const std::string& from, const std::string& to) override {
      if (to.find("part-00002") != std::string::npos) std::filesystem::rename(folder, folder + "-gone");
      return FileSystem::rename(from, to);
    }
  } files;
  files.folder = folder.path("out");
  const std::string message =
      message_of([&] { generate(FakeGenerator(), job(20'050, 3'000), files.folder, IfExists::kRefuse, files); });
  EXPECT_NE(message.find("the folder is not there (was it removed?)"), std::string::npos) << message;
}

// Runs `job` while another thread interrupts the process after a while; returns the exit status that it ends with.
int status_when_interrupted(int signal_number, const std::function<void()>& action,
                            const std::function<void()>& if_it_hangs) {
  install_signal_handlers();
  clear_interrupt();
  std::atomic<bool> ended{false};
  std::optional<BlockSignals> block(std::in_place);  // inherited: the signal is for this thread
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    kill(getpid(), signal_number);
    for (int i = 0; i < 1'000 && !ended; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (!ended) if_it_hangs();
  });
  block.reset();
  int status = 0;
  try {
    action();
  } catch (const Error& error) {
    status = static_cast<int>(error.status());
  }
  ended = true;
  killer.join();
  clear_interrupt();
  return status;
}

TEST(SchedulerInterrupt, EndsWithStatus130AndWholeFilesOnly) {
  const TestFolder folder;
  JobOptions options = job(2'000'000, 3'000);
  options.encoder.compression = "slow";
  EXPECT_EQ(status_when_interrupted(
                SIGINT, [&] { generate(FakeGenerator(), options, folder.path("out")); }, [] {}),
            130);
  const auto manifest = read_manifest(folder.path("out/manifest.jsonl"));
  ASSERT_TRUE(manifest.has_value());
  EXPECT_LT(manifest->entries.size(), 666u);
  EXPECT_EQ(read_folder(folder.path("out")).size(), manifest->entries.size());
}

TEST(SchedulerInterrupt, SecondSignalEndsTheProcessAtOnce) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer stands between a signal and its handler";
#endif
  const pid_t child = fork();
  if (child == 0) {
    install_signal_handlers();
    raise(SIGINT);
    if (!interrupted()) _exit(1);
    raise(SIGINT);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
}

TEST(SchedulerInterrupt, WakesAWriterBlockedOnAPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);  // never read: the writer blocks when it is full
  const auto write_into_pipe = [&] {
    const FakeGenerator generator;
    StreamSink sink(ends[1], "standard output");
    Progress progress(0, Progress::Style::kNone);
    run_job(generator, plan_job(generator, job(1'000'000, 1'000'000)), sink, progress);
  };
  EXPECT_EQ(status_when_interrupted(SIGTERM, write_into_pipe, [&] { ::close(ends[0]); }), 130);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(SchedulerResume, EndsWithTheSameBytesAfterBeingKilledAtAnyInstant) {
  const TestFolder folder;
  JobOptions options = job(60'050, 3'000);
  generate(FakeGenerator(), options, folder.path("whole"));
  const auto expected = read_folder(folder.path("whole"), false);
  options.encoder.compression = "slow";
  int killed = 0;
  unsigned state = 12345;
  for (int trial = 0; trial < 20; ++trial) {
    const std::string out = folder.path("trial-" + std::to_string(trial));
    for (int attempt = 0; attempt < 3; ++attempt) {
      const pid_t child = fork();
      if (child == 0) {
        try {
          generate(FakeGenerator(), options, out, IfExists::kResume);
        } catch (...) {
          _exit(1);
        }
        _exit(0);
      }
      state = state * 1664525u + 1013904223u;
      std::this_thread::sleep_for(std::chrono::microseconds(1000 + (state >> 8) % 100'000));
      kill(child, SIGKILL);
      int status = 0;
      waitpid(child, &status, 0);
      if (WIFSIGNALED(status)) {
        ++killed;
      } else {
        ASSERT_EQ(WEXITSTATUS(status), 0);
      }
      if (!std::filesystem::exists(out)) continue;
      if (const auto manifest = read_manifest(out + "/manifest.jsonl")) {  // truth law: what is listed is there, whole
        for (const ManifestEntry& entry : manifest->entries)
          EXPECT_EQ(read_text(out + "/" + entry.file), expected.at(entry.file));
      }
    }
    generate(FakeGenerator(), options, out, IfExists::kResume);
    auto files = read_folder(out, false);
    EXPECT_EQ(files, expected) << "trial " << trial;
  }
  EXPECT_GT(killed, 20);
}

TEST(SchedulerResume, RegeneratesOnlyWhatIsMissingOrShort) {
  const TestFolder folder;
  const std::string out = folder.path("out");
  generate(FakeGenerator(), job(20'050, 3'000), out);
  const auto expected = read_folder(out);
  std::filesystem::remove(out + "/part-00002.txt");
  std::filesystem::resize_file(out + "/part-00004.txt", 100);
  write_text(out + "/.part-00005.txt.tmp", "stray");
  write_text(out + "/manifest.jsonl", read_text(out + "/manifest.jsonl") + "{\"file\": \"part-0");  // torn
  const JobResult result = generate(FakeGenerator(), job(20'050, 3'000), out, IfExists::kResume);
  EXPECT_EQ(result.files, 2);
  EXPECT_EQ(read_folder(out), expected);
  EXPECT_EQ(read_manifest(out + "/manifest.jsonl")->entries.size(), 7u);
  EXPECT_EQ(generate(FakeGenerator(), job(20'050, 3'000), out, IfExists::kResume).files, 0);
}

TEST(SchedulerResume, RefusesAFolderInUseUnlessTold) {
  const TestFolder folder;
  const std::string out = folder.path("out");
  generate(FakeGenerator(), job(1'000, 500), out);
  EXPECT_NE(
      message_of([&] { generate(FakeGenerator(), job(1'000, 500), out); }).find("--resume completes it, --overwrite"),
      std::string::npos);
  std::filesystem::remove(out + "/manifest.jsonl");
  EXPECT_NE(message_of([&] {
              generate(FakeGenerator(), job(1'000, 500), out);
            }).find("holds output already (part-00000.txt)"),
            std::string::npos);
  EXPECT_NE(
      message_of([&] { generate(FakeGenerator(), job(1'000, 500), out, IfExists::kResume); }).find("but no manifest"),
      std::string::npos);
  write_text(out + "/notes.txt", "mine");
  generate(FakeGenerator(), job(300, 500), out, IfExists::kOverwrite);
  EXPECT_EQ(read_folder(out),
            (std::map<std::string, std::string>{{"part-00000.txt", expected_file(0, 300)}, {"notes.txt", "mine"}}));
}

TEST(SchedulerResume, NamesTheFieldThatDiffers) {
  const TestFolder folder;
  const std::string out = folder.path("out");
  generate(FakeGenerator(), job(1'000, 500), out);
  EXPECT_NE(message_of([&] {
              generate(FakeGenerator(), job(2'000, 500), out, IfExists::kResume);
            }).find("differs in rows (1000, now 2000)"),
            std::string::npos);
  EXPECT_NE(message_of([&] {
              generate(FakeGenerator(), job(1'000, 250), out, IfExists::kResume);
            }).find("differs in rows_per_file (500, now 250)"),
            std::string::npos);
  JobOptions part = job(1'000, 500);
  part.parts = 2;
  EXPECT_NE(message_of([&] {
              generate(FakeGenerator(), part, out);
            }).find("is of another job: it differs in parts (1, now 2)"),
            std::string::npos);
}

TEST(SchedulerResume, TwoProcessesDoNotWriteTheSameFolder) {
  const TestFolder folder;
  const std::string out = folder.path("out");
  const JobOptions options = job(1'000, 500);
  generate(FakeGenerator(), options, out);
  const ManifestWriter other(out, head_of(options), {});
  EXPECT_NE(message_of([&] { generate(FakeGenerator(), options, out, IfExists::kOverwrite); }).find("another doppel"),
            std::string::npos);
}

TEST(Writer, FileIsAbsentUntilCommitted) {
  const TestFolder folder;
  const std::string path = folder.path("a.txt");
  {
    AtomicFile file(path);
    file.append("abc", 3);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_TRUE(std::filesystem::exists(temporary_path(path)));
  }
  EXPECT_TRUE(read_folder(folder.path()).empty());
  AtomicFile file(path);
  file.append("abc", 3);
  file.commit();
  EXPECT_EQ(read_text(path), "abc");
  EXPECT_EQ(file.checksum(), "06b05ab6733a618578af5f94892f3950");  // printf abc | xxh128sum
}

TEST(Writer, UnwritableFolderNamesPathAndRemedy) {
  const TestFolder folder;
  write_text(folder.path("file"), "");
  EXPECT_NE(message_of([&] { AtomicFile(folder.path("file/x")); }).find("a part of the path is a file"),
            std::string::npos);
  EXPECT_NE(message_of([&] { AtomicFile("/proc/x"); }).find("cannot create '/proc/.x.tmp'"), std::string::npos);
  EXPECT_EQ(message_of([&] { read_file(folder.path("nothing")); }), folder.path("nothing") + ": no such file");
}

TEST(Progress, WordsForPeople) {
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1'250'000), "1.25 M");
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(3.2e9), "3.2 GB");
  EXPECT_EQ(format_duration(0.0123), "12 ms");
  EXPECT_EQ(format_duration(4.26), "4.3 s");
  EXPECT_EQ(format_duration(3 * 60), "3 min");
  EXPECT_EQ(format_duration(80 * 60), "1 h 20 min");
}

}  // namespace
}  // namespace doppel
